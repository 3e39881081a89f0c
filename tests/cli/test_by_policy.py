"""`verify --policy` and `pull --policy`: the rule for the repository decides which signature is accepted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import make_manifest
from tests.conftest import Cli
from tests.helpers import COMMIT, FILES, KeyPair, Outcome, cache_snapshot, run_program
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.static import StaticHosts
from tests.user import User

People = Callable[..., Person]

TFHUB = "tfhub://acme/small/double/1"


def _policy(*rules: str, default: str = "refuse", name: str = "p.toml") -> str:
    """Write a policy to the current directory."""
    Path(name).write_text("\n".join([f'version = 1\ndefault = "{default}"', *rules]))
    return name


def _rule(repos: str, key: KeyPair, more: str = "") -> str:
    signer = f'{{ method = "key", public_key = {json.dumps(str(key.public))} }}'
    return f'[[trust]]\nrepos = ["{repos}"]\n{more}\nsigners = [{signer}]'


def _refused(outcome: Outcome, *sentences: str, code: int = 1) -> None:
    assert (outcome.code, outcome.out) == (code, ""), outcome.err
    for sentence in sentences:
        assert sentence in outcome.err


# verify: the Hugging Face Hub


@pytest.mark.parametrize(
    "words",
    [
        ["--policy", "p.toml", "--only", "*.json"],
        ["--policy=p.toml", "--only", "*.json"],
        ["--only", "*.json", "--policy", "p.toml"],
    ],
)
def test_verify_by_the_rule_of_the_repository(
    hub: Hub, signed: str, person: People, acme: KeyPair, stranger: KeyPair, words: list[str]
) -> None:
    user = person()
    policy = _policy(_rule("acme/*", acme), _rule("*/*", stranger))
    done = user.run("verify", *words, f"hf://{signed}")
    assert done.code == 0, done.err
    assert done.out == (
        f"Verified hf://{signed}: 1 of 5 files are what key P-256 {acme.hint} signed: "
        f"{user.snapshot(signed, hub.head(signed))}\n"
    )
    document = user.run("--json", "verify", "--policy", policy, f"hf://{signed}").document
    assert (document["method"], document["uri"]) == ("key", f"hf://{signed}")


def test_verify_after_the_reference(signed: str, person: People, acme: KeyPair) -> None:
    policy = _policy(_rule("acme/*", acme))
    assert person().run("verify", f"hf://{signed}", "--policy", policy).code == 0


def test_verify_by_the_first_rule_only(signed: str, person: People, acme: KeyPair, stranger: KeyPair) -> None:
    policy = _policy(_rule("acme/*", stranger), _rule("*/*", acme))
    _refused(
        person().run("verify", "--policy", policy, f"hf://{signed}"), "nobody whom the trust policy names signed it"
    )


@pytest.mark.parametrize("default", ["refuse", "warn", "allow"])
def test_what_no_rule_names_is_refused(signed: str, person: People, acme: KeyPair, default: str) -> None:
    policy, user = _policy(_rule("other/*", acme), default=default), person()
    for words in (["verify", "--policy", policy, f"hf://{signed}"], ["pull", signed, "--policy", policy]):
        _refused(
            user.run(*words),
            f"'hf://{signed}' is not trusted: no rule of the trust policy 'p.toml' names it; `hf-sign trust add`",
        )


def test_verify_by_a_digest(hub: Hub, signed: str, person: People, acme: KeyPair) -> None:
    user = person()
    digest = user.run("digest", f"hf://{signed}").out.strip()
    for found, code in ((digest, 0), (f"sha256:{'0' * 64}", 1)):
        policy = _policy(_rule("acme/*", acme, f'digest = "{found}"'))
        assert user.run("verify", "--policy", policy, f"hf://{signed}").code == code
        assert user.run("pull", signed, "--policy", policy).code == code


@pytest.mark.parametrize(("more", "code"), [("", 1), ("allow_rollback = true", 0)])
def test_going_back_as_the_rule_says(
    hub: Hub, signed: str, person: People, acme: KeyPair, more: str, code: int
) -> None:
    user, first = person(), hub.head(signed)
    policy = _policy(_rule("acme/*", acme, more))
    hub.commit(signed, {"config.json": b"{}"})
    assert person("signer").run("push", signed, "--private-key", acme.private).code == 0
    assert user.run("verify", "--policy", policy, f"hf://{signed}").code == 0
    hub.roll_back(signed, first)
    for words in (["verify", "--policy", policy, f"hf://{signed}"], ["pull", signed, "--policy", policy]):
        done = user.run(*words)
        assert done.code == code, done.err
        assert ("the hub went back" in done.err) == bool(code)


def test_model_of_another_name_is_refused(hub: Hub, person: People, acme: KeyPair, model: Path) -> None:
    """A signature without a repository could be of any model of the signer."""
    hms.sign(model.rename("other"), signer=acme.signer).write("model.sig")
    hub.create_repo("acme/model")
    hub.commit("acme/model", {**FILES, "model.sig": Path("model.sig").read_bytes()})
    user, policy = person(), _policy(_rule("acme/*", acme))
    assert user.run("pull", "acme/model", "--public-key", acme.public).code == 0
    for words in (["verify", "--policy", policy, "hf://acme/model"], ["pull", "acme/model", "--policy", policy]):
        _refused(user.run(*words), "does not say for which repository it was made, and its model is named 'other'")


# verify: other hubs


def test_verify_on_tensorflow_hub(
    published: str, user: User, pair: KeyPair, other_pair: KeyPair, hosts: StaticHosts
) -> None:
    policy = _policy(_rule("tfhub://acme/*", pair), _rule("tfhub://*", other_pair))
    done = user.cli("verify", "--policy", policy, "--signature", published, TFHUB)
    assert (done.code, done.err) == (0, "")
    _refused(
        user.cli("verify", "--policy", _policy(_rule("*/*", pair)), "--signature", published, TFHUB),
        f"'{TFHUB}' is not trusted: no rule of the trust policy 'p.toml' names it",
    )


def test_verify_an_address(hosts: StaticHosts, user: User, pair: KeyPair) -> None:
    reference = hosts.put("/m/a.onnx", b"model")
    user.sign(reference)
    policy = _policy(_rule(reference.replace("a.onnx", "*"), pair))
    assert user.cli("verify", "--signature", "s.sig", "--policy", policy, reference).code == 0


# verify: paths


@pytest.fixture
def snapshot(tmp_path: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a cached snapshot of `org/name` with a signature of `pair`, and the signature in the current directory."""
    monkeypatch.chdir(tmp_path)
    snapshot = cache_snapshot(tmp_path / "hub", FILES)
    hms.sign(snapshot, signer=pair.signer).write(tmp_path / "model.sig")
    return snapshot


