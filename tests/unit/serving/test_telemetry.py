"""What the server and its steps are told about traces and logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.errors import SettingsError
from serving.telemetry import RequestLog, Traces, request_log

URL = "http://127.0.0.1:4318/v1/traces"


def test_traces() -> None:
    traces = Traces(URL, 7)
    assert {
        "--trace-config=mode=opentelemetry",
        f"--trace-config=opentelemetry,url={URL}",
        "--trace-config=opentelemetry,resource=service.name=millirank",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=7",
    } <= set(traces.flags)
    assert traces.environment == {"MILLIRANK_OTLP": URL}


@pytest.mark.parametrize("url", ["localhost:4318", "", "ftp://x/y", "http://"])
def test_collector_is_a_url(url: str) -> None:
    with pytest.raises(SettingsError, match="endpoint is a URL such as"):
        Traces(url)


def test_request_log(tmp_path: Path) -> None:
    assert request_log(0, None) == {}
    one, other = request_log(5, None), request_log(5, None)
    assert one["MILLIRANK_LOG_EVERY"] == "5"
    assert len(one["MILLIRANK_LOG_KEY"]) == 32
    assert one["MILLIRANK_LOG_KEY"] != other["MILLIRANK_LOG_KEY"]
    (tmp_path / "key").write_text("secret\n")
    assert request_log(1, tmp_path / "key")["MILLIRANK_LOG_KEY"] == "secret"
    assert "secret" not in repr(RequestLog(1, "secret"))
    with pytest.raises(SettingsError, match="cannot read"):
        request_log(1, tmp_path / "nowhere")


def test_shares_are_of_one_or_more() -> None:
    with pytest.raises(SettingsError, match="got 0"):
        Traces(URL, 0)
    with pytest.raises(SettingsError, match="got -1"):
        request_log(-1, None)
