"""The hook in the client: it survives what programs do with modules, and it does not show."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys

import pytest

import hf_model_signing as hms
from hf_model_signing.guarding import client_hook
from hf_model_signing.guarding.handlers import handle_call
from hf_model_signing.guarding.own_calls import OWN_LIBRARY_NAME, original_of
from tests.guarded import REPO, Loader, tamper


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


def test_functions_look_as_before() -> None:
    code = (
        "import inspect, huggingface_hub as hub\n"
        "from huggingface_hub import file_download as f, hf_file_system as s\n"
        "{}print([str(inspect.signature(x)) for x in (hub.hf_hub_download, hub.snapshot_download, "
        "hub.try_to_load_from_cache, hub.HfApi.model_info, s.HfFileSystem._open, s.HfFileSystem.get_file)])\n"
        "print(hub.hf_hub_download.__doc__[:40], hub.hf_hub_download.__qualname__, hub.hf_hub_download.__module__)"
    )
    hook = "from hf_model_signing.guarding import client_hook, handlers; client_hook.install(handlers.handle_call)\n"
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


def test_own_calls_are_not_looked_at(loader: Loader, repo: str) -> None:
    """Downloads of our own adapter are verified by its caller."""
    with loader.guard():
        assert loader.download("config.json", library_name=OWN_LIBRARY_NAME)
        with pytest.raises(hms.MissingSignatureError):
            loader.download("config.json", library_name="transformers")


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
