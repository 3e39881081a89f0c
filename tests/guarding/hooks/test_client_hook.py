"""The hook in the client: it survives what programs do with modules, and it does not show."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing._version import __version__
from hf_model_signing.guarding.handlers import handle_call
from hf_model_signing.guarding.hooks import client_hook
from hf_model_signing.guarding.own_calls import original_of
from tests.guarded import REPO, Loader, tamper
from tests.servers.hub import Hub


def test_module_that_is_reloaded(loader: Loader, repo: str) -> None:
    """Notebooks do this."""
    from huggingface_hub import file_download

    before = dict(vars(file_download))
    try:
        with loader.guard():
            again = importlib.reload(file_download)
            assert again.hf_hub_download is not before["hf_hub_download"]
            with pytest.raises(hms.MissingSignatureError):
                again.hf_hub_download(REPO, "config.json", **loader.how)
            with pytest.raises(hms.MissingSignatureError):
                before["hf_hub_download"](REPO, "config.json", **loader.how)
    finally:
        vars(file_download).update(before)


REPLACED = """
import functools, sys
import huggingface_hub
from huggingface_hub import HfApi, file_download, hf_hub_download
import hf_model_signing as hms

way, policy, endpoint, cache = sys.argv[1:]
real, method = file_download.hf_hub_download, HfApi.model_info

def wrapper(*args, **kwargs):
    return real(*args, **kwargs)

def info(self, *args, **kwargs):
    return method(self, *args, **kwargs)

class Retry:
    def __call__(self, *args, **kwargs):
        return real(*args, **kwargs)

new = {"function": wrapper, "object": Retry(), "partial": functools.partial(real)}[way]
file_download.hf_hub_download = huggingface_hub.hf_hub_download = new
HfApi.model_info = info
how = {"cache_dir": cache, "endpoint": endpoint, "token": "hf_write"}
hms.guard(policy)
hms.guard(policy)  # the second one finds what the first one has hooked
api = HfApi(endpoint=endpoint, token="hf_write")
for load in (hf_hub_download, real, new, file_download.hf_hub_download):
    for repo in ("acme/model", "acme/evil"):
        try:
            load(repo, "config.json", **how)
            print("loaded", repo)
        except hms.VerificationError:
            print("refused", repo)
print(api.model_info("acme/evil").id)  # it works with the wrapper in its place
"""


@pytest.mark.parametrize("way", ["function", "object", "partial"])
def test_function_that_a_library_has_replaced(loader: Loader, hub: Hub, signed: str, way: str) -> None:
    """Another one stands in its place in the module: the client's own is hooked all the same, and that one works."""
    hub.create_repo("acme/evil")
    hub.commit("acme/evil", {"config.json": b"{}"})
    arguments = (way, str(loader.policy), hub.url, str(loader.home / "hub"))
    done = subprocess.run([sys.executable, "-c", REPLACED, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["loaded acme/model", "refused acme/evil"] * 4 + ["acme/evil"], done.stderr


def test_functions_look_as_before() -> None:
    code = (
        "import inspect, huggingface_hub as hub\n"
        "from huggingface_hub import file_download as f, hf_file_system as s\n"
        "{}print([str(inspect.signature(x)) for x in (hub.hf_hub_download, hub.snapshot_download, "
        "hub.try_to_load_from_cache, hub.HfApi.model_info, s.HfFileSystem._open, s.HfFileSystem.get_file)])\n"
        "print(hub.hf_hub_download.__doc__[:40], hub.hf_hub_download.__qualname__, hub.hf_hub_download.__module__)"
    )
    hook = (
        "from hf_model_signing.guarding import handlers\nfrom hf_model_signing.guarding.hooks import client_hook\n"
        "client_hook.install(handlers.handle_call)\n"
    )
    plain, hooked = (
        subprocess.run([sys.executable, "-c", code.format(more)], capture_output=True, text=True, check=True).stdout
        for more in ("", hook)
    )
    assert re.sub("0x[0-9a-f]+", "0x", plain) == re.sub("0x[0-9a-f]+", "0x", hooked)


def test_client_that_cannot_be_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import file_download

    client_hook.install(handle_call)
    monkeypatch.delattr(file_download, "try_to_load_from_cache")
    with pytest.raises(ImportError, match="cannot be guarded: it has no huggingface_hub.file_download.try_to"):
        client_hook.install(handle_call)


class _Name(str):
    __slots__ = ()


# Arguments of a program, or of a configuration that a library passes on, that resemble those of our own calls.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "name": {"library_name": "hf-sign"},
    "name of another type": {"library_name": _Name("hf-sign")},
    "name and version": {"library_name": "hf-sign", "library_version": __version__},
    "user agent": {"user_agent": "hf-sign"},
    "user agent of parts": {"user_agent": {"library_name": "hf-sign"}},
    "headers": {"headers": {"user-agent": "hf-sign"}},
    "none": {},
}


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_calls_of_a_program_that_resemble_our_own(loader: Loader, repo: str, arguments: str) -> None:
    from huggingface_hub import HfApi

    more = ARGUMENTS[arguments]
    named = {name: value for name, value in more.items() if name != "user_agent" or isinstance(value, str)}
    api = HfApi(endpoint=loader.hub.url, token="hf_write", **named)
    calls: list[Callable[[], object]] = [
        lambda: loader.download("config.json", **more),
        lambda: loader.snapshot(**more),
        lambda: api.hf_hub_download(REPO, "config.json", cache_dir=loader.home / "hub"),
        lambda: api.snapshot_download(REPO, cache_dir=loader.home / "hub"),
    ]
    with loader.guard():
        for call in calls:
            with pytest.raises(hms.MissingSignatureError):
                call()
    for call in calls:
        assert call()


def test_calls_of_our_own_adapter_are_not_looked_at(loader: Loader, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caller verifies what it downloads, in threads too; a program that does the same beside it is guarded."""
    from huggingface_hub import constants

    from hub_adapters.huggingface import HuggingFaceAdapter

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(loader.home / "hub"))
    adapter = HuggingFaceAdapter(endpoint=loader.hub.url, token="hf_write")
    with loader.guard():
        resolved = adapter.resolve(adapter.named(REPO))
        assert os.listdir(adapter.fetch(resolved).path)
        with pytest.raises(hms.MissingSignatureError):
            loader.download("config.json")


def test_arguments_by_position(loader: Loader, signed: str) -> None:
    from huggingface_hub import try_to_load_from_cache

    with loader.guard():
        path = loader.download("config.json")
        assert try_to_load_from_cache(REPO, "config.json", loader.home / "hub", "main", "model") == path
        tamper(loader.blob("config.json"))
        with pytest.raises(hms.MismatchError):
            try_to_load_from_cache(REPO, "config.json", loader.home / "hub", "main", "model")


def test_originals_are_whole() -> None:
    client_hook.install(handle_call)
    for name in ("hf_hub_download", "snapshot_download"):
        assert "repo_id" in inspect.signature(original_of(name)).parameters


def test_variables_of_a_hooked_method_can_be_read() -> None:
    """Debuggers and libraries that report errors read them when something was refused, or crash the interpreter."""
    program = (
        "import sys\n"
        "from hf_model_signing.guarding.code_swap import replace_code\n"
        "def stand_in(*arguments, **named):\n"
        "    from sys import _getframe\n"
        "    return '@name', len(_getframe().f_locals)\n"
        "class File:\n"
        "    def __init__(self): super().__init__()\n"
        "replace_code('it', File.__init__, stand_in)\n"
        "assert File.__init__(1)[0] == 'it' and File.__init__(1)[1] >= 2\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
