"""The names of the public API: each loads when it is used, has a type, and every error is among them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hf_model_signing as hms
import hub_adapters
from tests.helpers import ROOT, run_python

PACKAGES = (hms, hub_adapters)
NAMES: list[str] = importlib.import_module("hf_model_signing").__all__
# Exceptions that are always translated before they reach a caller.
INTERNAL = {
    *("PathError", "ShardError", "CertificateError", "BrokenError", "NotModifiedError", "TooLongError"),
    *("SlowError", "TooMuchMemoryError", "RefusedValue"),
    "NewerFormatError",  # of a worker, which answers with it
}
CONSUMER = """
import hf_model_signing as hms
from hf_model_signing import KeySigner

reveal_type(hms.sign)
reveal_type(hms.sign("model", signer=KeySigner("a.pem")))
hms.sign("model", signer=1)
hms.nothing
hms.snapshot_download("acme/bert", polcy="trust.toml")
reveal_type(hms.hf_hub_download("acme/bert", "config.json", policy="trust.toml", revision="main"))


def follow(progress: hms.Progress, guard: hms.Guard, record: hms.Record, manifest: hms.Manifest) -> hms.Status:
    return record.status
"""


def _modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__") and ".site" not in found.name:
                yield importlib.import_module(found.name)


def _exceptions() -> set[type[BaseException]]:
    """Every exception that a module of ours defines under a public name."""
    classes = {
        value
        for module in _modules()
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }
    return {cls for cls in classes if cls.__module__.startswith(("hf_model", "hub_ad")) and cls.__name__[0] != "_"}


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(hms, name)
    assert inspect.getdoc(value)
    assert name in dir(hms)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(hms, "nothing")  # noqa: B009 - type checkers know that it is missing


def test_misspelled_name_gets_a_suggestion() -> None:
    done = run_python("import hf_model_signing as hms; hms.KeySinger")
    assert "Did you mean: 'KeySigner'" in done.stderr


def test_dir_has_the_public_names_alone() -> None:
    assert dir(hms) == sorted([*NAMES, "__version__"])


def _public_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    for name in NAMES:
        value = getattr(hms, name)
        if not inspect.isclass(value):
            yield name, value
            continue
        for attribute, found in inspect.getmembers(value):
            function = found.fget if isinstance(found, property) else found
            ours = (getattr(function, "__module__", "") or "").startswith(("hf_model", "hub_ad"))
            if ours and inspect.isroutine(function) and (attribute[0] != "_" or attribute == "__init__"):
                yield f"{name}.{attribute}", function


def test_verify_loads_no_trust_policy_before_one_is_given() -> None:
    code = "import sys, hf_model_signing as hms, hf_model_signing.cli.verify; hms.verify; print(*sys.modules)"
    loaded = run_python(code).stdout.split()
    assert "hf_model_signing.hub.verify" in loaded
    assert not {"hf_model_signing.policy.trust_policy", "tomllib", "tomli"} & set(loaded)


def test_signatures_are_readable() -> None:
    for name, function in _public_functions():
        text = str(inspect.signature(function))
        assert not re.search("<function|<lambda>| at 0x", text), name


def test_star_import_brings_every_public_name() -> None:
    done = run_python("from hf_model_signing import *; print(*sorted(n for n in dir() if n[0] != '_'))")
    assert done.stdout.split() == NAMES, done.stderr


def test_import_loads_two_modules() -> None:
    code = "import sys; before = set(sys.modules); import hf_model_signing; print(*sorted(set(sys.modules) - before))"
    # What the file `.pth` of the guard loads at start is not counted.
    assert set(run_python(code).stdout.split()) <= {"hf_model_signing", "hf_model_signing._version"}


def test_help_shows_every_function() -> None:
    text = re.sub(".\b", "", pydoc.render_doc(hms))  # without the bold print of terminals
    missing = [name for name in NAMES if inspect.isfunction(getattr(hms, name)) and f"    {name}(" not in text]
    assert not missing


def test_every_error_is_exported() -> None:
    errors = {cls for cls in _exceptions() if issubclass(cls, (hms.HfSignError, Warning))}
    assert {cls.__name__ for cls in errors} <= set(NAMES)
    assert {cls.__name__ for cls in _exceptions() - errors} == INTERNAL


def test_every_error_has_one_base_and_an_exit_code() -> None:
    errors = [cls for cls in _exceptions() if issubclass(cls, hms.HfSignError)]
    assert hms.HubError in errors
    for cls in errors:
        refused = issubclass(cls, (hms.RefusedError, hms.DishonestError, hms.ContentError))
        wrong = issubclass(cls, (hms.UsageError, hms.BadReferenceError, hms.BadSettingError, hms.UnsupportedError))
        assert cls.exit_code == (1 if refused else 2 if wrong else 3), cls


@pytest.mark.needs("linters")
def test_type_checker_sees_the_types_of_an_installed_package(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    site = next((tmp_path / "env" / "lib").glob("python3*/site-packages"))
    (site / "ours.pth").write_text(f"{ROOT}\n")
    (tmp_path / "program.py").write_text(CONSUMER)
    options = ["--python-executable", str(tmp_path / "env" / "bin" / "python"), "--cache-dir", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "mypy", "--strict", *options, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert said[0].startswith('note: Revealed type is "def (')
    assert said[1] == 'note: Revealed type is "hf_model_signing.oms.bundle.Bundle"'
    assert 'Argument "signer" to "sign" has incompatible type "int"' in said[2]
    assert 'Module has no attribute "nothing"' in said[3]
    assert 'Unexpected keyword argument "polcy"' in done.stdout
    assert re.search('Revealed type is "(builtins.)?str"', done.stdout)
    assert "Found 4 errors" in done.stdout, done.stdout


def test_no_module_shadows_a_public_function() -> None:
    """A submodule, once imported, replaces the attribute of the same name: docs/decisions/008-guarding-folder.md."""
    modules = {module.name for module in pkgutil.iter_modules(hms.__path__)}
    assert not modules & {*NAMES, "guard", "sign", "verify", "push", "pull", "fetch", "digest"}
