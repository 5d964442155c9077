"""Settings of a build: one TOML file, validated on construction, frozen afterwards."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from builders.compress.settings import Compress
from builders.dataset.settings import Clean, Data, Feedback, Split
from builders.publish.exploring import Explore
from builders.publish.recording import Record
from builders.ranker.settings import Ranker
from builders.section import Section
from builders.visual.settings import Visual
from ensembles.contracts import LIMITS, MAX_BATCH
from ensembles.errors import SettingsError, did_you_mean


class Features(Section):
    """Lengths and decay of what the feature step computes."""

    history: int = Field(50, ge=1, le=1000)
    popularity_half_life_days: float = Field(0.0, ge=0)
    """Events lose half of their weight in this time (0: no decay)."""


class Augment(Section):
    """Augmentation of training sequences; every share is the probability per sequence."""

    crop: float = Field(0.0, ge=0, le=1)
    mask: float = Field(0.0, ge=0, le=1)
    reorder: float = Field(0.0, ge=0, le=1)
    substitute: float = Field(0.0, ge=0, le=1)
    share: float = Field(0.2, gt=0, lt=1)
    """Share of a chosen sequence that is masked, reordered or substituted, or cropped away."""


class Retrieval(Section):
    """Collaborative filtering: candidates and the collaborative score."""

    candidates: int = Field(200, ge=10, le=LIMITS.candidates)
    factors: int = Field(64, ge=2)
    iterations: int = Field(15, ge=1)
    regularization: float = Field(0.05, gt=0)
    alpha: float = Field(10.0, gt=0)
    neighbours: int = Field(100, ge=1)
    recent: int = Field(20, ge=1)
    """Newest history events whose neighbours become candidates."""
    decay: float = Field(0.8, gt=0, le=1)
    """An event's weight, as a power of its age in events (1: all the same)."""
    window: int = Field(50, ge=1)
    """Two events of a user are a pair when at most so many events apart."""
    gap_power: float = Field(0.7, ge=0)
    """A pair ``g`` events apart counts ``g^-gap_power``."""
    backward: float = Field(0.3, ge=0, le=1)
    """What a pair counts for the item that came first, as a neighbour of the later one."""
    user_damping: float = Field(0.5, ge=0, le=2)
    """A pair of a user with ``n`` events counts ``n^-user_damping``."""
    shrinkage: float = Field(0.5, ge=0)
    """A sum ``s`` of pairs becomes ``s^2 / (s + shrinkage)``: little evidence counts less."""
    asymmetry: float = Field(0.5, ge=0, le=1)
    """Weights are divided by ``count_from^a * count_to^(1-a)``; 0.5 is the cosine."""


class Train(Section):
    """Training of the ranker."""

    loss: Literal["full_softmax", "sampled_softmax"] = "full_softmax"
    negatives: int = Field(1024, ge=1)
    temperature: float = Field(0.07, gt=0)
    """Scores are divided by it in the softmax; 1 for rankers whose scores are not cosines."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    epochs: int = Field(100, ge=1)
    patience: int = Field(10, ge=1)
    batch: int = Field(2048, ge=1)
    """Training events in a batch: few long sequences, or many short ones."""
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    """Learning rate after warm-up: the same, or falling to nearly 0 over ``epochs``."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps over which the learning rate rises from 0."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay per step of the weights' moving average, which is what is kept (0: off)."""
    max_minutes: float = Field(60.0, gt=0)
    seed: int = 42
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    threads: int = Field(0, ge=0)
    """Processor threads for training (0: all)."""
    devices: int = Field(0, ge=0)
    """Processes that train together (0: one for each GPU, one where there is none)."""
    warm_start: str = ""
    """Repository of an earlier release whose weights training starts from."""
    text_embeddings: bool = False
    """Start item embeddings from embeddings of their texts (extra ``text``)."""
    lstm_baseline: bool = False
    """Train an LSTM of the same width too, for the quality table."""


class Export(Section):
    """Export to ONNX and the tolerances that a release must hold."""

    opset: int = Field(18, ge=17)
    tolerance: float = Field(1e-3, gt=0)
    """Largest absolute difference of a score between PyTorch and ONNX, or offline and served."""
    check_users: int = Field(300, ge=1)
    compute_capability: str = Field("8.6", pattern=r"^\d+\.\d$")
    """GPUs that engines are built for where none is at hand: 8.6 is GeForce RTX 30, A10 and A40,
    8.9 GeForce RTX 40, L4 and L40. Beside a GPU, ``tensorrt`` builds for that one."""
    max_item_table_mb: float = Field(256.0, ge=0)
    """Megabytes (10^6 bytes). A larger item table is not put into the graph: the features step
    looks its rows up in a memory-mapped file and hands them to the ranker."""


