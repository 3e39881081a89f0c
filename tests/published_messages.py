"""An independent oracle: the published protobuf definitions of Sigstore and in-toto parse everything that we sign.

Each bundle that a signer returns in a test is checked, and the test fails if a definition does not accept it. The
definitions are those of `sigstore-protobuf-specs` and `in-toto-attestation`; no code of ours reads the bundles here.
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from hf_model_signing.methods.interface import Signer
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.statement import Statement

_LONGEST = 64 * 1024  # bytes of a payload that is parsed for every test: the parser needs a second for each megabyte


class RejectedError(AssertionError):
    """A published definition does not accept what we wrote."""


def check_bundle(data: bytes) -> None:
    """Raise `RejectedError` unless `data` is a `dev.sigstore.bundle.v1.Bundle` whose payload is a statement."""
    document = json.loads(data)
    _parse_bundle(document)
    payload = base64.b64decode(document["dsseEnvelope"]["payload"], validate=True)
    if len(payload) <= _LONGEST:
        check_statement(payload)


def _parse_bundle(document: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pydantic, while the definitions are imported
        from sigstore_protobuf_specs.dev.sigstore.bundle.v1 import Bundle as Message

    if document.get("verificationMaterial") == {}:
        # A bundle of the method `skip` is unsigned. The message requires one kind of verification material, so an
        # unsigned bundle is no Sigstore bundle. Everything else in it has to be right.
        document = {**document, "verificationMaterial": {"publicKey": {"hint": ""}}}
    try:
        understood = Message.from_dict(document).to_dict(include_default_values=True)
    except Exception as error:
        raise RejectedError(f"the message Bundle cannot be parsed: {error}") from error
    # The parser drops unknown fields and what is not base64; what it understood tells.
    _compare(document, understood, "Bundle")


def check_statement(payload: bytes) -> None:
    """Raise `RejectedError` unless `payload` is an `in_toto_attestation.v1.Statement` as in-toto defines it."""
    from google.protobuf import json_format
    from in_toto_attestation.v1.statement import Statement as Checked
    from in_toto_attestation.v1.statement_pb2 import Statement as Message

    message = Message()
    try:
        json_format.Parse(payload, message)
        Checked.copy_from_pb(message).validate()
    except (json_format.ParseError, ValueError) as error:
        raise RejectedError(f"the message Statement cannot be parsed: {error}") from error
    understood = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    _compare(json.loads(payload), understood, "Statement")


def _compare(written: object, understood: object, where: str) -> None:
    """Raise `RejectedError` for the first value that the message does not hold as it was written."""
    if isinstance(written, dict) and isinstance(understood, dict):
        for name, value in written.items():
            if name not in understood:
                raise RejectedError(f"{where} has no field {name!r}")
            _compare(value, understood[name], f"{where}.{name}")
    elif isinstance(written, list) and isinstance(understood, list) and len(written) == len(understood):
        for number, pair in enumerate(zip(written, understood, strict=True)):
            _compare(*pair, f"{where}[{number}]")
    elif written != understood:
        raise RejectedError(f"{where} is {written!r}, and was understood as {understood!r}")


@pytest.fixture(autouse=True)
def _published_definitions_accept_what_is_signed() -> Iterator[None]:
    """Check every bundle that a signer returns while a test runs, also in threads and where errors are caught."""
    rejected: list[RejectedError] = []
    sign = Signer.sign

    def checked(self: Signer, statement: Statement) -> Bundle:
        bundle = sign(self, statement)
        try:
            check_bundle(bundle.to_bytes())
        except RejectedError as error:
            rejected.append(error)
        return bundle

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Signer, "sign", checked)
        yield
    if rejected:
        raise rejected[0]
