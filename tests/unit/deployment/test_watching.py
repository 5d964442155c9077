"""Prometheus, Grafana, HAProxy and the autoscaler look where the others are."""

import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest
import yaml

from tests.unit.deployment import files
from tests.unit.deployment.files import DOCKER, one, read, services

QUEUE = "millirank:queue_seconds:mean"


def job():
    """Prometheus' job for the servers."""
    (found,) = [
        j
        for j in read(DOCKER / "prometheus/prometheus.yml")["scrape_configs"]
        if j["job_name"] == "millirank"
    ]
    return found


def test_prometheus_scrapes_the_servers_under_the_name_that_kubernetes_gives():
    text = str(job())
    assert "server" in text
    assert str(files.METRICS) in text
    monitor = one("overlays/cpu", "ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == files.SCRAPED == job().get("metrics_path", files.SCRAPED)
    whole = read(DOCKER / "prometheus" / "prometheus.yml").get("global", {})
    assert endpoint["interval"] == job().get("scrape_interval", whole.get("scrape_interval"))
    service = one("overlays/cpu", "Service")
    assert service["metadata"]["labels"][monitor["jobLabel"]] == job()["job_name"]
    assert "server" in services()["server"]["networks"]["watch"]["aliases"]


def test_prometheus_reads_its_rules():
    named = read(DOCKER / "prometheus/prometheus.yml")["rule_files"]
    assert {name.rsplit("/", 1)[-1] for name in named} == {"recording.yml", "alerts.yml"}
    service = services()["prometheus"]
    words = files.flags(service["command"])
    assert words["--config.file"] == "/etc/prometheus/prometheus.yml"
    assert "/etc/prometheus" in {v["target"] for v in service["volumes"]}
    assert words["--web.listen-address"] == f"0.0.0.0:{files.PROMETHEUS}"
    assert [p["target"] for p in service["ports"]] == [files.PROMETHEUS]


def test_the_autoscaler_asks_for_a_rule_that_is_recorded():
    rule = adapter_rule()
    assert re.search(rule["name"]["matches"], rule["seriesQuery"].split("{")[0])
    (metric,) = one("overlays/cpu", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"] == QUEUE.replace(":", "_")
    assert rule["metricsQuery"].split(" or ")[0] == QUEUE
    groups = read(DOCKER / "prometheus/recording.yml")["groups"]
    assert len([r for g in groups for r in g["rules"] if r.get("record") == QUEUE]) == 1


def adapter_rule():
    """The one rule of prometheus-adapter."""
    (rule,) = read(DOCKER / "kubernetes" / "prometheus-adapter" / "values.yaml")["rules"][
        "external"
    ]
    return rule


@pytest.mark.skipif(not shutil.which("promtool"), reason="apt-get install prometheus")
def test_without_requests_the_queue_is_zero_and_without_servers_unknown(tmp_path):
    def asked(up, queue, expected):
        rows = [{"series": 'up{job="millirank",instance="a"}', "values": up}]
        rows += [{"series": QUEUE, "values": queue}] if queue else []
        expression = adapter_rule()["metricsQuery"]
        wanted = [] if expected is None else [{"labels": "{}", "value": expected}]
        if queue:
            wanted[0]["labels"] = QUEUE
        test = {"expr": expression, "eval_time": "1m", "exp_samples": wanted}
        return {"interval": "1m", "input_series": rows, "promql_expr_test": [test]}

    cases = [asked("1 1", "3 5", 5), asked("1 1", "", 0), asked("0 0", "", None)]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": cases}))
    command = ["promtool", "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_prometheus_and_its_dashboards():
    service = services()["grafana"]
    mounted = {v["target"] for v in service["volumes"]}
    folder = DOCKER / "grafana" / "provisioning"
    (sources,) = [read(file) for file in (folder / "datasources").glob("*.y*ml")]
    urls = [urlsplit(s["url"]) for s in sources["datasources"] if s["type"] == "prometheus"]
    assert [(u.hostname, u.port) for u in urls] == [("prometheus", files.PROMETHEUS)]
    (dashboards,) = [read(file) for file in (folder / "dashboards").glob("*.y*ml")]
    assert {p["options"]["path"] for p in dashboards["providers"]} <= mounted
    assert service["environment"]["GF_SERVER_HTTP_PORT"] == str(files.GRAFANA)
    assert [p["target"] for p in service["ports"]] == [files.GRAFANA]


def test_the_proxy_listens_where_servers_do_and_asks_for_their_health():
    text, service = (DOCKER / "haproxy/haproxy.cfg").read_text(), services()["haproxy"]
    bound = {int(p) for p in re.findall(r"^\s*bind \S*:(\d+)", text, re.M)}
    assert {files.HTTP, files.GRPC} <= bound
    assert files.READY in text
    for port in (files.HTTP, files.GRPC):
        named = re.findall(rf"^\s*server \S+ (\S+):{port}\b", text, re.M)
        assert named == list(service["depends_on"]) == ["server-1", "server-2"]
    assert "/usr/local/etc/haproxy" in {v["target"] for v in service["volumes"]}
    assert str(files.HTTP) in service["healthcheck"]["test"][-1]
