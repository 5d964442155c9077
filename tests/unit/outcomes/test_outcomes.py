"""The report on impressions and events written by hand, of which every figure is known."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import millirank
from builders.outcomes.outcomes import Outcomes
from builders.outcomes.rate import Rate
from builders.outcomes.write import HTML, JSON, write_outcomes
from ensembles.errors import DataError

DAY = 86_400


def impressions(
    request: str, user: str, items: str, release: int, *, cold: bool = False
) -> dict[str, list[Any]]:
    """One answer: an item for each letter."""
    count = len(items)
    return {
        "request_id": [request] * count,
        "user_id": [user] * count,
        "item_id": [*items],
        "position": [*range(1, count + 1)],
        "score": [0.5] * count,
        "release": [release] * count,
        "cold_start": [cold] * count,
        "propensity": [1.0] * count,
        "timestamp": [DAY * release] * count,
    }


def write(folder: Path, name: str, *parts: dict[str, list[Any]]) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.concat_tables([pa.table(p) for p in parts]), folder / f"{name}.parquet")


def answers(*rows: tuple[str | None, str, str]) -> dict[str, list[Any]]:
    """Request, item, type."""
    request, item, event = (list(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return {
        "user_id": ["u"] * n,
        "item_id": item,
        "event": event,
        "timestamp": [DAY] * n,
        "request_id": pa.array(request, pa.string()),
    }


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    write(
        folder,
        "impressions-1",
        impressions("r1", "ann", "abcd", 1),
        impressions("r2", "bob", "abce", 1, cold=True),
        impressions("r3", "ann", "cd", 2),
    )
    # A file that was exported twice, and one more answer.
    again = impressions("r3", "ann", "cd", 2), impressions("r4", "cy", "fc", 2)
    write(folder, "impressions-2", *again)
    write(
        folder,
        "events-1",
        answers(
            ("r1", "a", "click"),
            ("r1", "a", "click"),
            ("r1", "a", "buy"),
            ("r2", "b", "view"),
            ("r2", "c", "skip"),
            ("r3", "c", "click"),
            ("r4", "f", "click"),
            ("r4", "z", "click"),
            ("unsampled", "a", "click"),
            (None, "a", "click"),
            ("", "b", "click"),
        ),
    )
    return folder


def found_in(exported: Path, **options: Any) -> Outcomes:
    return write_outcomes(exported, exported.parent / "report", **options)[0]


def test_every_figure(exported: Path) -> None:
    found = found_in(exported)
    assert found.clicked == Rate.of(4, 12)
    one, two = found.releases
    assert (one.release, one.clicked, one.users, one.items) == (1, Rate.of(2, 8), 2, 5)
    assert (two.release, two.clicked, two.users, two.items) == (2, Rate.of(2, 4), 2, 3)
    assert (one.cold_start, two.cold_start) == (Rate.of(1, 2), Rate.of(0, 2))
    assert (one.first, one.last, two.last) == (DAY, DAY, 2 * DAY)
    assert one.coverage is None
    assert found.events == {"buy": 1, "click": 3, "skip": 1, "view": 1}
    assert found.unmatched == 2
    at = {(p.release, p.position): p.clicked for p in found.positions}
    assert at[None, 1] == Rate.of(3, 4)
    assert at[None, 2] == Rate.of(1, 4)
    assert at[1, 1] == Rate.of(1, 2)
    assert at[2, 1] == Rate.of(2, 2)
    assert at[1, 4] == Rate.of(0, 2)
    assert (2, 3) not in at
    ((new, old, difference),) = found.differences
    assert (new, old, difference.value) == (2, 1, 0.25)


def test_explored_slots_against_the_others(tmp_path: Path) -> None:
    """Of a release that says so; an older one says nothing of its slots."""
    folder = tmp_path / "exported"
    slots = {"explored": [False, True, False, True]}
    write(folder, "impressions-1", impressions("r1", "ann", "abcd", 1))
    write(folder, "impressions-2", impressions("r2", "bob", "abcd", 2) | slots)
    write(folder, "impressions-3", impressions("r3", "cy", "efgh", 2) | slots)
    clicked = [("r1", "b", "click"), ("r2", "b", "click"), ("r3", "e", "buy"), ("r3", "g", "buy")]
    write(folder, "events-1", answers(*clicked))
    found = found_in(folder).exploration
    assert found is not None
    assert (found.explored, found.others) == (Rate.of(1, 4), Rate.of(2, 4))
    assert found.difference.value == -0.25
    report = tmp_path / "report"
    said = json.loads((report / JSON).read_text())["exploration"]
    assert (said["explored"]["count"], said["others"]["count"]) == (1, 2)
    assert "Exploration" in (report / HTML).read_text()


def test_nothing_is_said_of_exploration_where_there_is_none(exported: Path) -> None:
    assert found_in(exported).exploration is None
    assert "Exploration" not in (exported.parent / "report" / HTML).read_text()


def test_what_a_click_is_can_be_chosen(exported: Path) -> None:
    assert found_in(exported, clicks=["buy"]).clicked == Rate.of(1, 12)
    assert found_in(exported, clicks=["skip", "view"]).clicked == Rate.of(2, 12)


def test_the_repository_tells_the_size_of_the_catalogue(exported: Path, tmp_path: Path) -> None:
    about = tmp_path / "repository" / "recommend" / "1"
    about.mkdir(parents=True)
    (about / "catalogue.json").write_text(json.dumps({str(n): "" for n in range(20)}))
    one, two = found_in(exported, repository=tmp_path / "repository").releases
    assert (one.coverage, two.coverage) == (0.25, None)


def test_events_that_do_not_say_what_they_answer_are_no_clicks(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    write(folder, "impressions-1", impressions("r1", "ann", "ab", 1))
    assert found_in(folder).clicked == Rate.of(0, 2)
    without = {name: v for name, v in answers(("r1", "a", "click")).items() if name != "request_id"}
    write(folder, "events-1", without)
    found = found_in(folder)
    assert (found.clicked, found.events, found.differences) == (Rate.of(0, 2), {}, ())


def test_impressions_may_lie_among_the_events(tmp_path: Path) -> None:
    folder, nothing = tmp_path / "exported", {"cold_start", "propensity"}
    shown = impressions("r1", "ann", "ab", 3) | {"event": ["impression"] * 2}
    shown = {name: column for name, column in shown.items() if name not in nothing}
    write(folder, "events-1", shown)
    click = answers(("r1", "b", "click"))
    write(folder, "events-2", click | {"position": [2], "release": [3], "score": pa.nulls(1)})
    found = found_in(folder)
    assert (found.clicked, found.events, found.unmatched) == (Rate.of(1, 2), {"click": 1}, 0)
    assert found.releases[0].cold_start.total == 0
    assert "unknown" in (tmp_path / "report" / HTML).read_text(encoding="utf-8")


def test_a_page_that_fetches_nothing_and_the_same_as_json(exported: Path) -> None:
    out = exported.parent / "report"
    done = CliRunner().invoke(
        millirank.cli,
        ["outcomes", "--events", str(exported), "--out", str(out)],
        catch_exceptions=False,
    )
    assert "4 clicks of 12 impressions: 33.33% (95 % interval 13.81% to 60.94%)" in done.output
    html = (out / HTML).read_text(encoding="utf-8")
    head, rest = html.split("<script>", 1)
    own = head + rest.split("</script></head>", 1)[1]
    assert not re.search(r"https?://", own)
    assert "default-src 'none'" in own
    assert own.count("Plotly.newPlot") == 2
    text = unescape(own)
    for cell in ("33.33%", "+25.00%", "1970-01-03 00:00", "unknown", "buy 1, click 3"):
        assert cell in text
    stored = json.loads((out / JSON).read_text(encoding="utf-8"))
    assert stored["releases"][1]["clicked"]["count"] == 2
    assert stored["differences"][0]["against"] == 1
    assert stored["positions"][0] == {
        "position": 1, "release": None,
        "clicked": {"count": 3, "total": 4, "value": 0.75} | {
            k: pytest.approx(v, abs=1e-4) for k, v in (("low", 0.3006), ("high", 0.9544))
        },
    }  # fmt: skip


def test_no_text_becomes_markup_and_no_time_is_needed(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    folder = tmp_path / "exported"
    shown = impressions("r1", "ann", "a", 1) | {"timestamp": pa.nulls(1, pa.int64())}
    write(folder, "impressions-1", shown)
    write(folder, "events-1", answers(("r1", "a", bad)))
    _, path = write_outcomes(folder, tmp_path / "report")
    assert "<script>alert" not in path.read_text(encoding="utf-8")


def test_what_cannot_be_read_or_written_is_named(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        found_in(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no impressions lie in .*export"):
        found_in(tmp_path / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write the report into"):
        write_outcomes(exported, tmp_path / "file" / "report")
    pq.write_table(pa.table({"request_id": ["r"]}), exported / "impressions-2.parquet")
    (exported / "impressions-1.parquet").unlink()
    with pytest.raises(DataError, match="no column user_id, item_id, position"):
        found_in(exported)
    (exported / "impressions-2.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read"):
        found_in(exported)