def test_verify_a_snapshot(cli: Cli, snapshot: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    policy = _policy(_rule("org/*", pair), _rule("*/*", other_pair))
    done = cli("verify", "--policy", policy, snapshot)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Verified {snapshot}: 3 files are what key P-256 {pair.hint} signed\n"
    done = cli("--json", "verify", "--policy", policy, "--signature", "model.sig", "--only", "*.json", snapshot)
    assert done.document["files"] == ["config.json"]


def test_verify_a_snapshot_that_is_refused(cli: Cli, snapshot: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    _refused(cli("verify", "--policy", _policy(_rule("other/*", pair)), snapshot), "'hf://org/name' is not trusted")
    _refused(cli("verify", "--policy", _policy(_rule("org/*", other_pair)), snapshot), "signed with another key")
    shutil.copytree(snapshot, snapshot.parent / ("f" * 40), symlinks=True)
    (snapshot.parent / ("f" * 40) / "evil.py").touch()
    _refused(cli("verify", "--policy", _policy(_rule("org/*", pair)), snapshot.parent / ("f" * 40)), "added: evil.py")


def test_verify_a_snapshot_of_another_name(cli: Cli, snapshot: Path, pair: KeyPair, tmp_path: Path) -> None:
    other = cache_snapshot(tmp_path / "hub", FILES, repo="org/other")
    _refused(
        cli("verify", "--policy", _policy(_rule("org/*", pair)), other),
        "does not say for which repository it was made, and its model is named 'name', not 'other'",
    )


def test_verify_a_snapshot_pins_who_signed(cli: Cli, snapshot: Path, other_pair: KeyPair) -> None:
    policy = _policy('[[trust]]\nrepos = ["org/*"]\nsigners = [{ method = "tofu" }]')
    assert cli("verify", "--policy", policy, snapshot).code == 0
    assert "hf://org/name" in Path("trust.lock").read_text()
    hms.sign(snapshot, signer=other_pair.signer).write("model.sig")
    _refused(cli("verify", "--policy", policy, snapshot), "the signer of 'hf://org/name' changed")


def test_verify_another_path_is_wrong_usage(cli: Cli, snapshot: Path, pair: KeyPair, tmp_path: Path) -> None:
    """No path says whose model it is, and the signature must not choose who may have made it."""
    shutil.copytree(snapshot, tmp_path / "name")
    hms.sign(tmp_path / "name", signer=pair.signer).write(tmp_path / "name" / "model.sig")
    policy = _policy(_rule("*/*", pair))
    for path in ("name", "name/config.json", f"hub/models--org--name/blobs/{snapshot.name}"[: -len(COMMIT) - 1]):
        _refused(
            cli("verify", "--policy", policy, path),
            f"'{path}' is a path on this disk, and a trust policy has rules for repositories: give the reference of "
            "the repository, such as hf://ORG/NAME, name the directory in the `paths` of a rule, or say whose "
            f"signature to accept, as in `hf-sign verify key --public-key FILE {path}`",
            code=2,
        )
    Path("model.sig").unlink()
    Path("name", "model.sig").unlink()
    for path, sentence in (("name", "'name' is a path on this disk"), ("nothing", "'nothing'")):
        _refused(cli("verify", "--policy", policy, path), sentence, code=2)


def test_verify_by_policy_in_python(
    snapshot: Path, pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = _policy(_rule("org/*", pair))
    bundle = hms.Bundle.read("model.sig")
    assert hms.verify(snapshot, bundle, policy=policy).signer == pair.verifier.describe()
    assert hms.verify(snapshot, policy=hms.Policy.read(policy))  # with ./model.sig
    with pytest.raises(hms.UsageError, match="nothing"):
        hms.verify(tmp_path / "nothing", policy=policy)
    monkeypatch.chdir(snapshot)
    with pytest.raises(hms.MissingSignatureError):
        hms.verify(snapshot, policy=tmp_path / policy)


@pytest.mark.parametrize("asked", ["hf://org/precious", "hf://datasets/org/name", "hf://org/name@main", ""])
def test_python_refuses_another_repository_than_that_of_the_snapshot(
    tmp_path: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """The rule is that of the snapshot: a signature of a cheaper model of the same signer must not pass."""
    monkeypatch.chdir(tmp_path)
    snapshot = cache_snapshot(tmp_path / "hub", FILES)
    manifest = make_manifest(snapshot)
    bundle = pair.signer.sign(Statement(manifest, "hf://org/name", {}))
    policy = _policy(_rule("org/*", pair))
    assert hms.verify(snapshot, bundle, policy=policy, uri="hf://org/name")
    with pytest.raises(hms.UsageError, match="is a snapshot of 'hf://org/name', and uri= names"):
        hms.verify(snapshot, bundle, policy=policy, uri=asked)
    if asked:
        with pytest.raises(hms.VerificationError, match="for another repository"):
            hms.verify(snapshot, bundle, verifier=pair.verifier, uri=asked)


# pull


def test_pull_by_a_policy(hub: Hub, signed: str, person: People, acme: KeyPair, stranger: KeyPair) -> None:
    user = person()
    done = user.run("pull", signed, "--policy", _policy(_rule("acme/*", acme)))
    assert (done.code, done.out) == (0, f"{user.snapshot(signed, hub.head(signed))}\n")
    _refused(
        person("other").run("pull", "--policy", _policy(_rule("acme/*", stranger)), f"hf://{signed}"),
        "nobody whom the trust policy names signed it",
    )
    assert user.run("--json", "pull", signed, "--policy", _policy(_rule("acme/*", acme)), "--to", "here").code == 0
    assert Path("here", "config.json").is_file()


def test_pull_of_a_dataset_by_a_policy(hub: Hub, person: People, acme: KeyPair) -> None:
    hub.create_repo("acme/words", repo_type="dataset")
    hub.commit("acme/words", {"train.csv": b"a,b\n"}, repo_type="dataset")
    user = person()
    assert user.run("push", "acme/words", "--type", "dataset", "--private-key", acme.private).code == 0
    words = ["pull", "acme/words", "--type", "dataset", "--policy"]
    assert user.run(*words, _policy(_rule("datasets/acme/*", acme))).code == 0
    _refused(user.run(*words, _policy(_rule("acme/*", acme))), "'hf://datasets/acme/words' is not trusted")


# Usage


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["verify", "key", "--policy", "p.toml"], "the method 'key'"),
        (["verify", "key", "--public-key", "k", "--policy", "p.toml"], "the method 'key'"),
        (["verify", "sigstore", "--policy=p.toml"], "the method 'sigstore'"),
        (["verify", "pkcs11_key", "--policy=p.toml"], "the method 'pkcs11-key'"),
        (["verify", "--policy", "p.toml", "--public-key", "k"], "--public-key"),
        (["verify", "--policy", "p.toml", "--public_key=k"], "--public-key"),
        (["verify", "--identity", "a", "--policy", "p.toml"], "--identity"),
        (["verify", "--policy", "p.toml", "--offline"], "--offline"),
        (["verify", "--policy", "p.toml", "--certificate-chain", "r"], "--certificate-chain"),
        (["pull", "--policy", "p.toml", "--public-key", "k"], "--public-key"),
        (["pull", "--policy", "p.toml", "--method", "key"], "--method"),
        (["pull", "--policy", "p.toml", "--use-staging"], "--use-staging"),
        (["pull", "--policy", "p.toml", "--root-certs", "r"], "--root-certs"),
    ],
)
def test_policy_beside_a_signer_is_wrong_usage(cli: Cli, tmp_path: Path, pair: KeyPair, words: list[str], given: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    _policy(_rule("*/*", pair))
    done = cli(*words, "hf://acme/model")
    assert (done.code, done.out) == (2, "")
    assert f"--policy says whose signature to accept, and so does {given}: give only one of the two" in done.err


def test_variable_alone_switches_nothing(
    signed: str, person: People, acme: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_SIGN_POLICY", _policy(_rule("acme/*", acme)))
    user = person()
    for words in (["verify", f"hf://{signed}"], ["pull", signed]):
        done = user.run(*words)
        assert (done.code, "--identity" in done.err) == (2, True)
    monkeypatch.setenv("HF_SIGN_POLICY", _policy(name="nobody.toml"))
    assert user.run("pull", signed, "--public-key", acme.public).code == 0


@pytest.mark.parametrize("command", [["verify"], ["pull"]])
def test_invalid_policy(cli: Cli, tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text, sentence in (
        ("missing.toml", None, "cannot read the trust policy file 'missing.toml': No such file"),
        ("", None, "cannot read the trust policy file ''"),
        ("bad.toml", "version = 2", "the trust policy 'bad.toml' accepts nothing until it is mended"),
    ):
        if text:
            Path(name).write_text(text)
        _refused(cli(*command, "--policy", name, "hf://acme/model"), sentence, code=2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["verify", "--policy"], "Option '--policy' requires an argument"),
        (["verify", "--policy", "p.toml"], "Missing argument 'REFERENCE'"),
        (["verify", "--policy", "p.toml", "a", "b"], "Got unexpected extra argument"),
        (["verify", "--policy", "p.toml", "--nonsense", "a"], "No such option '--nonsense'"),
        (["verify", "--policy", "p.toml", "--signature", "nothing", "hf://a/b"], "'nothing'"),
    ],
)
def test_wrong_usage_beside_a_policy(
    cli: Cli, tmp_path: Path, words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _policy()
    done = cli(*words)
    assert (done.code, done.out, sentence in done.err) == (2, "", True), done.err


def test_model_that_is_named_as_the_option(
    cli: Cli, model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    hms.sign(model, signer=pair.signer).write("model.sig")
    model.rename("--policy")
    assert cli("verify", "key", "--public-key", pair.public, "--", "--policy").code == 0


def test_help_of_verify_names_the_option(cli: Cli) -> None:
    assert "--policy FILE" in cli("verify", "--help").out
    shown = cli("verify", "--policy", "FILE", "--help")
    assert (shown.code, "verify --policy FILE" in shown.out) == (0, True)


def test_verify_by_policy_as_process(snapshot: Path, pair: KeyPair) -> None:
    policy = _policy(_rule("org/*", pair))
    done = run_program("verify", "--policy", policy, snapshot, cwd=Path.cwd())
    assert (done.code, done.err) == (0, "")
    (snapshot / "config.json").unlink()
    done = run_program("verify", "--policy", policy, snapshot, cwd=Path.cwd())
    assert (done.code, done.out) == (1, "")


def test_copy_of_the_trust_root_is_named(
    hub: Hub, person: People, oms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy does not fall back in silence either when Sigstore is unavailable."""
    closed = tmp_path / "closed"
    closed.touch()
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(closed))
    model = oms / "history" / "v0.3.1-sigstore"
    files = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    hub.create_repo("acme/model")
    hub.commit("acme/model", files)
    who = 'identity = "stefanb@us.ibm.com", identity_provider = "https://sigstore.verify.ibm.com/oauth2"'
    policy = _policy(f'[[trust]]\nrepos = ["acme/*"]\nsigners = [{{ method = "sigstore", {who} }}]')
    user = person()
    user.extra.update(XDG_CACHE_HOME=str(closed))
    for words in (["verify", "--policy", policy, "hf://acme/model"], ["pull", "acme/model", "--policy", policy]):
        done = user.run(*words)
        assert "the copy that sigstore ships is used" in done.err
        assert "WARNING" not in done.err


class TestPaths:
    """Models in plain directories, which a rule names by their paths."""

    @pytest.fixture
    def model(self, snapshot: Path, pair: KeyPair) -> Path:
        folder = Path("models", "bert").absolute()
        shutil.copytree(snapshot, folder)
        hms.sign(folder, signer=pair.signer).write(folder / "model.sig")
        return folder

    def _policy(self, keys: KeyPair, paths: str = "models/*", more: str = "") -> str:
        return _policy(
            f'[[trust]]\npaths = ["{paths}"]\n{more}\nsigners = [{{ method = "key", public_key = "{keys.public}" }}]'
        )

    def test_verified(self, cli: Cli, model: Path, pair: KeyPair) -> None:
        policy = self._policy(pair)
        Path("link").symlink_to(model)
        for path in (str(model), f"{model}/", "models/bert", "models/../models/bert", "link"):
            assert cli("verify", "--policy", policy, path).code == 0
        assert hms.verify(model, policy=policy).path == str(model)

    def test_changed(self, cli: Cli, model: Path, pair: KeyPair) -> None:
        (model / "config.json").write_text("changed")
        _refused(cli("verify", "--policy", self._policy(pair), model), "is not what was signed: 1 changed")

    def test_signer_of_another_rule(self, cli: Cli, model: Path, other_pair: KeyPair) -> None:
        _refused(cli("verify", "--policy", self._policy(other_pair), model), "nobody whom the trust policy names")

    def test_without_signature(self, cli: Cli, model: Path, pair: KeyPair) -> None:
        (model / "model.sig").unlink()
        _refused(cli("verify", "--policy", self._policy(pair), model), "model.sig")

    def test_signature_of_the_rule(self, cli: Cli, model: Path, pair: KeyPair) -> None:
        (model / "model.sig").rename("bert.sig")
        policy = self._policy(pair, more=f'signature = "{Path("bert.sig").absolute()}"')
        assert cli("verify", "--policy", policy, model).code == 0

    def test_part_of_a_model(self, cli: Cli, model: Path, pair: KeyPair) -> None:
        done = cli("verify", "--policy", self._policy(pair), model / "config.json")
        _refused(done, f"'{model}/config.json' is in the model '{model}'", code=2)

    def test_repositories_of_the_rule(self, cli: Cli, model: Path, pair: KeyPair) -> None:
        statement = hms.Statement(make_manifest(model), "hf://org/gpt", {})
        pair.signer.sign(statement).write(model / "model.sig")
        assert cli("verify", "--policy", self._policy(pair, more='repos = ["org/*"]'), model).code == 0
        refused = cli("verify", "--policy", self._policy(pair, more='repos = ["org/name"]'), model)
        _refused(refused, "it was made for 'hf://org/gpt'")
