"""The published protobuf definitions accept a bundle of each kind, and notice what is misspelled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from tests.certificates import make_authority
from tests.helpers import ROOT, KeyPair, encode, forge, make_pair, statement_document, write_tree
from tests.published_messages import RejectedError, check_bundle, check_statement
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.sigstore_fixtures import Keyless
from tests.servers.tsa import Tsa
from tests.softhsm import CURVES, SoftHsm

Document = dict[str, Any]
Edit = Callable[[Document], object]


def _check(model: Path, signer: hms.Signer, **options: Any) -> Document:  # noqa: ANN401 - options of sign()
    data = hms.sign(model, signer=signer, **options).to_bytes()
    check_bundle(data)
    material: Document = json.loads(data)["verificationMaterial"]
    return material


@pytest.mark.parametrize("curve", CURVES)
def test_key(model: Path, tmp_path: Path, curve: str) -> None:
    assert _check(model, make_pair(tmp_path, curve=CURVES[curve]).signer).keys() == {"publicKey"}


def test_certificate_with_its_chain(model: Path, tmp_path: Path) -> None:
    root = make_authority("Root")
    middle = make_authority("Middle", parent=root)
    key, cert = middle.issue("leaf").write(tmp_path)
    (tmp_path / "chain.pem").write_bytes(middle.pem + root.pem)
    material = _check(model, hms.CertificateSigner(key, cert, cert_chain=[tmp_path / "chain.pem"]))
    assert len(material["x509CertificateChain"]["certificates"]) == 3


def test_timestamps(model: Path, tmp_path: Path, pair: KeyPair, tsa: Tsa) -> None:
    key, cert = make_authority("Root").issue("leaf").write(tmp_path)
    for signer in (hms.KeySigner(pair.private, tsa_url=tsa.url), hms.CertificateSigner(key, cert, tsa_url=tsa.url)):
        material = _check(model, signer)
        assert len(material["timestampVerificationData"]["rfc3161Timestamps"]) == 1


def test_sigstore(model: Path, either: Keyless) -> None:
    material = _check(model, either.signer())
    assert len(material["tlogEntries"]) == 1


def test_token_with_a_key(model: Path, softhsm: SoftHsm) -> None:
    assert _check(model, hms.Pkcs11Signer(softhsm.uri("token=single"))).keys() == {"publicKey"}


def test_token_with_a_certificate(model: Path, softhsm: SoftHsm, tmp_path: Path) -> None:
    _, cert = make_authority("Root").issue("leaf", key=softhsm.pairs["p256"].key).write(tmp_path)
    material = _check(model, hms.Pkcs11Signer(softhsm.uri("token=single"), signing_cert=cert))
    assert material.keys() == {"x509CertificateChain"}


def test_unsigned_bundle_lacks_only_the_material(model: Path) -> None:
    assert _check(model, hms.SkipSigner()) == {}


@pytest.mark.parametrize("options", [{"shard_size": 1000}, {"hash_type": "blake3"}, {"hash_type": "blake2b"}])
def test_other_serializations(model: Path, pair: KeyPair, options: dict[str, Any]) -> None:
    _check(model, pair.signer, **options)


def test_many_files(tmp_path: Path, pair: KeyPair) -> None:
    model = write_tree(tmp_path / "model", {f"{number:04}.bin": b"" for number in range(1000)})
    bundle = hms.sign(model, signer=pair.signer)
    assert len(bundle.payload) > 64 * 1024
    check_statement(bundle.payload)


def test_pushed_signature(hub: Hub, repo: str, person: Callable[..., Person], acme: KeyPair) -> None:
    assert person().run("push", repo, "--private-key", acme.private).code == 0
    check_bundle(hub.read(repo, "model.sig"))


def _rename(*path: str | int, to: str) -> Edit:
    def edit(document: Any) -> None:  # noqa: ANN401 - JSON
        for part in path[:-1]:
            document = document[part]
        document[to] = document.pop(path[-1])

    return edit


def _set(*path: str | int, to: object) -> Edit:
    def edit(document: Any) -> None:  # noqa: ANN401 - JSON
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = to

    return edit


_SIGNATURE = ("dsseEnvelope", "signatures", 0)
BUNDLES = {
    "field": _rename("verificationMaterial", to="verificationMaterials"),
    "nested field": _rename("verificationMaterial", "publicKey", "hint", to="hints"),
    "envelope": _rename("dsseEnvelope", "payloadType", to="payload_typ"),
    "signature": _rename(*_SIGNATURE, "sig", to="signature"),
    "keyid": _rename(*_SIGNATURE, "keyid", to="keyID"),
    "not base64": _set(*_SIGNATURE, "sig", to="MEUC*IQ=="),
    "base64 without padding": _set(*_SIGNATURE, "sig", to="MEUCIQ"),
    "base64 of the other alphabet": _set(*_SIGNATURE, "sig", to="_-__"),
    "no list": _set("dsseEnvelope", "signatures", to={"sig": "AAAA", "keyid": ""}),
    "text of a number": _set("verificationMaterial", "tlogEntries", to=[{"logIndex": "one"}]),
    "two kinds of material": _set("verificationMaterial", "certificate", to={"rawBytes": "AAAA"}),
}


@pytest.mark.parametrize("edit", BUNDLES.values(), ids=BUNDLES)
def test_bundle_with_a_mistake(pair: KeyPair, edit: Edit) -> None:
    document = forge(pair, statement_document({"a": b"a"}))
    check_bundle(encode(document))
    edit(document)
    with pytest.raises(RejectedError, match=r"^(Bundle|the message Bundle)"):
        check_bundle(encode(document))


STATEMENTS = {
    "type": _rename("_type", to="typ"),
    "subject": _rename("subject", to="subjects"),
    "predicate type": _rename("predicateType", to="predicate_typ"),
    "field of a subject": _set("subject", 0, "size", to=1),
    "other type": _set("_type", to="https://in-toto.io/Statement/v2"),
    "no subject": _set("subject", to=[]),
    "no digest": _set("subject", 0, "digest", to={}),
    "empty predicate": _set("predicate", to={}),
    "predicate of another type": _set("predicate", to=[]),
}


@pytest.mark.parametrize("edit", STATEMENTS.values(), ids=STATEMENTS)
def test_statement_with_a_mistake(pair: KeyPair, edit: Edit) -> None:
    document = statement_document({"a": b"a"})
    check_statement(encode(document))
    edit(document)
    with pytest.raises(RejectedError, match=r"^(Statement|the message Statement)"):
        check_bundle(encode(forge(pair, document)))


def test_large_numbers_of_a_predicate_are_not_exact() -> None:
    """in-toto's message holds the predicate as a `Struct` with doubles for numbers; the format permits any integer."""
    document = statement_document({"a:0:1": b"a"}, method="shards", shard_size=2**53 + 1)
    with pytest.raises(RejectedError, match=r"shard_size is 9007199254740993, and was understood as 9007199254740992"):
        check_statement(encode(document))


MISSPELLED = """
import json
from tests.helpers import FILES, make_pair, write_tree

def test_sign(tmp_path, monkeypatch):
    import hf_model_signing as hms
    from hf_model_signing.methods.key.signer import KeySigner

    monkeypatch.setattr(KeySigner, "_material", lambda self: {"publicKey": {"hnt": "00"}})
    try:
        hms.sign(write_tree(tmp_path / "model", FILES), signer=make_pair(tmp_path).signer)
    except BaseException:
        pass
"""


def test_any_test_that_signs_notices_a_mistake(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest("pytest_plugins = ['tests.published_messages']")
    pytester.makepyfile(MISSPELLED)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*RejectedError: Bundle.verificationMaterial.publicKey has no field 'hnt'*"])
