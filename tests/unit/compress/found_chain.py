"""A chain's result without a chain."""

from builders.compress.result import ChainResult, Figures, FinalTiming, PassResult
from builders.compress.search.front import Candidate

BASE = Figures(26_000_000, 105_000_000, 5_200_000_000, 48.0, 60.0, 790.0, 0.2)


def figures(single_ms=24.0, change=0.0):
    return Figures(
        6_500_000, 26_000_000, 650_000_000, single_ms, single_ms * 1.25, 16 * single_ms,
        0.2 * (1 + change), change, change - 0.01, change + 0.01,
    )  # fmt: skip


KEPT = PassResult(
    "distil",
    {"student": {"width": 256, "layers": 4}},
    True,
    "",
    "4 blocks of width 256",
    figures(4.8, -0.004),
    single_gain=0.9,
)
TOO_MUCH = PassResult(
    "prune_heads",
    {"keep": 0.5},
    False,
    "NDCG@10 falls by 3.00%, more than 1.00%",
    "half of the heads",
    figures(4.0, -0.03),
    layers_title="importance of a head",
    layers={"blocks.0 head 0": 0.5, "<script>alert(1)</script>": 0.1},
)
NOT_AT_ALL = PassResult("factorise", {}, False, "every | layer needs its rank", "", None)


def chain(*passes):
    return ChainResult(BASE, passes, FinalTiming(96.0, 48.0, 4.8, 2), 16)


def candidate(name, latency_ms, change, *passes):
    return Candidate(name, passes, latency_ms, figures(latency_ms, change))


EXPORT = {
    "chosen": "fp16",
    "graphs": {
        "fp16": {
            "name": "fp16",
            "bytes": 8_400_000,
            "quality": {"ndcg10": 0.2, "change": -0.001, "low": -0.01, "high": 0.01},
            "holds": True,
            "engine": {
                "library": "tensorrt_rtx",
                "version": "1.7.1",
                "gpu": "",
                "executed": "engine not executed",
            },
        },
        "int8_qdq": {
            "name": "int8_qdq",
            "bytes": 4_200_000,
            "quality": {"ndcg10": 0.19, "change": -0.05, "low": -0.06, "high": -0.04},
            "holds": False,
            "engine": "no engine: TensorRT is not installed",
        },
    },
}
TEST = {"ndcg10": 0.19, "change": -0.05, "low": -0.08, "high": -0.02}
