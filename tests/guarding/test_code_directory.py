"""The private directory for the code of repositories; `tests/frameworks/test_code.py` has attacks on libraries."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding import code_directory
from tests.guarded import Loader

LIBRARY = "transformers.utils.hub"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has no private directory yet, and makes it in a directory for temporary files of its own."""
    monkeypatch.setattr(code_directory, "_own", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("HF_SIGN_CODE_DIRECTORY", raising=False)
    (tmp_path / "tmp").mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield
    code_directory.put_back()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A library that was imported before the guard was switched on, and that has loaded code."""
    module = ModuleType(LIBRARY)
    vars(module)["HF_MODULES_CACHE"] = str(tmp_path / "modules")
    monkeypatch.setitem(sys.modules, LIBRARY, module)
    (tmp_path / "modules" / "transformers_modules").mkdir(parents=True)
    sys.path.append(str(tmp_path / "modules"))
    return module


def _setting(module: ModuleType) -> str:
    return str(vars(module)["HF_MODULES_CACHE"])


@pytest.mark.parametrize("change", ["cleared", "off", "warn"])
def test_environment_that_the_program_changed(
    loader: Loader, library: ModuleType, monkeypatch: pytest.MonkeyPatch, *, change: str
) -> None:
    """The guards that are on decide, and not what the environment says when a library is imported."""
    monkeypatch.delitem(sys.modules, LIBRARY)
    with loader.guard(), monkeypatch.context() as patch:
        if change == "cleared":
            for name in [name for name in os.environ if name.startswith("HF_SIGN_")]:
                patch.delenv(name)
        else:
            patch.setenv("HF_SIGN_MODE", change)
        patch.setitem(sys.modules, LIBRARY, library)
        code_directory.keep_apart()  # as after an import
        assert "hf-sign-code-" in _setting(library)
        assert code_directory._Finder().find_spec("json") is None
        with pytest.raises(ModuleNotFoundError, match="in the directory of the guard"):
            code_directory._Finder().find_spec("transformers_modules")


def test_it_is_in_use_while_a_guard_is_on(loader: Loader, library: ModuleType, tmp_path: Path) -> None:
    ordinary = str(tmp_path / "modules")
    used = []
    for _ in range(2):
        with loader.guard(), loader.guard():
            used.append(_setting(library))
            assert stat.S_IMODE(os.stat(used[-1]).st_mode) == 0o700
            assert os.environ["HF_SIGN_CODE_DIRECTORY"] == used[-1]
            assert ordinary not in sys.path
        assert _setting(library) == ordinary
        assert sys.path[-1] == ordinary
        assert "HF_SIGN_CODE_DIRECTORY" not in os.environ
    assert ordinary != used[0] == used[1]


def test_files_that_evaluate_has_downloaded(loader: Loader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would run code that an unguarded program has downloaded."""
    config = ModuleType("evaluate.config")
    before = {
        "HF_MODULES_CACHE": tmp_path / "modules",
        "HF_EVALUATE_CACHE": tmp_path / "evaluate",
        "DOWNLOADED_EVALUATE_PATH": tmp_path / "evaluate" / "downloads",
        "EXTRACTED_EVALUATE_PATH": tmp_path / "evaluate" / "downloads" / "extracted",
    }
    vars(config).update(before)
    monkeypatch.setitem(sys.modules, "evaluate.config", config)
    with loader.guard():
        private = code_directory.private_directory()
        assert all(str(vars(config)[name]).startswith(private) for name in before)
    assert {name: vars(config)[name] for name in before} == before


def test_without_a_library_nothing_is_made(loader: Loader, tmp_path: Path) -> None:
    with loader.guard():
        pass
    assert not list((tmp_path / "tmp").glob("hf-sign-*"))


def test_mode_that_refuses_nothing(loader: Loader, library: ModuleType, tmp_path: Path) -> None:
    with loader.guard(mode="warn"):
        assert _setting(library) == str(tmp_path / "modules")


def test_of_the_process_that_started_this_one(
    loader: Loader, library: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "hf-sign-code-given"
    given.mkdir(mode=0o700)
    monkeypatch.setenv("HF_SIGN_CODE_DIRECTORY", str(given))
    with loader.guard():
        assert _setting(library) == str(given)


def test_of_the_process_that_uses_this_one(loader: Loader, library: ModuleType, tmp_path: Path) -> None:
    """A worker that was started before there was a directory."""
    given = tmp_path / "hf-sign-code-given"
    given.mkdir(mode=0o700)
    sys.path.append(str(given))
    with loader.guard():
        assert _setting(library) == str(given)


@pytest.mark.parametrize("given", ["hf-sign-code-gone", "hf-sign-code-link", "hf-sign-code-shared", "modules"])
def test_that_is_not_private_any_more(
    loader: Loader, library: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "hf-sign-code-link").symlink_to(tmp_path / "modules")
    (tmp_path / "hf-sign-code-shared").mkdir()
    (tmp_path / "hf-sign-code-shared").chmod(0o777)
    monkeypatch.setenv("HF_SIGN_CODE_DIRECTORY", str(tmp_path / given))
    with loader.guard():
        assert str(tmp_path / given) != _setting(library) != str(tmp_path / "modules")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="on Windows nobody else is known")
def test_that_somebody_else_can_write_to(loader: Loader, library: ModuleType) -> None:
    with loader.guard():
        code = Path(_setting(library)) / "transformers_modules" / "local" / "modeling.py"
        code.parent.mkdir(parents=True)
        code.write_text("VALUE = 1\n")
        assert code.read_text() == "VALUE = 1\n"
        Path(_setting(library)).chmod(0o777)
        with pytest.raises(hms.RefusedError, match="can write to.*Set TMPDIR to a directory that only you"):
            code.read_text()


def test_it_is_removed_by_the_process_that_made_it() -> None:
    """And not by a copy of that process which ends earlier."""
    code = (
        "import os, sys; from hf_model_signing.guarding.code_directory import private_directory as made\n"
        "print(made(), flush=True)\n"
        "if hasattr(os, 'fork') and not os.fork(): sys.exit()\n"
        "hasattr(os, 'fork') and os.wait()\n"
        "print(os.path.isdir(made()))"
    )
    environment = {**os.environ, "TMPDIR": str(tempfile.tempdir)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    directory, is_there = done.stdout.splitlines()
    assert is_there == "True"
    assert not os.path.exists(directory)


def test_package_is_only_found_there(loader: Loader, library: ModuleType, tmp_path: Path) -> None:
    for name in ("transformers_modules", "evaluate_modules"):
        (tmp_path / "first" / name).mkdir(parents=True)
        (tmp_path / "first" / name / "__init__.py").write_text("VALUE = 666\n")
    sys.path.insert(0, str(tmp_path / "first"))
    code = "import transformers_modules"
    with loader.guard():
        with pytest.raises(ModuleNotFoundError, match="No module named 'transformers_modules' in the directory of the"):
            exec(code)
        (Path(_setting(library)) / "transformers_modules").mkdir()
        spec = code_directory._Finder().find_spec("transformers_modules")
        assert spec is not None
        assert list(spec.submodule_search_locations or ()) == [f"{_setting(library)}/transformers_modules"]
