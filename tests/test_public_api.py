"""The Python API as a user writes it, against local servers: every reference, both kinds of trust, and the errors."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from tests.helpers import FILES, KeyPair, cache_snapshot, names_below, write_tree
from tests.hub_adapters.archives.zips import plain_zip
from tests.real_models import tarball
from tests.servers.hub import Hub
from tests.servers.static import StaticHosts
from tests.user import small_folder

TFHUB = "tfhub://acme/small/double/1"
TORCHHUB = "torchhub://acme/vision:v1"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def _at_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_write", "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def policy(acme: KeyPair, tmp_path: Path) -> Path:
    repos = '["acme/*", "datasets/acme/*", "tfhub://acme/*"]'
    signer = f'{{ method = "key", public_key = "{acme.public}" }}'
    path = tmp_path / "trust.toml"
    path.write_text(f"version = 1\n[[trust]]\nrepos = {repos}\nsigners = [{signer}]\n")
    return path


@pytest.fixture
def served(hosts: StaticHosts, tmp_path: Path) -> dict[str, str]:
    """A reference on each hub that serves whole models."""
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    hosts.github("acme/vision", "v1", plain_zip({"vision-1/hubconf.py": b"1"}, comment=b"a" * 40))
    return {"tfhub": TFHUB, "torchhub": TORCHHUB, "https": hosts.put("/m/a.onnx", b"model")}


# Sign, verify and digest


@pytest.mark.parametrize("kind", [str, Path])
def test_path(model: Path, acme: KeyPair, kind: Callable[[Path], Any]) -> None:
    hms.sign(kind(model), signer=acme.signer).write("model.sig")
    verification = hms.verify(kind(model), "model.sig", verifier=acme.verifier)
    assert verification.files == tuple(sorted(FILES))
    assert (verification.path, verification.signer) == (str(model), acme.verifier.describe())
    assert hms.digest(kind(model)) == f"sha256:{verification.statement.manifest.root_digest}"


def test_signature_in_the_current_directory_is_the_default(model: Path, acme: KeyPair, stranger: KeyPair) -> None:
    hms.sign(model, signer=acme.signer).write("model.sig")
    assert hms.verify(model, verifier=acme.verifier).method == "key"
    hms.sign(model, signer=stranger.signer).write(model / "model.sig")
    with pytest.raises(hms.VerificationError, match="was signed with another key"):
        hms.verify(model, verifier=acme.verifier)  # the one in the model comes first


@pytest.mark.parametrize("hub_name", ["tfhub", "torchhub", "https"])
def test_model_that_a_hub_serves_as_a_whole(served: dict[str, str], acme: KeyPair, hub_name: str) -> None:
    reference = served[hub_name]
    hms.sign(reference, signer=acme.signer).write("s.sig")
    verification = hms.verify(reference, "s.sig", verifier=acme.verifier)
    assert verification.statement.uri
    assert Path(verification.path).exists()
    assert hms.digest(reference) == verification.to_dict()["digest"]
    assert hms.fetch(reference, verifier=acme.verifier, signature="s.sig") == verification.path


def test_files_beside_an_onnx(hosts: StaticHosts, acme: KeyPair) -> None:
    reference = hosts.put("/m/b.onnx", b"model")
    hosts.put("/m/b.data", b"data")
    hms.sign(reference, signer=acme.signer, beside="b.data").write("s.sig")
    assert set(hms.verify(reference, "s.sig", verifier=acme.verifier).files) == {"b.onnx", "b.data"}
    with pytest.raises(hms.UsageError, match="names files beside a web address"):
        hms.sign("model", signer=acme.signer, beside=["b.data"])


@pytest.mark.usefixtures("_at_hub")
def test_repository_on_the_hub(repo: str, acme: KeyPair, hub: Hub) -> None:
    bundle = hms.sign(f"hf://{repo}", signer=acme.signer)
    verification = hms.verify(f"hf://{repo}@main", bundle, verifier=acme.verifier)
    assert verification.statement.uri == f"hf://{repo}"
    assert verification.statement.annotations["revision"] == hub.head(repo)
    with pytest.raises(hms.UsageError, match="names its repository itself"):
        hms.verify(f"hf://{repo}", bundle, verifier=acme.verifier, uri="hf://acme/other")


def test_snapshot_in_the_cache_by_a_policy(tmp_path: Path, acme: KeyPair, policy: Path) -> None:
    snapshot = cache_snapshot(tmp_path / "hub", FILES, "acme/bert")
    bundle = hms.sign(snapshot, signer=acme.signer)
    for given in (policy, str(policy), hms.Policy.read(policy)):
        assert hms.verify(snapshot, bundle, policy=given).signer == acme.verifier.describe()
    with pytest.raises(hms.UsageError, match="a trust policy has rules for repositories"):
        hms.verify(write_tree(tmp_path / "plain", FILES), bundle, policy=policy)


def test_repository_that_no_rule_names(served: dict[str, str], policy: Path) -> None:
    with pytest.raises(hms.VerificationError, match="no rule of the trust policy"):
        hms.verify(served["torchhub"], "s.sig", policy=policy)


# Push and pull


@pytest.mark.usefixtures("_at_hub")
def test_push_and_pull(repo: str, acme: KeyPair, hub: Hub, policy: Path, tmp_path: Path) -> None:
    pushed = hms.push(repo, signer=acme.signer, commit_message="Signed", remote=True)
    assert (pushed.status, pushed.to_dict()["uri"]) == ("signed", f"hf://{repo}")
    assert hms.push(f"hf://{repo}", signer=acme.signer, remote=True, repo_type="model").status == "unchanged"
    pulled = hms.pull(repo, policy=policy)
    assert pulled.revision == hub.head(repo)
    assert (Path(pulled.path) / "config.json").read_bytes() == hub.read(repo, "config.json")
    part = hms.pull(repo, verifier=acme.verifier, local_dir=tmp_path / "out", allow_patterns="*.json", token="hf_read")
    assert part.verification.files == ("config.json",)
    assert names_below(tmp_path / "out") >= {"config.json", "model.sig"}
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.usefixtures("_at_hub")
def test_push_as_a_pull_request_and_a_dry_run(repo: str, acme: KeyPair, hub: Hub) -> None:
    head = hub.head(repo)
    assert hms.push(repo, signer=acme.signer, dry_run=True).status == "dry-run"
    pushed = hms.push(repo, signer=acme.signer, create_pr=True, revision="main")
    assert pushed.commit
    assert pushed.commit.pull_request
    assert hub.head(repo) == head


@pytest.mark.usefixtures("_at_hub")
def test_push_says_what_the_command_prints(repo: str, acme: KeyPair) -> None:
    pushed = hms.push(repo, signer=acme.signer, badge=True, dry_run=True)
    values = pushed.to_dict()
    assert (pushed.signer, values["signer"], values["badge"]) == (acme.signer.describe(), pushed.signer, True)
    assert json.loads(json.dumps(values)) == values
    assert f"signer='{pushed.signer}'"[:60] in repr(pushed)


@pytest.mark.usefixtures("_at_hub")
def test_earlier_download_is_not_used_in_silence(signed: str, acme: KeyPair, hub: Hub) -> None:
    first = hms.pull(signed, verifier=acme.verifier)
    assert os.fspath(first) == first.path
    assert "from_cache" not in repr(first) + first._repr_html_()
    hub.fail("ANY", ".*", 500)
    with pytest.warns(hms.HubWarning, match="using the copy in"):
        pulled = hms.pull(signed, verifier=acme.verifier)
    assert repr(pulled).endswith("from_cache=True)")
    assert pulled.to_dict()["from_cache"]
    with pytest.warns(hms.HubWarning, match="using the copy in"):
        verification = hms.verify(f"hf://{signed}", verifier=acme.verifier)
    assert repr(verification).endswith("from_cache=True)")
    assert "from_cache" not in verification.to_dict()  # as the command line prints it
    with pytest.warns(hms.HubWarning, match="using the copy in"):
        assert hms.fetch(f"hf://{signed}", verifier=acme.verifier) == pulled.path


@pytest.mark.usefixtures("_at_hub")
def test_notes_of_the_caller_are_no_warnings(
    signed: str, acme: KeyPair, hub: Hub, recwarn: pytest.WarningsRecorder
) -> None:
    hms.pull(signed, verifier=acme.verifier)
    hub.fail("ANY", ".*", 500)
    notes: list[str] = []
    hms.pull(signed, verifier=acme.verifier, note=notes.append)
    assert "using the copy in" in notes[0]
    assert not [each for each in recwarn if issubclass(each.category, hms.HubWarning)]


@pytest.mark.usefixtures("_at_hub")
def test_dataset(hub: Hub, acme: KeyPair, policy: Path) -> None:
    hub.create_repo("acme/data", repo_type="dataset")
    hub.commit("acme/data", {"a.csv": b"1"}, repo_type="dataset")
    hms.push("acme/data", signer=acme.signer, repo_type="dataset")
    assert hms.pull("datasets/acme/data", policy=policy).verification.statement.uri == "hf://datasets/acme/data"


@pytest.mark.usefixtures("_at_hub")
def test_pull_of_what_another_signer_signed(signed: str, stranger: KeyPair, hub: Hub) -> None:
    with pytest.raises(hms.VerificationError, match="was signed with another key") as caught:
        hms.pull(signed, verifier=stranger.verifier)
    assert caught.value.exit_code == 1
    with pytest.raises(hms.NotFoundError) as missing:
        hms.pull("acme/nothing", verifier=stranger.verifier)
    assert isinstance(missing.value, hms.HfSignError)


@pytest.mark.usefixtures("_at_hub")
def test_token_of_the_caller(repo: str, acme: KeyPair) -> None:
    with pytest.raises(hms.AccessError):
        hms.push(repo, signer=acme.signer, token="hf_read")
    with pytest.raises(hms.BadSettingError, match="the token holds characters that no token has"):
        hms.pull(repo, verifier=acme.verifier, token="hf_\n")


# Inspect


def test_inspect_verifies_nothing(model: Path, acme: KeyPair, hosts: StaticHosts) -> None:
    bundle = hms.sign(model, signer=acme.signer)
    bundle.write(model / "model.sig")
    address = hosts.put("/x.sig", bundle.to_bytes())
    for given in (bundle, model, str(model), model / "model.sig", address):
        inspection = hms.inspect(given)
        assert (inspection.to_dict()["verified"], inspection.statement.manifest.name) == (False, "model")
    assert repr(inspection).startswith("Inspection(verified=False, method='key', subject='model', digest='sha256:")
    with pytest.raises(hms.UsageError, match="has no signatures beside its models"):
        hms.inspect(TFHUB)
    with pytest.raises(hms.BundleError, match="cannot read the signature 'nothing'"):
        hms.inspect("nothing")


@pytest.mark.usefixtures("_at_hub")
def test_inspect_repository(signed: str, hub: Hub, tmp_path: Path) -> None:
    for reference in (f"hf://{signed}", f"{hub.url}/{signed}"):
        assert hms.inspect(reference).statement.uri == f"hf://{signed}"
    assert not list((tmp_path / "home").rglob("model.sig"))
    hub.create_repo("acme/unsigned")
    with pytest.raises(hms.MissingSignatureError, match=r"it has no model\.sig"):
        hms.inspect("hf://acme/unsigned")


# Organisations


@pytest.mark.usefixtures("_at_hub")
def test_batch_and_audit(repo: str, hub: Hub, acme: KeyPair, policy: Path) -> None:
    plan = hms.batch("acme", signer=acme.signer, dry_run=True)
    assert plan.totals == {"unsigned": 1}
    assert hms.batch("acme", signer=acme.signer, remote=True, repo_type="model").totals == {"signed": 1}
    report = hms.audit("hf://acme", policy=policy, include="mod*")
    assert report.to_dict()["totals"] == {"signed": 1}
    assert [record["verified"] for record in report.to_dict()["records"]] == [True]
    assert repr(report).startswith("Report(command='audit', owner='acme', count=1)")
    with pytest.raises(hms.RefusedError, match="none fits"):
        hms.audit("acme", exclude="*")


# Wrong arguments


@pytest.mark.parametrize(
    ("signer", "advice"),
    [
        ("acme.pem", "the signer is a str, not a Signer: write signer=hms.KeySigner('acme.pem')"),
        (Path("keys/acme.pem"), "write signer=hms.KeySigner('keys/acme.pem')"),
        ("pkcs11:token=t?pin-value=1234", "write signer=hms.Pkcs11Signer('pkcs11:…')"),
        ("-----BEGIN PRIVATE KEY-----\nMIG", "write signer=hms.KeySigner('acme.pem')"),
        (hms.SigstoreSigner, "the signer is a class, not a Signer: write signer=hms.SigstoreSigner(…)"),
        (None, "the signer is None, not a Signer: write signer=hms.KeySigner('acme.pem')"),
    ],
)
def test_signer_that_is_none(model: Path, signer: Any, advice: str) -> None:  # noqa: ANN401
    for call in (hms.sign, hms.push, hms.batch):
        with pytest.raises(hms.UsageError) as caught:
            call(str(model), signer=signer)
        assert str(caught.value).endswith(advice)
        assert caught.value.exit_code == 2


def test_verifier_and_policy_that_are_none(model: Path, acme: KeyPair, policy: Path) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "the verifier is a str, not a Verifier: write verifier=hms.KeyVerifier('acme.pub')": {"verifier": "acme.pub"},
        "the verifier is a str, not a Verifier: write policy='trust.toml'": {"verifier": "trust.toml"},
        "not a Verifier: write policy= in place of verifier=": {"verifier": hms.Policy.read(policy)},
        "the verifier is a KeySigner, not a Verifier: write verifier=signer.verifier()": {"verifier": acme.signer},
        "write verifier=hms.KeyVerifier(…)": {"verifier": hms.KeyVerifier},
        "the policy is a KeyVerifier, not a trust policy: write verifier= in place of policy=": {
            "policy": acme.verifier
        },
        "the policy is an int, not a trust policy: write policy='trust.toml'": {"policy": 1},
        "say whose signature to accept: give either a verifier or a policy": {},
        "give either a verifier or a policy": {"verifier": acme.verifier, "policy": policy},
    }
    for sentence, given in wrong.items():
        for call in (hms.verify, hms.pull, hms.fetch):
            with pytest.raises(hms.UsageError) as caught:
                call(str(model), **given)
            assert str(caught.value).endswith(sentence)
    with pytest.raises(hms.UsageError, match="write verifier= in place of policy="):
        hms.audit("acme", policy=acme.verifier)  # type: ignore[arg-type]


def test_references_that_are_none(acme: KeyPair) -> None:
    for reference in (None, 1, b"model"):
        with pytest.raises(hms.UsageError, match="it must be a path or a string such as hf://ORG/NAME"):
            hms.digest(reference)  # type: ignore[arg-type]
    with pytest.raises(hms.BadReferenceError, match="names no hub that is known here"):
        hms.verify("nohub://x", verifier=acme.verifier)
    with pytest.raises(
        hms.UsageError, match="there is no model at 'acme/bert'; for a repository on the Hub write hf://"
    ):
        hms.sign("acme/bert", signer=acme.signer)
    for name in ("./model", "a/b/c", Path("acme/bert"), None):
        with pytest.raises(hms.BadReferenceError, match="is not the name of a repository"):
            hms.pull(name, verifier=acme.verifier)  # type: ignore[arg-type]
    with pytest.raises(hms.BadReferenceError, match="there is no type of repository 'models'"):
        hms.push("acme/bert", signer=acme.signer, repo_type="models")
    with pytest.raises(hms.BadReferenceError, match="is a dataset, and"):
        hms.push("hf://datasets/acme/bert", signer=acme.signer, repo_type="model")
    with pytest.raises(hms.UsageError, match="choose one"):
        hms.push("acme/bert", signer=acme.signer, remote=True, folder_path=".")
    for organisation in ("acme/bert", "", 3):
        with pytest.raises(hms.HfSignError, match="acme|name") as caught:
            hms.batch(organisation, signer=acme.signer)  # type: ignore[arg-type]
        assert caught.value.exit_code == 2
    for options in ({"jobs": 0}, {"jobs": 65}, {"repo_type": "models"}):
        with pytest.raises(hms.UsageError, match="jobs|type of repository"):
            hms.audit("acme", **options)


# Results


def test_results_are_short_and_complete(model: Path, acme: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    bundle = hms.sign(model.name, signer=acme.signer)
    verification = hms.verify(model.name, bundle, verifier=acme.verifier)
    for result in (bundle, verification, verification.verified):
        assert len(repr(result)) < 400
        assert json.dumps(result.to_dict())
        assert result._repr_html_().startswith(f"<table><caption>{type(result).__name__}</caption>")
    assert json.loads(bundle.to_bytes()) == bundle.to_dict()
    assert repr(bundle).startswith("Bundle(method='key', size='")
    assert f"Verification(path='{model.name}', signer='key " in repr(verification)
    assert repr(verification).endswith("files=3)")
    assert "weights" not in repr(verification.statement.manifest)


def test_tables_escape_what_comes_from_outside(tmp_path: Path, acme: KeyPair) -> None:
    name = "<script>alert(1)</script>\x1b"
    folder = write_tree(tmp_path / name.replace("/", "_"), {"a&b.json": b"{}"})
    text = hms.verify(folder, hms.sign(folder, signer=acme.signer), verifier=acme.verifier)._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "a&amp;b.json" in text
    assert "\x1b" not in text


def test_signer_says_who_it_is(acme: KeyPair) -> None:
    assert repr(acme.signer) == f"<KeySigner: {acme.signer.describe()}>"
    assert repr(acme.verifier) == f"<KeyVerifier: {acme.verifier.describe()}>"


def test_values_are_those_of_json(model: Path, acme: KeyPair) -> None:
    bundle = hms.sign(model, signer=acme.signer)
    verification = hms.verify(model, bundle, verifier=acme.verifier)
    for result in (
        bundle,
        hms.inspect(bundle),
        verification,
        verification.verified,
        hms.Pulled("c" * 40, verification),
    ):
        assert json.loads(json.dumps(result.to_dict())) == result.to_dict()


def test_table_of_a_bundle_says_what_it_states(model: Path, acme: KeyPair) -> None:
    bundle = hms.sign(model, signer=acme.signer)
    text = bundle._repr_html_()
    assert f"<th>digest</th><td>{hms.digest(model)}</td>" in text
    assert "<th>subject</th><td>model</td>" in text
    assert f"<th>files</th><td>{len(FILES)}</td>" in text
    assert hms.Bundle("key", {}, b"{}", b"1")._repr_html_()  # a statement that cannot be read


def test_policy_and_guard_are_short(policy: Path) -> None:
    read = hms.Policy.read(policy)
    assert (
        repr(read)
        == f"Policy(path='{policy}', default='refuse', always_hash=False, shared_cache=<SharedCache.COPY: 'copy'>)"
    )
    with hms.guard(policy, mode="warn") as guard:
        assert repr(guard) == f"Guard(policy='{policy}', mode='warn')"
