"""Tests against other people's code, which `make oracles` installs and runs; `make test` leaves them out.

Each skips where its package is missing. What a package warns of when it is imported or called is no fault of ours.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The suite's own tests turn warnings into errors; these do not."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"))
