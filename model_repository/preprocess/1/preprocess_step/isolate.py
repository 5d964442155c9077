"""Keeps what goes wrong with one request away from its batch mates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


def isolated(
    answer: Callable[[Sequence[Request]], Sequence[Result]], requests: Sequence[Request]
) -> list[Result | Exception]:
    """``answer(requests)``; when it raises, each request alone, with its own error.

    Requests come checked, so this is for those that reach the step past the chain.
    """
    try:
        return list(answer(requests))
    except Exception as e:  # noqa: BLE001
        if len(requests) == 1:
            return [e]
        return [result for request in requests for result in isolated(answer, [request])]
