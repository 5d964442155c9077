"""A request's picture in the feature step: candidates that look like it, and what it counts."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from builders.visual.index import write_index
from ensembles.errors import BuildError
from tests.triton.tiny import CANDIDATES, ITEMS, item_ids, make_tables
from tests.unit.model_repository.test_feature_service import PARAMETERS

V = 6
PICTURED = range(1, 31)
EVENTS = {"some": [3, 7, 9], "many": list(range(1, 26))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a release in which items 1 to 30 have pictures."""
    path = tmp_path_factory.mktemp("visual") / "tables"
    make_tables(path)
    vectors = np.random.default_rng(1).normal(size=(ITEMS + 1, V)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[n for n in range(ITEMS + 1) if n not in PICTURED]] = 0
    assert write_index(vectors, "Flat", path) == len(PICTURED)
    return path


@pytest.fixture(scope="module")
def service(features: ModuleType, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    state = tmp_path_factory.mktemp("state")
    keys = features.item_keys(item_ids())
    features.seed(state, [(u, keys[e], np.arange(len(e))) for u, e in EVENTS.items()])
    return features.FeatureService(
        features.Tables.load(folder),
        features.state.LmdbState(state),
        features.Limits.parse(PARAMETERS),
        features.Blend.parse(PARAMETERS),
    )


def asked(user: str, query: Any = None, **more: Any) -> dict[str, Any]:
    tensors = {"user_id": np.array([[user.encode()]], object), **more}
    return tensors if query is None else {**tensors, "visual_vector": query[None]}


def looks_like(service: Any, item: int) -> Any:
    """The picture of an item."""
    return service.tables.visual.vectors[item]


@pytest.mark.parametrize("user", [*EVENTS, "nobody"])
def test_unseen_items_that_look_like_the_picture_join(service: Any, user: str) -> None:
    query = looks_like(service, 28)
    with_picture, without = service.answer([asked(user, query), asked(user)])
    seen = EVENTS.get(user, [])
    by_match = sorted(PICTURED, key=lambda i: -float(looks_like(service, i) @ query))
    # Eight are looked at for four places.
    near = [i for i in by_match[:8] if i not in seen][:4]
    retrieved = [i for i in without.tensors["candidate"][0] if i and i not in near]
    expected = (near + retrieved + [0] * CANDIDATES)[:CANDIDATES]
    assert with_picture.tensors["candidate"][0].tolist() == expected
    assert 28 in near


@pytest.mark.parametrize(("user", "weight"), [("some", 0.25), ("nobody", 1.0)])
def test_what_the_picture_counts(service: Any, user: str, weight: float) -> None:
    query = looks_like(service, 5)
    given = np.array([[b"item-5", b"item-6", b"item-40"]], object)
    got, plain = service.answer(
        [asked(user, query, candidates=given), asked(user, candidates=given)]
    )
    features = got.tensors["candidate_features"][0]
    # Item 40 has no picture; beyond the three there is padding.
    match = [1.0, float(looks_like(service, 6) @ query), 0.0]
    np.testing.assert_allclose(features[:3, 5], np.multiply(weight, match), atol=1e-6)
    assert features[:3, 6].tolist() == [weight] * 3
    assert not features[3:].any()
    np.testing.assert_array_equal(features[:, :5], plain.tensors["candidate_features"][0, :, :5])
    assert not plain.tensors["candidate_features"][..., 5:].any()


def test_batch_mates_change_nothing(service: Any) -> None:
    requests = [
        asked("some", looks_like(service, 5)),
        asked("many"),
        asked("nobody", looks_like(service, 9)),
    ]
    for together, request in zip(service.answer(requests), requests, strict=True):
        (alone,) = service.answer([request])
        for name, tensor in alone.tensors.items():
            np.testing.assert_array_equal(together.tensors[name], tensor)


def test_builders_compute_the_same(features: ModuleType, service: Any) -> None:
    step, visual = features.FeatureStep(service.tables), service.tables.visual
    query = looks_like(service, 12)[None]
    history = np.array([[0] * 7 + EVENTS["some"]], np.int32)
    (got,) = service.answer([asked("some", query[0])])
    found = step.retrieve(history, history, CANDIDATES)
    candidate = visual.add_similar(query, history, found, 4)
    packed = step.pack(history, candidate)
    visual.write_columns(packed, query, history, candidate, 0.25)
    np.testing.assert_array_equal(got.tensors["candidate"], candidate)
    np.testing.assert_array_equal(got.tensors["candidate_features"], packed)


@pytest.mark.parametrize("query", [np.zeros(V - 1, np.float32), np.full(V, np.nan, np.float32)])
def test_a_vector_of_another_kind_is_refused(service: Any, query: Any) -> None:
    bad, good = service.answer([asked("some", query), asked("some")])
    assert "visual_vector: expected 6 finite numbers a row" in str(bad)
    assert good.tensors["candidate"].any()


def test_a_release_without_pictures_says_so(
    features: ModuleType, service: Any, tables: Any
) -> None:
    plain = features.FeatureService(tables, service.state, service.limits, service.blend)
    (answer,) = plain.answer([asked("some", np.zeros(V, np.float32))])
    assert "this release takes no pictures" in str(answer)


def test_damaged_tables_are_refused(features: ModuleType, folder: Path, tmp_path: Path) -> None:
    for name in ("visual_vectors.npy", "visual.faiss"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    vectors = np.load(folder / "visual_vectors.npy")
    np.save(tmp_path / "visual_vectors.npy", np.concatenate([vectors, vectors[1:2]]))
    with pytest.raises(ValueError, match="expected an index over the 31 rows"):
        features.VisualTable.load(tmp_path)
    (tmp_path / "visual.faiss").write_bytes(b"no index")
    with pytest.raises(ValueError, match="cannot be read"):
        features.VisualTable.load(tmp_path)


def test_parameters_that_are_no_numbers_are_refused(features: ModuleType) -> None:
    with pytest.raises(ValueError, match="visual_weight and visual_candidates as numbers"):
        features.Blend.parse({"visual_weight": "much", "visual_candidates": "4"})


def test_an_index_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"visual.index 'Flot' cannot be made"):
        write_index(np.eye(4, dtype=np.float32), "Flot", tmp_path)
