"""Compose: every service is locked in, watched and bounded, and only this machine reaches it."""

from tests.unit.deployment.files import server_services, services

UNASKED = {
    "otel-collector": "its image has neither a shell nor a client",
    "locust-worker": "it listens nowhere, and ends without its master",
    "state-copy": "it ends by itself",
}
"""Services without a health check, and why."""


def test_no_service_can_become_more_than_it_is():
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].split(":")[0] not in {"", "0", "root"}, name
        assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service), name


def test_no_service_can_take_the_machine():
    for name, service in services().items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits), name
        assert service["restart"] in {"unless-stopped", "on-failure:3"}, name
        assert service["logging"]["options"]["max-size"], name
        assert all("size=" in folder for folder in service.get("tmpfs", [])), name


def test_every_service_is_asked_for_its_health_where_something_can_ask():
    for name, service in services().items():
        disabled = service["healthcheck"].get("disable", False)
        assert disabled == (name in UNASKED), name


def test_images_are_pinned():
    for name, service in services().items():
        image, _, tag = service["image"].partition(":")
        assert tag[:1].isdigit() or tag[:1] == "v", name
        assert "." not in image.split("/")[0], f"{name}: the host of a registry"


def test_ports_are_published_to_this_machine_alone():
    published = {}
    for name, service in services().items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
            assert port["published"] == str(port["target"]), name
            published.setdefault(port["published"], []).append(name)
    assert published["8000"] == ["haproxy", "server", "server-gpu"]  # one profile at a time
    assert "6379" not in published


def test_redis_is_reached_from_its_own_network_alone():
    found = {name for name, service in services().items() if "back" in service["networks"]}
    assert found == {"redis", "state-copy", *server_services()}
    assert list(services()["redis"]["networks"]) == ["back"]


def test_a_server_waits_for_redis_and_the_user_state_in_it():
    for service in server_services().values():
        needs = {other: need["condition"] for other, need in service["depends_on"].items()}
        assert needs == {
            "redis": "service_healthy",
            "state-copy": "service_completed_successfully",
        }
