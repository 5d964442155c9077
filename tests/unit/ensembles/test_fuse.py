"""Joining steps keeps the chain's contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ensembles.errors import ContractError
from ensembles.fuse import FUSED, fuse
from ensembles.profiles import CPU, GPU, Backend, Knobs
from ensembles.recommend import ENCODE_IMAGE, POLICY, RECOMMEND, RECOMMEND_VISUAL, chains
from ensembles.render import render


@pytest.mark.parametrize("lookup", [False, True])
def test_the_joined_chain_has_the_same_contract_and_fewer_steps(lookup: bool) -> None:
    encode, visual, plain = (fuse(p, CPU) for p in chains(lookup=lookup, visual=True))
    assert encode == ENCODE_IMAGE
    assert [s.name for s in plain.steps] == [FUSED]
    assert [s.name for s in visual.steps] == ["preprocess", "image_encoder", FUSED]
    for joined, apart in ((plain, RECOMMEND), (visual, RECOMMEND_VISUAL)):
        assert (joined.name, joined.inputs) == (apart.name, apart.inputs)
        assert joined.outputs == apart.outputs
        assert set(joined.outputs) == set(joined.steps[-1].outputs)
    declared = [
        {t.name for t in (*p.steps[-1].inputs, *p.steps[-1].spare_inputs)} for p in (plain, visual)
    ]
    assert declared[0] == declared[1]
    assert declared[0] == {"user_id", "k", "candidates", "recent", "visual_vector"}


def test_the_gpu_profile_joins_nothing() -> None:
    assert fuse(RECOMMEND, GPU) is RECOMMEND


def test_only_adjacent_steps_are_joined() -> None:
    apart = replace(CPU, fused=("features", "policy"))
    with pytest.raises(ContractError, match="adjacent and in this order"):
        fuse(RECOMMEND, apart)
    with pytest.raises(ContractError, match="must all be there"):
        fuse(RECOMMEND, replace(CPU, fused=("policy", "other")))


def test_only_python_steps_are_joined() -> None:
    mixed = replace(CPU, backends={**CPU.backends, POLICY.name: Backend.TENSORRT})
    with pytest.raises(ContractError, match="'policy' runs in tensorrt"):
        fuse(RECOMMEND, mixed)


def test_the_gpu_ensemble_stays_apart_and_the_release_is_current_last() -> None:
    files = render(chains(lookup=False, visual=True), 4, Knobs(fuse_steps=True))
    apart = render(chains(lookup=False, visual=True), 4, Knobs(fuse_steps=False))
    for ensemble in ("recommend", "recommend_visual"):
        gpu = Path(ensemble, "configs", "gpu.pbtxt")
        assert files[gpu] == apart[gpu] == apart[Path(ensemble, "config.pbtxt")]
        assert FUSED in files[Path(ensemble, "config.pbtxt")]
    assert list(files)[-1] == Path("recommend/config.pbtxt")
    assert Path(FUSED, "config.pbtxt") in files
    assert Path(FUSED, "config.pbtxt") not in apart
