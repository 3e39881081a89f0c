"""The ClientTrustConfig of the local Sigstore: its trust root and its signing configuration."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.certificates import LONG_AGO, Leaf, make_authority
from tests.servers.sigstore_ca import CertificateAuthority, key_id, public_der
from tests.servers.sigstore_log import RekorV1, RekorV2, Tree
from tests.servers.tsa import Tsa

TIMESTAMP_PATH = "/api/v1/timestamp"
_MEDIA = "application/vnd.dev.sigstore"
_OPERATOR = "sigstore.example"
_RETIRED = LONG_AGO + timedelta(days=365)


class Trust:
    """Describes the services as the file does that the administrator of an instance distributes.

    As with the public instance, a retired authority and a retired CT log are listed before the current ones.
    """

    def __init__(self, url: str, ca: CertificateAuthority, logs: tuple[RekorV1, RekorV2], tsa: Tsa) -> None:
        self._url = url
        self._ca = ca
        self._logs = logs
        self._tsa = tsa
        self._old_ca = make_authority("sigstore")
        self._old_ct_key = ec.generate_private_key(ec.SECP256R1())

    def config(self, rekor: int) -> str:
        """Return the configuration as JSON text, for signers that use this version of the log."""
        config = {
            "mediaType": f"{_MEDIA}.clienttrustconfig.v0.1+json",
            "trustedRoot": self._trusted_root(),
            "signingConfig": self._signing_config(rekor),
        }
        return json.dumps(config, indent=2)

    def _trusted_root(self) -> dict[str, Any]:
        fulcio = ("sigstore", [self._ca.intermediate, self._ca.root])
        tsa = ("sigstore-tsa", [self._tsa.signer, self._tsa.intermediate, self._tsa.root])
        return {
            "mediaType": f"{_MEDIA}.trustedroot+json;version=0.1",
            "tlogs": [
                self._tree(self._logs[0].tree, "PKIX_ECDSA_P256_SHA_256"),
                self._tree(self._logs[1].tree, "PKIX_ED25519"),
            ],
            "certificateAuthorities": [
                self._authority("sigstore", [self._old_ca], end=_RETIRED),
                self._authority(*fulcio),
            ],
            "ctlogs": [self._ct_log(self._old_ct_key, end=_RETIRED), self._ct_log(self._ca.ct_key)],
            "timestampAuthorities": [self._authority(*tsa, path=TIMESTAMP_PATH)],
        }

    def _signing_config(self, rekor: int) -> dict[str, Any]:
        versions = {1: [1], 2: [2, 1]}[rekor]
        return {
            "mediaType": f"{_MEDIA}.signingconfig.v0.2+json",
            "caUrls": [self._service()],
            "oidcUrls": [self._service()],
            "rekorTlogUrls": [self._service(version=version) for version in versions],
            "tsaUrls": [self._service(TIMESTAMP_PATH)],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaConfig": {"selector": "ANY"},
        }

    def _service(self, path: str = "", version: int = 1) -> dict[str, Any]:
        return {
            "url": self._url + path,
            "majorApiVersion": version,
            "validFor": _period(),
            "operator": _OPERATOR,
        }

    def _authority(
        self, name: str, chain: Sequence[Leaf], *, path: str = "", end: datetime | None = None
    ) -> dict[str, Any]:
        certificates = [{"rawBytes": _base64(one.der)} for one in chain]
        return {
            "subject": {"organization": _OPERATOR, "commonName": name},
            "uri": self._url + path,
            "certChain": {"certificates": certificates},
            "validFor": _period(end),
        }

    def _tree(self, tree: Tree, details: str) -> dict[str, Any]:
        return self._log(tree.key, tree.id, details)

    def _ct_log(self, key: ec.EllipticCurvePrivateKey, end: datetime | None = None) -> dict[str, Any]:
        return self._log(key, key_id(key.public_key()), "PKIX_ECDSA_P256_SHA_256", end)

    def _log(self, key: Any, name: bytes, details: str, end: datetime | None = None) -> dict[str, Any]:  # noqa: ANN401
        public = {"rawBytes": _base64(public_der(key.public_key())), "keyDetails": details, "validFor": _period(end)}
        return {
            "baseUrl": self._url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": public,
            "logId": {"keyId": _base64(name)},
        }


def _period(end: datetime | None = None) -> dict[str, str]:
    ends = {} if end is None else {"end": _time(end)}
    return {"start": _time(LONG_AGO), **ends}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
