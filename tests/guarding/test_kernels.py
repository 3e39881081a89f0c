"""Kernels: repositories of code that a program imports from their snapshot, by its path."""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import runpy
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, HfFileSystem

import hf_model_signing as hms
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

People = Callable[..., Person]
KERNEL = "acme/fast"
CODE, LIBRARY = "build/cpu/__init__.py", "build/cpu/ops.abi3.so"
FILES = {CODE: b"def run():\n    return 'honest'\n", "build/cpu/metadata.json": b"{}", "build/gpu/__init__.py": b""}


def _snapshot(loader: Loader, **more: Any) -> Path:  # noqa: ANN401 - as the client
    """Load as the library `kernels` does."""
    api = HfApi(endpoint=loader.hub.url, token="hf_write", library_name="kernels")
    patterns: dict[str, Any] = {"allow_patterns": ["build/cpu/*"], "ignore_patterns": ["**/*.pyc", "**/__pycache__/**"]}
    cache = loader.home / "hub"
    return Path(str(api.snapshot_download(KERNEL, repo_type="kernel", cache_dir=cache, **patterns, **more)))


def _cached(loader: Loader, name: str = CODE) -> Path:
    (path,) = (loader.home / "hub" / "kernels--acme--fast").glob(f"snapshots/*/{name}")
    return path


