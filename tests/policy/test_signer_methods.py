"""Every key that a signer of a trust policy may have decides, and no other does."""

from __future__ import annotations

from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.methods.registry import METHODS
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.policy.signer_methods import file_keys, policy_methods
from tests.certificates import make_authority
from tests.servers.sigstore_fixtures import Keyless

URI = "hf://acme/model"


def _verifier(folder: Path, signer: str) -> hms.Verifier:
    path = folder / "trust.toml"
    path.write_text(f"version = 1\n[[trust]]\nrepos = ['acme/*']\nsigners = [{{ {signer} }}]\n")
    return hms.Policy.read(path).rule_for(URI).verifier(URI)


@pytest.fixture
def certified(model: Path, tmp_path: Path) -> Bundle:
    """A bundle of a certificate that `root.pem` issued."""
    root = make_authority("Acme")
    (tmp_path / "root.pem").write_bytes(root.pem)
    return hms.sign(model, signer=hms.CertificateSigner(*root.issue("release").write(tmp_path)))


def test_keys_of_a_certificate(certified: Bundle, tmp_path: Path) -> None:
    root = "method = 'certificate', root_certs = ['root.pem']"
    for keys in (root, f"{root}, cert_identity = 'release'"):
        assert _verifier(tmp_path, keys).verify(certified).method == "certificate"
    for keys, why in (("cert_identity = 'other'", "not by 'other'"), ("tsa_certs = ['root.pem']", "timestamp")):
        with pytest.raises(hms.VerificationError, match=why):
            _verifier(tmp_path, f"{root}, {keys}").verify(certified)


def test_keys_of_an_identity(model: Path, keyless: Keyless, tmp_path: Path) -> None:
    bundle, provider = hms.sign(model, signer=keyless.signer()), keyless.instance.identity_provider
    how = f"method = 'sigstore', trust_config = '{keyless.config}', identity_provider"
    assert _verifier(tmp_path, f"{how} = '{provider}', identity_pattern = '*@acme.example'").verify(bundle)
    for keys in (
        f"{how} = '{provider}', identity_pattern = '*@other.example'",
        f"{how} = '{provider}', identity = 'other@acme.example'",
        f"{how} = 'https://other.example', identity_pattern = '*@acme.example'",
    ):
        with pytest.raises(hms.VerificationError, match="expected"):
            _verifier(tmp_path, keys).verify(bundle)


def test_methods_and_their_keys() -> None:
    keys = {name: {key.name + "!" * key.needed for key in method.keys} for name, method in policy_methods().items()}
    certificate = {"root_certs!", "cert_identity", "tsa_certs"}
    assert keys == {
        "key": {"public_key!"},
        "pkcs11-key": {"public_key!"},
        "certificate": certificate,
        "pkcs11-certificate": certificate,
        "sigstore": {
            *("identity_provider!", "identity", "identity_pattern", "use_staging", "trust_config"),
            *("repository", "ref", "workflow", "trigger", "runner_environment"),
        },
        "tofu": {"use_staging", "trust_config"},
    }
    assert set(file_keys(many=False)) == {"public_key", "trust_config"}
    assert set(file_keys(many=True)) == {"root_certs", "tsa_certs"}
    assert "skip" in METHODS.keys() - keys
