"""A real Prometheus with the shipped files, scraping a server that is under test."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from serving.ports import Ports

SHIPPED = Path(__file__).resolve().parents[2] / "docker" / "prometheus"
_OFTEN = "500ms"


class Prometheus:
    """Answers expressions, as of now or of the moment that it is held at."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"
        self._moment: dict[str, float] = {}

    def hold(self) -> None:
        """From here on answer as of now, however long the tests take."""
        self._moment = {"time": time.time()}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Series of the expression's value."""
        asked = urllib.parse.urlencode({"query": expression, **self._moment})
        with urllib.request.urlopen(f"{self._url}/query?{asked}", timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        return list(result)

    def value(self, expression: str) -> float:
        """The only series' value; NaN where there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if len(found) == 1 else float("nan")

    def up(self) -> bool:
        """Whether it has scraped a server."""
        try:
            return self.value('up{job="millirank"}') == 1
        except urllib.error.URLError:
            return False


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def configure(folder: Path, target: str) -> Path:
    """The shipped files, with other targets and shorter intervals, and nothing else changed."""
    for name in ("recording.yml", "alerts.yml"):
        rules = yaml.safe_load((SHIPPED / name).read_text())
        for group in rules["groups"]:
            group["interval"] = _OFTEN
        (folder / name).write_text(yaml.safe_dump(rules))
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": _OFTEN, "evaluation_interval": _OFTEN}
    (served,) = (job for job in config["scrape_configs"] if job["job_name"] == "millirank")
    del served["dns_sd_configs"]
    served["static_configs"] = [{"targets": [target]}]
    config["scrape_configs"] = [served]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return file


@contextmanager
def scraping(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run Debian's Prometheus in ``folder`` until the end of the block."""
    port = Ports(0, 0, 0).settle("127.0.0.1").http
    program = shutil.which("prometheus")
    assert program
    command = [
        program,
        f"--config.file={configure(folder, target)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            found = Prometheus(port)
            wait_until(found.up)
            yield found
        finally:
            process.terminate()


def without_comparisons(expression: str) -> list[str]:
    """Expressions that give data whether or not an alert fires.

    A comparison keeps the series for which it holds; with ``bool`` it gives 0 or 1 for each. What
    stands on both sides of ``unless`` is asked for by itself.
    """
    compared = re.sub(r"\s(==|>=|<=|>|<)\s", r" \1 bool ", expression)
    return compared.split(" unless on (instance) ")
