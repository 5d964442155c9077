"""Render a pipeline to Triton's ``config.pbtxt``, through Triton's own protobuf.

The default file of a model is the cpu profile; other profiles stand in ``configs/NAME.pbtxt``,
where ``tritonserver --model-config-name NAME`` finds them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensembles.contracts import (
    HISTORY,
    HISTORY_VECTOR,
    LIMITS,
    PIXELS,
    DataType,
    TensorSpec,
    candidate_counts,
)
from ensembles.errors import MissingExtra
from ensembles.fuse import FUSED, fuse
from ensembles.pipeline import Pipeline, Step
from ensembles.profiles import CPU, GPU, Backend, Knobs, Profile
from ensembles.recommend import FEATURES, IMAGE_ENCODER, PREPROCESS, RANKER
from ensembles.record import RECORD

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

_TRITON_TYPES = {
    **{t: f"TYPE_{t}" for t in DataType},
    DataType.BYTES: "TYPE_STRING",
}
_WARM_UP_TEXT = struct.pack("<I", 7).decode() + "warm-up"
"""One BYTES element as Triton reads it from a file: its length, then its content."""
_BY_SIZE = (RANKER.name, IMAGE_ENCODER.name, FUSED)
_WARM_UP_ALONE = (PREPROCESS.name, IMAGE_ENCODER.name, RECORD.name)
"""On the processor these steps warm themselves up: what fits them is a release's own. An event is
never made up."""
PICTURE_CACHE = "picture_cache_mb"
"""Parameter of the image encoder; the size itself is the server's, which reads it there."""
_HEADER = "# Rendered by ensembles/render.py (make render); do not edit by hand.\n"


def render(pipelines: Sequence[Pipeline], release: int, knobs: Knobs) -> dict[Path, str]:
    """Every configuration file of a repository, by its path relative to the repository.

    The ensembles come last, in the order of ``pipelines``. One whose steps can be joined has a
    file for the gpu profile too, where they never are.
    """
    files: dict[Path, str] = {}
    on_cpu = [fuse(p, CPU) if knobs.fuse_steps else p for p in pipelines]
    for step in (step for pipeline in (*pipelines, *on_cpu) for step in pipeline.steps):
        files[Path(step.name, "config.pbtxt")] = _text(_step(step, CPU, knobs))
        if step.name in GPU.on_gpu:
            files[Path(step.name, "configs", f"{GPU.name}.pbtxt")] = _text(_step(step, GPU, knobs))
        for t in step.inputs:
            if t.datatype == DataType.BYTES and not t.optional:
                files[Path(step.name, "warmup", t.name)] = _WARM_UP_TEXT
    if knobs.record:
        record = _step(RECORD, CPU, knobs)
        # One process of a server writes: those of two releases would wait for each other.
        record.version_policy.specific.versions.append(release)
        files[Path(RECORD.name, "config.pbtxt")] = _text(record)
    for pipeline, served in zip(pipelines, on_cpu, strict=True):
        if fuse(pipeline, CPU) != pipeline:
            on_gpu = _text(_ensemble(pipeline, release, knobs))
            files[Path(pipeline.name, "configs", f"{GPU.name}.pbtxt")] = on_gpu
        files[Path(pipeline.name, "config.pbtxt")] = _text(_ensemble(served, release, knobs))
    return files


def _model_config_pb2() -> Any:
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError as e:
        raise MissingExtra("tritonclient", "serve") from e
    return model_config_pb2


def _text(config: pb.ModelConfig) -> str:
    from google.protobuf import text_format

    body: str = text_format.MessageToString(config)
    return _HEADER + body


