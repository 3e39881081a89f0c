"""Bytecode below a verified directory is never written there, and never read from there."""

from __future__ import annotations

import compileall
import importlib.util
import multiprocessing
import os
import py_compile
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

MODULE, PACKAGE = "own_signed_code", "own_signed_package"
SIGNED, EVIL = "signed", "evil"


@pytest.fixture
def snapshot(
    loader: Loader, repo: str, hub: Hub, person: Callable[..., Person], acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The snapshot of a signed repository with Python code."""
    hub.commit(
        repo,
        {
            f"{MODULE}.py": f"VALUE = {SIGNED!r}\n".encode(),
            f"{PACKAGE}/__init__.py": f"from {PACKAGE}.inner import VALUE\n".encode(),
            f"{PACKAGE}/inner.py": f"VALUE = {SIGNED!r}\n".encode(),
        },
    )
    assert person("signer").run("push", repo, "--private-key", acme.private).code == 0
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield Path(loader.snapshot()).resolve()
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.startswith((MODULE, PACKAGE))]:
        del sys.modules[name]
    importlib.invalidate_caches()


def _imported(place: Path, name: str = MODULE) -> object:
    _forget()
    sys.path.insert(0, str(place))
    try:
        return importlib.import_module(name).VALUE
    finally:
        sys.path.remove(str(place))


def _loaded(path: Path) -> object:
    loader = SourceFileLoader("own_signed_code_by_path", str(path))
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module.VALUE


def _run_module(place: Path) -> object:
    _forget()
    sys.path.insert(0, str(place))
    try:
        return runpy.run_module(f"{PACKAGE}.inner")["VALUE"]
    finally:
        sys.path.remove(str(place))


def _plain(loader: Loader, acme: KeyPair, folder: Path) -> Path:
    """Make a signed model in a plain directory that the policy names."""
    place = folder / "plain"
    place.mkdir()
    (place / f"{MODULE}.py").write_text(f"VALUE = {SIGNED!r}\n")
    hms.sign(place, signer=hms.KeySigner(acme.private)).write(place / "model.sig")
    signer = f'signers = [{{ method = "key", public_key = "{acme.public}" }}]'
    loader.write_policy(f'[[trust]]\npaths = ["{place.resolve()}"]\n{signer}')
    return place


def _child(place: Path, *arguments: str) -> object:
    code = f"import hf_model_signing.guarding.bootstrap, sys; sys.path.insert(0, {str(place)!r}); import {MODULE}"
    code += f"; print({MODULE}.VALUE)"
    done = subprocess.run(
        [sys.executable, *arguments, "-c", code], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.stdout.strip() or done.stderr


def _forked(place: Path) -> object:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_imported, (place,))


def _link(place: Path, beside: Path) -> Path:
    link = beside / "linked"
    if not link.exists():
        link.symlink_to(place)
    return link


# Each way to run code of a snapshot, given its directory and another one.
WAYS: dict[str, Callable[[Path, Path], object]] = {
    "sys.path": lambda place, _: _imported(place),
    "package": lambda place, _: _imported(place, PACKAGE),
    "module in a package": lambda place, _: _imported(place, f"{PACKAGE}.inner"),
    "link to the directory": lambda place, beside: _imported(_link(place, beside)),
    "by its path": lambda place, _: _loaded(place / f"{MODULE}.py"),
    "by its path through a link": lambda place, beside: _loaded(_link(place, beside) / f"{MODULE}.py"),
    "by the path of its blob": lambda place, _: _loaded((place / f"{MODULE}.py").resolve()),
    "runpy": lambda place, _: _run_module(place),
    "runpy by path": lambda place, _: runpy.run_path(str(place / f"{MODULE}.py"))["VALUE"],
    "child": lambda place, _: _child(place),
    "child -B": lambda place, _: _child(place, "-B"),
    "child -O": lambda place, _: _child(place, "-O"),
    "fork": lambda place, _: _forked(place),
}


def _caches(loader: Loader) -> list[Path]:
    return list(loader.home.rglob("__pycache__"))


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    folder = tmp_path / "beside"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_not_written(loader: Loader, snapshot: Path, beside: Path, way: str) -> None:
    with loader.guard():
        assert WAYS[way](snapshot, beside) == SIGNED
        assert _caches(loader) == []
        assert loader.snapshot()
    if way not in ("runpy by path", "child -B"):
        WAYS[way](snapshot, beside)
        assert _caches(loader)  # without the guard


def _plant(source: Path, beside: Path) -> None:
    """Put bytecode where Python looks for that of a source, as if it were made of that source."""
    (beside / "evil.py").write_text(f"VALUE = {EVIL!r}\n")
    for level in ("", 1):
        target = importlib.util.cache_from_source(str(source), optimization=level)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(beside / "evil.py"), target, invalidation_mode=mode)


@pytest.mark.parametrize("way", WAYS)
def test_not_read(loader: Loader, snapshot: Path, beside: Path, way: str) -> None:
    sources = [*snapshot.glob("*.py"), *snapshot.rglob("*/*.py")]
    for source in [*sources, (snapshot / f"{MODULE}.py").resolve()]:
        _plant(source, beside)
    if way != "runpy by path":
        assert WAYS[way](snapshot, beside) == EVIL  # without the guard
    _forget()
    with loader.guard():
        assert WAYS[way](snapshot, beside) == SIGNED


def _sourceless(path: Path) -> object:
    loader = SourcelessFileLoader("own_signed_code_without_source", str(path))
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module.VALUE


def _bytecode(place: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(place / f"{MODULE}.py")))


def _descriptor(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 10)
    finally:
        os.close(descriptor)


# Each way to get at the planted bytecode itself.
DIRECT: dict[str, Callable[[Path, Path], object]] = {
    "open": lambda path, _: path.read_bytes(),
    "os.open": lambda path, _: _descriptor(path),
    "open_code": lambda path, _: __import__("io").open_code(str(path)).read(),
    "through a link to the file": lambda path, beside: _link(path, beside).read_bytes(),
    "through a link to its directory": lambda path, beside: (_link(path.parent, beside) / path.name).read_bytes(),
    "sourceless loader": lambda path, _: _sourceless(path),
    "runpy": lambda path, _: runpy.run_path(str(path))["VALUE"],
    "relative": lambda path, _: Path(os.path.relpath(path)).read_bytes(),
}


@pytest.mark.parametrize("way", DIRECT)
def test_bytecode_itself_is_not_read(loader: Loader, snapshot: Path, beside: Path, way: str) -> None:
    _plant(snapshot / f"{MODULE}.py", beside)
    assert DIRECT[way](_bytecode(snapshot), beside)
    with loader.guard(), pytest.raises((OSError, hms.VerificationError)):
        DIRECT[way](_bytecode(snapshot), beside)


class TestElsewhere:
    """With `sys.pycache_prefix` bytecode lies in a directory of its own."""

    @pytest.fixture
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        place = tmp_path / "elsewhere"
        place.mkdir()
        monkeypatch.setattr(sys, "pycache_prefix", str(place))
        monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(place))
        return place

    @staticmethod
    def _compiled(elsewhere: Path) -> list[Path]:
        return [path for path in elsewhere.rglob(f"{MODULE}.*.pyc") or () if "snapshots" in str(path)]

    def test_not_written(self, loader: Loader, snapshot: Path, elsewhere: Path) -> None:
        with loader.guard():
            for _ in range(2):
                assert _imported(snapshot) == SIGNED
            assert self._compiled(elsewhere) == []
            with pytest.raises(PermissionError, match="no bytecode of a verified directory"):
                py_compile.compile(str(snapshot / f"{MODULE}.py"), doraise=True)
        assert _imported(snapshot) == SIGNED
        assert self._compiled(elsewhere)  # without the guard
        with loader.guard():
            assert _imported(snapshot) == SIGNED
            assert _imported(snapshot, PACKAGE) == SIGNED

    def test_spellings(
        self, loader: Loader, snapshot: Path, beside: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(beside)
        _plant(snapshot / f"{MODULE}.py", beside)
        for spelled in ("../elsewhere", f"{beside}/..//elsewhere/", str(_link(elsewhere, beside)), "linked/"):
            monkeypatch.setattr(sys, "pycache_prefix", spelled)
            assert _imported(snapshot) == EVIL
            with loader.guard():
                assert _imported(snapshot) == SIGNED

    @pytest.mark.parametrize("way", [way for way in WAYS if way not in ("child -B", "child -O")])
    def test_not_read(self, loader: Loader, snapshot: Path, beside: Path, way: str, elsewhere: Path) -> None:
        sources = [*snapshot.glob("*.py"), *snapshot.rglob("*/*.py")]
        places = {*sources, *((_link(snapshot, beside) / each.relative_to(snapshot)) for each in sources)}
        for source in [*places, (snapshot / f"{MODULE}.py").resolve()]:
            _plant(source, beside)
        if way != "runpy by path":
            assert WAYS[way](snapshot, beside) == EVIL  # without the guard
        _forget()
        with loader.guard():
            assert WAYS[way](snapshot, beside) == SIGNED

    def test_model_in_a_plain_directory(
        self, loader: Loader, snapshot: Path, acme: KeyPair, tmp_path: Path, elsewhere: Path
    ) -> None:
        place = _plain(loader, acme, tmp_path)
        _plant(place / f"{MODULE}.py", tmp_path)
        assert _imported(place) == EVIL
        with loader.guard():
            assert _imported(place) == SIGNED

    def test_signature_that_lists_the_name(
        self, loader: Loader, snapshot: Path, hub: Hub, person: Callable[..., Person], acme: KeyPair, elsewhere: Path
    ) -> None:
        """The file elsewhere is not the one that was signed."""
        hub.commit(REPO, {f"__pycache__/{MODULE}.{sys.implementation.cache_tag}.pyc": b"as it was signed"})
        assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
        with loader.guard():
            place = Path(loader.snapshot())
        _plant(place / f"{MODULE}.py", elsewhere)
        assert _imported(place) == EVIL
        with loader.guard():
            assert _imported(place) == SIGNED

    def test_code_that_is_not_verified(self, loader: Loader, snapshot: Path, acme: KeyPair, elsewhere: Path) -> None:
        loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
        (elsewhere / "own").mkdir()
        (elsewhere / "own" / f"{MODULE}.py").write_text("VALUE = 'own'\n")
        with loader.guard():
            assert _imported(snapshot) == SIGNED
            assert self._compiled(elsewhere)
            assert _imported(elsewhere / "own") == "own"
            assert _imported(elsewhere / "own") == "own"

    def test_directory_of_bytecode_in_a_model(
        self, loader: Loader, snapshot: Path, beside: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is looked at like any other file there."""
        monkeypatch.setattr(sys, "pycache_prefix", str(snapshot / "cache"))
        (beside / f"{MODULE}.py").write_text("VALUE = 'own'\n")
        _plant(beside / f"{MODULE}.py", elsewhere)
        assert _imported(beside) == EVIL
        with loader.guard(), pytest.raises(hms.VerificationError):
            _imported(beside)


def test_compiling_on_purpose(loader: Loader, snapshot: Path) -> None:
    with loader.guard():
        with pytest.raises(PermissionError, match="no bytecode of a verified directory"):
            py_compile.compile(str(snapshot / f"{MODULE}.py"), doraise=True)
        assert not compileall.compile_dir(snapshot, quiet=2)
        assert _caches(loader) == []


class TestEarlier:
    """A program without a guard wrote bytecode into the snapshot."""

    @pytest.fixture(autouse=True)
    def _written(self, snapshot: Path) -> None:
        _imported(snapshot, PACKAGE)
        _imported(snapshot)
        assert _bytecode(snapshot).exists()

    def test_every_load_goes_on(self, loader: Loader, snapshot: Path) -> None:
        with loader.guard():
            assert loader.snapshot() == loader.snapshot(local_files_only=True)
            assert loader.download("config.json")
            assert loader.cached("config.json")
            assert (snapshot / "config.json").read_bytes()
            assert _imported(snapshot) == SIGNED

    def test_strict_call_removes_it(self, loader: Loader, snapshot: Path) -> None:
        """Nothing prevents that a program without a guard reads it."""
        assert hms.snapshot_download(REPO, policy=loader.policy, **loader.how)
        assert _caches(loader) == []

    def test_pull_removes_it(self, loader: Loader, snapshot: Path, acme: KeyPair, monkeypatch: Any) -> None:  # noqa: ANN401
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(loader.home / "hub"))
        verifier = hms.KeyVerifier(acme.public)
        assert Path(hms.pull(REPO, verifier=verifier).path).resolve() == snapshot
        assert _caches(loader) == []

    @pytest.mark.parametrize("name", ["__pycache__/evil.json", "__pycache__/sub/x.pyc", "x.pyc", "__pycache__/x.so"])
    def test_other_unsigned_file(self, loader: Loader, snapshot: Path, name: str) -> None:
        (snapshot / name).parent.mkdir(exist_ok=True)
        (snapshot / name).write_bytes(b"evil")
        with loader.guard(), pytest.raises(hms.VerificationError, match="1 added"):
            loader.snapshot()

    def test_directory_that_is_a_link(self, loader: Loader, snapshot: Path, beside: Path) -> None:
        (snapshot / "sub" / "__pycache__").symlink_to(beside)
        with loader.guard(), pytest.raises(hms.VerificationError, match="1 added"):
            loader.snapshot()

    def test_no_file_of_it_is_downloaded(self, loader: Loader, hub: Hub) -> None:
        hub.commit(REPO, {"__pycache__/x.pyc": b"evil"})
        with loader.guard(), pytest.raises(hms.VerificationError):
            loader.download("__pycache__/x.pyc")


