"""The selected tests decide what `scripts/test` installs, and a test is skipped only where its needs are missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.helpers import ROOT, run_python


def _collected(tmp_path: Path, *selection: str) -> list[str]:
    """The set-up commands for a selection of tests."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    written = tmp_path / "commands"
    done = subprocess.run(
        [*command, "--write-setup", str(written), *selection], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return written.read_text(encoding="utf-8").splitlines()


def test_unselected_tests_bring_nothing(tmp_path: Path) -> None:
    paths = ("tests/oms/test_bundle.py", "tests/hub/test_web_hubs.py", "tests/methods/pkcs11/test_uri.py")
    assert _collected(tmp_path, *paths, "-k", "not tensorflow and not onnx") == []


def test_selected_tests_bring_their_needs(tmp_path: Path) -> None:
    names = (
        *("methods/pkcs11/test_slot", "interop/test_sigstore", "report/test_html_in_browser", "frameworks/test_minilm"),
        *("hub/test_web_hubs", "docs/test_cluster_page", "test_architecture"),
    )
    assert _collected(tmp_path, *(f"tests/{name}.py" for name in names)) == needs.commands(needs.NEEDS)


def test_fixture_that_brings_a_need_is_unique() -> None:
    """A fixture of the same name elsewhere would bring the need to tests that do not have it."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    for name in needs.FIXTURES:
        assert sum(len(re.findall(rf"^ *def {name}\(", source, re.MULTILINE)) for source in sources) == 1, name


def test_whole_run_installs_every_need() -> None:
    done = run_python("import runpy; runpy.run_module('tests.needs', run_name='__main__')")
    assert done.stdout.splitlines() == needs.commands(needs.NEEDS)
    for command in done.stdout.splitlines():
        assert (ROOT / command.split()[0]).is_file()


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("1", "errors")])
def test_missing_need(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makeini("[pytest]\nmarkers = needs")
    pytester.makeconftest("pytest_plugins = ['nothing_here']")
    pytester.makepyfile(
        nothing_here="""
            from tests.needs import *
            from tests.needs import NEEDS, Need
            NEEDS["nothing"] = Need("Nothing", lambda: False, ("scripts/setup-nothing",))
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(autouse=True)
        def before():
            pytest.fail("a fixture was made although the need is missing")

        @pytest.mark.needs("nothing")
        def test_something():
            pass
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rA")
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*Nothing: not installed; to install it: scripts/setup-nothing*"])


def test_unknown_need_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = needs")
    pytester.makeconftest("pytest_plugins = ['tests.needs']")
    pytester.makepyfile("import pytest\n\n@pytest.mark.needs('typo')\ndef test_something():\n    pass\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--write-setup", "commands")
    result.stderr.fnmatch_lines(["*needs ?'typo'?, which tests/needs.py does not know*"])
