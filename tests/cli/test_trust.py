"""`hf-sign trust`: shows and edits a policy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.certificates import make_authority
from tests.conftest import Cli
from tests.helpers import KeyPair, loaded_modules, run_program
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: KeyPair, other_pair: KeyPair) -> None:
    """Make two public keys, a private one and a root certificate in the current directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(pair.public, "acme.pub")
    shutil.copy(pair.private, "acme.pem")
    shutil.copy(other_pair.public, "other.pub")
    Path("root.pem").write_bytes(make_authority("Acme").pem)


def _add(cli: Cli, *arguments: str, err: str = "") -> str:
    done = cli("trust", "add", *arguments)
    assert (done.code, done.err) == (0, err)
    return done.out


def _text() -> str:
    return Path("trust.toml").read_text()


# add


def test_add(cli: Cli, pair: KeyPair) -> None:
    told = _add(cli, "acme/*", "hf://datasets/acme/*", "--public-key", "acme.pub")
    who = f"key P-256 {pair.hint} (acme.pub)"
    assert told == (f"Added to trust.toml, as its rule 1: acme/*, hf://datasets/acme/* must be signed by {who}\n")
    assert _text() == (
        'version = 1\ndefault = "refuse"\n\n[[trust]]\nrepos = ["acme/*", "hf://datasets/acme/*"]\nsigners = [\n'
        '  { method = "key", public_key = "acme.pub" },\n]\n'
    )


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["--public_key", "acme.pub"], '{ method = "key", public_key = "acme.pub" }'),
        (["--root-certs", "root.pem", "--cert-chain", "root.pem", "--cert-identity", "a@b"],
         '{ method = "certificate", root_certs = ["root.pem", "root.pem"], cert_identity = "a@b" }'),
        (["--root-certs", "root.pem", "--tsa-certs", "root.pem"],
         '{ method = "certificate", root_certs = ["root.pem"], tsa_certs = ["root.pem"] }'),
        (["--identity", "a@b", "--identity-provider", "https://x"],
         '{ method = "sigstore", identity = "a@b", identity_provider = "https://x" }'),
        (["--identity-pattern", "*", "--identity-provider", "https://x", "--use-staging"],
         '{ method = "sigstore", identity_pattern = "*", identity_provider = "https://x", use_staging = true }'),
        (["--tofu"], '{ method = "tofu" }'),
        (["--method", "tofu", "--tofu", "--use-staging"], '{ method = "tofu", use_staging = true }'),
    ],
)  # fmt: skip
def test_add_by_each_method(cli: Cli, options: list[str], written: str) -> None:
    _add(cli, "acme/*", *options)
    assert f"signers = [\n  {written},\n]" in _text()
    assert cli("trust", "check").code == 0


def test_add_to_the_rule_that_is_there(cli: Cli, pair: KeyPair, other_pair: KeyPair) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    told = _add(cli, "acme/*", "--public-key", "other.pub", "--digest", DIGEST, "--allow-rollback")
    key = f"key P-256 {other_pair.hint} (other.pub)"
    assert told == (
        f"Rule 1 of trust.toml (acme/*) now accepts {key} as well and has digest = {DIGEST} and has "
        "allow_rollback = true\n"
    )
    before = _text()
    told = _add(cli, "hf://acme/*", "--public-key", "acme.pub", "--allow-rollback")
    assert told == f"Nothing to do: rule 1 of trust.toml (acme/*) accepts key P-256 {pair.hint} (acme.pub) already\n"
    assert _text() == before
    assert "now has digest = " in _add(cli, "acme/*", "--public-key", "acme.pub", "--digest", DIGEST.replace("0", "1"))


def test_add_before_the_rule_that_would_decide(cli: Cli) -> None:
    _add(cli, "*/*", "--tofu")
    told = _add(cli, "acme/*", "--public-key", "acme.pub")
    assert "as its rule 1, before rule 2 (*/*), which would have decided: acme/* must be" in told
    assert cli("trust", "check", "acme/bert").out.startswith("hf://acme/bert: rule 1 (acme/*) decides")
    assert cli("trust", "check").err == ""


