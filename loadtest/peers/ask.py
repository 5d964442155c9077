"""One request to a server, in the form that it takes: to wait for it, and to check its answers."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence

from ensembles.errors import LoadTestError, RequestError
from ensembles.recommend import RECOMMEND
from loadtest.peers.wire import Form, read_reply, request_body
from serving import http_wire
from serving.messages import Recommendation, Request

_TOLERANCE = 1e-4
_SECONDS = 10.0


def ask(port: int, form: Form, request: Request) -> Recommendation:
    """The answer of the server on this machine's ``port``.

    Raises:
        RequestError: there is none, or it is an error.
    """
    body, headers = request_body(form, request)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("POST", http_wire.path(RECOMMEND.name), body, headers)
        response = connection.getresponse()
        reply = response.read()
    except (OSError, http.client.HTTPException) as e:
        raise RequestError(f"no answer: {e!r}") from e
    finally:
        connection.close()
    if response.status != 200:
        raise http_wire.error(response.status, reply)
    return read_reply(form, reply, response.getheader(http_wire.LENGTH_HEADER))


def answers(port: int, form: Form, users: Sequence[str]) -> dict[str, Recommendation]:
    """Answers for some users; raises what ``ask`` raises."""
    return {user: ask(port, form, Request(user)) for user in users}


def check_equal(
    found: Mapping[str, Recommendation], expected: Mapping[str, Recommendation]
) -> None:
    """See that two servers gave the same users the same items, with the same scores.

    Raises:
        LoadTestError: they did not; the message shows the first user.
    """
    for user, wanted in expected.items():
        got = found[user]
        near = zip(got.scores, wanted.scores, strict=False)
        if got.items != wanted.items or any(abs(a - b) > _TOLERANCE for a, b in near):
            raise LoadTestError(
                f"it answers user {user!r} with {got.items[:3]} {got.scores[:3]} and Triton with "
                f"{wanted.items[:3]} {wanted.scores[:3]}; only equal answers are measured"
            )