class Serving(Section):
    """How Triton runs the steps."""

    instances: int = Field(2, ge=1, le=64)
    ranker_threads: int = Field(1, ge=1, le=64)
    max_queue_size: int = Field(1024, ge=1)
    queue_timeout_ms: int = Field(1000, ge=1)
    max_queue_delay_us: int = Field(0, ge=0, le=1_000_000)
    """A batch waits so long for more requests. The queue that forms anyway is the better batch."""
    max_batch: int = Field(MAX_BATCH, ge=1, le=MAX_BATCH)
    state_timeout_ms: int = Field(20, ge=1, le=60_000)
    """A user state in Redis has so long to answer a batch, which is answered without it then."""
    fuse_steps: bool = True
    """On the processor, run features, ranker and policy as one model: two hops less."""
    picture_cache_mb: int = Field(0, ge=0)
    """Memory of the server for vectors of pictures: one that comes again skips the encoder."""
    hold_out_test: bool = True
    """Leave each user's test event out of the seeded user state, so that quality can be
    measured on the served answers. Set it to false for production."""


class Settings(Section):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    data: Data
    clean: Clean = Clean()
    feedback: Feedback = Feedback()
    split: Split = Split()
    features: Features = Features()
    augment: Augment = Augment()
    retrieval: Retrieval = Retrieval()
    ranker: Ranker = Ranker()
    train: Train = Train()
    compress: Compress = Compress()
    export: Export = Export()
    serving: Serving = Serving()
    record: Record = Record()
    explore: Explore = Explore()
    visual: Visual = Visual()

    @property
    def has_pictures(self) -> bool:
        """Whether the release takes pictures."""
        return bool(self.data.images) or self.visual.covers

    @classmethod
    def load(
        cls, path: Path, *, data: str = "", images: str = "", passes: Path | None = None
    ) -> Settings:
        """Read a TOML file.

        Args:
            data: replaces ``[data] path``.
            images: replaces ``[data] images``.
            passes: a TOML file whose section ``[compress]`` replaces what it names, as
                ``millirank compress`` leaves one.

        Raises:
            SettingsError: a file is missing, is no TOML, or holds a wrong name or value.
        """
        raw = _read(path)
        given = {name: value for name, value in (("path", data), ("images", images)) if value}
        if given:
            raw["data"] = {**raw.get("data", {}), **given}
        if passes is None:
            return cls.parse(raw, origin=str(path))
        chosen = _read(passes).get("compress", {})
        if not isinstance(chosen, dict) or "passes" not in chosen:
            raise SettingsError(
                f"expected [[compress.passes]] in {passes}, found none; "
                "'millirank compress' writes such a file"
            )
        raw["compress"] = {**raw.get("compress", {}), **chosen}
        return cls.parse(raw, origin=f"{path} with {passes}")

    @classmethod
    def parse(cls, raw: dict[str, Any], *, origin: str) -> Settings:
        """Validate a dictionary; ``origin`` names it in error messages."""
        try:
            found = cls.model_validate(raw)
        except ValidationError as e:
            raise SettingsError(f"{origin}: " + "; ".join(_explain(cls, e))) from None
        if "image" in found.ranker.fuse and not found.has_pictures:
            raise SettingsError(
                f"{origin}: ranker.fuse names 'image', but the items have no pictures; set "
                "data.images to where they are, or visual.covers = true to have some drawn"
            )
        places, fused = found.retrieval.candidates, found.serving.fuse_steps
        if lack := found.explore.lack(places, found.record.impressions, fuse_steps=fused):
            raise SettingsError(f"{origin}: {lack}")
        return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise SettingsError(f"cannot read the settings file {path}: {e.strerror}") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise SettingsError(f"{path} is not valid TOML: {e}") from e


def _explain(model: type[BaseModel], error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        *path, leaf = [str(part) for part in problem["loc"]] or ["settings"]
        where = ".".join([*path, leaf])
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, path)
            lines.append(f"unknown setting '{where}'.{did_you_mean(leaf, known)}")
        else:
            lines.append(f"'{where}': {problem['msg']} (got {problem['input']!r})")
    return lines


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
