"""For any damage to a signature file: it is rejected, or verifies with the signed statement."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hf_model_signing as hms
from hf_model_signing.errors import VerificationError
from tests.certificates import make_authority
from tests.helpers import KeyPair, forge, write_tree
from tests.properties.trees import examples

# The library's warning about a serial number that the damage made negative.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

FILES = {"config.json": b"{}", "weights.bin": b"w" * 25}


@dataclass(frozen=True)
class Signed:
    """A signed model and a verifier."""

    model: Path
    bundle: hms.Bundle
    verifier: hms.Verifier

    def verify(self, damaged: bytes) -> None:
        """Check for a rejection or the same statement; any other error or statement is a bug."""
        signature = self.model.parent / "damaged.sig"
        signature.write_bytes(damaged)
        try:
            verification = hms.verify(self.model, signature, verifier=self.verifier)
        except VerificationError:
            return
        assert hms.Bundle.parse(damaged).payload == self.bundle.payload
        assert set(verification.files) == set(FILES)


def _with_key(folder: Path, pair: KeyPair) -> tuple[hms.Signer, hms.Verifier]:
    return pair.signer, pair.verifier


def _with_certificate(folder: Path, pair: KeyPair) -> tuple[hms.Signer, hms.Verifier]:
    root = make_authority("root")
    between = make_authority("between", parent=root)
    key, leaf = between.issue("leaf").write(folder, "leaf")
    chain = between.write(folder, "between")[1]
    return hms.CertificateSigner(key, leaf, cert_chain=[chain]), hms.CertificateVerifier([root.cert])


@pytest.fixture(scope="module", params=[_with_key, _with_certificate], ids=["key", "certificate"])
def signed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pair: KeyPair) -> Signed:
    folder = tmp_path_factory.mktemp("damage")
    signer, verifier = request.param(folder, pair)
    model = write_tree(folder / "model", FILES)
    return Signed(model, hms.sign(model, signer=signer, shard_size=10), verifier)


def test_every_flipped_byte(signed: Signed) -> None:
    good = signed.bundle.to_bytes()
    for position in range(len(good)):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        signed.verify(bytes(damaged))


@examples(150)
@given(data=st.data())
def test_replaced_bytes(signed: Signed, data: st.DataObject) -> None:
    good = signed.bundle.to_bytes()
    start, size = data.draw(st.integers(0, len(good))), data.draw(st.integers(0, 4))
    new = data.draw(st.one_of(st.binary(max_size=4), st.text(' {}[]":,\\0-_=+/e', max_size=4).map(str.encode)))
    signed.verify(good[:start] + new + good[start + size :])


@examples(150)
@given(data=st.data())
def test_replaced_bytes_below_base64(signed: Signed, data: st.DataObject) -> None:
    document = json.loads(signed.bundle.to_bytes())
    certificates = document["verificationMaterial"].get("x509CertificateChain", {}).get("certificates", [])
    places = [(document["dsseEnvelope"]["signatures"][0], "sig"), (document["dsseEnvelope"], "payload")]
    holder, key = data.draw(st.sampled_from([*places, *((item, "rawBytes") for item in certificates)]))
    good = base64.b64decode(holder[key])
    start, size = data.draw(st.integers(0, len(good))), data.draw(st.integers(0, 2))
    bad = good[:start] + data.draw(st.binary(max_size=2)) + good[start + size :]
    holder[key] = base64.b64encode(bad).decode()
    signed.verify(json.dumps(document).encode())


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just("QUJD")),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=3,
)


def _replace_value(draw: st.DrawFn, document: Any) -> None:  # noqa: ANN401 - JSON
    """Replace or remove one value anywhere in a JSON document."""
    nodes = [document]
    for node in nodes:
        inner = node.values() if isinstance(node, dict) else node
        nodes.extend(value for value in inner if isinstance(value, (dict, list)) and value)
    node = draw(st.sampled_from(nodes))
    key = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
    if draw(st.booleans()):
        node[key] = draw(_JSON)
    else:
        del node[key]


@examples(150)
@given(data=st.data())
def test_replaced_values(signed: Signed, data: st.DataObject) -> None:
    document = json.loads(signed.bundle.to_bytes())
    data.draw(st.composite(lambda draw: _replace_value(draw, document))())
    signed.verify(json.dumps(document).encode())


@examples(150)
@given(data=st.data())
def test_replaced_values_that_are_signed(pair: KeyPair, signed_statement: Signed, data: st.DataObject) -> None:
    """A trusted signer whose tool writes nonsense: only rejections, and never another file list."""
    document = json.loads(signed_statement.bundle.payload)
    data.draw(st.composite(lambda draw: _replace_value(draw, document))())
    forged = json.dumps(forge(pair, json.dumps(document).encode())).encode()
    signature = signed_statement.model.parent / "forged.sig"
    signature.write_bytes(forged)
    try:
        verification = hms.verify(signed_statement.model, signature, verifier=pair.verifier)
    except VerificationError:
        return
    assert set(verification.files) == {*FILES, "empty"}


@pytest.fixture(scope="module", params=[None, 10], ids=["files", "shards"])
def signed_statement(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pair: KeyPair) -> Signed:
    files = {**FILES, "empty": b""}
    model = write_tree(tmp_path_factory.mktemp("nonsense") / "model", files)
    return Signed(model, hms.sign(model, signer=pair.signer, shard_size=request.param), pair.verifier)
