from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ensembles.errors import LoadTestError
from loadtest import supervised
from loadtest.record import RunRecord
from loadtest.scenario import find_scenario
from tests.unit.loadtest.test_objective import GOOD


class Server:
    def __init__(self, deaths: int, lives: bool = False) -> None:
        self.deaths, self.lives, self.starts = deaths, lives, 0
        self.ports, self.pid = None, 7

    def alive(self) -> bool:
        return self.lives

    def errors(self) -> str:
        return "its last words"

    def stop(self) -> None:
        pass

    def start(self) -> None:
        self.starts += 1


@pytest.mark.parametrize(("deaths", "lives"), [(0, False), (1, False), (2, False), (1, True)])
def test_one_crash_is_survived(deaths: int, lives: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = Server(deaths, lives)

    def play(*asked: object, **named: object) -> RunRecord:
        if server.starts < deaths:
            raise LoadTestError("refused")
        return GOOD

    monkeypatch.setattr(supervised, "play", play)
    said: list[str] = []
    asked = (server, Path("r"), "steady", find_scenario("steady"), 1, said.append)
    if deaths == 2 or lives:
        with pytest.raises(LoadTestError, match="refused"):
            supervised.play_supervised(*asked)
    else:
        assert supervised.play_supervised(*asked) == GOOD
    assert len(said) == server.starts == (0 if lives else min(deaths, 1))
