"""Ports, paths, flags and names are the same in every file of docker/, and those of the code."""

import re
from urllib.parse import urlsplit

import millirank
from loadtest.command import loadtest
from serving.drain import FINISH_SECONDS
from serving.options import ServerOptions
from serving.serve_command import serve
from tests.unit.deployment import files
from tests.unit.deployment.files import (
    DOCKER,
    ROOT,
    flags,
    one,
    pods,
    read,
    server_pods,
    server_services,
    services,
)

TO_KILL = 15
"""Seconds that ``serving.guard`` and ``TritonServer.stop`` take for what hangs."""
SCRIPTS = {"redis": re.findall(r"/run/\w+/\w+", (DOCKER / "redis" / "start.sh").read_text())}
"""Paths that are named by no command line but in a script."""


def served():
    """Words of every ``serve``, by where they stand."""
    return {name: pod["containers"][0]["args"] for name, pod in server_pods().items()} | {
        name: service["command"] for name, service in server_services().items()
    }


def seconds(text):
    """``60s`` or ``1m0s`` as a number."""
    return sum(int(n) * {"m": 60, "s": 1}[unit] for n, unit in re.findall(r"(\d+)([ms])", text))


def test_serve_understands_every_command():
    assert len(served()) == 7
    for name, words in served().items():
        context = serve.make_context("serve", list(words[1:]))
        assert str(context.params["repository"]) == files.RELEASE, name
        assert context.params["host"] == "0.0.0.0", name
        gpu = "gpu" in name
        assert context.params["profile"] == ("gpu" if gpu else "cpu"), name
        assert flags(words).get("--engines") == (files.ENGINES if gpu else None), name


def test_state_copy_is_a_command_and_copies_to_where_servers_look():
    job = next(pod for name, pod in pods().items() if "state-copy" in name)
    (container,) = job["containers"]
    words = services()["state-copy"]["command"]
    assert words[:3] == container["args"][:3] == ["state", "copy", f"lmdb://{files.STATE}"]
    environment = {v["name"]: v["value"] for v in container["env"]}
    for pod in server_pods().values():
        there = {v["name"]: v["value"] for v in pod["containers"][0]["env"]}
        assert there["MILLIRANK_STATE"] == container["args"][3]
        assert there["RELEASE"] == environment["RELEASE"]
    for service in server_services().values():
        assert service["environment"]["MILLIRANK_STATE"] == words[3]
    assert "copy" in millirank.cli.commands["state"].commands


def test_redis_listens_where_the_state_is():
    config = dict(line.split(" ", 1) for line in lines(DOCKER / "redis" / "redis.conf"))
    assert int(config["port"]) == files.REDIS
    assert config["maxmemory-policy"] == "noeviction"
    assert config["appendonly"] == "yes"
    compose = urlsplit(services()["server"]["environment"]["MILLIRANK_STATE"])
    assert (compose.scheme, compose.hostname, compose.port) == ("redis", "redis", files.REDIS)
    variables = server_pods()["overlays/cpu Deployment millirank"]["containers"][0]["env"]
    (url,) = [v["value"] for v in variables if v["name"] == "MILLIRANK_STATE"]
    service = one("overlays/cpu", "Service", urlsplit(url).hostname)
    assert service["spec"]["ports"][0]["port"] == urlsplit(url).port == files.REDIS
    redis = one("overlays/cpu", "StatefulSet", "millirank-redis")["spec"]["template"]["spec"]
    assert redis["containers"][0]["ports"][0]["containerPort"] == files.REDIS
    assert redis["containers"][0]["image"] == services()["redis"]["image"]
    assert redis["containers"][0]["command"] == services()["redis"]["entrypoint"]


def lines(path):
    """Of a file, without empty ones and remarks."""
    return [x for x in path.read_text().splitlines() if x and not x.startswith("#")]


def test_every_file_that_is_named_is_mounted():
    for name, service in services().items():
        mounted = {s["target"] for s in service.get("secrets", [])}
        named = [
            *flags(service.get("command") or []).values(),
            *(service.get("environment") or {}).values(),
        ]
        named += SCRIPTS.get(name, [])
        assert {v for v in named if v.startswith(f"{files.SECRETS}/")} == mounted, name
    for name, pod in pods().items():
        container = pod["containers"][0]
        variables = [v["value"] for v in container.get("env", [])]
        named = {v for v in [*flags(container.get("args", [])).values(), *variables] if "run" in v}
        secrets = [v["secret"] for v in pod["volumes"] if v["name"] == "secrets"]
        mounted = {f"{files.SECRETS}/{item['path']}" for s in secrets for item in s["items"]}
        assert named <= mounted, name
        if secrets:
            assert files.SECRETS in {m["mountPath"] for m in container["volumeMounts"]}, name


