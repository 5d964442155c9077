"""What the stages of a build left, and what the manifest of its release says."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.flow import STAGES, source_hashes
from builders.settings import Settings
from builders.stage_work import FIGURES, REPOSITORY
from builders.stages import Log, run_stages

if TYPE_CHECKING:
    from builders.dataset.dataset import Dataset

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


@dataclass(frozen=True)
class Built:
    """What the stages of a build left: everything that a release is made of.

    Attributes:
        outputs: folder of every stage, by name.
        figures: of the stages that left any, by name.
        command: what makes the release again.
    """

    settings: Settings
    outputs: Mapping[str, Path]
    figures: Mapping[str, Any]
    command: str

    @property
    def key(self) -> str:
        """The same for builds that made the same."""
        return self.outputs["served_check"].name

    @property
    def checked(self) -> Path:
        """A repository that holds the release as number 1."""
        return self.outputs["served_check"] / REPOSITORY

    def dataset(self) -> Dataset:
        """The log that it was built of."""
        from builders.dataset.dataset import Dataset

        return Dataset.load(self.outputs["dataset"])

    def manifest(self) -> dict[str, Any]:
        """What the manifest of the release says, beside its files."""
        from builders.publish.trained_on import NAME, TrainedOn

        return {
            "build_key": self.key,
            "command": self.command,
            "figures": self.figures,
            "settings": self.settings.model_dump(mode="json"),
            "data": source_hashes(self.settings),
            NAME: TrainedOn.of(self.dataset(), _recorded(self.settings)).to_json(),
            "stages": {name: out.name for name, out in self.outputs.items()},
            "tools": {"python": platform.python_version(), **_tools()},
            "target": f"{platform.system()} {platform.machine()}",
        }


def wait_passively() -> None:
    """Threads that spin while they wait would fight over the cores of a busy machine.

    Without effect once PyTorch is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def build_checked(settings: Settings, folder: Path, command: str, log: Log) -> Built:
    """Run the stages in ``folder``, which the caller has locked, and print what they found.

    Raises:
        MillirankError: whatever the stages raise.
    """
    wait_passively()
    outputs = run_stages(STAGES, settings, folder / "stages", log)
    figures = _figures(outputs)
    _print_tables(figures)
    log(f"compression report: {_write_report(settings, folder, command, figures)}")
    return Built(settings, outputs, figures, command)


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


def _recorded(settings: Settings) -> int:
    """How many recorded events joined the log."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(settings.data.feedback).num_rows) if settings.data.feedback else 0


def _tools() -> dict[str, str]:
    found = {}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
