from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from builders.publish.release import SOURCE
from ensembles.contracts import MAX_BATCH, candidate_counts
from ensembles.errors import ContractError
from ensembles.profiles import CPU, GPU, Knobs
from ensembles.recommend import RECOMMEND, chains, step_names
from ensembles.render import render, write_configs


def parse(text):
    return text_format.Parse(text, model_config_pb2.ModelConfig())


KNOBS = Knobs(instances=3, max_queue_size=9, fuse_steps=False)
LOOKUP = chains(lookup=True, visual=False)
VISUAL = chains(lookup=False, visual=True)
STEPS = step_names(VISUAL)


@pytest.fixture(scope="module")
def files():
    return render(VISUAL, release=7, knobs=KNOBS)


def test_the_ensemble_pins_the_release_of_every_step(files):
    ensemble = parse(files[Path("recommend/config.pbtxt")])
    assert [(s.model_name, s.model_version) for s in ensemble.ensemble_scheduling.step] == [
        ("features", 7),
        ("ranker", 7),
        ("policy", 7),
    ]
    assert list(ensemble.version_policy.specific.versions) == [7]


@pytest.mark.parametrize(
    ("step", "backend"),
    [("preprocess", "python"), ("image_encoder", "tensorrt"), ("ranker", "tensorrt")],
)
def test_profiles_differ_in_backend_and_instances_only(files, step, backend):
    cpu = parse(files[Path(step, "config.pbtxt")])
    gpu = parse(files[Path(step, "configs", "gpu.pbtxt")])
    assert (cpu.backend, gpu.backend) == ("python", backend)
    assert gpu.instance_group[0].kind == gpu.instance_group[0].KIND_GPU
    # An engine has no inputs that a release may leave out.
    for config in (cpu, gpu):
        kept = [tensor for tensor in config.input if not tensor.optional]
        config.ClearField("input")
        config.input.extend(kept)
        if step != "ranker":  # On the processor it warms itself up.
            config.ClearField("model_warmup")
        for tensor in config.input:
            tensor.ClearField("allow_ragged_batch")
        for field in ("backend", "instance_group", "parameters"):
            config.ClearField(field)
    assert cpu == gpu


def test_every_step_bounds_its_queue_and_batches(files):
    for step in STEPS:
        config = parse(files[Path(step, "config.pbtxt")])
        policy = config.dynamic_batching.default_queue_policy
        assert policy.max_queue_size == 9
        assert policy.default_timeout_microseconds > 0
        assert policy.timeout_action == policy.REJECT
        assert config.max_batch_size == MAX_BATCH
        assert config.instance_group[0].count == 3


def test_requests_of_different_lengths_share_a_batch_in_python_steps(files):
    ragged = {
        t.name: t.allow_ragged_batch for t in parse(files[Path("features/config.pbtxt")]).input
    }
    names = ("user_id", "k", "candidates", "recent", "visual_vector")
    assert ragged == dict(zip(names, (False, False, True, True, True), strict=True))
    assert parse(files[Path("preprocess/config.pbtxt")]).input[0].allow_ragged_batch
    on_gpu = parse(files[Path("ranker/configs/gpu.pbtxt")])
    assert not any(t.allow_ragged_batch for t in on_gpu.input)


def test_every_step_is_warmed_up_and_the_ranker_with_every_size(files):
    sizes = {}
    for step in RECOMMEND.steps:
        config = parse(files[Path(step.name, "config.pbtxt")])
        sizes[step.name] = [sample.batch_size for sample in config.model_warmup]
        required = {t.name for t in step.inputs if not t.optional}
        assert all(set(sample.inputs) == required for sample in config.model_warmup)
    by_size = [1, 2, 4, 8, 16, 32, 64, 128]
    assert sizes == {"features": [1], "ranker": by_size, "policy": [1]}
    engine = parse(files[Path("image_encoder/configs/gpu.pbtxt")])
    assert [sample.batch_size for sample in engine.model_warmup] == by_size
    assert all(list(s.inputs["pixels"].dims) == [3, 224, 224] for s in engine.model_warmup)
    data = files[Path("features/warmup/user_id")].encode()
    assert len(data) == 4 + int.from_bytes(data[:4], "little")


