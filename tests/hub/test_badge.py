"""push --badge: the signed card is committed together with the signature, or neither is."""

from __future__ import annotations

import base64
import importlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

import hf_model_signing as hms
from hf_model_signing.hub.model_card import BEGIN, CARD_NAME, END, MAX_CARD
from tests.certificates import make_authority
from tests.helpers import KeyPair, Outcome, names_below, write_tree
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.hub_http import json_reply
from tests.servers.sigstore_fixtures import RELEASE, Keyless

People = Callable[..., Person]

YAML = b"---\r\nlicense: mit\r\n---\r\n"


def _push(user: Person, keys: KeyPair, *more: str, repo: str = "acme/model") -> Outcome:
    return user.run("push", repo, "--badge", "--private-key", keys.private, *more)


def _card(hub: Hub, revision: str = "main", repo: str = "acme/model", **kind: str) -> str:
    return hub.read(repo, CARD_NAME, revision, **kind).decode()


def _command(card: str) -> list[str]:
    """Return the command that a badge shows."""
    (line,) = [line for line in card.splitlines() if line.startswith("hf-sign ")]
    return shlex.split(line)


def _signed_paths(hub: Hub, revision: str = "main") -> set[str]:
    bundle = json.loads(hub.read("acme/model", "model.sig", revision))
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return {resource["name"] for resource in statement["predicate"]["resources"]}


def _changed(hub: Hub, repo: str = "acme/model", revision: str = "main", **kind: str) -> set[str]:
    """Return the files that the newest commit changed."""
    new, old = hub.log(repo, revision, **kind)[:2]
    assert new.parents == (old.sha,)
    return {path for path, file in new.files.items() if old.files.get(path) != file}


def _clone(hub: Hub, folder: Path) -> Path:
    return write_tree(folder, {path: hub.read("acme/model", path) for path in hub.files("acme/model")})


WAYS = [
    (),
    ("--remote",),
    ("--hash", "blake3"),
    ("--hash", "blake2b", "--shard-size", "10"),
    ("--shard-size", "100"),
    ("--shard-size", "1000000"),
]


@pytest.mark.parametrize("more", WAYS, ids=" ".join)
def test_card_and_signature_are_one_commit(
    hub: Hub, repo: str, person: People, acme: KeyPair, more: tuple[str, ...]
) -> None:
    before = hub.head(repo)
    done = _push(person(), acme, *more)
    assert done.code == 0, done.err
    assert (hub.log(repo)[0].parents, _changed(hub)) == ((before,), {CARD_NAME, "model.sig"})
    card = _card(hub)
    assert card.startswith(f"# A model\n{BEGIN}\n\n**Signed** by <code>key P-256 {acme.hint}</code> ")
    pulled = person("reader").run("pull", repo, "--public-key", acme.public)
    assert pulled.code == 0, pulled.err
    assert Path(pulled.out.strip(), CARD_NAME).read_text() == card
    assert _push(person(), acme, *more, "--json").document["status"] == "unchanged"
    assert len(hub.log(repo)) == 3


