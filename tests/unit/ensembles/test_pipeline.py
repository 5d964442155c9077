from dataclasses import replace

import pytest

from ensembles.contracts import DataType, TensorSpec
from ensembles.errors import ContractError
from ensembles.pipeline import Pipeline, Step
from ensembles.recommend import RECOMMEND, RECOMMEND_VISUAL, chains, looked_up

A = TensorSpec("a", DataType.FP32, (4,))
B = TensorSpec("b", DataType.FP32, (4,))
C = TensorSpec("c", DataType.FP32, (4,))


def chain(**changes):
    whole = {
        "name": "p",
        "inputs": (A,),
        "outputs": (C,),
        "steps": (Step("one", (A,), (B,)), Step("two", (B,), (C,))),
    }
    return Pipeline(**{**whole, **changes})


def test_a_chain_that_fits_is_accepted():
    assert [s.name for s in chain().steps] == ["one", "two"]


@pytest.mark.parametrize("lookup", [False, True])
def test_the_shipped_chains(lookup):
    steps = {p.name: [s.name for s in p.steps] for p in chains(lookup=lookup, visual=True)}
    ranked = ["features", "ranker", "policy"]
    assert steps == {
        "encode_image": ["preprocess", "image_encoder"],
        "recommend_visual": ["preprocess", "image_encoder", *ranked],
        "recommend": ranked,
    }
    assert [p.name for p in chains(lookup=lookup, visual=False)] == ["recommend"]


@pytest.mark.parametrize("pipeline", [RECOMMEND, RECOMMEND_VISUAL])
def test_the_two_forms_are_one_to_a_caller(pipeline):
    form = looked_up(pipeline)
    for field in ("name", "inputs", "outputs"):
        assert getattr(pipeline, field) == getattr(form, field)
    wired = {t.name for s in form.steps for t in s.inputs}
    assert wired - {t.name for s in pipeline.steps for t in s.inputs} == {
        "history_vector",
        "candidate_vector",
    }


def test_spare_inputs_are_optional_and_named_once():
    with pytest.raises(ContractError, match="requires an input that the chain does not give"):
        Step("s", (A,), (B,), spare_inputs=(C,))
    with pytest.raises(ContractError, match="names 'a' twice"):
        Step("s", (A,), (B,), spare_inputs=(replace(A, optional=True),))
    with pytest.raises(ContractError, match="names 'b' twice"):
        Step("s", (A,), (B,), spare_outputs=(B,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": ()}, "takes 'a', which nobody gives"),
        ({"outputs": (replace(C, name="cc"),)}, "Did you mean 'c'"),
        ({"outputs": (C, C)}, "names 'c' twice"),
        ({"inputs": (A, A)}, "names 'a' twice"),
        ({"outputs": (B,)}, "step 'two' gives 'c', which nobody uses"),
        ({"inputs": (A, replace(A, name="spare"))}, "the request gives 'spare', which nobody uses"),
        ({"inputs": (replace(A, datatype=DataType.INT32),)}, r"FP32\[4\], but .* INT32\[4\]"),
        ({"inputs": (replace(A, shape=(5,)),)}, r"FP32\[4\], but .* FP32\[5\]"),
        ({"inputs": (replace(A, shape=(4, 1)),)}, "but it is given as"),
        ({"inputs": (replace(A, optional=True),)}, "requires 'a', which a request may leave out"),
        ({"inputs": (A, B)}, "given by both the request and step 'one'"),
        ({"steps": (Step("two", (B,), (C,)), Step("one", (A,), (B,)))}, "before it is given"),
        ({"steps": (Step("one", (A,), (B,)), Step("one", (B,), (C,)))}, "names 'one' twice"),
    ],
)
def test_a_chain_that_does_not_fit_names_the_culprit(changes, message):
    with pytest.raises(ContractError, match=message):
        chain(**changes)


def test_a_cycle_is_refused():
    with pytest.raises(ContractError, match="cycle"):
        chain(steps=(Step("one", (A, C), (B,)), Step("two", (B,), (C,))))


def test_a_free_length_fits_any_length():
    assert replace(A, shape=(-1,)).fits(A)
    assert A.fits(replace(A, shape=(-1,)))
    assert not A.fits(replace(A, shape=(5,)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((A,), (), "no output"),
        ((A, A), (B,), "twice"),
        ((A,), (B, B), "twice"),
        ((replace(A, optional=True),), (B,), "no required input"),
    ],
)
def test_a_step_is_validated(inputs, outputs, message):
    with pytest.raises(ContractError, match=message):
        Step("s", inputs, outputs)


@pytest.mark.parametrize("name", ["", "Upper", "with space", "1st"])
def test_tensor_names_are_lower_snake_case(name):
    with pytest.raises(ContractError, match="lower snake case"):
        TensorSpec(name, DataType.FP32, (1,))


@pytest.mark.parametrize("shape", [(), (0,), (-2,), (4, 0)])
def test_tensor_lengths_are_positive_or_free(shape):
    with pytest.raises(ContractError, match="positive or -1"):
        TensorSpec("t", DataType.FP32, shape)
