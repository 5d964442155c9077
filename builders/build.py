"""A build: run the stages, then publish what they checked."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from builders.flow import STAGES, source_hashes
from builders.settings import Settings
from builders.stage_work import FIGURES, REPOSITORY
from builders.stages import Log, build_lock, run_stages
from ensembles.errors import ReleaseError
from serving.manifest import check
from serving.repository import current_release

_TOOLS = (
    "torch",
    "lightning",
    "onnx",
    "onnxruntime",
    "tensorrt-rtx",
    "implicit",
    "duckdb",
    "nvidia-pytriton",
    "nvidia-dali-cuda120",
    "timm",
    "faiss-cpu",
)


def run_build(settings: Settings, folder: Path, command: str, log: Log) -> Path:
    """Build ``settings`` in ``folder`` and publish the release into ``folder/repository``.

    Args:
        command: what makes the release again, for the manifest.
        log: prints one line.

    Returns:
        The repository.

    Raises:
        MillirankError: whatever the stages raise.
    """
    # Threads that spin while they wait would fight over the cores of a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    repository = folder / "repository"
    with build_lock(folder):
        outputs = run_stages(STAGES, settings, folder / "stages", log)
        figures = _figures(outputs)
        _print_tables(figures)
        log(f"compression report: {_write_report(settings, folder, command, figures)}")
        build_key = outputs["served_check"].name
        current = _published(repository, build_key)
        if current:
            log(f"nothing changed: release {current} in {repository} is this build's")
            return repository
        about = {"build_key": build_key, "command": command, "figures": figures}
        _publish(settings, folder, outputs, about, log)
    return repository


def _figures(outputs: Mapping[str, Path]) -> dict[str, Any]:
    """What the stages left for the manifest, by stage."""
    return {
        name: json.loads((out / FIGURES).read_text(encoding="utf-8"))
        for name, out in outputs.items()
        if (out / FIGURES).is_file()
    }


def _print_tables(figures: Mapping[str, Any]) -> None:
    from rich.console import Console

    from builders.compress.result import ChainResult
    from builders.compress.result_table import result_table
    from builders.evaluation.cold_start_table import ColdStart, render_cold_start
    from builders.evaluation.quality_rows import render, rows_of

    console = Console()
    console.print(result_table(ChainResult.from_json(figures["compress"])))
    console.print(render(rows_of(figures["evaluate"]["rows"])))
    if "cold_start" in figures["evaluate"]:
        console.print(render_cold_start(ColdStart.from_json(figures["evaluate"]["cold_start"])))


def _write_report(
    settings: Settings, folder: Path, command: str, figures: Mapping[str, Any]
) -> Path:
    from builders.compress.report import write_report
    from builders.compress.result import ChainResult

    (folder / "report").mkdir(exist_ok=True)
    return write_report(
        ChainResult.from_json(figures["compress"]),
        {"name": settings.name, "command": command},
        folder / "report",
        test=figures["evaluate"]["compressed"],
        export=figures["export"],
    )


def _published(repository: Path, build_key: str) -> int:
    """The current release, if this very build made it and it is whole; else 0."""
    if not repository.exists():
        return 0
    try:
        release = current_release(repository)
        manifest = check(repository, release)
    except ReleaseError:
        return 0
    return release if manifest.get("build_key") == build_key else 0


def _publish(
    settings: Settings, folder: Path, outputs: Mapping[str, Path], about: dict[str, Any], log: Log
) -> None:
    from builders.dataset.dataset import Dataset
    from builders.publish.release import publish
    from builders.publish.user_state import seed_state

    repository = folder / "repository"
    checked = outputs["served_check"] / REPOSITORY
    manifest = {
        **about,
        "settings": settings.model_dump(mode="json"),
        "data": source_hashes(settings),
        "stages": {name: out.name for name, out in outputs.items()},
        "tools": {"python": platform.python_version(), **_tools()},
        "target": f"{platform.system()} {platform.machine()}",
    }
    # Before the release: without its users it would be current and useless.
    users = seed_state(
        folder / "state",
        checked,
        Dataset.load(outputs["dataset"]),
        hold_out_test=settings.serving.hold_out_test,
    )
    release = publish(checked, repository, settings, manifest)
    shutil.copy2(outputs["dataset"] / "rejects.parquet", folder / "rejects.parquet")
    log(f"published release {release} in {repository}; user state of {users:,} users beside it")


def _tools() -> dict[str, str]:
    found = {}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
