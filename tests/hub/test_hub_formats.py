"""A round trip through a hub for every format and method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.certificates import make_authority
from tests.helpers import KeyPair, Outcome
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.softhsm import SoftHsm

People = Callable[..., Person]
OPTIONS = [
    ["--hash", "blake2b"],
    ["--hash", "blake3"],
    ["--shard-size", "1000"],
    ["--hash", "blake3", "--shard-size", "7"],
]


def _push(user: Person, keys: KeyPair, *more: str) -> Outcome:
    return user.run("push", "acme/model", "--private-key", keys.private, *more)


def _pull(user: Person, keys: KeyPair, *more: str) -> Outcome:
    return user.run("pull", "acme/model", "--public-key", keys.public, *more)


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_push_and_pull(hub: Hub, repo: str, person: People, acme: KeyPair, options: list[str]) -> None:
    hub.commit(repo, {"empty.txt": b""})
    assert _push(person(), acme, *options).code == 0
    pulled = _pull(person("other"), acme)
    assert (pulled.code, Path(pulled.out.strip()).is_dir()) == (0, True)
    assert person("other").run("verify", "key", "--public-key", acme.public, *options, "hf://acme/model").code == 0


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_push_again_has_nothing_to_do(hub: Hub, repo: str, person: People, acme: KeyPair, options: list[str]) -> None:
    _push(person(), acme, *options)
    before = hub.head(repo)
    assert "Nothing to do" in _push(person(), acme, *options).out
    assert hub.head(repo) == before
    assert _push(person(), acme).out.startswith("Signed ")  # in another format


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "new.txt", "more.txt"])
def test_pull_of_what_was_changed(
    hub: Hub, repo: str, person: People, acme: KeyPair, options: list[str], name: str
) -> None:
    _push(person(), acme, *options)
    hub.commit(repo, {name: b"" if name == "more.txt" else b"changed"})
    refused = _pull(person("other"), acme)
    assert (refused.code, refused.out) == (1, "")
    assert name in refused.err


def test_push_does_not_sign_what_the_hub_does_not_list(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    """Even with a hash that the hub does not know, the download is compared with the listing."""
    user = person()
    path = Path(_pull_unverified(user, acme))
    blob = (path / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    done = _push(user, acme, "--hash", "blake2b")
    assert (done.code, "is not what the hub lists" in done.err) == (1, True)


def _pull_unverified(user: Person, keys: KeyPair) -> str:
    _push(user, keys)
    return _pull(user, keys).out.strip()


def test_digests_of_the_hub_are_sha256(repo: str, person: People, acme: KeyPair) -> None:
    for options in OPTIONS:
        done = _push(person(), acme, "--remote", *options)
        assert (done.code, "a hub tells the SHA-256 of whole files only" in done.err) == (2, True)


def test_certificate_to_a_hub_and_back(hub: Hub, repo: str, person: People, tmp_path: Path) -> None:
    root = make_authority("Root")
    key, cert = root.issue("leaf").write(tmp_path)
    (tmp_path / "root.pem").write_bytes(root.pem)
    push = ("push", "acme/model", "--private-key", key, "--signing-cert", cert)
    assert "with certificate 'O=T,CN=leaf'" in person().run(*push).out
    assert "Nothing to do" in person().run(*push).out
    pull = ("pull", "acme/model", "--root-certs", tmp_path / "root.pem")
    assert person("other").run(*pull, "--cert-identity", "leaf").code == 0
    assert person("other").run(*pull, "--cert-identity", "somebody").code == 1


def test_token_to_a_hub_and_back(repo: str, person: People, softhsm: SoftHsm) -> None:
    push = ("push", "acme/model", "--pkcs11-uri", softhsm.uri("token=main;object=p256"))
    assert person().run(*push).code == 0
    assert person("other").run("pull", "acme/model", "--public-key", softhsm.pairs["p256"].public).code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--password", "p"],
            "say how to sign: give nothing (Sigstore) or --private-key or --private-key with --signing-cert or",
        ),
        (["--private-key", "k", "--pkcs11-uri", "u"], "--private-key and --pkcs11-uri do not go together"),
        (["--cert-chain", "c"], "say how to sign"),
        (["--method", "certificate", "--private-key", "k"], "give --private-key with --signing-cert"),
        (["--method", "key", "--private-key", "k", "--signing-cert", "c"], "do not go together"),
        (["--method", "skip"], "'skip' is not one of"),
    ],
)
def test_options_that_name_no_signer(person: People, options: list[str], message: str) -> None:
    done = person().run("push", "acme/model", *options)
    assert (done.code, message in done.err) == (2, True), done.err


def test_options_that_name_no_verifier(person: People, acme: KeyPair) -> None:
    done = person().run("pull", "acme/model", "--public-key", acme.public, "--root-certs", "r")
    assert (done.code, "--public-key and --root-certs do not go together" in done.err) == (2, True)


def test_empty_identity_is_not_forgotten(person: People, acme: KeyPair) -> None:
    done = person().run("pull", "acme/model", "--public-key", acme.public, "--cert-identity", "")
    assert (done.code, "do not go together" in done.err) == (2, True)


@pytest.mark.parametrize("options", [[], ["--remote"], ["--shard-size", "50"]], ids=" ".join)
def test_pointer_in_place_of_a_file(hub: Hub, repo: str, person: People, acme: KeyPair, options: list[str]) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 5\n" % (b"0" * 64)
    hub.commit(repo, {"w.txt": pointer})
    refused = _push(person(), acme, *options)
    assert (refused.code, "w.txt is a Git LFS pointer, not the file itself" in refused.err) == (1, True)
    assert _push(person(), acme, "--allow-lfs-pointers", *options).code == 0
