"""Pythons that tests start as children, and the policy of the guard that they start under."""

from __future__ import annotations

import pytest

from tests.guarding.children.children import Children, make_children


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Children:
    return make_children(tmp_path_factory.mktemp("children"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("policy") / "trust.toml"
    path.write_text("version = 1\n")
    return str(path)
