"""Arguments of the wrong type, and the errors of this machine: each function answers with one of our errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from tests.helpers import KeyPair
from tests.servers.hub import Hub

HIDDEN = "hf_read_and_secret"


class SecretStr:
    """A token as configuration libraries wrap it; this one shows its value."""

    def __str__(self) -> str:
        return HIDDEN

    __repr__ = __str__


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _at_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_write", "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)


# Tokens


@pytest.mark.usefixtures("_at_hub")
@pytest.mark.parametrize("token", [SecretStr(), HIDDEN.encode(), 5, [HIDDEN]])
def test_token_of_another_type_is_never_replaced(repo: str, acme: KeyPair, hub: Hub, token: Any) -> None:  # noqa: ANN401
    head = hub.head(repo)
    for call, given in (
        (hms.push, {"repo_id": repo, "signer": acme.signer}),
        (hms.pull, {"repo_id": repo, "verifier": acme.verifier}),
        (hms.audit, {"organisation": "acme"}),
        (hms.batch, {"organisation": "acme", "signer": acme.signer}),
    ):
        with pytest.raises(hms.UsageError, match="token is of the type .* must be a string, True or False") as caught:
            call(**given, token=token)
        assert HIDDEN not in str(caught.value)
    assert hub.head(repo) == head


@pytest.mark.usefixtures("_at_hub")
def test_adapter_rejects_a_token_of_another_type() -> None:
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

    with pytest.raises(hms.BadSettingError, match="the token is of the type SecretStr") as caught:
        HuggingFaceAdapter(token=SecretStr())  # type: ignore[arg-type]
    assert HIDDEN not in str(caught.value)


@pytest.mark.usefixtures("_at_hub")
def test_empty_token(repo: str, acme: KeyPair) -> None:
    with pytest.raises(hms.BadSettingError, match="the token is empty"):
        hms.push(repo, signer=acme.signer, token="")
    with pytest.raises(hms.BadSettingError, match="the token is empty"):
        hms.audit("acme", token="")


@pytest.mark.usefixtures("_at_hub")
def test_token_true_without_a_login(repo: str, acme: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "nothing")
    for call in (
        lambda: hms.push(repo, signer=acme.signer, token=True),
        lambda: hms.pull(repo, verifier=acme.verifier, token=True),
    ):
        with pytest.raises(hms.AccessError, match="needs a token: log in"):
            call()
    with pytest.raises(hms.UsageError, match="nobody is logged in"):
        hms.batch("acme", signer=acme.signer, token=True)


# Types


@pytest.mark.usefixtures("_at_hub")
def test_arguments_of_another_type(model: Path, repo: str, acme: KeyPair) -> None:
    wrong: list[tuple[Any, str, dict[str, Any]]] = [
        (hms.push, repo, {"commit_message": 5}),
        (hms.push, repo, {"revision": 5}),
        (hms.push, repo, {"dry_run": "no"}),
        (hms.push, repo, {"progress": True}),
        (hms.push, repo, {"note": 5}),
        (hms.pull, repo, {"allow_patterns": 5}),
        (hms.pull, repo, {"allow_patterns": [b"*.json"]}),
        (hms.pull, repo, {"ignore_unsigned_files": "no"}),
        (hms.pull, repo, {"local_dir": 5}),
        (hms.pull, repo, {"signature": b"x"}),
        (hms.sign, str(model), {"ignore_paths": 5}),
        (hms.sign, str(model), {"ignore_paths": [5]}),
        (hms.sign, str(model), {"ignore_paths": b"a"}),
        (hms.sign, str(model), {"limits": {}}),
        (hms.digest, str(model), {"limits": {}}),
        (hms.digest, str(model), {"beside": 5}),
        (hms.verify, str(model), {"coverage": {"only": "*"}}),
        (hms.verify, str(model), {"signature": b"x"}),
        (hms.verify, str(model), {"uri": 5}),
        (hms.fetch, f"hf://{repo}", {"coverage": {"only": "*"}}),
        (hms.audit, "acme", {"observer": print}),
        (hms.batch, "acme", {"include": 5}),
        (hms.batch, "acme", {"repo_type": 5}),
        (hms.batch, "acme", {"executor": 5}),
    ]
    trust: dict[Any, dict[str, Any]] = {
        hms.push: {"signer": acme.signer},
        hms.sign: {"signer": acme.signer},
        hms.batch: {"signer": acme.signer},
    }
    trust |= dict.fromkeys((hms.pull, hms.verify, hms.fetch), {"verifier": acme.verifier})
    for call, reference, given in wrong:
        with pytest.raises(hms.UsageError, match=rf"^{next(iter(given))} is .*; it must be "):
            call(reference, **{**trust.get(call, {}), **given})
    with pytest.raises(hms.UsageError, match="signature is b'x'; it must be a path or a Bundle, or None"):
        hms.verify("model", b"x", verifier=acme.verifier)  # type: ignore[arg-type]
