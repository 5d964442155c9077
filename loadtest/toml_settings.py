"""Scenarios and objectives are TOML files: read, and checked as a whole."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ensembles.errors import SettingsError, did_you_mean


class TomlSettings(BaseModel):
    """Frozen; an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file.

        Raises:
            SettingsError: it cannot be read, or holds something unknown or out of range.
        """
        try:
            return cls(**tomllib.loads(path.read_text(encoding="utf-8")))
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"]))
            hint = did_you_mean(where, cls.model_fields)
            raise SettingsError(f"{path}: {where}: {first['msg']}.{hint}") from e
        except (OSError, ValueError) as e:
            raise SettingsError(f"{path}: expected a TOML file that can be read, got: {e}") from e


def shipped(folder: str) -> dict[str, Path]:
    """Files that come with us, by name."""
    return {p.stem: p for p in sorted((Path(__file__).parent / folder).glob("*.toml"))}
