"""What is read from the metrics, against amounts that are counted here."""

from __future__ import annotations

from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError
from loadtest.release.window import Snapshot, Window, parse, read_snapshot

BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)


def text_of(release: int, seconds: list[float], **counted: int) -> str:
    """As a server writes it."""
    lines = [f'millirank_{name}{{release="{release}"}} {n}' for name, n in counted.items()]
    labels = f'release="{release}",step="routed"'
    for bound in (*BOUNDS, inf):
        le = "+Inf" if bound == inf else f"{bound:g}"
        below = sum(s <= bound for s in seconds)
        lines.append(f'millirank_step_seconds_bucket{{{labels},le="{le}"}} {below}')
    lines.append(f"millirank_step_seconds_count{{{labels}}} {len(seconds)}")
    lines.append(f"millirank_step_seconds_sum{{{labels}}} {sum(seconds)}")
    other = f'release="{release}",step="ranker"'
    return "\n".join(
        ["# HELP x", "nv_other 3", *lines, f"millirank_step_seconds_count{{{other}}} 99", ""]
    )


def snapshot(*texts: str) -> Snapshot:
    return Counter(dict(pair for text in texts for pair in parse(text)))


@given(before=st.lists(st.floats(0.0001, 0.2)), more=st.lists(st.floats(0.0001, 0.2), min_size=1))
def test_a_window_is_what_came_in_between(before: list[float], more: list[float]) -> None:
    window = Window.between(
        snapshot(text_of(1, before, rows_total=3), text_of(2, before)),
        snapshot(text_of(1, before + more, rows_total=7), text_of(2, before)),
        1,
    )
    assert window.requests == len(more)
    assert window.rows == 4
    assert window.mean_ms == pytest.approx(np.mean(more) * 1000, rel=1e-3, abs=1e-6)
    for bound in BOUNDS:
        assert window.slower(bound * 1000) == sum(s > bound for s in more)
    exact = sorted(more)[int(np.ceil(0.99 * len(more))) - 1]
    edges = (0.0, *BOUNDS, inf)
    number = sum(exact > bound for bound in BOUNDS)
    assert edges[number] * 1000 <= window.p99_ms <= edges[number + 1] * 1000


def test_inside_of_a_bucket_requests_lie_evenly() -> None:
    window = Window(100, below=((0.01, 0), (0.02, 100), (inf, 100)))
    assert window.slower(15) == pytest.approx(50)
    assert window.p99_ms == pytest.approx(19.9)
    assert window.slower(99) == 0
    assert Window(4, below=((0.1, 0), (inf, 4))).slower(200) == 4


def test_every_figure_has_its_name() -> None:
    counted = {
        "routed_failures_total": 1,
        "mirrored_same_total": 2,
        "mirrored_other_total": 3,
        "mirrored_dropped_total": 4,
        "rows_total": 5,
        "degraded_total": 6,
    }
    window = Window.between(Counter(), snapshot(text_of(7, [0.2], **counted)), 7)
    assert window.figures() == {
        "requests": 1,
        "failures": 1,
        "mean_ms": 200.0,
        "p99_ms": None,
        "mirrored": {"same": 2, "other": 3, "dropped": 4},
        "rows": 5,
        "degraded": 6,
    }


def test_nothing_came() -> None:
    window = Window.between(Counter(), Counter(), 1)
    assert (window.requests, window.mean_ms, window.p99_ms, window.slower(10)) == (0, 0, 0, 0)


@pytest.mark.parametrize("after", ["", text_of(1, [])])
def test_a_server_that_started_anew(after: str) -> None:
    with pytest.raises(LoadTestError, match="started anew"):
        Window.between(snapshot(text_of(1, [0.01])), snapshot(after), 1)


def test_several_servers_are_added_up() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text_of(1, [0.01]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        assert read_snapshot([address, address])[1, "count"] == 2
        server.shutdown()
    with pytest.raises(LoadTestError, match=f"expected the metrics of .*{address}/metrics"):
        read_snapshot([address])