def test_without_the_option_the_card_stays(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    done = person().run("push", repo, "--private-key", acme.private, "--json")
    assert (done.document["badge"], _changed(hub), _card(hub)) == (False, {"model.sig"}, "# A model\n")


def test_result_says_that_there_is_a_badge(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    done = _push(person(), acme, "--json")
    assert (done.document["badge"], "README.md gets a badge" in done.err) == (True, True)
    assert done.document["files"] == len(_signed_paths(hub)) == 5


def test_command_in_the_card_verifies(hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path) -> None:
    assert _push(person(), acme).code == 0
    program, *words = _command(_card(hub))
    assert (program, words[-1]) == ("hf-sign", "hf://acme/model")
    (tmp_path / "PUBLIC_KEY.pem").write_bytes(acme.public_pem)
    done = person("reader").run(*words)
    assert done.code == 0, done.err
    hub.commit(repo, {CARD_NAME: _card(hub).replace(acme.hint, "0" * 64).encode()})
    refused = person("another").run(*words)
    assert (refused.code, "changed: README.md" in refused.err) == (1, True)


@pytest.mark.parametrize("kind", ["dataset", "space", "kernel"])
def test_other_kinds(hub: Hub, person: People, acme: KeyPair, tmp_path: Path, kind: str) -> None:
    hub.create_repo("acme/things", repo_type=kind)
    hub.commit("acme/things", {"data.csv": b"1,2\n", CARD_NAME: YAML + b"Things"}, repo_type=kind)
    assert _push(person(), acme, "--type", kind, repo="acme/things").code == 0
    card = hub.read("acme/things", CARD_NAME, repo_type=kind)
    assert card.startswith(YAML + BEGIN.encode() + b"\r\n")
    assert card.endswith(f"{END}\r\nThings".encode())
    words = _command(card.decode())
    assert words[-1] == f"hf://{kind}s/acme/things"
    (tmp_path / "PUBLIC_KEY.pem").write_bytes(acme.public_pem)
    assert person("reader").run(*words[1:]).code == 0


def test_signed_model_gets_a_badge_all_the_same(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    assert _push(person(), acme).code == 0
    assert _changed(hub) == {CARD_NAME, "model.sig"}
    assert person("reader").run("pull", signed, "--public-key", acme.public).code == 0


def test_badge_without_a_signature_is_signed_as_it_is(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    assert _push(person(), acme).code == 0
    hub.commit(repo, {"config.json": b"{}"})
    assert _push(person(), acme).code == 0
    assert _changed(hub) == {"model.sig"}
    assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0


def test_badge_of_another_signer_is_replaced(
    hub: Hub, repo: str, person: People, acme: KeyPair, stranger: KeyPair
) -> None:
    assert _push(person(), acme).code == 0
    done = _push(person(), stranger, "--replace-others")
    assert (done.code, "the badge in README.md is replaced" in done.err) == (0, True)
    card = _card(hub)
    assert (card.count(BEGIN), acme.hint in card, stranger.hint in card) == (1, False, True)
    assert person("reader").run("pull", repo, "--public-key", stranger.public).code == 0


def test_changed_badge_is_restored(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    assert _push(person(), acme).code == 0
    good = _card(hub)
    hub.commit(repo, {CARD_NAME: good.replace("hf://acme/model", "hf://evil/model").encode()})
    assert person().run("push", repo, "--private-key", acme.private).code == 0  # signed as it is
    assert _push(person(), acme).code == 0
    assert _card(hub) == good


def test_missing_card_is_made(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.commit(repo, {CARD_NAME: None})
    done = _push(person(), acme)
    assert (done.code, "there is no README.md: a new one holds just the badge" in done.err) == (0, True)
    assert (_changed(hub), CARD_NAME in _signed_paths(hub)) == ({CARD_NAME, "model.sig"}, True)
    assert _card(hub).startswith(f"{BEGIN}\n")
    assert _card(hub).endswith(f"\n{END}\n")
    assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0
    assert "Nothing to do" in _push(person(), acme).out


@pytest.mark.parametrize("more", [(), ("--shard-size", "10"), ("--remote",)], ids=" ".join)
def test_empty_card_is_filled(hub: Hub, repo: str, person: People, acme: KeyPair, more: tuple[str, ...]) -> None:
    hub.commit(repo, {CARD_NAME: b""})
    assert _push(person(), acme, *more).code == 0
    assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0


@pytest.mark.parametrize("clash", ["readme.md", "README.md/about.txt"])
def test_new_card_that_would_clash_is_refused(hub: Hub, repo: str, person: People, acme: KeyPair, clash: str) -> None:
    hub.commit(repo, {CARD_NAME: None, clash: b"x"})
    done = _push(person(), acme)
    assert (done.code, f"would clash with {clash}" in done.err) == (1, True)


def test_nothing_to_sign_is_not_made_signable(hub: Hub, person: People, acme: KeyPair) -> None:
    hub.create_repo("acme/empty")
    hub.commit("acme/empty", {".gitattributes": b""})
    done = _push(person(), acme, repo="acme/empty")
    assert (done.code, "holds nothing to sign" in done.err) == (1, True)


@pytest.mark.parametrize("more", [(), ("--remote",)])
@pytest.mark.parametrize("threshold", [10, 1 << 20])
def test_card_in_lfs(hub: Hub, repo: str, person: People, acme: KeyPair, more: tuple[str, ...], threshold: int) -> None:
    hub.commit(repo, {CARD_NAME: b"# Large\n"}, lfs=True)
    hub.lfs_threshold = threshold
    done = _push(person(), acme, *more)
    assert done.code == 0, done.err
    assert hub.files(repo)[CARD_NAME].lfs is (threshold == 10)
    assert _card(hub).startswith(f"# Large\n{BEGIN}\n")
    assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0


@pytest.mark.parametrize(
    ("card", "why"),
    [
        (BEGIN.encode(), "the badge in README.md is broken"),
        (b"caf\xe9", "README.md is not in UTF-8"),
        (b"---\nlicense: mit\n", "begins with a line '---'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a Git LFS pointer"),
        (b"a" * (MAX_CARD + 1), "a badge is put into cards of up to"),
    ],
)
def test_card_that_cannot_have_a_badge_is_refused(
    hub: Hub, repo: str, person: People, acme: KeyPair, card: bytes, why: str
) -> None:
    head = hub.commit(repo, {CARD_NAME: card}, lfs=False)
    hub.clear_requests()
    done = _push(person(), acme, "--allow-lfs-pointers")
    assert (done.code, why in done.err, hub.head(repo)) == (1, True, head), done.err
    assert not [record for record in hub.requests if record.method == "POST" or record.origin == "cdn"]
    assert person().run("push", repo, "--private-key", acme.private, "--allow-lfs-pointers").code == 0


@pytest.mark.parametrize("more", [(), ("--remote",)], ids=" ".join)
@pytest.mark.parametrize("lfs", [False, True])
def test_card_that_is_not_what_is_listed_is_refused(
    hub: Hub, repo: str, person: People, acme: KeyPair, lfs: bool, more: tuple[str, ...]
) -> None:
    before = hub.commit(repo, {CARD_NAME: b"# A card\n"}, lfs=lfs)
    hub.flip_byte(repo, CARD_NAME)
    done = _push(person(), acme, *more)
    assert (done.code, "changed: README.md" in done.err, hub.head(repo)) == (1, True, before)


def test_card_that_is_ignored_is_wrong_usage(
    hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path
) -> None:
    done = _push(person(), acme, "--ignore-paths", "README.md")
    assert (done.code, "README.md is ignored, so a badge in it would not be signed" in done.err) == (2, True)
    folder = _clone(hub, tmp_path / "clone")
    assert _push(person(), acme, "--from", str(folder), "--ignore-paths", str(folder / CARD_NAME)).code == 2


def test_dry_run_says_what_would_be(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    before = hub.head(repo)
    done = _push(person(), acme, "--dry-run", "--json")
    assert (done.code, hub.head(repo), "README.md gets a badge" in done.err) == (0, before, True)
    assert not [record for record in hub.requests if record.method in ("POST", "PUT")]
    assert _push(person(), acme, "--json").document["digest"] == done.document["digest"]


def test_pull_request(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    before = hub.head(repo)
    done = _push(person(), acme, "--create-pr")
    assert (done.code, hub.head(repo), _changed(hub, revision="refs/pr/1")) == (0, before, {CARD_NAME, "model.sig"})
    assert _command(_card(hub, "refs/pr/1"))[-1] == "hf://acme/model"
    pulled = person("reader").run("pull", repo, "--revision", "refs/pr/1", "--public-key", acme.public)
    assert pulled.code == 0, pulled.err


def test_command_names_the_branch(hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path) -> None:
    hub.branch(repo, "v1 100%")
    assert _push(person(), acme, "--revision", "v1 100%").code == 0
    words = _command(_card(hub, "v1 100%"))
    assert words[-1] == "hf://acme/model@v1%20100%25"
    (tmp_path / "PUBLIC_KEY.pem").write_bytes(acme.public_pem)
    assert person("reader").run(*words[1:]).code == 0


class TestFromFolder:
    @pytest.mark.parametrize("more", [(), ("--hash", "blake2b"), ("--shard-size", "7")], ids=" ".join)
    def test_folder_is_hashed_and_left_alone(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path, more: tuple[str, ...]
    ) -> None:
        folder = _clone(hub, tmp_path / "clone")
        done = _push(person(), acme, "--from", str(folder), *more)
        assert (done.code, f"in '{folder}' stays as it is" in done.err) == (0, True), done.err
        assert ((folder / CARD_NAME).read_bytes(), names_below(folder)) == (
            b"# A model\n",
            {*hub.files(repo)} - {"model.sig"} | {"sub"},
        )
        assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0
        (folder / CARD_NAME).write_text(_card(hub))
        assert "Nothing to do" in _push(person(), acme, "--from", str(folder), *more).out

    @pytest.mark.parametrize("card", [b"# Another\n", None])
    def test_folder_with_another_card_is_refused(
        self, hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path, card: bytes | None
    ) -> None:
        folder, before = _clone(hub, tmp_path / "clone"), hub.head(repo)
        (folder / CARD_NAME).unlink()
        if card is not None:
            (folder / CARD_NAME).write_bytes(card)
        done = _push(person(), acme, "--from", str(folder))
        assert (done.code, "README.md" in done.err, hub.head(repo)) == (1, True, before)


def test_weaker_signature_is_replaced(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    assert _push(person(), acme, "--remote").code == 0
    assert "came from the hub" not in _push(person(), acme).out
    assert _changed(hub) == {"model.sig"}
    assert "Nothing to do" in _push(person(), acme, "--remote").out


def test_branch_that_moves_is_signed_again(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    new = {CARD_NAME: b"# Another\n", "late.txt": b"late"}
    hub.before("POST", r"/commit/", lambda _: hub.commit(repo, new) and None, times=1)
    done = _push(person(), acme)
    assert (done.code, "has moved on" in done.err) == (0, True)
    assert (_changed(hub), len(hub.log(repo))) == ({CARD_NAME, "model.sig"}, 4)
    assert _card(hub).startswith(f"# Another\n{BEGIN}\n")
    assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0


def test_answer_that_is_lost_is_found(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    hub.drop_answer("POST", r"/commit/", times=1)
    done = _push(person(), acme, "--json")
    assert (done.code, done.document["status"], len(hub.log(repo))) == (0, "signed", 3)


def test_push_killed_at_any_request_leaves_nothing_or_all(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    before, step = hub.head(repo), 0
    hub.lfs_threshold = 10  # so that the new card is uploaded before the commit is made
    while hub.head(repo) == before:
        assert "model.sig" not in hub.files(repo)
        step += 1
        person(f"m{step}").killed_at_request(step, "push", repo, "--badge", "--private-key", acme.private)
    assert step > 7
    assert _changed(hub) == {CARD_NAME, "model.sig"}
    assert person("reader").run("pull", repo, "--public-key", acme.public).code == 0


def test_hub_that_does_not_take_the_yaml_says_so(hub: Hub, repo: str, person: People, acme: KeyPair) -> None:
    answer = {"errors": [{"message": '"license" must be a string'}], "warnings": []}
    before = hub.head(repo)
    hub.spoil("POST", "/api/validate-yaml", lambda _: json_reply(answer, 400))
    done = _push(person(), acme)
    assert (done.code, hub.head(repo)) == (3, before)
    assert (
        "does not take the YAML block in the README.md of 'hf://acme/model': \"license\" must be a string" in done.err
    )


def test_certificate(hub: Hub, repo: str, person: People, tmp_path: Path) -> None:
    root = make_authority("Acme Root")
    leaf = root.issue("Acme & Co", sans=[x509.RFC822Name("release@acme.example"), x509.DNSName("acme.example")])
    key, cert = leaf.write(tmp_path / "certs")
    more = ["--signing-cert", str(cert), "--private-key", str(key)]
    assert person().run("push", repo, "--badge", *more).code == 0
    words = _command(_card(hub))
    assert words[2:] == [
        *("certificate", "--root-certs", "ROOT_CERTS.pem", "--cert-identity", "release@acme.example"),
        "hf://acme/model",
    ]
    assert "Acme &#38; Co" in _card(hub)
    (tmp_path / "ROOT_CERTS.pem").write_bytes(root.pem)
    assert person("reader").run(*words[1:]).code == 0
    assert "Nothing to do" in person().run("push", repo, "--badge", *more).out


class TestSigstore:
    def _push(self, user: Person, keyless: Keyless, token: str, *more: str) -> Outcome:
        given = ("--trust-config", keyless.config, "--identity-token", token)
        return user.run("push", "acme/model", "--badge", *given, *more)

    def test_identity_stands_in_the_card(self, hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
        token, provider = keyless.instance.token(), keyless.instance.identity_provider
        assert self._push(person(), keyless, token).code == 0
        words = _command(_card(hub))
        assert words == [
            *("hf-sign", "verify", "--trust-config", "TRUST_CONFIG.json"),
            *("--identity", RELEASE, "--identity-provider", provider, "hf://acme/model"),
        ]
        words[3] = str(keyless.config)
        assert person("reader").run(*words[1:]).code == 0
        again = self._push(person(), keyless, token)
        assert ("Nothing to do" in again.out, keyless.instance.entries, "for ever" in again.err) == (True, 1, False)

    def test_name_that_only_the_authority_knows(self, hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
        token = keyless.instance.token(organization_slug="acme", pipeline_slug="sign")
        done = self._push(person(), keyless, token)
        assert (done.code, f"calls you '{RELEASE}'" in done.err) == (0, True), done.err
        assert f"--identity {RELEASE} " in _card(hub)
        assert "buildkite" not in _card(hub)
        assert person("reader").run("pull", repo, *keyless.whom).code == 0
        assert "Nothing to do" in self._push(person(), keyless, token).out

    def test_dry_run_publishes_nothing(self, hub: Hub, repo: str, person: People, keyless: Keyless) -> None:
        before = hub.head(repo)
        done = self._push(person(), keyless, keyless.instance.token(), "--dry-run")
        assert (done.code, "README.md gets a badge" in done.err, hub.head(repo)) == (0, True, before)
        assert (keyless.instance.certificates, keyless.instance.entries) == ([], 0)


@pytest.mark.needs("reference")
def test_other_tool_verifies(hub: Hub, repo: str, person: People, acme: KeyPair, tmp_path: Path) -> None:
    verifying: Any = importlib.import_module("model_signing.verifying")
    assert _push(person(), acme).code == 0
    folder = _clone(hub, tmp_path / "clone")
    config = verifying.Config().use_elliptic_key_verifier(public_key=acme.public)
    config.verify(folder, folder / "model.sig")
    (folder / CARD_NAME).write_bytes(b"# A model\n")
    with pytest.raises(ValueError, match="README"):
        config.verify(folder, folder / "model.sig")


def test_skip_signer_has_no_badge() -> None:
    from hf_model_signing.methods.skip.signer import SkipSigner

    with pytest.raises(hms.UsageError, match="cannot say how its signatures are verified"):
        SkipSigner().introduce()
