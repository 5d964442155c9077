"""Step packages and tables, loaded as builders load them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE, make_tables


@pytest.fixture(scope="session")
def features() -> ModuleType:
    return load_step(SOURCE / "features" / "1")


@pytest.fixture(scope="session")
def policy() -> ModuleType:
    return load_step(SOURCE / "policy" / "1")


@pytest.fixture(scope="session")
def tables_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables") / "tables"
    make_tables(folder)
    return folder


@pytest.fixture(scope="session")
def tables(features: ModuleType, tables_folder: Path) -> Any:
    return features.Tables.load(tables_folder)