def test_add_tells_what_never_decides(cli: Cli) -> None:
    _add(cli, "acme/*", "other/*", "--public-key", "acme.pub")
    note = (
        "hf-sign: note: rule 2 can never decide in part: rule 1 stands before it and has the pattern 'acme/*', too; "
        "take it out of one of them\n"
    )
    _add(cli, "acme/*", "--public-key", "other.pub", err=note)
    Path("trust.toml").write_text(re.sub(r'"other/\*"', '"*/*"', _text()))
    Path("trust.toml").write_text(
        'version = 1\n[[trust]]\nrepos = ["*/*"]\nsigners = [{ method = "tofu" }]\n'
        '[[trust]]\nrepos = ["acme/*"]\nsigners = [{ method = "tofu" }]\n'
    )
    done = cli("trust", "add", "acme/*", "--public-key", "acme.pub")
    assert (
        "rule 2 can never decide: rule 1 stands before it, and its pattern '*/*' names all that 'acme/*' names"
        in done.err
    )


def test_add_as_json(cli: Cli, pair: KeyPair) -> None:
    added = cli("--json", "trust", "add", "acme/*", "--public-key", "acme.pub").document
    assert added == {
        "policy": "trust.toml",
        "changed": True,
        "new_file": True,
        "rule": 1,
        "repos": ["acme/*"],
        "paths": [],
        "signature": None,
        "signers": [
            {
                "method": "key",
                "public_key": "acme.pub",
                "signer": f"key P-256 {pair.hint} (acme.pub)",
                "error": None,
            }
        ],
        "digest": None,
        "allow_rollback": False,
        "unsigned": False,
    }
    again = cli("--json", "trust", "add", "acme/*", "--public-key", "acme.pub").document
    assert (again["changed"], again["new_file"]) == (False, False)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "say whose signature to accept: give --identity with --identity-provider or --public-key or --root-certs "
         "or --tofu"),
        (["--public-key", "acme.pub", "--tofu"], "--public-key and --tofu do not go together"),
        (["--public-key", "acme.pem"], "'acme.pem' holds a private key where a public key belongs"),
        (["--public-key", "nothing"], "cannot read the key file 'nothing': No such file"),
        (["--public-key", ""], "cannot read the key file ''"),
        (["--root-certs", "acme.pub"], "'acme.pub'"),
        (["--root-certs", "root.pem", "--cert-identity", ""], "the identity to expect is empty"),
        (["--identity-provider", "https://x"], "identity"),
        (["--tofu", "--trust-config", "nothing"], "cannot read the trust config file 'nothing'"),
        (["--offline", "--identity", "a", "--identity-provider", "https://x"], "No such option '--offline'"),
        (["--public-key", "acme.pub", "--digest", "abc"], "--digest 'abc' is not sha256: and 64 hex digits"),
        (["--public-key", "acme.pub", "--policy", ""], "--policy names no file"),
        (["--public-key", "acme.pub", "--policy", "no/trust.toml"], "no', in which the trust policy would be"),
    ],
)  # fmt: skip
def test_add_that_cannot_be_writes_nothing(cli: Cli, options: list[str], sentence: str) -> None:
    done = cli("trust", "add", "acme/*", *options)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err
    assert not Path("trust.toml").exists()


@pytest.mark.parametrize(
    ("typed", "pattern"),
    [
        ("https://huggingface.co/acme/bert", "hf://acme/bert"),
        ("https://huggingface.co/datasets/acme/words", "hf://datasets/acme/words"),
        ("https://models.example/a.onnx", "https://models.example/a.onnx"),
        ("https://models.example/a", "https://models.example/a"),
        ("https://models.example/*", "https://models.example/*"),
    ],
)
def test_add_by_the_address_of_a_page(cli: Cli, typed: str, pattern: str) -> None:
    _add(cli, typed, "--public-key", "acme.pub")
    assert f'repos = ["{pattern}"]' in _text()


def test_add_of_a_revision_is_refused(cli: Cli) -> None:
    for text in ("https://huggingface.co/acme/bert/tree/main", "acme/bert@main"):
        done = cli("trust", "add", text, "--public-key", "acme.pub")
        assert (done.code, "with a revision; rules are for whole repositories" in done.err) == (2, True)


