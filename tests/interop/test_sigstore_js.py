"""A bundle that another tool made with Sigstore's public instance, verified in JavaScript."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sigstore._internal.tuf import DEFAULT_TUF_URL
from sigstore._utils import read_embedded

from tests.sigstore_js import SigstoreJsRefused, VerifyJs

IDENTITY = "stefanb@us.ibm.com"
ISSUER = "https://sigstore.verify.ibm.com/oauth2"
TRUSTED_ROOT = read_embedded("trusted_root.json", DEFAULT_TUF_URL).decode()


@pytest.fixture
def bundle(oms: Path) -> bytes:
    """Signed by version 0.3.1 of the reference tool."""
    return (oms / "history" / "v0.3.1-sigstore" / "model.sig").read_bytes()


def _edited(bundle: bytes, edit: Callable[[Any], object]) -> bytes:
    data = json.loads(bundle)
    edit(data)
    return json.dumps(data).encode()


def _flip_payload(data: Any) -> None:  # noqa: ANN401 - parsed JSON
    payload = bytearray(base64.b64decode(data["dsseEnvelope"]["payload"]))
    payload[-2] ^= 1
    data["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def _drop_log_entries(data: Any) -> None:  # noqa: ANN401 - parsed JSON
    data["verificationMaterial"]["tlogEntries"] = []


def _drop_promise(data: Any) -> None:  # noqa: ANN401 - parsed JSON
    del data["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]


def _drop_proof(data: Any) -> None:  # noqa: ANN401 - parsed JSON
    del data["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]


def _replace_envelope(data: Any) -> None:  # noqa: ANN401 - parsed JSON
    del data["dsseEnvelope"]
    digest = {"algorithm": "SHA2_256", "digest": base64.b64encode(bytes(32)).decode()}
    data["messageSignature"] = {"messageDigest": digest, "signature": "AAAA"}


def test_verifies_the_historic_bundle(verify_js: VerifyJs, bundle: bytes) -> None:
    verify_js(TRUSTED_ROOT, bundle, IDENTITY, ISSUER)


@pytest.mark.parametrize(
    ("edit", "refusal"),
    [
        (_flip_payload, "^TLOG_BODY_ERROR: DSSE payload hash mismatch$"),
        (_drop_log_entries, "^TIMESTAMP_ERROR: expected 1 tlog timestamps, got 0$"),
        (_drop_promise, "^TIMESTAMP_ERROR: expected 1 tsa timestamps, got 0$"),
        (_drop_proof, r"^ValidationError: invalid bundle: verificationMaterial\.tlogEntries\[0\]\.inclusionProof$"),
        (_replace_envelope, "^NO_ENVELOPE: "),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_refuses_an_edited_bundle(
    verify_js: VerifyJs, bundle: bytes, edit: Callable[[Any], object], refusal: str
) -> None:
    with pytest.raises(SigstoreJsRefused, match=refusal):
        verify_js(TRUSTED_ROOT, _edited(bundle, edit), IDENTITY, ISSUER)


@pytest.mark.parametrize("identity", ["", ".*", "stefanb@us.ibm.co", "tefanb@us.ibm.com", "stefanb@us-ibm.com"])
def test_refuses_another_identity(verify_js: VerifyJs, bundle: bytes, identity: str) -> None:
    with pytest.raises(SigstoreJsRefused, match=r"^UNTRUSTED_SIGNER_ERROR: certificate identity error"):
        verify_js(TRUSTED_ROOT, bundle, identity, ISSUER)


@pytest.mark.parametrize("issuer", ["", "https://sigstore.verify.ibm.com/", "https://issuer.example"])
def test_refuses_another_issuer(verify_js: VerifyJs, bundle: bytes, issuer: str) -> None:
    with pytest.raises(SigstoreJsRefused, match=r"^UNTRUSTED_SIGNER_ERROR: invalid certificate extension"):
        verify_js(TRUSTED_ROOT, bundle, IDENTITY, issuer)


def test_refuses_under_a_root_that_knows_no_log(verify_js: VerifyJs, bundle: bytes) -> None:
    root = json.dumps({**json.loads(TRUSTED_ROOT), "tlogs": []})
    with pytest.raises(SigstoreJsRefused, match=r"^TLOG_INCLUSION_PROMISE_ERROR: "):
        verify_js(root, bundle, IDENTITY, ISSUER)


@pytest.mark.parametrize(
    ("field", "refusal"),
    [
        ("tlogs", "^TLOG_INCLUSION_PROMISE_ERROR: "),
        ("ctlogs", "^CERTIFICATE_ERROR: SCT verification failed$"),
        ("certificateAuthorities", "^CERTIFICATE_ERROR: Failed to verify certificate chain$"),
    ],
)
def test_refuses_who_was_not_in_charge_then(verify_js: VerifyJs, bundle: bytes, field: str, refusal: str) -> None:
    root = json.loads(TRUSTED_ROOT)
    for service in root[field]:
        service.get("publicKey", service)["validFor"] = {"start": "2019-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z"}
    with pytest.raises(SigstoreJsRefused, match=refusal):
        verify_js(json.dumps(root), bundle, IDENTITY, ISSUER)


def test_a_broken_verifier_is_not_a_refusal(verify_js: VerifyJs, bundle: bytes) -> None:
    with pytest.raises(pytest.fail.Exception, match="came to no verdict"):
        verify_js("this is no JSON", bundle, IDENTITY, ISSUER)
