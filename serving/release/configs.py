"""Triton configurations of a release, as the control interface takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ensembles.errors import MissingExtra, ReleaseError
from ensembles.recommend import RECOMMEND
from serving.version_folders import configs_folder

Config = dict[str, Any]


def configs_of(repository: Path, release: int, profile: str) -> dict[str, Config]:
    """Configurations of ``release`` by model; the ensembles last, ``recommend`` at the end.

    Args:
        profile: ``cpu`` or ``gpu``; the cpu one stands in where a model has none for it.

    Raises:
        ReleaseError: the release holds none, or one is damaged.
        MissingExtra: tritonclient is not installed.
    """
    folder = configs_folder(repository, release)
    found = {
        path.parent.name: _read(_of_profile(path, profile))
        for path in folder.glob("*/config.pbtxt")
    }
    if not found:
        raise ReleaseError(
            f"expected the configurations of release {release} in {folder}, found none; "
            "publish the release again with 'millirank build'"
        )
    return dict(sorted(found.items(), key=lambda pair: (_is_ensemble(pair[1]), _last(pair[0]))))


def ensembles(configs: dict[str, Config]) -> dict[str, Config]:
    """Those of ensembles, in their order."""
    return {name: config for name, config in configs.items() if _is_ensemble(config)}


def served_steps(configs: dict[str, Config]) -> dict[str, Config]:
    """Those of the steps that an ensemble names, in their order."""
    named = {
        step["model_name"]
        for config in ensembles(configs).values()
        for step in config["ensemble_scheduling"]["step"]
    }
    return {name: config for name, config in configs.items() if name in named}


def queue_of(configs: dict[str, Config], ensemble: str) -> Config:
    """How requests wait for the first step of an ensemble."""
    first = configs[ensemble]["ensemble_scheduling"]["step"][0]["model_name"]
    return dict(configs[first].get("dynamic_batching", {}))


def with_versions(config: Config, *versions: int) -> Config:
    """The same with other versions to load."""
    return {**config, "version_policy": {"specific": {"versions": sorted(set(versions))}}}


def _is_ensemble(config: Config) -> bool:
    return config.get("platform") == "ensemble"


def _last(name: str) -> tuple[bool, str]:
    return name == RECOMMEND.name, name


def _of_profile(path: Path, profile: str) -> Path:
    own = path.with_name("configs") / f"{profile}.pbtxt"
    return own if own.is_file() else path


def _read(path: Path) -> Config:
    try:
        from google.protobuf import json_format, text_format
        from tritonclient.grpc import model_config_pb2
    except ImportError as e:
        raise MissingExtra("tritonclient", "serve") from e
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as e:
        raise ReleaseError(f"{path} is no Triton configuration: {e}") from e
    return dict(json_format.MessageToDict(config, preserving_proto_field_name=True))