def test_releases_state_and_engines_are_where_images_expect_them():
    for name, service in server_services().items():
        volumes = {v["target"]: v for v in service["volumes"]}
        assert volumes[files.RELEASE]["read_only"], name
        assert (files.ENGINES in volumes) == ("gpu" in name), name
        assert service["user"] == f"{files.USER}:{files.USER}"
        assert int(service["shm_size"]) >= 256 * 2**20
    for name, pod in server_pods().items():
        mounts = {m["mountPath"]: m for m in pod["containers"][0]["volumeMounts"]}
        assert mounts[files.RELEASE]["readOnly"], name
        assert mounts[files.RELEASE]["subPathExpr"] == "$(RELEASE)/repository"
        assert (files.ENGINES in mounts) == ("gpu" in name), name
        assert pod["securityContext"]["runAsUser"] == files.USER
        (shm,) = [v["emptyDir"] for v in pod["volumes"] if v["name"] == mounts["/dev/shm"]["name"]]
        assert shm["medium"] == "Memory"
        assert int(shm["sizeLimit"].removesuffix("Mi")) >= 256


def test_servers_get_the_time_that_a_lossless_end_takes():
    grace = {n: p["terminationGracePeriodSeconds"] for n, p in server_pods().items()}
    grace |= {n: seconds(s["stop_grace_period"]) for n, s in server_services().items()}
    for name, words in served().items():
        drain = float(flags(words)["--drain-seconds"])
        needed = drain + FINISH_SECONDS + ServerOptions().stop_seconds + TO_KILL
        assert grace[name] >= needed, name


def test_readiness_is_noticed_before_a_draining_server_stops_answering():
    for name, pod in server_pods().items():
        probe = pod["containers"][0]["readinessProbe"]
        noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
        drain = float(flags(pod["containers"][0]["args"])["--drain-seconds"])
        assert noticed < drain, name


def test_health_is_asked_at_tritons_addresses():
    for name, pod in server_pods().items():
        (container,) = pod["containers"]
        ports = {p["name"]: p["containerPort"] for p in container["ports"]}
        assert ports == {"http": files.HTTP, "grpc": files.GRPC, "metrics": files.METRICS}, name
        for probe, path in (("startup", files.READY), ("readiness", files.READY)):
            asked = container[f"{probe}Probe"]["httpGet"]
            assert asked == {"path": path, "port": "http"}, name
        assert container["livenessProbe"]["httpGet"]["path"] == files.LIVE, name
    for name, service in server_services().items():
        asked = service["healthcheck"]["test"][-1]
        assert f"http://127.0.0.1:{files.HTTP}{files.READY}" in asked, name


def test_services_and_policies_name_the_ports_of_the_server():
    http, grpc = one("overlays/cpu", "Service"), one("overlays/cpu", "Service", "millirank-grpc")
    assert {p["name"]: p["port"] for p in (*http["spec"]["ports"], *grpc["spec"]["ports"])} == {
        "http": files.HTTP,
        "grpc": files.GRPC,
        "metrics": files.METRICS,
    }
    policy = one("overlays/cpu", "NetworkPolicy")["spec"]
    ports = [[p["port"] for p in rule["ports"]] for rule in policy["ingress"]]
    assert ports == [[files.HTTP, files.GRPC], [files.METRICS]]
    ports = [[p["port"] for p in rule["ports"]] for rule in policy["egress"]]
    assert ports == [[53, 53], [files.REDIS], [files.OTLP_GRPC, files.OTLP_HTTP]]
    published = {p["target"] for p in services()["server"]["ports"]}
    assert published == {files.HTTP, files.GRPC, files.METRICS}
    assert {p["target"] for p in services()["haproxy"]["ports"]} == {files.HTTP, files.GRPC}


def test_traces_go_to_the_collector():
    collector = read(DOCKER / "otel" / "collector.yaml")
    protocols = collector["receivers"]["otlp"]["protocols"]
    assert protocols["grpc"]["endpoint"] == f"0.0.0.0:{files.OTLP_GRPC}"
    assert protocols["http"]["endpoint"] == f"0.0.0.0:{files.OTLP_HTTP}"
    published = {p["target"] for p in services()["otel-collector"]["ports"]}
    assert published == {files.OTLP_GRPC, files.OTLP_HTTP}
    for service in server_services().values():
        url = urlsplit(flags(service["command"])["--otlp"])
        assert (url.hostname, url.port) == ("otel-collector", files.OTLP_HTTP)
    pipeline = collector["service"]["pipelines"]["traces"]
    for part in ("receivers", "processors", "exporters"):
        assert set(pipeline[part]) <= set(collector[part])
    path = collector["exporters"]["file"]["path"]
    assert services()["otel-collector"]["tmpfs"][0].startswith(path.rsplit("/", 1)[0])


def test_locust_meets_its_workers_and_the_server():
    master, worker = services()["locust-master"], services()["locust-worker"]
    page = {option.name: option.default for option in loadtest.params}["web_port"]
    words = flags(master["command"])
    assert int(words["--web-port"]) == page == files.LOCUST_WEB
    assert [p["target"] for p in master["ports"]] == [page]
    joined = flags(worker["command"])
    assert int(words["--master-bind-port"]) == int(joined["--master-port"]) == files.LOCUST_MASTER
    assert joined["--master-host"] == "locust-master"
    host = urlsplit(words["--host"])
    assert (host.scheme, host.hostname, host.port) == ("grpc", "server", files.GRPC)
    script = words["--locustfile"].removeprefix("/opt/millirank/")
    assert joined["--locustfile"] == words["--locustfile"]
    assert (ROOT / script).is_file()
    copied = re.findall(r"^COPY (\S+) (\S+)$", (DOCKER / "Dockerfile").read_text(), re.M)
    assert ("loadtest", "/opt/millirank/loadtest") in copied
