"""What a step tells Prometheus: a true histogram, summed up, and nothing of the warm-up."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE
from tests.unit.model_repository.fake_pb_utils import counted, make, messages

code = load_step(SOURCE / "features" / "1").measures
COUNTED = {"rows": "Rows", "cold_starts": "Cold starts"}


def opened(*steps: str, warm_up: tuple[int, ...] = ()) -> Any:
    samples = [{"batch_size": rows, "count": 0} for rows in warm_up]
    config = {"model_warmup": samples} if samples else {}
    args = {"model_version": "7", "model_config": json.dumps(config)}
    return code.Measures(make([]), args, COUNTED, steps)


BATCHES = st.lists(st.tuples(st.integers(0, 200_000_000), st.integers(1, 128)), max_size=20)


@given(BATCHES)
def test_the_histogram_holds_every_request_where_it_belongs(batches: list[tuple[int, int]]) -> None:
    measures = opened("ranker")
    for nanoseconds, requests in batches:
        measures.spent("ranker", nanoseconds, requests)
    measures.close()
    own = {"release": "7", "step": "ranker"}
    for bound in (*code.BUCKETS_MS, math.inf):
        label = "+Inf" if bound == math.inf else str(bound / 1000)
        within = sum(n for spent, n in batches if spent <= bound * 1e6)
        assert counted("millirank_step_seconds_bucket", le=label, **own) == within
    total = sum(spent * n for spent, n in batches)
    assert round(counted("millirank_step_seconds_sum", **own) * 1e9) == total
    assert counted("millirank_step_seconds_count", **own) == sum(n for _, n in batches)


def test_amounts_are_summed_up_and_sent_by_themselves() -> None:
    measures = opened("features")
    for _ in range(1000):
        measures.count((3, 1), 3)
    deadline = time.monotonic() + 5
    while not counted("millirank_rows_total", release="7") and time.monotonic() < deadline:
        time.sleep(0.02)
    measures.close()
    assert counted("millirank_rows_total", release="7") == 3000
    assert counted("millirank_cold_starts_total", release="7") == 1000
    assert messages("millirank_rows_total") < 100


def test_what_takes_no_time_and_counts_nothing_sends_nothing() -> None:
    measures = opened("features")
    measures.count((0, 0), 1)
    measures.close()
    assert messages("millirank_rows_total") == 0


def test_the_warm_up_is_not_counted() -> None:
    measures = opened("features", "ranker", warm_up=(1, 2, 4))
    for requests in (1, 2, 4, 5):
        for step in ("features", "ranker"):
            answers = measures.timed(step, list, range(requests))
            assert answers == list(range(requests))
        measures.count((requests, 0), requests)
    measures.close()
    assert counted("millirank_rows_total", release="7") == 5
    for step in ("features", "ranker"):
        assert counted("millirank_step_seconds_count", release="7", step=step) == 5


def test_every_step_has_the_same_file() -> None:
    for name, steps in (("measures", 7), ("isolate", 5)):
        files = list(SOURCE.glob(f"*/1/*_step/{name}.py"))
        assert len(files) == steps
        assert len({file.resolve() for file in files}) == 1
