"""Ids that callers give their requests."""

from __future__ import annotations

import pytest

from ensembles.contracts import LIMITS
from ensembles.errors import InvalidRequest
from serving.async_client import AsyncClient
from serving.client import Client, Request
from serving.request_id import REQUEST_ID_BYTES, request_id_of


def test_an_id_is_taken_as_it_is_or_made() -> None:
    assert request_id_of("mine") == "mine"
    assert request_id_of("") == ""
    assert request_id_of(None) != request_id_of(None)
    # What is shown in the last slot of the last row still has an id that `record` takes.
    assert len(f"{'x' * REQUEST_ID_BYTES}-127-{LIMITS.candidates}") <= LIMITS.id_bytes


@pytest.mark.parametrize(
    "given", ["x" * (REQUEST_ID_BYTES + 1), "two\nlines", "nul\0", "\udc80", "ü"]
)
def test_an_id_that_the_log_cannot_hold(given: str) -> None:
    with pytest.raises(InvalidRequest, match="request_id: expected at most 240 printable ASCII"):
        request_id_of(given)


async def test_clients_check_it_before_they_send() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidRequest, match="request_id"):
        client.recommend(Request("u"), request_id="a\nb")
    async with AsyncClient("127.0.0.1:1") as twin:
        with pytest.raises(InvalidRequest, match="request_id"):
            await twin.recommend(Request("u"), request_id="a\nb")
