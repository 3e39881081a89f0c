"""The order of the tests, and their distribution over the processes of a parallel run: whole files, the longest first.

So a fixture of a module is set up once. An environment with the libraries is started by one process, which gets all
tests that load models in it.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.needs import ENVIRONMENTS

# The others follow in the order of collection.
_FIRST = (
    *ENVIRONMENTS,
    "tests/organisation/test_batch.py",
    "tests/workers/test_dask.py",
    "tests/hub/test_trusted_publishing.py",
    "tests/interop/test_table.py",
    "tests/docs/test_readme.py",
    "tests/report/test_html_in_browser.py",
    "tests/servers/test_sigstore.py",
    "tests/hashing/test_scale.py",
)


def group(nodeid: str) -> str:
    """Return the group of a test, all of which one process runs."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/frameworks/"):
        return next((name for name in ENVIRONMENTS if name in nodeid), file)
    return file


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by group; of a run in one process too, so that both run them in the same order."""
    places = {name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(group(item.nodeid), len(places)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 - types of pytest-xdist
    """Return a scheduler that hands out groups in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc] # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False  # by the number of tests, which says little about their time
    return ByGroup(config, log)
