"""Of any damage to a signature file: what verifies says what was signed, and the rest is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hf_model_signing as hms
from hf_model_signing.errors import VerificationError
from tests.helpers import FILES, KeyPair, forge, write_tree
from tests.properties.trees import examples


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, pair: KeyPair) -> Path:
    """A signed model; the signature lies beside it."""
    model = write_tree(tmp_path_factory.mktemp("damage") / "model", FILES)
    hms.sign(model, signer=pair.signer, shard_size=1000).write(model.parent / "model.sig")
    return model


def _refused_or_same(model: Path, damaged: bytes, pair: KeyPair) -> None:
    good = hms.Bundle.read(model.parent / "model.sig")
    (model.parent / "damaged.sig").write_bytes(damaged)
    try:
        verification = hms.verify(model, model.parent / "damaged.sig", verifier=pair.verifier)
    except VerificationError:
        return
    assert hms.Bundle.parse(damaged).payload == good.payload
    assert set(verification.files) == set(FILES)


def test_every_flipped_byte(signed: Path, pair: KeyPair) -> None:
    good = (signed.parent / "model.sig").read_bytes()
    for position in range(len(good)):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        _refused_or_same(signed, bytes(damaged), pair)


@examples(300)
@given(data=st.data())
def test_replaced_bytes(signed: Path, pair: KeyPair, data: st.DataObject) -> None:
    good = (signed.parent / "model.sig").read_bytes()
    start, size = data.draw(st.integers(0, len(good))), data.draw(st.integers(0, 4))
    new = data.draw(st.one_of(st.binary(max_size=4), st.text(' {}[]":,\\0-_=+/e', max_size=4).map(str.encode)))
    _refused_or_same(signed, good[:start] + new + good[start + size :], pair)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just("QUJD")),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=3,
)


def _put(draw: st.DrawFn, document: Any) -> None:  # noqa: ANN401 - JSON
    """Replace, remove or add one value anywhere in a JSON document."""
    nodes = [document]
    for node in nodes:
        inner = node.values() if isinstance(node, dict) else node
        nodes.extend(value for value in inner if isinstance(value, (dict, list)) and value)
    node = draw(st.sampled_from(nodes))
    key = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
    if draw(st.booleans()):
        node[key] = draw(JSON)
    else:
        del node[key]


@examples(300)
@given(data=st.data())
def test_replaced_values(signed: Path, pair: KeyPair, data: st.DataObject) -> None:
    document = json.loads((signed.parent / "model.sig").read_bytes())
    data.draw(st.composite(lambda draw: _put(draw, document))())
    _refused_or_same(signed, json.dumps(document).encode(), pair)


@examples(300)
@given(data=st.data())
def test_replaced_values_of_a_signed_statement(signed: Path, pair: KeyPair, data: st.DataObject) -> None:
    """A trusted signer whose tool writes nonsense: never another error than a refusal, and never another list."""
    bundle = hms.Bundle.read(signed.parent / "model.sig")
    document = json.loads(bundle.payload)
    data.draw(st.composite(lambda draw: _put(draw, document))())
    payload = json.dumps(document).encode()
    forged = hms.Bundle.parse(json.dumps(forge(pair, payload)).encode())
    try:
        verification = hms.verify(signed, forged, verifier=pair.verifier)
    except VerificationError:
        return
    assert set(verification.files) == set(FILES)
