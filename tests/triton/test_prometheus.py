"""Debian's Prometheus scrapes a running server with the shipped files: everything has data."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ensembles.errors import InvalidRequest, RateLimited
from ensembles.record import Recording
from serving.client import Client, Event, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton import tiny_visual
from tests.triton.scraped import SHIPPED, Prometheus, scraping, wait_until, without_comparisons
from tests.triton.tiny import ITEMS, KNOBS, make_release

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="needs Prometheus: apt-get install prometheus"
)
ROUNDS, RELEASE, PER_MINUTE = 25, "3", 100
THREE = ("item-1", "item-2", "item-3")
PICTURE = tiny_visual.picture(tiny_visual.colours(ITEMS)[20])
KNOWN = [Request("user-1", candidates=THREE), Request("user-2", candidates=THREE)]
COLD = Request("nobody", candidates=THREE, recent=("no", "such"))
WITH_PICTURE = Request("user-3", candidates=THREE, image=PICTURE)
NO_PICTURE = Request("user-3", image=b"not a picture")
COUNTED = {
    "rows": 4,
    "candidates": 12,
    "cold_starts": 1,
    "unknown_items": 2,
    "invalid_requests": 1,
    "events_stored": 2,
    "events_repeated": 1,
    "events_refused": 1,
    "events_rate_limited": 1,
    "events_unwritten": 0,
    "impressions_dropped": 0,
}
"""What a round adds to each counter, by construction of the requests above."""


def play_round(client: Client) -> None:
    client.recommend_many(KNOWN)
    client.recommend(COLD)
    client.recommend(WITH_PICTURE)
    for wrong in (Request(""), NO_PICTURE):
        with pytest.raises(InvalidRequest):
            client.recommend(wrong)
    event = Event("clicker", "item-1", "click")
    assert [client.record(event).stored for _ in range(2)] == [True, False]
    client.record(Event("nobody-knows", "item-2", "click"))
    with pytest.raises(InvalidRequest):
        client.record(Event("clicker", "item-1", "klick"))
    with pytest.raises(RateLimited):  # more at once than a minute may have
        client.record_many([Event("robot", "item-1", "click") for _ in range(PER_MINUTE + 1)])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("watched")
    knobs = replace(KNOBS, picture_cache_mb=8, record=Recording(per_minute=PER_MINUTE))
    tiny = make_release(folder, int(RELEASE), knobs, visual=True, fused=True)
    with TritonServer(tiny.repository, ServerOptions(ports=Ports(0, 0, 0))) as server:
        yield server


def exposed(server: TritonServer) -> Counter[str]:
    """Counters of ours, added up over their labels."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = Counter[str]()
    for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith("millirank_")):
        found[name.split("{")[0]] += float(value)
    return found


def settled(prometheus: Prometheus) -> bool:
    """Whether everything was scraped, and all rules, those of other rules too, know it."""
    parts = len(prometheus.query("millirank:budget_share:mean"))
    return (
        prometheus.value("sum(millirank_rows_total)") == ROUNDS * COUNTED["rows"]
        and prometheus.value("sum(millirank_bad_images_total)") == ROUNDS
        and prometheus.value("sum(millirank_events_rate_limited_total)") == ROUNDS
        and prometheus.value("millirank:cold_start_share:rate5m") == pytest.approx(1 / 4)
        and prometheus.value("millirank:events_limited_share:rate5m") == pytest.approx(1 / 5)
        and prometheus.value("millirank:error_share:rate5m") == pytest.approx(0, abs=1e-6)
        and prometheus.value("millirank:error_budget:left30d") <= 1
        and parts == 6
    )


