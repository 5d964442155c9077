"""The router as the control interface takes it: a configuration, and the files of the model."""

from __future__ import annotations

from pathlib import Path

from serving.release.configs import Config, with_versions
from serving.release.trial import Trial

_SOURCE = Path(__file__).resolve().parents[2] / "model_repository" / "router" / "1"
_RELEASE = {"name": "release", "data_type": "TYPE_INT32", "dims": ["1"]}
INSTANCES = 2


def router_config(ensemble: Config, queue: Config, trial: Trial) -> Config:
    """Inputs and outputs of the ensemble that it stands for, and which release answered.

    Args:
        queue: ``dynamic_batching`` of a step: what waits here is limited as it is there.
    """
    route = {
        "ensemble": ensemble["name"],
        "current": trial.current,
        "candidate": trial.candidate,
        "canary": trial.canary,
        "mirror": trial.mirror,
    }
    ragged = [{**t, "allow_ragged_batch": "-1" in t["dims"]} for t in ensemble["input"]]
    config = {
        "name": ensemble["name"],
        "backend": "python",
        "max_batch_size": ensemble["max_batch_size"],
        "input": [*ragged],
        "output": [*ensemble["output"], _RELEASE],
        "instance_group": [{"count": INSTANCES, "kind": "KIND_CPU"}],
        "dynamic_batching": queue,
        "parameters": {name: {"string_value": str(value)} for name, value in route.items()},
    }
    return with_versions(config, trial.current)


def router_files(version: int) -> dict[str, bytes]:
    """The model's files, by path below its folder."""
    paths = (p for p in _SOURCE.rglob("*.py") if p.is_file())
    return {f"{version}/{p.relative_to(_SOURCE).as_posix()}": p.read_bytes() for p in paths}
