"""Every public function of each supported release of `huggingface_hub` is replaced, or listed with a reason."""

from __future__ import annotations

import subprocess
from functools import lru_cache

import pytest

from hf_model_signing.guarding.hooked_functions import HOOKED_FUNCTIONS
from tests.guarding import test_client_functions
from tests.guarding.client_functions import HARMLESS_PACKAGES, OF_BUCKETS, THROUGH_OTHERS, listed
from tests.guarding.client_names import LEFT_OUT, public_names
from tests.helpers import ROOT
from tests.needs import ENVIRONMENTS

HOOKED = {function.name for function in HOOKED_FUNCTIONS}
HERE = "here"
_RELEASES = (HERE, *ENVIRONMENTS)


@lru_cache
def _names(environment: str) -> frozenset[str]:
    if environment == HERE:
        return frozenset(public_names())
    python = ENVIRONMENTS[environment]
    if not python.exists():
        pytest.skip(f"'{environment}' is not installed: scripts/setup-frameworks makes it")
    program = ROOT / "tests" / "guarding" / "client_names.py"
    done = subprocess.run([python, program], capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


@pytest.mark.parametrize("environment", _RELEASES)
def test_each_is_replaced_or_has_a_reason(environment: str) -> None:
    unknown = _names(environment) - HOOKED - listed().keys()
    assert not unknown, "find out what these return, then hook them or list them in tests/guarding/client_functions.py"


def test_none_has_gone() -> None:
    every = frozenset().union(*map(_names, _RELEASES))
    assert listed().keys() - every == set()


def test_none_stands_in_two_places() -> None:
    assert [name for name, count in listed().items() if count > 1] == []
    assert HOOKED & listed().keys() == set()
    assert set(LEFT_OUT) == HARMLESS_PACKAGES.keys()


def test_those_that_read_through_others_are_tried() -> None:
    reads, buckets = test_client_functions.READS, test_client_functions.TestBuckets.READS
    tried = {read.partition(" ")[0].removesuffix(",") for read in reads}
    assert set(THROUGH_OTHERS.split()) - tried == set()
    assert set(OF_BUCKETS.split()) - {f"HfApi.{read}" for read in buckets} == set()