@pytest.fixture(scope="module")
def watched(
    running: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """After ``ROUNDS`` rounds, all of them scraped and all rules evaluated."""
    assert not any(exposed(running).values())  # the warm-up counts nowhere
    with scraping(tmp_path_factory.mktemp("prometheus"), running.metrics) as prometheus:
        with Client(running.grpc, timeout=30) as client:
            for _ in range(ROUNDS):
                play_round(client)
        wait_until(lambda: settled(prometheus))
        prometheus.hold()
        yield prometheus


def test_counters_hold_what_was_sent(running: TritonServer, watched: Prometheus) -> None:
    found = exposed(running)
    for name, count in COUNTED.items():
        assert found[f"millirank_{name}_total"] == count * ROUNDS
        labelled = f'millirank_{name}_total{{release="{RELEASE}"}}'
        assert watched.value(labelled) == count * ROUNDS
    assert found["millirank_bad_images_total"] == ROUNDS
    for step, requests in {
        "features": 4,
        "ranker": 3,
        "policy": 3,
        "preprocess": 2,
        "record": 5,
    }.items():
        counted = f'millirank_step_seconds_count{{step="{step}"}}'
        assert watched.value(counted) == requests * ROUNDS


def test_shares_are_those_of_the_requests(watched: Prometheus) -> None:
    assert watched.value("millirank:cold_start_share:rate5m") == pytest.approx(1 / 4)
    assert watched.value("millirank:unknown_items:per_row") == pytest.approx(2 / 4)
    assert watched.value("millirank:candidates:per_row") == pytest.approx(3)
    assert watched.value("millirank:degraded_share:rate5m") == 0
    assert watched.value("millirank:events_refused_share:rate5m") == pytest.approx(1 / 5)
    assert watched.value("millirank:events_limited_share:rate5m") == pytest.approx(1 / 5)
    assert watched.value("millirank:events_unwritten_share:rate5m") == 0


def test_a_callers_mistake_is_no_error_of_ours(watched: Prometheus) -> None:
    """Triton counts a failed request of an ensemble twice; should that change, this fails."""
    failed = "sum(nv_inference_request_failure{model=~'recommend|recommend_visual'})"
    assert watched.value(failed) == 2 * 2 * ROUNDS
    assert watched.value("millirank:refused:rate5m") > 0
    assert watched.value("millirank:errors:rate5m") == pytest.approx(0, abs=1e-6)


def test_the_budget_adds_up(watched: Prometheus) -> None:
    found = watched.query("millirank:budget_seconds:mean")
    parts = {(s["metric"]["model"], s["metric"]["part"]): float(s["value"][1]) for s in found}
    for model in ("recommend", "recommend_visual"):
        whole, *rest = (parts[model, part] for part in "PUXM")
        assert sum(rest) == pytest.approx(whole)
        assert min(parts[model, "X"], parts[model, "M"]) > 0
    with_picture, without = parts["recommend_visual", "X"], parts["recommend", "X"]
    assert with_picture > without


def test_a_picture_that_comes_again_skips_the_encoder(watched: Prometheus) -> None:
    encoder = '{model="image_encoder"}'
    assert watched.value(f"sum(nv_cache_num_misses_per_model{encoder})") == 1
    assert watched.value(f"sum(nv_cache_num_hits_per_model{encoder})") == ROUNDS - 1
    assert watched.value('millirank_step_seconds_count{step="image_encoder"}') == 1


def rules(file: str) -> list[dict[str, str]]:
    groups = yaml.safe_load((SHIPPED / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_recording_rule_gives_data(watched: Prometheus) -> None:
    for rule in rules("recording.yml"):
        assert watched.query(rule["record"]), rule["record"]
        assert watched.query(rule["expr"]), rule["expr"]


def test_every_alert_expression_gives_data(watched: Prometheus) -> None:
    for rule in rules("alerts.yml"):
        for expression in without_comparisons(rule["expr"]):
            assert watched.query(expression), expression


def test_every_panel_gives_data(watched: Prometheus) -> None:
    dashboard = SHIPPED.parent / "grafana" / "dashboards" / "millirank.json"
    panels = json.loads(dashboard.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(expressions) > 20
    for expression in expressions:
        assert watched.query(expression), expression


def test_comparisons_are_taken_out() -> None:
    assert without_comparisons('up{job="a",b!="c"} == 1 unless on (instance) x') == [
        'up{job="a",b!="c"} == bool 1',
        "x",
    ]
    assert without_comparisons("a\n  > 2 * b and c <= d") == ["a\n  > bool 2 * b and c <= bool d"]


def test_rules_stand_where_the_config_looks(tmp_path: Path) -> None:
    named = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())["rule_files"]
    assert sorted(named) == sorted(
        p.name for p in SHIPPED.glob("*.yml") if "groups" in yaml.safe_load(p.read_text())
    )
