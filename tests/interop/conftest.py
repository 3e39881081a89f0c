"""Fixtures of the interoperation tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from tests.interop.credentials import CREDENTIALS, Credential


@pytest.fixture(scope="session")
def credential(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Credential]:
    """Make the credential of `CREDENTIALS` with a given name, once."""

    @cache
    def make(name: str) -> Credential:
        return CREDENTIALS[name](tmp_path_factory.mktemp("credential"))

    return make
