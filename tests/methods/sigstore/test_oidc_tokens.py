"""Ambient tokens, and the identities of tokens."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from hf_model_signing.methods.sigstore.oidc_tokens import AmbientToken, GivenToken, parse_token
from tests.servers.sigstore_fixtures import RELEASE, Keyless


def test_ambient_token_is_kept_while_it_lasts(github: Keyless) -> None:
    notes: list[str] = []
    ambient = AmbientToken("sigstore", notes.append)
    tokens = {str(ambient.token().raw) for _ in range(3)}
    assert (len(tokens), github.instance.minted) == (1, 1)
    assert notes == ["signing with the ambient credential of GitHub Actions"]


def test_ambient_token_near_its_end_is_replaced(github: Keyless) -> None:
    notes: list[str] = []
    github.instance.token_lifetime = timedelta(seconds=50)
    ambient = AmbientToken("sigstore", notes.append)
    for _ in range(3):
        assert ambient.token().lasts()
    assert (github.instance.minted, len(notes)) == (3, 1)


def test_new_certificate_needs_a_new_ambient_token(github: Keyless, model: Path) -> None:
    github.instance.token_lifetime = timedelta(seconds=30)
    github.instance.certificate_lifetime = timedelta(seconds=1)
    signer = hms.SigstoreSigner(use_ambient_credentials=True, trust_config=github.config)
    hms.sign(model, signer=signer)
    before = github.instance.minted
    time.sleep(1.1)
    hms.sign(model, signer=signer)
    assert (len(github.instance.certificates), github.instance.minted) == (2, before + 1)


def test_google_cloud_without_a_token_for_its_users(
    keyless: Keyless, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    product = tmp_path / "product_name"
    product.write_text("Google Compute Engine\n")
    monkeypatch.setattr("id._internal.oidc.ambient._GCP_PRODUCT_NAME_FILE", str(product))
    monkeypatch.setattr(
        "id._internal.oidc.ambient._GCP_IDENTITY_REQUEST_URL", f"{keyless.instance.url}/computeMetadata/v1/identity"
    )
    notes: list[str] = []
    assert AmbientToken("sigstore", notes.append).find() is None
    assert notes[0].startswith("Google Cloud did not give an identity token")
    with pytest.raises(hms.UsageError, match="there is no ambient credential here"):
        AmbientToken("sigstore", notes.append).token()


@pytest.mark.parametrize(
    ("claims", "identities"),
    [
        ({"email": RELEASE, "sub": "1"}, (RELEASE, "1")),
        ({"email": None, "sub": "spiffe://acme/ci"}, ("spiffe://acme/ci",)),
        (
            {"email": None, "sub": "system:serviceaccount:ns:bot"},
            ("https://kubernetes.io/namespaces/ns/serviceaccounts/bot", "system:serviceaccount:ns:bot"),
        ),
        (
            {"email": None, "sub": "s", "ci_config_ref_uri": "gitlab.com/acme/m//.gitlab-ci.yml@refs/heads/main"},
            ("https://gitlab.com/acme/m//.gitlab-ci.yml@refs/heads/main", "s"),
        ),
        (
            {"email": None, "sub": "s", "organization_slug": "acme", "pipeline_slug": "sign"},
            ("https://buildkite.com/acme/sign", "s"),
        ),
    ],
)
def test_whom_a_token_stands_for(keyless: Keyless, claims: dict[str, Any], identities: tuple[str, ...]) -> None:
    token = parse_token(keyless.instance.token(**claims), "sigstore", "the token")
    assert token.expected.identities == identities
    assert token.expected.issuers == (keyless.instance.identity_provider,)


@pytest.mark.parametrize("issuer", ["https://accounts.google.com", "https://oauth2.sigstore.dev/auth"])
def test_issuer_of_the_public_instance_leaves_no_choice(keyless: Keyless, issuer: str) -> None:
    token = parse_token(keyless.instance.token(iss=issuer), "sigstore", "the token")
    assert (token.expected.identities[0], token.unlikely) == (RELEASE, ())


def test_workflow_leaves_no_choice(keyless: Keyless) -> None:
    token = parse_token(keyless.instance.workflow_token(), "sigstore", "the token")
    ref = "acme/model/.github/workflows/release.yml@refs/heads/main"
    assert (token.expected.identities[0], token.unlikely) == (f"https://github.com/{ref}", ())


def test_authority_with_another_claim_is_explained(keyless: Keyless, model: Path) -> None:
    """This one uses the e-mail address, if any; a token with a pipeline in it would be mistaken for that first."""
    notes: list[str] = []
    token = keyless.instance.token(organization_slug="acme", pipeline_slug="sign")
    signer = keyless.signer(token, note=notes.append)
    hms.sign(model, signer=signer)
    assert notes[0].startswith("signing as 'https://buildkite.com/acme/sign' (issuer")
    assert notes[1].startswith(f"the certificate authority calls you '{RELEASE}' (issuer")


def test_federated_issuer_is_the_one_that_counts(keyless: Keyless, model: Path) -> None:
    token = keyless.instance.token(federated_claims={"connector_id": "https://accounts.acme.example"})
    bundle = hms.sign(model, signer=keyless.signer(token))
    assert keyless.verifier(identity_provider="https://accounts.acme.example").verify(bundle)


def test_workflow_of_a_github_server_of_ones_own(keyless: Keyless) -> None:
    raw = keyless.instance.workflow_token(iss="https://git.acme.example/_services/token")
    named = parse_token(raw, "sigstore", "the token").expected.identities
    ref = "acme/model/.github/workflows/release.yml@refs/heads/main"
    assert named[:2] == (f"https://github.com/{ref}", f"https://git.acme.example/{ref}")


def test_given_token_is_checked_at_once(keyless: Keyless) -> None:
    with pytest.raises(hms.UsageError, match="the identity token expired"):
        GivenToken(keyless.instance.token(exp=int(time.time()) - 60), "sigstore")


@pytest.mark.parametrize("name", ["token", "token.jwt", "oidc token"])
def test_token_in_a_file(keyless: Keyless, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"{keyless.instance.token()}\n")
    assert GivenToken(str(tmp_path / name), "sigstore").token().lasts()


def test_token_in_a_pipe(keyless: Keyless) -> None:
    end, other = os.pipe()
    os.write(other, keyless.instance.token().encode())
    os.close(other)
    assert GivenToken(f"/dev/fd/{end}", "sigstore").token().lasts()
    os.close(end)


def test_token_in_a_fifo_into_which_nobody_writes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    with pytest.raises(hms.UsageError, match="cannot be read as the identity token: it is a pipe"):
        GivenToken(str(tmp_path / "token"), "sigstore")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1e300},
        {"exp": 4_000_000_000.5},
        {"exp": 1 << 60},
        {"exp": "4000000000"},
        {"nbf": "soon"},
        {"iss": ""},
        {"iss": "https://["},
        {"sub": ""},
        {"sub": 7},
        {"email": ""},
        {"email": "x" * 3_000},
        {"email": "x" * 60_000},
        {"federated_claims": 7},
        {"federated_claims": {"connector_id": 7}},
    ],
)
def test_odd_claims(keyless: Keyless, claims: dict[str, Any]) -> None:
    raw = keyless.instance.issuer.token(
        {**keyless.instance.issuer.claims(keyless.instance.token(), "sigstore"), **claims}
    )
    if claims == {"iss": "https://["}:
        assert parse_token(raw, "sigstore", "the token").lasts()
        return
    with pytest.raises(
        hms.UsageError, match=r"^the token (cannot be used|is good only|expired|is longer than)"
    ) as refused:
        parse_token(raw, "sigstore", "the token")
    assert len(str(refused.value)) < 300


def test_file_with_a_malformed_token(tmp_path: Path) -> None:
    path = tmp_path / "token.bin"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(hms.UsageError, match=r"the file '.+token.bin' cannot be read as the identity token"):
        GivenToken(str(path), "sigstore")


def test_token_longer_than_any_is() -> None:
    with pytest.raises(hms.UsageError, match="^the token is longer than any token is$"):
        parse_token("x" * 65537, "sigstore", "the token")


def test_token_is_in_no_chain_of_errors(keyless: Keyless) -> None:
    for token in ("rubbish", keyless.instance.token(aud="other")):
        with pytest.raises(hms.UsageError) as refused:
            parse_token(token, "sigstore", "the token")
        assert (refused.value.__cause__, refused.value.__suppress_context__) == (None, True)


def test_authority_may_name_either_issuer(keyless: Keyless) -> None:
    raw = keyless.instance.token(federated_claims={"connector_id": "https://accounts.example"})
    issuers = parse_token(raw, "sigstore", "the token").expected.issuers
    assert issuers == ("https://accounts.example", keyless.instance.identity_provider)


def test_unknown_issuer_leaves_a_choice(keyless: Keyless) -> None:
    token = parse_token(keyless.instance.token(), "sigstore", "the token")
    assert token.unlikely == token.expected.identities[1:] != ()