# Choice of the policy


def test_policy_that_is_meant(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_POLICY", "named.toml")
    _add(cli, "acme/*", "--public-key", "acme.pub")
    _add(cli, "acme/*", "--public-key", "other.pub", "--policy", "given.toml")
    monkeypatch.setenv("HF_SIGN_POLICY", "")
    _add(cli, "acme/*", "--tofu")
    for name, method in (("named", "acme.pub"), ("given", "other.pub"), ("trust", "tofu")):
        assert method in Path(f"{name}.toml").read_text()


@pytest.mark.parametrize("command", [["list"], ["check"], ["check", "acme/x"], ["remove", "acme/x"]])
def test_policy_that_is_not_there(cli: Cli, command: list[str]) -> None:
    done = cli("trust", *command)
    assert (done.code, done.out) == (2, "")
    assert "there is no trust policy 'trust.toml': name one with --policy or HF_SIGN_POLICY, or make it" in done.err


@pytest.mark.parametrize(
    "command", [["list"], ["check"], ["remove", "acme/x"], ["add", "acme/x", "--public-key", "acme.pub"]]
)
def test_policy_with_an_error(cli: Cli, command: list[str]) -> None:
    text = 'version = 1\n[[trust]]\nrepos = ["acme/x"]\n'
    Path("trust.toml").write_text(text)
    done = cli("trust", *command)
    assert (done.code, done.out) == (2, "")
    assert "trust[1].signers must be a list that names at least one signer" in done.err
    assert _text() == text


# remove


def test_remove(cli: Cli) -> None:
    _add(cli, "acme/*", "other/*", "--public-key", "acme.pub")
    _add(cli, "*/*", "--tofu")
    done = cli("trust", "remove", "acme/*")
    assert (done.code, done.out) == (0, "Changed trust.toml: rule 1 (acme/*, other/*) has the pattern no more\n")
    assert done.err == "hf-sign: note: 'acme/*' is decided by rule 2 (*/*)\n"
    done = cli("--json", "trust", "remove", "other/*")
    assert (done.document["gone"], done.document["changed"]) == ([1], [])
    assert [rule["repos"] for rule in done.document["rules"]] == [["*/*"]]


def test_remove_tells_what_the_default_lets_through(cli: Cli) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    Path("trust.toml").write_text(_text().replace('"refuse"', '"allow"'))
    done = cli("trust", "remove", "acme/*")
    assert "no rule names 'acme/*' now, and by the default it is let through without a signature" in done.err


def test_remove_one_signer(cli: Cli) -> None:
    for name in ("acme.pub", "other.pub"):
        _add(cli, "acme/*", "--public-key", name)
    Path("acme.pub").unlink()
    done = cli("trust", "remove", "acme/*", "--public-key", "acme.pub")
    assert (done.out, done.err) == ("Changed trust.toml: rule 1 (acme/*) accepts that signer no more\n", "")
    assert "acme.pub" not in _text()
    assert cli("trust", "remove", "acme/*", "--public-key", "other.pub").out.endswith("rule 1 (acme/*) is gone\n")
    assert "[[trust]]" not in _text()


@pytest.mark.parametrize("arguments", [["new/x"], ["acme/*", "--public-key", "other.pub"]])
def test_remove_what_is_not_there(cli: Cli, arguments: list[str]) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    before = _text()
    done = cli("trust", "remove", *arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("hf-sign: refused: no rule ")
    assert _text() == before


# list


def test_list(cli: Cli, pair: KeyPair) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub", "--digest", DIGEST, "--allow-rollback")
    _add(cli, "acme/*", "--identity", "a@b", "--identity-provider", "https://x")
    _add(cli, "acme/*", "--root-certs", "root.pem", "--cert-identity", "a@b")
    _add(cli, "*/*", "--tofu")
    _add(cli, "*/*", "--public-key", "other.pub")
    Path("other.pub").unlink()
    lines = cli("trust", "list").out.splitlines()
    assert lines[:4] == [
        "trust.toml: 2 rules; what none of them names is refused",
        "1. acme/*",
        f"   signed by key P-256 {pair.hint} (acme.pub)",
        "   or 'a@b' (issuer 'https://x')",
    ]
    assert re.fullmatch(r"   or 'a@b' below the root certificate .* \(root\.pem\)", lines[4])
    assert lines[5:] == [
        f"   only with the root digest {DIGEST}",
        "   also what is older than what was verified here before",
        "2. */*",
        "   signed by a signer by the method 'key' that cannot be used (other.pub): cannot read the key file "
        f"'{Path.cwd()}/other.pub': No such file or directory",
        "   or whoever signed it when it was first used here, as trust.lock says",
    ]


def test_list_as_json(cli: Cli, pair: KeyPair) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    assert cli("trust", "list", "--json").document == {
        "policy": "trust.toml",
        "default": "refuse",
        "always_hash": False,
        "shared_cache": "copy",
        "rules": [
            {
                "rule": 1,
                "repos": ["acme/*"],
                "paths": [],
                "signature": None,
                "signers": [
                    {
                        "method": "key",
                        "public_key": "acme.pub",
                        "signer": f"key P-256 {pair.hint} (acme.pub)",
                        "error": None,
                    }
                ],
                "digest": None,
                "allow_rollback": False,
                "unsigned": False,
            }
        ],
    }


def test_list_is_safe_on_a_terminal(cli: Cli) -> None:
    Path("trust.toml").write_text(
        'version = 1\n[[trust]]\nrepos = ["a/\\u001b[2J"]\nsigners = [{ method = "key", public_key = "\\u001b[2J" }]\n'
    )
    for command in (["list"], ["check"], ["add", "a/\x1b[2J", "--public-key", "acme.pub"], ["remove", "b/c"]):
        done = cli("trust", *command)
        assert "\x1b" not in done.out + done.err
        assert "[2J" in done.out + done.err


# check


def test_check(cli: Cli) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    _add(cli, "acme/*", "--root-certs", "root.pem")
    done = cli("trust", "check")
    assert (done.code, done.out, done.err) == (0, "trust.toml: 1 rule, 2 files; there is no error in it\n", "")
    document = cli("--json", "trust", "check").document
    assert document == {
        "policy": "trust.toml",
        "default": "refuse",
        "shared_cache": "copy",
        "rules": 1,
        "files": sorted(f"{Path.cwd()}/{name}" for name in ("acme.pub", "root.pem")),
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("value", "line", "warnings"),
    [
        ("copy", "", 0),
        ("refuse", "\n   files that others can write are refused", 0),
        ("trust", "can write are used", 1),
    ],
)
def test_files_that_others_can_write(cli: Cli, value: str, line: str, warnings: int) -> None:
    Path("trust.toml").write_text(f'version = 1\nshared_cache = "{value}" # of the group\n')
    _add(cli, "acme/*", "--public-key", "acme.pub")
    assert f'shared_cache = "{value}" # of the group\n' in Path("trust.toml").read_text()
    assert cli("--json", "trust", "list").document["shared_cache"] == value
    assert line in cli("trust", "list").out
    assert len(cli("--json", "trust", "check").document["warnings"]) == warnings


def test_check_reads_every_file(cli: Cli) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    _add(cli, "other/*", "--identity", "a", "--identity-provider", "https://x")
    _add(cli, "other/*", "--root-certs", "root.pem")
    Path("acme.pub").write_text("junk")
    Path("root.pem").unlink()
    done = cli("trust", "check")
    assert (done.code, done.out) == (2, "")
    assert "the trust policy 'trust.toml' names what cannot be used:\n  trust[1].signers[1]: '" in done.err
    assert "\n  trust[2].signers[2]: cannot read the certificate file '" in done.err


def test_check_reads_who_was_pinned(cli: Cli) -> None:
    _add(cli, "*/*", "--tofu")
    Path("trust.lock").write_text("junk")
    done = cli("trust", "check")
    assert (done.code, "trust.lock', which says" in done.err) == (2, True)


def test_check_warns_of_rules_that_never_decide(cli: Cli) -> None:
    rule = '[[trust]]\nrepos = ["{}"]\nsigners = [{{ method = "key", public_key = "acme.pub" }}]\n'
    patterns = ("acme/*", "acme/*", "*/*", "other/x", "tfhub://x/*")
    Path("trust.toml").write_text("version = 1\n" + "".join(map(rule.format, patterns)))
    done = cli("trust", "check")
    assert done.code == 0
    assert done.err == (
        "hf-sign: note: rule 2 can never decide: rule 1 stands before it and has the pattern 'acme/*', too; take it "
        "out of one of them\n"
        "hf-sign: note: rule 4 can never decide: rule 3 stands before it, and its pattern '*/*' names all that "
        "'other/x' names; put the narrower rule first\n"
    )
    assert len(cli("--json", "trust", "check").document["warnings"]) == 2


def test_check_of_references(cli: Cli, pair: KeyPair) -> None:
    _add(cli, "acme/*", "tfhub://acme/*", "--public-key", "acme.pub", "--digest", DIGEST, "--allow-rollback")
    who = f"key P-256 {pair.hint} (acme.pub), and have the root digest {DIGEST}, and may be older than what was"
    decides = f"rule 1 (acme/*, tfhub://acme/*) decides: it must be signed by {who} verified here before\n"
    done = cli(
        "trust", "check", "acme/bert", "hf://acme/bert@v1", "https://huggingface.co/acme/bert", "tfhub://acme/a/b/1"
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == f"hf://acme/bert: {decides}" * 3 + f"tfhub://acme/a/b/1: {decides}"
    done = cli("trust", "check", "acme/bert", "datasets/acme/words")
    assert done.code == 1
    assert done.out.endswith('hf://datasets/acme/words: refused, for no rule names it, and the default is "refuse"\n')


@pytest.mark.parametrize(
    ("default", "code", "told"),
    [
        ("refuse", 1, "refused, for no rule"),
        ("warn", 0, "let through with a warning, without a signature, for no rule"),
        ("allow", 0, "let through without a signature, for no rule"),
    ],
)
def test_check_tells_what_the_default_does(cli: Cli, default: str, code: int, told: str) -> None:
    Path("trust.toml").write_text(f'version = 1\ndefault = "{default}"\n')
    done = cli("trust", "check", "acme/bert")
    assert (done.code, told in done.out) == (code, True)
    done = cli("--json", "trust", "check", "acme/bert")
    assert (done.code, done.document["references"][0]["decision"]) == (code, default)


def test_check_of_a_reference_as_json(cli: Cli) -> None:
    _add(cli, "acme/*", "--tofu")
    document = cli("--json", "trust", "check", "acme/bert").document
    (found,) = document["references"]
    assert (found["decision"], found["rule"], found["repos"]) == ("rule", 1, ["acme/*"])
    assert found["signers"][0]["signer"] == "whoever signed it when it was first used here, as trust.lock says"


def test_check_shows_no_secret_of_an_address(cli: Cli) -> None:
    _add(cli, "https://models.example/*", "--tofu")
    for words in (["--json", "trust", "check"], ["trust", "check"]):
        done = cli(*words, "https://user:word@models.example/a.onnx?token=hidden")
        assert done.code == 0
        assert not any(secret in done.out + done.err for secret in ("hidden", "word"))


def test_check_of_a_rule_whose_files_cannot_be_used(cli: Cli) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    _add(cli, "other/*", "--public-key", "other.pub")
    Path("acme.pub").unlink()
    assert cli("trust", "check", "acme/bert").code == 2
    assert cli("trust", "check", "other/x").code == 0


def test_check_of_a_malformed_reference(cli: Cli) -> None:
    _add(cli, "acme/*", "--public-key", "acme.pub")
    for text in ("./model", "/model", "~/model", "a/b/c", "nohub://x"):
        assert cli("trust", "check", text).code == 2


def test_check_makes_no_request(hub: Hub, person: object, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    _add(cli, "acme/*", "--public-key", "acme.pub")
    _add(cli, "other/*", "--identity", "a", "--identity-provider", "https://x")
    assert cli("trust", "check", "acme/bert", f"{hub.url}/other/x").code == 0
    assert cli("trust", "check").code == 0
    assert hub.requests == []


def test_check_tells_who_was_pinned(hub: Hub, signed: str, person: object, acme: KeyPair, cli: Cli) -> None:
    user: Person = person()  # type: ignore[operator]
    _add(cli, "*/*", "--tofu")
    assert user.run("pull", signed, "--policy", "trust.toml").code == 0
    told = cli("trust", "check", signed).out
    assert f"must be signed by key P-256 {acme.hint}, pinned on first use\n" in told


# The program


def test_trust_as_process(pair: KeyPair) -> None:
    done = run_program("trust", "add", "acme/*", "--public-key", "acme.pub", cwd=Path.cwd())
    assert (done.code, done.err) == (0, "")
    done = run_program("trust", "check", "other/x", cwd=Path.cwd())
    assert (done.code, done.err) == (1, "")


def test_version_loads_no_editor() -> None:
    code = "import sys; from hf_model_signing.cli.main import run; run(['--version'])"
    assert not loaded_modules(code, ["tomlkit"])


def test_no_command_is_help(cli: Cli) -> None:
    done = cli("trust")
    assert done.code == 2
    assert all(f"  {name} " in done.err for name in ("add", "remove", "list", "check"))


class TestPaths:
    """Rules for models in plain directories."""

    @pytest.fixture
    def models(self, cli: Cli, pair: KeyPair) -> Path:
        models = Path("models").absolute()
        for name in ("bert", "gpt"):
            (models / name).mkdir(parents=True)
        done = cli("trust", "add", "--path", "models/*", "--public-key", "acme.pub")
        told = f"Added to trust.toml, as its rule 1: {models}/* must be signed by key P-256 {pair.hint} (acme.pub)\n"
        assert done.out == told
        return models

    def test_list(self, cli: Cli, models: Path) -> None:
        assert f"1. {models}/*\n" in cli("trust", "list").out
        (rule,) = cli("trust", "list", "--json").document["rules"]
        assert (rule["repos"], rule["paths"], rule["signature"]) == ([], [f"{models}/*"], None)

    def test_add_to_a_rule(self, cli: Cli, models: Path) -> None:
        assert "Nothing to do" in cli("trust", "add", "--path", "models/*/", "--public-key", "acme.pub").out
        assert "now has digest" in _add(cli, "--path", "models/*", "--public-key", "acme.pub", "--digest", DIGEST)

    def test_narrower_rule_comes_first(self, cli: Cli, models: Path) -> None:
        assert "before rule 2" in _add(cli, "--path", "models/bert", "acme/bert", "--public-key", "acme.pub")
        assert cli("trust", "check", "./models/bert").out.startswith(
            f"{models}/bert: rule 1 (acme/bert, {models}/bert)"
        )
        assert cli("trust", "check", f"{models}/gpt").out.startswith(f"{models}/gpt: rule 2 ({models}/*) decides")

    def test_dead_rule(self, cli: Cli, models: Path) -> None:
        with Path("trust.toml").open("a") as file:
            file.write('[[trust]]\npaths = ["models/bert"]\nsigners = [{ method = "key", public_key = "acme.pub" }]\n')
        assert "rule 2 can never decide" in cli("trust", "check").err

    def test_check_of_a_path_that_no_rule_names(self, cli: Cli, models: Path) -> None:
        done = cli("trust", "check", ".")
        assert (done.code, "no rule of 'trust.toml' has it in its `paths`" in done.err) == (2, True)

    def test_remove(self, cli: Cli, models: Path) -> None:
        _add(cli, "--path", "models/bert", "acme/bert", "--public-key", "acme.pub")
        assert "has the pattern no more" in cli("trust", "remove", "--path", "models/bert").out
        assert "paths" not in Path("trust.toml").read_text().partition("[[trust]]")[2].partition("[[trust]]")[0]
        assert "is gone" in cli("trust", "remove", "--path", "models/*").out
        assert cli("trust", "remove", "--path", "models/*").code == 1

    def test_nothing_is_named(self, cli: Cli) -> None:
        done = cli("trust", "add", "--public-key", "acme.pub")
        assert (done.code, "name what the rule is for" in done.err) == (2, True)