def _add_tensors(
    config: pb.ModelConfig, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> None:
    for t in inputs:
        config.input.add(
            name=t.name,
            data_type=_TRITON_TYPES[t.datatype],
            dims=t.shape,
            optional=t.optional,
        )
    for t in outputs:
        config.output.add(name=t.name, data_type=_TRITON_TYPES[t.datatype], dims=t.shape)


def _ensemble(pipeline: Pipeline, release: int, knobs: Knobs) -> pb.ModelConfig:
    """The ensemble pins the release's version of every step: a swap is one load of this file."""
    config = _model_config_pb2().ModelConfig(
        name=pipeline.name, platform="ensemble", max_batch_size=knobs.max_batch
    )
    config.version_policy.specific.versions.append(release)
    _add_tensors(config, pipeline.inputs, pipeline.outputs)
    for tensor in config.input:
        # Triton counts a request's inputs and does not look for the required ones: without this,
        # one that is missing is answered "unexpected deadlock". So the first step says what is.
        tensor.optional = True
    for step in pipeline.steps:
        wired = config.ensemble_scheduling.step.add(model_name=step.name, model_version=release)
        wired.input_map.update({t.name: t.name for t in step.inputs})
        wired.output_map.update({t.name: t.name for t in step.outputs})
    return config


def _step(step: Step, profile: Profile, knobs: Knobs) -> pb.ModelConfig:
    backend = profile.backend(step.name)
    config = _model_config_pb2().ModelConfig(
        name=step.name, backend=backend, max_batch_size=knobs.max_batch
    )
    config.version_policy.latest.num_versions = 2
    if backend == Backend.PYTHON:
        inputs, outputs = (*step.inputs, *step.spare_inputs), (*step.outputs, *step.spare_outputs)
    else:  # An engine takes exactly the inputs that it was built with.
        inputs, outputs = tuple(replace(t, optional=False) for t in step.inputs), step.outputs
    _add_tensors(config, inputs, outputs)
    if backend == Backend.PYTHON:
        _batch_ragged(config)
    on_gpu, engine = step.name in profile.on_gpu, backend == Backend.TENSORRT
    config.instance_group.add(
        count=1 if engine or step == RECORD else knobs.instances,
        kind="KIND_GPU" if on_gpu else "KIND_CPU",
    )
    if engine and step.name == RANKER.name:
        # The engine has an optimisation profile for each count; Triton takes the first only, if
        # it is not told of the others.
        profiles = len(candidate_counts(knobs.candidates))
        config.instance_group[0].profile.extend(str(n) for n in range(profiles))
    queue = config.dynamic_batching.default_queue_policy
    queue.max_queue_size = knobs.max_queue_size
    queue.default_timeout_microseconds = knobs.queue_timeout_ms * 1000
    queue.timeout_action = queue.REJECT
    config.dynamic_batching.max_queue_delay_microseconds = knobs.max_queue_delay_us
    for key, value in _parameters(step, backend, knobs).items():
        config.parameters[key].string_value = value
    if step.name == IMAGE_ENCODER.name and knobs.picture_cache_mb:
        # By the pixels, so that the encoder is left out for a picture that comes again.
        config.response_cache.enable = True
        config.parameters[PICTURE_CACHE].string_value = str(knobs.picture_cache_mb)
    if step.name not in _WARM_UP_ALONE or engine:
        _warm_up(config, step, inputs, knobs)
    return config


def _warm_up(
    config: pb.ModelConfig, step: Step, inputs: tuple[TensorSpec, ...], knobs: Knobs
) -> None:
    """Hold readiness back until every instance has run: the first run takes tens of milliseconds.

    Ranker and image encoder run once with 1, 2, 4, ... and the most rows; the other steps do
    nothing by size.
    On the processor the samples fit every release: loading a new one warms up the old one again
    by the new configuration, and tritonserver 2.51 crashes when a sample fails then.
    """
    sizes = [1]
    while step.name in _BY_SIZE and sizes[-1] < knobs.max_batch:
        sizes.append(min(2 * sizes[-1], knobs.max_batch))
    for rows in sizes:
        sample = config.model_warmup.add(name=f"{rows} rows", batch_size=rows)
        for t in inputs:
            if t.optional:
                continue
            free = iter(_lengths(t, knobs))
            tensor = sample.inputs[t.name]
            tensor.data_type = _TRITON_TYPES[t.datatype]
            tensor.dims.extend(next(free) if d == -1 else d for d in t.shape)
            if t.datatype == DataType.BYTES:
                tensor.input_data_file = t.name
            else:
                tensor.zero_data = True


def _lengths(tensor: TensorSpec, knobs: Knobs) -> tuple[int, ...]:
    """What stands for the free lengths of a tensor, in order."""
    if tensor.name == PIXELS.name:
        return knobs.image_size, knobs.image_size
    of_history = tensor.name in (HISTORY.name, HISTORY_VECTOR.name)
    return knobs.history if of_history else knobs.candidates, knobs.vector_width


def _batch_ragged(config: pb.ModelConfig) -> None:
    """Let requests of different lengths share a batch: the Python steps stack them themselves."""
    for tensor in config.input:
        tensor.allow_ragged_batch = -1 in tensor.dims


def _parameters(step: Step, backend: Backend, knobs: Knobs) -> dict[str, str]:
    """Settings that a Python step reads when it starts, as strings."""
    if step.name == FUSED:
        members = (_parameters(member, backend, knobs) for member in (FEATURES, RANKER))
        shown = str(knobs.record.impressions if knobs.record else 0.0)
        return {n: v for member in members for n, v in member.items()} | {"impressions": shown}
    if step == RECORD and knobs.record:
        return {"state": knobs.state, **knobs.record.parameters()}
    if step.name == PREPROCESS.name:
        return {"image_bytes": str(LIMITS.image_bytes), "image_pixels": str(LIMITS.image_pixels)}
    if step.name == FEATURES.name:
        return {
            "k_default": str(LIMITS.k_default),
            "k_max": str(LIMITS.k_max),
            "id_bytes": str(LIMITS.id_bytes),
            "candidates": str(LIMITS.candidates),
            "recent": str(LIMITS.recent),
            "state": knobs.state,
            "state_timeout_ms": str(knobs.state_timeout_ms),
            "visual_weight": str(knobs.visual_weight),
            "visual_candidates": str(knobs.visual_candidates),
        }
    if step.name in _BY_SIZE and backend == Backend.PYTHON:
        return {"threads": str(knobs.ranker_threads)}
    return {}


def write_configs(
    repository: Path, pipelines: Sequence[Pipeline], release: int, knobs: Knobs
) -> None:
    """Write every configuration file of ``pipelines`` below ``repository``."""
    for path, text in render(pipelines, release, knobs).items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text, encoding="utf-8")


def stale_configs(
    repository: Path, pipelines: Sequence[Pipeline], release: int, knobs: Knobs
) -> list[Path]:
    """Configuration files below ``repository`` that are missing or not as rendered."""
    return [
        repository / path
        for path, text in render(pipelines, release, knobs).items()
        if not (repository / path).is_file()
        or (repository / path).read_text(encoding="utf-8") != text
    ]
