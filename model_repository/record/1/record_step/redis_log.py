"""Keys of the event log in Redis, beside those of the users."""

from __future__ import annotations

STREAM = b"millirank:events"
"""A stream whose entries have one field, ``FIELD``, with the line."""
IDENTITY = b"millirank:events:log"
"""Tells one log from another that was begun in its place."""
EVENT_ID = b"millirank:event:"
"""Before the id of an event that is stored; such keys expire."""
FIELD = b"line"
