"""Locust's web page: ``python -m loadtest.web WORKERS PORT``, plans on its input; ends on SIGTERM.

Load starts and stops on the page, which shows Locust's own figures (rounded to milliseconds).
"""

from __future__ import annotations

from loadtest.crew import HOST, crew, end_with_parent  # isort: skip (Locust comes first)

import json
import signal
import socket
import sys

import gevent
from gevent.event import Event

from ensembles.errors import LoadTestError
from loadtest.plan import Plan


def serve(plans: list[Plan], workers: int, port: int, stop: Event) -> None:
    """Serve the page until ``stop``.

    Raises:
        LoadTestError: the port is taken, or a worker did not start.
    """
    _check_free(port)
    with crew(plans, workers) as runner:
        environment = runner.environment
        environment.available_user_classes = {c.__name__: c for c in environment.user_classes}
        environment.available_shape_classes = {}
        environment.available_user_tasks = {}
        environment.host = f"http://{HOST}:{plans[0].http_port}"
        page = environment.create_web_ui(HOST, port, userclass_picker_is_active=True)
        gevent.sleep(0)
        print(
            f"Locust's page: http://{HOST}:{page.server.server_port} (Ctrl-C ends it)", flush=True
        )
        stop.wait()
        page.stop()


def _check_free(port: int) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind((HOST, port))
        except OSError as e:
            raise LoadTestError(
                f"port {port} of {HOST} is not available for the page ({e}); choose another with "
                "--web-port (0 takes any free one)"
            ) from e


def main() -> int:
    """0 at the end, or 1 and a sentence on standard error."""
    stop = Event()
    gevent.signal_handler(signal.SIGTERM, stop.set)
    end_with_parent(stop.set)
    plans = [Plan.read(json.dumps(fields)) for fields in json.load(sys.stdin)]
    try:
        serve(plans, int(sys.argv[1]), int(sys.argv[2]), stop)
    except LoadTestError as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