def test_local_directory(loader: Loader, snapshot: Path) -> None:
    local = loader.home / "local"
    with loader.guard():
        loader.snapshot(local_dir=local)
    _imported(local)
    assert _caches(loader)
    with loader.guard():
        loader.snapshot(local_dir=local)
    assert _caches(loader) == []


def test_repository_that_is_not_verified(loader: Loader, snapshot: Path, acme: KeyPair) -> None:
    loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
    with loader.guard():
        assert _imported(snapshot) == SIGNED
    assert _caches(loader)


def test_pull_to_a_directory_again(
    snapshot: Path, person: Callable[..., Person], acme: KeyPair, tmp_path: Path
) -> None:
    target = tmp_path / "to"
    pull = ("pull", REPO, "--public-key", acme.public, "--to", target)
    assert person().run(*pull).code == 0
    _imported(target)
    assert (target / "__pycache__").exists()
    verify = ("verify", "key", "--public-key", acme.public, target)
    refused = person().run(*verify)
    assert refused.code == 1
    assert "added: __pycache__/" in refused.err
    command = refused.err.split("Remove it: ")[1].splitlines()[0]
    assert subprocess.run(shlex.split(command), check=False).returncode == 0
    assert person().run(*verify).code == 0
    _imported(target)
    done = person().run(*pull)
    assert done.code == 0, done.err
    assert not (target / "__pycache__").exists()


def test_bytecode_that_is_signed(
    loader: Loader, snapshot: Path, hub: Hub, person: Callable[..., Person], acme: KeyPair, tmp_path: Path
) -> None:
    """It is compared like any other file, and stays."""
    name = "__pycache__/other.cpython-311.pyc"
    hub.commit(REPO, {name: b"as it was signed"})
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    with loader.guard():
        path = Path(loader.snapshot()) / name
        assert path.read_bytes() == b"as it was signed"
        loader.snapshot(local_dir=loader.home / "local")
        assert (loader.home / "local" / name).exists()
    path.resolve().chmod(0o644)
    path.resolve().write_bytes(b"something else")
    with loader.guard(), pytest.raises(hms.VerificationError, match="1 changed"):
        loader.snapshot()


def test_model_in_a_plain_directory(snapshot: Path, loader: Loader, acme: KeyPair, tmp_path: Path) -> None:
    place = _plain(loader, acme, tmp_path)
    _plant(place / f"{MODULE}.py", tmp_path)
    assert _imported(place) == EVIL
    with loader.guard():
        assert _imported(place) == SIGNED
