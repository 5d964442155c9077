"""Stages as data: named inputs and outputs, cached by content hash, safe to kill.

A stage's key is the hash of its name, the settings it reads, the source code it runs and the
keys of the stages it needs. Its output folder is written elsewhere and renamed into place, so
a folder that exists is complete.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from builders.settings import Settings
from ensembles.errors import BuildError, did_you_mean
from serving.durable import sync, sync_tree
from serving.file_lock import hold

_SOURCE = Path(__file__).resolve().parents[1]
_KEPT = 3
"""Finished outputs that are kept of each stage."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class Context:
    """What a running stage sees.

    Attributes:
        settings: the whole settings file.
        inputs: output folder of every needed stage, by stage name.
        out: empty folder for the stage's results.
        work: folder that survives a kill, for whatever lets the stage continue.
        log: prints one line of progress.
    """

    settings: Settings
    inputs: Mapping[str, Path]
    out: Path
    work: Path
    log: Log


@dataclass(frozen=True)
class Stage:
    """One step of a build.

    Attributes:
        name: lower snake case, unique in a build.
        run: does the work, writes into ``context.out``, returns one summary line.
        needs: names of earlier stages.
        sections: settings that change the result: sections, or single ones as "train.seed".
        code: source files (``*`` allowed) and folders, relative to the project, whose content
            changes it.
        fingerprint: hash of outside data, computed at every build.
        needs_too: further stages that it needs under these settings, as ``needs``.
    """

    name: str
    run: Callable[[Context], str]
    needs: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    fingerprint: Callable[[Settings], str] = field(default=lambda _: "")
    needs_too: Callable[[Settings], tuple[str, ...]] = field(default=lambda _: ())


def run_stages(
    stages: Sequence[Stage], settings: Settings, folder: Path, log: Log
) -> dict[str, Path]:
    """Run what is not cached below ``folder``; returns each stage's output folder.

    Raises:
        BuildError: a stage needs one that does not come before it, or ``folder`` is unusable.
    """
    keys: dict[str, str] = {}
    outputs: dict[str, Path] = {}
    for number, stage in enumerate(stages, 1):
        needs = (*stage.needs, *stage.needs_too(settings))
        for need in needs:
            if need not in keys:
                raise BuildError(
                    f"stage {stage.name!r} needs {need!r}, which does not come before it."
                    f"{did_you_mean(need, keys)}"
                )
        keys[stage.name] = _key(stage, settings, [keys[n] for n in needs])
        out = folder / f"{stage.name}-{keys[stage.name][:16]}"
        outputs[stage.name] = out
        title = f"[{number}/{len(stages)}] {stage.name}"
        if out.is_dir():
            out.touch()
            log(f"{title}: unchanged ({_summary(out)})")
            continue
        log(f"{title} ...")
        inputs = {n: outputs[n] for n in needs}
        started = time.monotonic()
        summary = _run(stage, settings, inputs, out, log)
        log(f"{title}: {summary} ({time.monotonic() - started:.1f} s)")
    _prune(folder, stages, keep=set(outputs.values()))
    return outputs


@contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for one build at a time.

    Raises:
        BuildError: another build holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = hold(folder / ".lock")
    except BlockingIOError:
        raise BuildError(
            f"another build is running in {folder}; wait for it or choose another --out"
        ) from None
    except OSError as e:
        raise BuildError(
            f"cannot write to the build folder {folder}: {e.strerror}; choose another with --out"
        ) from e
    with held:
        yield


def _run(stage: Stage, settings: Settings, inputs: Mapping[str, Path], out: Path, log: Log) -> str:
    """Run one stage in a temporary folder and rename it into place."""
    partial = out.with_name(f".{out.name}.partial")
    work = out.with_name(f".{out.name}.work")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        work.mkdir(exist_ok=True)
        summary = stage.run(Context(settings, inputs, partial, work, log))
        (partial / "stage.json").write_text(json.dumps({"summary": summary}), encoding="utf-8")
        sync_tree(partial)
        partial.rename(out)
        sync(out.parent)
    except OSError as e:
        where = e.filename or out
        raise BuildError(
            f"stage {stage.name!r} failed on {where}: {e.strerror or e}; "
            "check the disk's free space and permissions, then build again: it continues here"
        ) from e
    shutil.rmtree(work, ignore_errors=True)
    return summary


def _key(stage: Stage, settings: Settings, needed: list[str]) -> str:
    digest = sha256()
    values = {name: _setting(settings, name) for name in stage.sections}
    head = [stage.name, values, needed, stage.fingerprint(settings)]
    digest.update(json.dumps(head, sort_keys=True).encode())
    for path in _source_files(stage):
        digest.update(str(path.relative_to(_SOURCE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _setting(settings: Settings, name: str) -> object:
    value: object = settings.model_dump(mode="json")
    for part in name.split("."):
        assert isinstance(value, dict)
        value = value[part]
    return value


def _source_files(stage: Stage) -> list[Path]:
    files: list[Path] = []
    for name in stage.code:
        path = _SOURCE / name
        found = path.rglob("*.py") if path.is_dir() else _SOURCE.glob(name)
        files += sorted(found)
    return files


def _summary(out: Path) -> str:
    return str(json.loads((out / "stage.json").read_text(encoding="utf-8"))["summary"])


def _prune(folder: Path, stages: Sequence[Stage], keep: set[Path]) -> None:
    """Remove the oldest outputs of each stage beyond a few, and what killed builds left."""
    for stage in stages:
        finished = sorted(
            folder.glob(f"{stage.name}-*"), key=lambda p: p.stat().st_mtime, reverse=True
        )
        for old in finished[_KEPT:]:
            if old not in keep:
                shutil.rmtree(old)
        for left in folder.glob(f".{stage.name}-*"):
            shutil.rmtree(left)
