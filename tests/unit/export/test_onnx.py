"""The exported graph answers as PyTorch does; what differs or breaks is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.torch2onnx import export
from builders.export.verify import open_session, verify
from builders.ranker.interface import Ranker
from builders.ranker.registry import build_ranker
from builders.settings import Export
from ensembles.contracts import CANDIDATE_FEATURES_WIDTH
from ensembles.errors import BuildError, VerificationError
from tests.unit.export.random_rows import random_rows
from tests.unit.ranker.tiny_log import ITEMS, settings_of

H, C = 6, 9
OWN = "tests.unit.ranker.own_ranker:"


def _ranker(**shape: object) -> Ranker:
    torch.manual_seed(0)
    settings = settings_of(ranker=dict(shape)).ranker
    ranker = build_ranker(ITEMS, H, settings).eval()
    if ranker.head is not None:
        torch.nn.init.normal_(ranker.head.out.weight)
    return ranker


@pytest.fixture(scope="module")
def samples() -> RetrievedCandidates:
    return random_rows(ITEMS, H, C)


@pytest.mark.parametrize(
    "shape",
    [
        {"positions": "rotary"},
        {"positions": "learned", "hybrid": False, "normalise": False},
        {"kind": "lstm"},
        {"kind": OWN + "MeanRanker"},
    ],
    ids=["transformer", "no head", "lstm", "a module of one's own"],
)
def test_exported_rankers(
    tmp_path: Path,
    samples: RetrievedCandidates,
    shape: dict[str, object],
    capfd: pytest.CaptureFixture[str],
) -> None:
    ranker = _ranker(**shape)
    model = export(ranker, H, tmp_path, Export())
    gaps = verify(ranker, model, samples, Export(tolerance=1e-5))
    assert set(gaps) == {
        "batch 1",
        "batch 7",
        "batch 128",
        "empty history",
        "padded candidates",
        "one candidate",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert capfd.readouterr() == ("", "")
    graph = onnx.load(str(model)).graph
    inputs = {i.name: i.type.tensor_type for i in graph.input}
    lengths = {
        name: [d.dim_value or -1 for d in tensor.shape.dim] for name, tensor in inputs.items()
    }
    assert lengths.pop("candidate_features") == [-1, -1, CANDIDATE_FEATURES_WIDTH]
    assert lengths == {"history": [-1, H], "candidate": [-1, -1]}
    assert [o.name for o in graph.output] == ["logit"]


def test_a_difference_is_an_error(tmp_path: Path, samples: RetrievedCandidates) -> None:
    ranker = _ranker()
    model = export(ranker, H, tmp_path, Export())
    with torch.no_grad():
        next(ranker.parameters()).add_(torch.randn_like(next(ranker.parameters())))
    with pytest.raises(VerificationError, match=r"export\.tolerance = 0\.001: .*batch 128"):
        verify(ranker, model, samples, Export())
    with torch.no_grad():
        next(ranker.parameters()).fill_(float("nan"))
    with pytest.raises(VerificationError, match="nan"):
        verify(ranker, model, samples, Export(tolerance=1e9))


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(BuildError, match="cannot load"):
        open_session(tmp_path / "model.onnx")


def test_a_model_that_wants_other_inputs(tmp_path: Path, samples: RetrievedCandidates) -> None:
    model = export(_ranker(), H, tmp_path, Export())
    longer = np.concatenate([samples.history, samples.history], axis=1)
    other = RetrievedCandidates(longer, samples.candidate, samples.features, samples.target)
    with pytest.raises(BuildError, match="cannot run"):
        verify(_ranker(), model, other, Export())


class _Unexportable(Ranker):
    """Decides in Python by a value that only a run knows."""

    def __init__(self) -> None:
        super().__init__(hybrid=False)
        self.item = torch.nn.Embedding(ITEMS + 1, 4)

    def encode(self, history: torch.Tensor) -> torch.Tensor:
        if int(history.sum()) > 3:
            history = history + 1
        states: torch.Tensor = self.item(history)
        return states

    def item_vectors(self) -> torch.Tensor:
        return self.item.weight


def test_a_ranker_that_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="_Unexportable cannot be exported"):
        export(_Unexportable(), H, tmp_path, Export())


def test_the_graph_says_nothing_of_the_machine_it_was_made_on(tmp_path: Path) -> None:
    model = export(_ranker(), H, tmp_path, Export())
    source = Path(__file__).parents[3]
    assert str(source).encode() not in model.read_bytes()
    assert b"blocks.0.query" in model.read_bytes()
