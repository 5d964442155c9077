"""The settings of the releases of a simulation, out of those of the log."""

from __future__ import annotations

from pathlib import Path

from builders.dataset.settings import Columns
from builders.settings import Settings
from builders.simulation.plan import Plan
from builders.simulation.snapshot import SEPARATOR
from ensembles.errors import SettingsError

_PAST_DAYS = 36_500.0
"""Simulated time follows the log, which may be old."""


def whole_log(settings: Settings) -> Settings:
    """With which the log is read: no item is held out of it."""
    split = settings.split.model_copy(update={"cold_items": 0.0})
    return settings.model_copy(update={"split": split})


def arm_settings(settings: Settings, plan: Plan, share: float, snapshot: Path) -> Settings:
    """Of the releases of one arm.

    Args:
        settings: of the user.
        share: of the slots that explore.
        snapshot: folder of the known part of the log.

    Raises:
        SettingsError: the event of a click counts nothing, or this version does not explore.
    """
    weights = settings.data.event_weights
    if not settings.record.recording(weights).weights.get(plan.event):
        raise SettingsError(
            f"--event {plan.event!r} is none of the event types that count; give one of "
            f"{', '.join(weights) or 'view, click, add, buy, like'}"
        )
    raw = settings.model_dump(mode="json")
    columns = Columns(
        title="title", categories="categories", text="text", event="event" if weights else ""
    )
    raw["data"] |= {
        "format": "parquet",
        "path": str(snapshot),
        "wheel": "",
        "feedback": "",
        "columns": columns.model_dump(),
        "category_separator": SEPARATOR,
    }
    raw["clean"] |= {"value_min": None, "value_max": None, "max_timestamp": None}
    raw["record"] |= {"impressions": 1.0, "past_days": _PAST_DAYS}
    # The server logs impressions in the joined model only, and users know what they did.
    raw["serving"] |= {"fuse_steps": True, "hold_out_test": False}
    if share or "explore" in raw:
        raw["explore"] = {**raw.get("explore", {}), "share": share}
    return Settings.parse(raw, origin="settings of the simulation")
