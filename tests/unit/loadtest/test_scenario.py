from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ensembles.errors import LoadTestError, SettingsError
from loadtest.scenario import Phase, Scenario, find_scenario
from loadtest.script import RECENT, as_bytes, write_script
from loadtest.toml_settings import shipped

OURS = {"steady", "ramp", "spike", "soak", "shop", "social", "news"}


def scenario(**fields: Any) -> Scenario:
    return Scenario(**{"about": "a test", "phases": (Phase(seconds=1, rate=10),), **fields})


def test_ours_are_those_and_offer_what_the_objective_asks_for() -> None:
    assert set(shipped("scenarios")) == OURS
    for name in OURS:
        found = find_scenario(name)
        assert found.loop == "open"
        offered = sum(sum(p.rates) / 2 * p.seconds for p in found.phases)
        assert offered / found.seconds > 205


def test_a_crowd_warms_up_before_the_calm_beginning() -> None:
    rising = (Phase(seconds=5, rate=10, rate_to=99),)
    calm = Phase(seconds=3, rate=10)
    assert scenario(phases=rising, warm_up_seconds=0, warm_up_users=9).warm_up == ()
    assert scenario(phases=rising, warm_up_seconds=3).warm_up == (calm,)
    crowd = scenario(phases=rising, warm_up_seconds=3, warm_up_users=9)
    assert crowd.warm_up == (Phase(seconds=3, users=9), calm)
    assert crowd.loop == "open"


@pytest.mark.parametrize("name", sorted(OURS))
def test_two_runs_send_the_same_bytes(name: str, visual_release: Path) -> None:
    one, same, other = (
        as_bytes(write_script(find_scenario(name), visual_release, seed, 300)) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_recent_grows_within_a_session(release: Path) -> None:
    lines = write_script(scenario(recent=True, session=500), release, 1, 4000)
    lengths = [len(line.request.recent or ()) for line in lines]
    assert lengths[0] == 0
    assert max(lengths) == RECENT
    assert sum(lengths[2000:]) > sum(lengths[:2000])


def test_a_flash_sale_touches_few_items(release: Path) -> None:
    sale = scenario(recent=True, session=20, hot_items=3, hot_share=1.0)
    touched = {i for line in write_script(sale, release, 1, 500) for i in line.request.recent or ()}
    assert len(touched) == 3


def test_skew_protocols_and_new_users(release: Path) -> None:
    even = Counter(a.request.user_id for a in write_script(scenario(), release, 1, 4000))
    skewed = Counter(a.request.user_id for a in write_script(scenario(skew=1.5), release, 1, 4000))
    assert skewed.most_common(1)[0][1] > 5 * even.most_common(1)[0][1]
    lines = write_script(scenario(grpc=0.25, returning=0.2), release, 1, 4000)
    assert sum(a.protocol == "grpc" for a in lines) == pytest.approx(1000, abs=150)
    known = [a for a in lines if a.target is not None]
    assert len(known) == pytest.approx(800, abs=150)
    assert all(a.target == a.request.user_id.replace("u", "i") for a in known)


def test_pictures_in_their_share(visual_release: Path) -> None:
    lines = write_script(scenario(pictures=0.3), visual_release, 1, 2000)
    assert sum(a.request.image is not None for a in lines) == pytest.approx(600, abs=100)


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_no_catalogue(release: Path, content: str) -> None:
    (release / "recommend" / "3" / "catalogue.json").write_text(content)
    with pytest.raises(LoadTestError, match=r"catalogue.json"):
        write_script(scenario(recent=True), release, 1, 10)


def test_unknown_scenario() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'shop'"):
        find_scenario("shopp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("about = 'x'\nphases = []", "phases"),
        ("about = 'x'\nphases = [{seconds = 1}]", "either a rate"),
        ("about = 'x'\nphases = [{seconds = 1, users = 2, rate = 3}]", "either a rate"),
        ("about = 'x'\nskeww = 1\nphases = [{seconds = 1, rate = 1}]", "Did you mean 'skew'"),
        ("about = ", "can be read"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        find_scenario(str(tmp_path / "mine.toml"))
