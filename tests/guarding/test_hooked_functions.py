"""The table of hooked functions: each one exists in every supported release of the client, and has a handler."""

from __future__ import annotations

import functools
import importlib
import inspect
import subprocess
import sys

import pytest

from hf_model_signing.guarding.answers.several_guards import HANDLERS_OF_ALL
from hf_model_signing.guarding.handlers import client_handler
from hf_model_signing.guarding.hooked_functions import HOOKED_FUNCTIONS, HookedFunction
from tests.helpers import ROOT
from tests.needs import ENVIRONMENTS
from tests.private_parts import require

USED_BY = "hf_model_signing/guarding/hooked_functions.py"

each_function = pytest.mark.parametrize("hooked", HOOKED_FUNCTIONS, ids=lambda hooked: hooked.name)


def _has(hooked: HookedFunction) -> bool:
    try:
        functools.reduce(getattr, hooked.name.split("."), importlib.import_module(hooked.module))
    except AttributeError:
        return False
    return True


@each_function
def test_client_has_it(hooked: HookedFunction) -> None:
    found: object = importlib.import_module(hooked.module)
    if not hooked.is_in_all_releases and not _has(hooked):
        pytest.skip("this release does not have it, and may not")
    for part in hooked.name.split("."):
        found = require("huggingface_hub", found, part, USED_BY)
    assert callable(found)


@each_function
def test_it_has_a_handler(hooked: HookedFunction) -> None:
    handler = client_handler(hooked.name)
    more = ["others"] if handler in HANDLERS_OF_ALL else []
    parameters = inspect.signature(handler).parameters
    assert list(parameters) == ["decider", "original", "arguments", *more]


def test_names_are_unique() -> None:
    names = [hooked.name for hooked in HOOKED_FUNCTIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_supported_release_has_them(environment: str) -> None:
    """The other major release is installed in an environment of the framework tests."""
    python = ENVIRONMENTS[environment]
    if not python.exists():
        pytest.skip(f"'{environment}' is not installed: scripts/setup-frameworks makes it")
    program = (
        "import importlib, functools\n"
        "from hf_model_signing.guarding.hooked_functions import HOOKED_FUNCTIONS\n"
        "for hooked in filter(lambda hooked: hooked.is_in_all_releases, HOOKED_FUNCTIONS):\n"
        "    functools.reduce(getattr, hooked.name.split('.'), importlib.import_module(hooked.module))\n"
    )
    done = subprocess.run([python, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{environment} lacks a function that {USED_BY} names:\n{done.stderr}"


def test_start_of_a_guarded_python_loads_neither_policy_nor_client() -> None:
    """Every Python process that starts under the guard pays for what is loaded then."""
    code = "import sys, hf_model_signing.guarding.guard; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "hf_model_signing.guarding.hooks.client_hook" in loaded
    policy = {"hf_model_signing.policy.reader", "hf_model_signing.policy.trust_policy"}
    assert not loaded & {"huggingface_hub", "hub_adapters.huggingface", "cryptography", *policy}
