"""Limits of an identity: what no wildcard matches, and conditions on the claims of the certificate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import core

import hf_model_signing as hms
from hf_model_signing.methods.sigstore.identity import CertificateIdentity, IdentityPolicy
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement
from hf_model_signing.signing import make_manifest
from tests.conftest import Cli
from tests.servers.sigstore_fixtures import Keyless
from tests.servers.sigstore_oidc import GITHUB_ISSUER

FLOWS = "https://github.com/acme/model/.github/workflows"
SIGNED_BY = f"{FLOWS}/release.yml@refs/heads/main"
ON_MAIN = f"{FLOWS}/*@refs/heads/main"


@pytest.mark.parametrize(
    ("pattern", "honest", "evil"),
    [
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/release.yml@refs/heads/x@refs/heads/main"),
        (ON_MAIN, f"{FLOWS}/größe.yml@refs/heads/main", f"{FLOWS}/release.yml@refs/heads/größe@refs/heads/main"),
        (ON_MAIN, f"{FLOWS}/a%20b.yml@refs/heads/main", f"{FLOWS}/release.yml%40refs/heads/x@refs/heads/main"),
        (ON_MAIN, f"{FLOWS}/a%2541.yml@refs/heads/main", f"{FLOWS}/a.yml%2540refs/x@refs/heads/main"),
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/release.yml＠refs/heads/x@refs/heads/main"),
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/release.yml﹫refs/heads/x@refs/heads/main"),
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/release.yml@refs/heads/x\n@refs/heads/main"),
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/release.yml\n@refs/heads/main"),
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/release.yml\u2028@refs/heads/main"),
        (ON_MAIN, SIGNED_BY, f"{SIGNED_BY}\n"),
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/release.yml@refs/heads/MAIN"),
        (ON_MAIN, SIGNED_BY, f"{SIGNED_BY}@"),
        (ON_MAIN, SIGNED_BY, f"{FLOWS}/@@refs/heads/main"),
        (f"{FLOWS}/*.yml@refs/heads/main", SIGNED_BY, f"{FLOWS}/a.yml@refs/heads/x.yml@refs/heads/main"),
        (f"{FLOWS}/**@refs/heads/main", SIGNED_BY, f"{FLOWS}/a.yml@refs/heads/x@refs/heads/main"),
        (f"{FLOWS}/*?refs/heads/main", f"{FLOWS}/a!refs/heads/main", SIGNED_BY),
        (f"{FLOWS}/*[!a]refs/heads/main", f"{FLOWS}/a!refs/heads/main", SIGNED_BY),
        (f"{FLOWS}/*[!-~]refs/heads/main", f"{FLOWS}/a!refs/heads/main", SIGNED_BY),
        (f"{FLOWS}/*[@!]refs/heads/main", f"{FLOWS}/a!refs/heads/main", SIGNED_BY),
        (f"{FLOWS}/*[]@!]refs/heads/main", f"{FLOWS}/a]refs/heads/main", SIGNED_BY),
        (
            f"{FLOWS}/release.yml@refs/tags/v*",
            f"{FLOWS}/release.yml@refs/tags/v1",
            f"{FLOWS}/release.yml@refs/tags/v@1",
        ),
        (f"{FLOWS}/release.yml@refs/tags/v?", f"{FLOWS}/release.yml@refs/tags/v1", f"{FLOWS}/release.yml@refs/tags/v@"),
        (f"{FLOWS}/*%[45]0x", f"{FLOWS}/a%50x", f"{FLOWS}/a%40x"),
        ("*@acme.example", "a@acme.example", "a@evil.example@acme.example"),
        ("*", "spiffe://acme/build", "a@acme.example"),
        ("?*?", "spiffe://acme/build", "a@b"),
    ],
)
def test_wildcards_match_no_at_sign(pattern: str, honest: str, evil: str) -> None:
    policy = IdentityPolicy((GITHUB_ISSUER,), pattern=pattern)
    policy.check(CertificateIdentity(honest, GITHUB_ISSUER))
    with pytest.raises(hms.VerificationError, match="an identity like"):
        policy.check(CertificateIdentity(evil, GITHUB_ISSUER))


# Conditions, the claims of an evil certificate in place of the usual ones, and the extensions that replace its own.
# The usual ones: repository acme/model, branch main, workflow release.yml, named Release, a push, a hosted runner.
_OTHER_FLOW = "mallory/evil/.github/workflows/release.yml@refs/heads/main"
_CONDITIONS: list[tuple[dict[str, str], dict[str, str], dict[int, str | None]]] = [
    ({"repository": "acme/model"}, {"repository": "mallory/model"}, {}),
    ({"repository": "acme/model"}, {"repository": "acme/model2"}, {}),
    ({"repository": "acme/model"}, {"repository": "x/acme/model"}, {}),
    ({"repository": "acme/model"}, {"repository": "ACME/model"}, {}),
    ({"repository": "https://github.com/acme/model"}, {"repository": "acme/model/x"}, {}),
    ({"repository": "https://github.com/acme/model/"}, {"repository": "acme"}, {}),
    ({"repository": "acme/model"}, {}, {12: None, 5: None}),
    ({"repository": "acme/model"}, {}, {12: "https://github.com/mallory/model"}),
    ({"repository": "acme/model"}, {}, {5: "mallory/model"}),
    ({"repository": "acme/model"}, {}, {5: None, 12: "https://github.com/mallory/x?acme/model"}),
    ({"repository": "acme/model"}, {}, {5: None, 12: "https://github.com/acme/model\n"}),
    ({"repository": "acme/model"}, {}, {5: None, 12: "acme/model"}),
    ({"repository": "acme/model"}, {}, {12: ""}),
    ({"ref": "refs/heads/main"}, {"ref": "refs/heads/x"}, {}),
    ({"ref": "refs/heads/main"}, {"ref": "refs/tags/main"}, {}),
    ({"ref": "refs/heads/main"}, {"ref": "refs/heads/x@refs/heads/main"}, {}),
    ({"ref": "refs/heads/main"}, {}, {14: None, 6: None}),
    ({"ref": "refs/heads/main"}, {}, {6: "refs/heads/x"}),
    ({"ref": "refs/heads/main"}, {}, {14: "refs/heads/x"}),
    ({"workflow": "release.yml"}, {"job_workflow_ref": "acme/model/.github/workflows/x.yml@refs/heads/main"}, {}),
    ({"workflow": ".github/workflows/release.yml"}, {"job_workflow_ref": _OTHER_FLOW}, {}),
    ({"workflow": "release.yml"}, {"job_workflow_ref": _OTHER_FLOW}, {}),
    ({"workflow": "release.yml"}, {}, {9: f"{FLOWS}/x.yml@refs/heads/main", 4: "release.yml"}),
    ({"workflow": "release.yml"}, {}, {9: f"{FLOWS}/release.yml@x.yml@refs/heads/main"}),
    ({"workflow": "release.yml"}, {}, {9: None}),
    ({"workflow": "release.yml"}, {}, {5: None, 12: None}),
    ({"workflow": "release.yml@refs/heads/main"}, {}, {9: f"{FLOWS}/release.yml@refs/heads/x"}),
    ({"workflow": "release.yml@refs/heads/main"}, {}, {9: f"{SIGNED_BY}@refs/heads/x"}),
    ({"workflow": f"{FLOWS}/release.yml"}, {"job_workflow_ref": _OTHER_FLOW}, {}),
    ({"workflow": SIGNED_BY}, {}, {9: f"{SIGNED_BY}x"}),
    ({"workflow": "Release"}, {"workflow": "Test"}, {}),
    ({"workflow": "Release"}, {}, {4: None}),
    ({"trigger": "push"}, {"event_name": "pull_request_target"}, {}),
    ({"trigger": "push"}, {}, {20: None, 2: None}),
    ({"trigger": "push"}, {}, {2: "pull_request"}),
    ({"runner_environment": "github-hosted"}, {"runner_environment": "self-hosted"}, {}),
    ({"runner_environment": "github-hosted"}, {}, {11: None}),
    ({"repository": "acme/model", "ref": "refs/heads/main"}, {"ref": "refs/heads/x"}, {}),
]


def _signed(keyless: Keyless, model: Path, claims: dict[str, str], extensions: dict[int, str | None]) -> Bundle:
    """Return the bundle of a workflow whose certificate has these claims."""
    keyless.instance.extensions = {
        number: None if text is None else text.encode() if number < 7 else core.UTF8String(text).dump()
        for number, text in extensions.items()
    }
    return keyless.unchecked(Statement(make_manifest(model)), keyless.instance.workflow_token(**claims))


def _verifier(keyless: Keyless, **conditions: str) -> hms.Verifier:
    return keyless.verifier(None, identity_pattern="*@*", identity_provider=GITHUB_ISSUER, **conditions)


def _by_policy(keyless: Keyless, folder: Path, conditions: dict[str, str]) -> hms.Verifier:
    keys = {"trust_config": str(keyless.config), "identity_pattern": "*@*", "identity_provider": GITHUB_ISSUER}
    signer = ", ".join(f"{key} = {json.dumps(value)}" for key, value in {**keys, **conditions}.items())
    path = folder / "trust.toml"
    path.write_text(f"version = 1\n[[trust]]\nrepos = ['acme/*']\nsigners = [{{ method = 'sigstore', {signer} }}]\n")
    return hms.Policy.read(path).rule_for("hf://acme/model").verifier("hf://acme/model")


@pytest.mark.parametrize(("conditions", "claims", "extensions"), _CONDITIONS)
def test_conditions_on_claims(
    keyless: Keyless,
    model: Path,
    tmp_path: Path,
    conditions: dict[str, str],
    claims: dict[str, str],
    extensions: dict[int, str | None],
) -> None:
    honest, evil = _signed(keyless, model, {}, {}), _signed(keyless, model, claims, extensions)
    assert _verifier(keyless).verify(evil).signer
    for verifier in (_verifier(keyless, **conditions), _by_policy(keyless, tmp_path, conditions)):
        assert verifier.verify(honest).signer == f"'{SIGNED_BY}' (issuer '{GITHUB_ISSUER}')"
        with pytest.raises(hms.VerificationError, match="the signing certificate"):
            verifier.verify(evil)
    direct = _verifier(keyless, **conditions)
    assert (direct.excludes(honest), direct.excludes(evil)) == (False, True)


@pytest.mark.parametrize(
    ("conditions", "extensions"),
    [
        ({"repository": "acme/model", "ref": "refs/heads/main", "trigger": "push"}, {12: None, 14: None, 20: None}),
        ({"repository": "https://github.com/acme/model"}, {12: None}),
        ({"repository": "acme/model", "ref": "refs/heads/main", "trigger": "push"}, {5: None, 6: None, 2: None}),
        ({"repository": "a/b/c"}, {5: None, 12: "https://gitlab.example/a/b/c"}),
        (
            {"workflow": ".gitlab-ci.yml"},
            {5: None, 12: "https://gitlab.example/a/b", 9: "https://gitlab.example/a/b//.gitlab-ci.yml@refs/heads/x"},
        ),
        ({"workflow": SIGNED_BY}, {12: None}),
        ({"workflow": "release.yml@refs/heads/main"}, {}),
    ],
)
def test_claims_that_fit(
    keyless: Keyless, model: Path, conditions: dict[str, str], extensions: dict[int, str | None]
) -> None:
    assert _verifier(keyless, **conditions).verify(_signed(keyless, model, {}, extensions))


@pytest.mark.parametrize("name", ["repository", "ref", "workflow", "trigger", "runner_environment"])
def test_condition_that_is_empty(name: str) -> None:
    empty: dict[str, Any] = {name: ""}
    with pytest.raises(hms.UsageError, match=f"the {name.replace('_', ' ')} to expect is empty"):
        hms.SigstoreVerifier(SIGNED_BY, GITHUB_ISSUER, **empty)


def test_person_has_no_claims(keyless: Keyless, model: Path) -> None:
    bundle = hms.sign(model, signer=keyless.signer())
    assert keyless.verifier().verify(bundle)
    with pytest.raises(hms.VerificationError, match="does not say which repository it is for, and 'acme/model' was"):
        keyless.verifier(repository="acme/model").verify(bundle)


def test_command_line(cli: Cli, keyless: Keyless, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    bundle = _signed(keyless, model, {}, {})
    Path("model.sig").write_bytes(bundle.to_bytes())
    whom = ["--identity-pattern", ON_MAIN, "--identity-provider", GITHUB_ISSUER, "--trust-config", str(keyless.config)]
    claims = {"repository": "acme/model", "ref": "refs/heads/main", "workflow": "release.yml", "trigger": "push"}
    claims |= {"runner_environment": "github-hosted"}
    given = [text for key, value in claims.items() for text in (f"--{key.replace('_', '-')}", value)]
    assert cli("verify", *whom, *given, "--signature", "model.sig", model).code == 0
    done = cli("verify", *whom, *given, "--ref", "refs/tags/v1", "--signature", "model.sig", model)
    assert done.code == 1
    assert "is for the ref 'refs/heads/main', and 'refs/tags/v1' was expected" in done.err
    told = cli("trust", "add", "acme/*", *whom, *given)
    assert told.code == 0, told.err
    expected = (
        "repository 'acme/model', ref 'refs/heads/main', workflow 'release.yml', trigger 'push', runner environment "
        "'github-hosted'"
    )
    assert expected in told.out
    assert expected in cli("trust", "list").out
    shown = cli("--json", "inspect", "model.sig").document["sigstore"]["workflow"]
    assert {key: shown[key] for key in claims} == {
        **claims,
        "repository": "https://github.com/acme/model",
        "workflow": SIGNED_BY,
    }
