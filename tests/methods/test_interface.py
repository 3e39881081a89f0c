"""Properties of all signers and verifiers."""

from __future__ import annotations

from pathlib import Path

import hf_model_signing as hms
from hf_model_signing.crypto.certificates import fingerprint_of
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.tofu import TofuVerifier
from hf_model_signing.policy.trusted_signers import TrustedSigners
from tests.certificates import make_authority
from tests.helpers import KeyPair
from tests.servers.sigstore_fixtures import RELEASE, Keyless


def test_repr_says_who_it_is(pair: KeyPair, other_pair: KeyPair) -> None:
    mine, other = pair.verifier.describe(), other_pair.verifier.describe()
    assert repr(pair.signer) == f"<KeySigner: {mine}>"
    assert repr(pair.verifier) == f"<KeyVerifier: {mine}>"
    assert repr(TrustedSigners([pair.verifier, other_pair.verifier])) == f"<TrustedSigners: {mine} or {other}>"
    assert repr(hms.SkipSigner()) == "<SkipSigner: nobody: the bundle is unsigned>"


def test_repr_of_a_certificate(tmp_path: Path) -> None:
    leaf = make_authority("Acme").issue("release")
    signer = hms.CertificateSigner(*leaf.write(tmp_path))
    assert repr(signer) == f"<CertificateSigner: certificate 'O=T,CN=release' (SHA-256 {fingerprint_of(leaf.cert)})>"


def test_repr_of_an_identity(keyless: Keyless, tmp_path: Path) -> None:
    assert repr(keyless.signer()) == "<SigstoreSigner: an identity that is not known before the sign-in>"
    who = f"'{RELEASE}' (issuer '{keyless.instance.identity_provider}')"
    assert repr(keyless.verifier()) == f"<SigstoreVerifier: {who}>"
    assert "hf://acme/model" in repr(TofuVerifier("hf://acme/model", tmp_path / "trust.lock"))


def test_repr_of_what_was_verified_is_short(model: Path, pair: KeyPair, tmp_path: Path) -> None:
    bundle: Bundle = hms.sign(model, signer=pair.signer)
    for verifier in (pair.verifier, TofuVerifier("hf://acme/model", tmp_path / "trust.lock")):
        shown = repr(verifier.verify(bundle))
        assert shown.startswith(
            ("Verified(method='key', signer='key P-256", "VerifiedOnFirstUse(method='key', signer=")
        )
        assert len(shown) < 400
