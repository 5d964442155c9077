"""Which release is to be followed by a fresher one, and how that is to be built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builders.dataset.settings import Data
from builders.publish.tuned import settings_of
from builders.settings import Settings
from ensembles.errors import SettingsError
from ensembles.recommend import RANKER
from serving.repository import current_release

SNAPSHOT = "feedback.parquet"
"""Beside the repository: the recorded events that the newest build learned from."""


@dataclass(frozen=True)
class Task:
    """What `retrain` works on.

    Attributes:
        settings: of the build.
        repository: holds the current release, and takes the new one.
    """

    settings: Settings
    repository: Path

    @classmethod
    def of(cls, where: Path, *, data: str = "", out: Path | None = None) -> Task:
        """Of a TOML file, or of a repository, whose current release tells its settings.

        Args:
            data: replaces ``[data] path``.
            out: folder of the build, for a TOML file (None: ``build/NAME``).

        Raises:
            SettingsError: the file cannot be used, or ``out`` goes with a repository.
            ReleaseError: the repository has no release that tells its settings.
        """
        if not where.is_dir():
            settings = Settings.load(where, data=data)
            return cls(settings, (out or Path("build") / settings.name) / "repository")
        if out is not None:
            raise SettingsError(f"--out goes with a TOML file; {where} is a repository already")
        settings = settings_of(where, current_release(where))
        replaced = settings.data.model_copy(update={"path": data or settings.data.path})
        return cls(settings.model_copy(update={"data": replaced}), where)

    @property
    def folder(self) -> Path:
        """Of the build."""
        return self.repository.parent

    @property
    def snapshot(self) -> Path:
        """Where the recorded events go that the build learns from."""
        return self.folder / SNAPSHOT

    def build_settings(self, current: int, *, full: bool) -> Settings:
        """With the recorded events, and the ranker of release ``current`` unless ``full``."""
        data: Data = self.settings.data.model_copy(update={"feedback": str(self.snapshot)})
        start = "" if full else str(self.repository / RANKER.name / str(current))
        train = self.settings.train.model_copy(update={"warm_start": start})
        return self.settings.model_copy(update={"data": data, "train": train})
