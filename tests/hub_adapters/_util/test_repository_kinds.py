"""The table of kinds of repositories is that of each supported release of the client."""

from __future__ import annotations

import subprocess

import pytest

from hub_adapters._util.repository_kinds import KIND_OF_PLURAL, KINDS, PREFIXES
from tests.needs import ENVIRONMENTS

_CONSTANTS = ("REPO_TYPES_WITH_KERNEL", "REPO_TYPES_MAPPING", "REPO_TYPES_URL_PREFIXES")


def test_it_is_that_of_the_client() -> None:
    from huggingface_hub import constants

    types, plurals, prefixes = (getattr(constants, name) for name in _CONSTANTS)
    assert set(KINDS) == set(types) - {None}
    assert plurals == KIND_OF_PLURAL
    assert {kind: prefix for kind, prefix in PREFIXES.items() if prefix} == prefixes


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_is_that_of_each_supported_release(environment: str) -> None:
    python = ENVIRONMENTS[environment]
    if not python.exists():
        pytest.skip(f"'{environment}' is not installed: scripts/setup-frameworks makes it")
    program = (
        "from huggingface_hub import constants\n"
        "print(sorted({*constants.REPO_TYPES_WITH_KERNEL, *constants.REPO_TYPES_MAPPING.values()} - {None}))"
    )
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sorted(KINDS)), "the client has a kind of repositories that we do not know"