def test_both_forms_declare_the_same_steps(files):
    lookup = render(LOOKUP, 7, KNOBS)
    differ = {path.as_posix() for path in lookup if files[path] != lookup[path]}
    ensemble = {"recommend/config.pbtxt", "recommend/configs/gpu.pbtxt"}
    assert differ == {*ensemble, "ranker/configs/gpu.pbtxt"}
    steps = parse(lookup[Path("recommend/config.pbtxt")]).ensemble_scheduling.step
    for name in ("history_vector", "candidate_vector"):
        assert steps[0].output_map[name] == steps[1].input_map[name] == name


def test_every_chain_declares_a_step_alike():
    """One file a step: it must not matter which of the chains is rendered last."""
    for pipelines in (VISUAL, LOOKUP):
        whole = render(pipelines, 7, KNOBS)
        for pipeline in pipelines:
            alone = render([pipeline], 7, KNOBS)
            assert alone.items() <= whole.items()


def test_an_engine_takes_looked_up_rows_and_is_warmed_up_with_them():
    knobs = Knobs(history=20, candidates=30, vector_width=64)
    config = parse(render(LOOKUP, 1, knobs)[Path("ranker/configs/gpu.pbtxt")])
    assert not any(tensor.optional for tensor in config.input)
    for sample in config.model_warmup:
        assert list(sample.inputs["history_vector"].dims) == [20, 64]
        assert list(sample.inputs["candidate_vector"].dims) == [30, 64]
        assert list(sample.inputs["candidate_features"].dims) == [30, 7]


def test_optional_request_tensors_stay_optional(files):
    inputs = {t.name: t.optional for t in parse(files[Path("features/config.pbtxt")]).input}
    assert inputs.pop("user_id") is False
    assert list(inputs) == ["k", "candidates", "recent", "visual_vector"]
    assert all(inputs.values())


def test_ensemble_leaves_it_to_the_first_step_to_miss_an_input(files):
    for name in ("recommend", "recommend_visual", "encode_image"):
        assert all(t.optional for t in parse(files[Path(name, "config.pbtxt")]).input)


def test_a_request_without_its_picture_reaches_the_step_that_says_so(files):
    first = parse(files[Path("recommend_visual/config.pbtxt")]).ensemble_scheduling.step[0]
    assert (first.model_name, set(first.input_map)) == ("preprocess", {"image", "user_id"})


def test_the_current_release_is_named_last(files):
    assert list(files)[-1] == Path("recommend/config.pbtxt")


def test_committed_configs_equal_rendered_ones():
    for path, text in render(VISUAL, 1, Knobs()).items():
        assert (SOURCE / path).read_text(encoding="utf-8") == text, f"{path}: run `make render`"


def test_write_configs_makes_the_folders(tmp_path):
    write_configs(tmp_path, [RECOMMEND], 1, Knobs())
    assert (tmp_path / "ranker" / "configs" / "gpu.pbtxt").is_file()


def test_both_profiles_place_every_step():
    for profile in (CPU, GPU):
        assert all(profile.backend(step) for step in STEPS)
    with pytest.raises(ContractError, match="places no step 'other'"):
        CPU.backend("other")


def test_knobs_are_limited():
    with pytest.raises(ContractError, match="visual_weight is 0 to 1"):
        Knobs(visual_weight=1.5)
    with pytest.raises(ContractError, match="max_batch"):
        Knobs(max_batch=MAX_BATCH + 1)


@pytest.mark.parametrize(("candidates", "profiles"), [(200, 3), (1000, 2), (5000, 1)])
def test_triton_may_use_every_optimisation_profile_of_an_engine(candidates, profiles):
    files = render([RECOMMEND], 1, Knobs(candidates=candidates))
    group = parse(files[Path("ranker/configs/gpu.pbtxt")]).instance_group[0]
    assert list(group.profile) == [str(n) for n in range(profiles)]
    assert len(candidate_counts(candidates)) == profiles
