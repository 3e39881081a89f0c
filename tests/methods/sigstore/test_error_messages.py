"""Messages for errors of sigstore-python."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

import hf_model_signing as hms
from hf_model_signing.methods.sigstore.error_messages import explain
from hf_model_signing.oms.dsse import decode_base64
from tests.servers.sigstore_fixtures import Keyless


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            "invalid signing cert: expired at time of signing",
            "and the log took the signature in at 1970-01-01 00:00:01",
        ),
        ("failed to build timestamp certificate chain", "and the log took the signature in at 1970-01-01 00:00:01"),
        ("invalid checkpoint", "the checkpoint of the log entry is not signed by a transparency log"),
    ],
)
def test_time_outside_of_the_certificate_explains_only_what_comes_of_it(
    keyless: Keyless, model: Path, error: str, sentence: str
) -> None:
    material = hms.sign(model, signer=keyless.signer()).material
    certificate = x509.load_der_x509_certificate(decode_base64(material["certificate"]["rawBytes"], "it"))
    early = {"tlogEntries": [{**material["tlogEntries"][0], "integratedTime": "1"}]}
    assert sentence in explain(ValueError(error), early, certificate)
