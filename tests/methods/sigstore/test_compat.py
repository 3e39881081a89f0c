"""The private parts of sigstore-python that we use are there, and do what we use them for."""

from __future__ import annotations

import importlib
import inspect
import threading
from functools import partial
from pathlib import Path

import pytest
from sigstore.models import Bundle
from sigstore.verify import Verifier

import hf_model_signing as hms
from hf_model_signing.methods.sigstore import _compat
from hf_model_signing.methods.sigstore.instance import PRODUCTION, STAGING, Instance
from tests.private_parts import require
from tests.servers.sigstore_fixtures import Keyless

has = partial(require, "sigstore", used_by="hf_model_signing/methods/sigstore/_compat.py")


@pytest.fixture
def bundle(keyless: Keyless, model: Path) -> Bundle:
    return Bundle.from_json(hms.sign(model, signer=keyless.signer()).to_bytes())


def test_message_of_a_trusted_root(keyless: Keyless) -> None:
    root = Instance(keyless.config).trusted_root
    has(root, "_inner")
    message = _compat.root_message(root)
    for name in ("certificate_authorities", "timestamp_authorities", "tlogs", "ctlogs", "model_copy"):
        has(message, name)
    has(message.tlogs[0].public_key, "valid_for")
    assert message.tlogs[0].log_id.key_id


def test_message_of_a_log_entry(bundle: Bundle) -> None:
    has(bundle.log_entry, "_inner")
    message = _compat.entry_message(bundle)
    for name in ("integrated_time", "inclusion_promise"):
        has(message, name)
    assert message.log_id.key_id


def test_times_of_a_bundle(keyless: Keyless, bundle: Bundle) -> None:
    has(Verifier, "_establish_time")
    found, *_ = _compat.proven_times(bundle, Instance(keyless.config).trusted_root)
    assert found.time.tzinfo is not None


def test_check_of_one_timestamp() -> None:
    has(Verifier, "_verify_signed_timestamp")


@pytest.mark.parametrize("version", [1, 2])
def test_session_of_a_log_client(version: int) -> None:
    """One for each thread, so it is bounded where it is used."""
    name = "RekorClient" if version == 1 else "RekorV2Client"
    module = importlib.import_module(f"sigstore._internal.rekor.client{'' if version == 1 else '_v2'}")
    client = has(module, name)("http://127.0.0.1:9")  # type: ignore[operator]
    has(client, "_session")
    sessions = [_compat.log_session(client)]
    thread = threading.Thread(target=lambda: sessions.append(_compat.log_session(client)))
    thread.start()
    thread.join()
    assert sessions[0] is _compat.log_session(client)
    assert sessions[0] is not sessions[1]


def test_requests_for_ambient_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("id._internal.oidc.ambient")
    request = require("id", module, "_request", used_by="hf_model_signing/methods/sigstore/_compat.py")
    monkeypatch.setattr(module, "_request", inspect.unwrap(request))  # type: ignore[arg-type] # it is a function
    _compat.bound_ambient_requests(lambda answer: answer)
    once = module._request
    _compat.bound_ambient_requests(lambda answer: answer)
    assert module._request is once


def test_error_of_a_timestamp_client() -> None:
    module = importlib.import_module("sigstore.sign")
    assert has(module, "TimestampError") is _compat.timestamp_error()


@pytest.mark.parametrize("url", [PRODUCTION, STAGING])
@pytest.mark.parametrize("name", ["trusted_root.json", "signing_config.v0.2.json"])
def test_files_that_it_ships(url: str, name: str) -> None:
    assert _compat.shipped_file(url, name).startswith(b"{"), f"sigstore ships no {name} for {url} any more"


def test_it_ships_nothing_for_others() -> None:
    with pytest.raises(FileNotFoundError):
        _compat.shipped_file("https://tuf.example", "trusted_root.json")


def test_directory_of_its_cache() -> None:
    module = importlib.import_module("sigstore._internal.tuf")
    directories = has(module, "_get_dirs")("https://tuf.example/a b")  # type: ignore[operator]
    assert directories[1] == _compat.cache_directory("https://tuf.example/a b")
