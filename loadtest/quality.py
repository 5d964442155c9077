"""The quality of what is served under load, against the same requests without load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import log2
from statistics import fmean

from ensembles.errors import RequestError
from loadtest.record import Quality
from loadtest.script import Line
from loadtest.traffic import Protocol
from serving import grpc_wire, http_wire
from serving.messages import decode

Items = tuple[str, ...]


def items_of(protocol: Protocol, content: bytes, json_length: str | None) -> Items:
    """Ids in an answer as it came.

    Raises:
        RequestError: it is not an answer of ours.
    """
    if protocol is Protocol.HTTP:
        tensors, version = http_wire.contents(content, json_length)
    else:
        _, messages, _ = grpc_wire.load()
        tensors, version = grpc_wire.contents(messages.ModelInferResponse.FromString(content))
    answers = decode(tensors, 1, version, 0.0)
    if len(answers) != 1:
        raise RequestError(f"expected the answer to one request, got {len(answers)}")
    return answers[0].items


def gain(items: Items, target: str) -> float:
    """NDCG@10 of one list with one right item."""
    return 1 / log2(items.index(target) + 2) if target in items[:10] else 0.0


def compare(
    lines: Sequence[Line], unloaded: dict[int, Items], loaded: Sequence[tuple[int, Items]]
) -> Quality | None:
    """Answers under load and before, by the number of their line; None where there are none."""
    known = [(i, items) for i, items in loaded if i in unloaded]
    asked = [(lines[i].target, unloaded[i], items) for i, items in known]
    scored = [(target, before, now) for target, before, now in asked if target is not None]
    if not asked:
        return None
    gains: defaultdict[int, list[float]] = defaultdict(list)
    for i, items in known:
        if (target := lines[i].target) is not None:
            gains[i].append(gain(items, target))
    count = max(len(scored), 1)
    return Quality(
        scored=len(scored),
        ndcg_loaded=sum(gain(now, target) for target, _, now in scored) / count,
        ndcg_unloaded=sum(gain(before, target) for target, before, _ in scored) / count,
        same=sum(before == now for _, before, now in asked) / len(asked),
        gains=tuple(fmean(gains[i]) for i in sorted(gains)),
    )