def _run(path: Path) -> object:
    spec = importlib.util.spec_from_file_location("kernel_of_a_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run()


def _load_library(path: Path) -> object:
    loader = importlib.machinery.ExtensionFileLoader("kernel_of_a_test", str(path))
    spec = importlib.util.spec_from_file_location("kernel_of_a_test", path, loader=loader)
    assert spec is not None
    with pytest.raises(ImportError, match=r"ops\.abi3\.so"):
        importlib.util.module_from_spec(spec)
    return "honest"


def _load_with_ctypes(path: Path) -> object:
    with pytest.raises(OSError, match="ops"):
        ctypes.CDLL(str(path))
    return "honest"


def _remote(loader: Loader) -> HfFileSystem:
    return HfFileSystem(endpoint=loader.hub.url, token="hf_write", skip_instance_cache=True)


def _ran(source: bytes | str) -> object:
    found: dict[str, Any] = {}
    exec(source, found)
    return found["run"]()


# Each way to get at the code, with files that are in the cache.
WAYS: dict[str, Callable[[Loader], object]] = {
    "kernels": lambda loader: _run(_snapshot(loader) / CODE),
    "kernels, locked": lambda loader: _run(_snapshot(loader, local_files_only=True) / CODE),
    "hf_hub_download": lambda loader: _run(Path(loader.download(CODE, KERNEL, repo_type="kernel"))),
    "snapshot_download": lambda loader: _run(Path(loader.snapshot(KERNEL, repo_type="kernel")) / CODE),
    "try_to_load_from_cache": lambda loader: _run(Path(loader.cached(CODE, KERNEL, repo_type="kernel"))),
    "path": lambda loader: _run(_cached(loader)),
    "runpy": lambda loader: runpy.run_path(str(_cached(loader)))["run"](),
    "blob": lambda loader: _ran(_cached(loader).resolve().read_bytes()),
    "extension module": lambda loader: _load_library(_cached(loader, LIBRARY)),
    "ctypes": lambda loader: _load_with_ctypes(_cached(loader, LIBRARY)),
    "hf://": lambda loader: _ran(_remote(loader).cat_file(f"hf://kernels/{KERNEL}/{CODE}")),
}


@pytest.fixture
def kernel(loader: Loader, hub: Hub, acme: KeyPair, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel on the hub, for a machine that trusts `acme` for its kernels."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(loader.home / "hub"))
    hub.create_repo(KERNEL, repo_type="kernel")
    hub.commit(KERNEL, {**FILES, LIBRARY: b"not a library"}, repo_type="kernel")
    loader.write_policy(rule(acme, '"acme/*", "hf://kernels/acme/*"'))
    return KERNEL


@pytest.fixture
def signed_kernel(kernel: str, person: People, acme: KeyPair) -> str:
    assert person("signer").run("push", f"hf://kernels/{kernel}", "--private-key", acme.private).code == 0
    return kernel


def test_signed(loader: Loader, signed_kernel: str) -> None:
    loader.snapshot(KERNEL, repo_type="kernel")
    for name, way in WAYS.items():
        with loader.guard():
            assert way(loader) == "honest", name


def test_unsigned(loader: Loader, kernel: str) -> None:
    loader.snapshot(KERNEL, repo_type="kernel")
    for way in WAYS.values():
        with loader.guard(), pytest.raises(hms.VerificationError, match=r"(it has|there is) no model\.sig"):
            way(loader)


def test_changed_in_the_cache(loader: Loader, signed_kernel: str) -> None:
    loader.snapshot(KERNEL, repo_type="kernel")
    for way in WAYS.values():
        for name in (CODE, LIBRARY):
            _cached(loader, name).resolve().write_bytes(b"def run():\n    return 'evil!!'\n")
        with loader.guard(), pytest.raises(hms.MismatchError):
            way(loader)


def test_changed_on_the_hub(loader: Loader, hub: Hub, signed_kernel: str) -> None:
    hub.commit(KERNEL, {CODE: b"evil"}, repo_type="kernel")
    with loader.guard(), pytest.raises(hms.MismatchError):
        _snapshot(loader)
    assert not list((loader.home / "hub").glob(f"kernels--acme--fast/snapshots/*/{CODE}"))


def test_signature_of_a_model_of_that_name(
    loader: Loader, hub: Hub, kernel: str, person: People, acme: KeyPair
) -> None:
    hub.create_repo(KERNEL)
    hub.commit(KERNEL, {**FILES, LIBRARY: b"not a library"})
    assert person("signer").run("push", KERNEL, "--private-key", acme.private).code == 0
    hub.commit(KERNEL, {"model.sig": hub.read(KERNEL, "model.sig")}, repo_type="kernel")
    with loader.guard(), pytest.raises(hms.VerificationError, match="for another repository"):
        _snapshot(loader)


@pytest.mark.parametrize(("head", "honest"), [("", False), ('default = "allow"', True), ('default = "warn"', True)])
def test_that_no_rule_names(loader: Loader, kernel: str, acme: KeyPair, head: str, honest: bool) -> None:
    """A rule for models is for no kernels."""
    loader.write_policy(rule(acme), head=head)
    loader.snapshot(KERNEL, repo_type="kernel")
    with loader.guard():
        for way in ("kernels", "path", "hf://"):
            if honest:
                assert WAYS[way](loader) == "honest"
            else:
                with pytest.raises(hms.RefusedError, match="no rule"):
                    WAYS[way](loader)


def test_kind_that_only_a_later_client_knows(loader: Loader, signed: str) -> None:
    """No rule can name it; its code is not imported."""
    place = Path(loader.snapshot(REPO))
    later = loader.home / "hub" / "gadgets--acme--model" / "snapshots" / place.name
    later.mkdir(parents=True)
    (later / "code.py").write_bytes(FILES[CODE])
    assert _run(later / "code.py") == "honest"
    with loader.guard(), pytest.raises(hms.RefusedError, match="no rule"):
        _run(later / "code.py")


def test_extension_module_that_is_signed_runs(
    loader: Loader, hub: Hub, kernel: str, person: People, acme: KeyPair
) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    made = importlib.util.find_spec("_testinternalcapi") or importlib.util.find_spec("_csv")
    if made is None or made.origin is None or not made.origin.endswith(suffix):
        pytest.skip("this Python has its extension modules built in")
    assert made.loader is not None
    name = f"build/cpu/{made.name}{suffix}"
    hub.commit(KERNEL, {name: Path(made.origin).read_bytes()}, repo_type="kernel")
    assert person("signer").run("push", f"hf://kernels/{kernel}", "--private-key", acme.private).code == 0
    path = Path(loader.snapshot(KERNEL, repo_type="kernel")) / name
    spec = importlib.util.spec_from_file_location(made.name, path)
    assert spec is not None
    with loader.guard():
        assert importlib.util.module_from_spec(spec).__name__ == made.name
