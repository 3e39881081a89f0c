"""Credentials for both tools: keys on every curve, and certificates in every arrangement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

import hf_model_signing as hms
from tests.certificates import CODE_SIGNING, LONG_AGO, TIME_STAMPING, Leaf, make_authority, self_signed
from tests.helpers import make_pair

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_LAST_YEAR = LONG_AGO + timedelta(days=9 * 365)


@dataclass(frozen=True)
class Credential:
    """The files of a signer, and those of a verifier that trusts it."""

    private: Path
    public: Path | None = None
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()
    roots: tuple[Path, ...] = ()

    def signer(self) -> hms.Signer:
        if self.certificate:
            return hms.CertificateSigner(self.private, self.certificate, cert_chain=self.chain)
        return hms.KeySigner(self.private)

    def verifier(self) -> hms.Verifier:
        return hms.KeyVerifier(self.public) if self.public else hms.CertificateVerifier(self.roots)


def _key(curve: str) -> Callable[[Path], Credential]:
    def make(folder: Path) -> Credential:
        pair = make_pair(folder, curve=CURVES[curve])
        return Credential(pair.private, public=pair.public)

    return make


def _another_key(folder: Path) -> Credential:
    return Credential(make_pair(folder).private, public=make_pair(folder, "another").public)


def _new_key(curve: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(CURVES[curve])


def _credential(folder: Path, leaf: Leaf, *, chain: Sequence[Leaf] | None = None, roots: Sequence[Leaf]) -> Credential:
    """Return the files of a leaf; its chain defaults to the roots: the reference tool requires one for signing."""
    chain = roots if chain is None else chain
    private, certificate = leaf.write(folder)
    chain_files = tuple(link.write(folder, f"chain-{number}")[1] for number, link in enumerate(chain))
    root_files = tuple(root.write(folder, f"root-{number}")[1] for number, root in enumerate(roots))
    return Credential(private, certificate=certificate, chain=chain_files, roots=root_files)


def _direct(curve: str) -> Callable[[Path], Credential]:
    def make(folder: Path) -> Credential:
        root = make_authority("root", key=_new_key(curve))
        return _credential(folder, root.issue("leaf", key=_new_key(curve)), roots=[root])

    return make


def _with_intermediate(*, in_bundle: Sequence[str], trusted: Sequence[str]) -> Callable[[Path], Credential]:
    def make(folder: Path) -> Credential:
        root = make_authority("root", key=_new_key("P-384"))
        between = make_authority("between", parent=root)
        known: dict[str, Leaf] = {"root": root, "between": between, "another": make_authority("another")}
        known["leaf"] = leaf = between.issue("leaf")
        return _credential(folder, leaf, chain=[known[n] for n in in_bundle], roots=[known[n] for n in trusted])

    return make


def _self_signed(folder: Path) -> Credential:
    leaf = self_signed("leaf", key=_new_key("P-521"))
    return _credential(folder, leaf, roots=[leaf])


def _no_chain(folder: Path) -> Credential:
    root = make_authority("root")
    return _credential(folder, root.issue("leaf"), chain=[], roots=[root])


def _expired_leaf(folder: Path) -> Credential:
    root = make_authority("root")
    return _credential(folder, root.issue("leaf", not_after=_LAST_YEAR), roots=[root])


def _expired_root(folder: Path) -> Credential:
    root = make_authority("root", not_after=_LAST_YEAR)
    leaf = root.issue("leaf")
    return _credential(folder, leaf, chain=[leaf], roots=[root])


def _authority_for_code(folder: Path) -> Credential:
    root = make_authority("root")
    usage = ("digital_signature", "key_cert_sign")
    return _credential(folder, root.issue("leaf", ca=True, key_usage=usage, eku=(CODE_SIGNING,)), roots=[root])


def _authority(folder: Path) -> Credential:
    root = make_authority("root")
    return _credential(
        folder, root.issue("leaf", ca=True, key_usage=("digital_signature", "key_cert_sign"), eku=()), roots=[root]
    )


def _for_time_stamping(folder: Path) -> Credential:
    root = make_authority("root")
    return _credential(folder, root.issue("leaf", eku=(TIME_STAMPING,)), roots=[root])


def _no_digital_signature(folder: Path) -> Credential:
    root = make_authority("root")
    return _credential(folder, root.issue("leaf", key_usage=("key_agreement",)), roots=[root])


CREDENTIALS: dict[str, Callable[[Path], Credential]] = {
    **{curve: _key(curve) for curve in CURVES},
    "another key": _another_key,
    **{f"certificate {curve}": _direct(curve) for curve in CURVES},
    "self-signed certificate": _self_signed,
    "no chain in the bundle": _no_chain,
    "intermediate in the bundle": _with_intermediate(in_bundle=["between"], trusted=["root"]),
    "whole chain in the bundle": _with_intermediate(in_bundle=["between", "root"], trusted=["root"]),
    "chain in another order": _with_intermediate(in_bundle=["root", "between"], trusted=["root"]),
    "intermediate from the verifier": _with_intermediate(in_bundle=["leaf"], trusted=["root", "between"]),
    "intermediate as the root": _with_intermediate(in_bundle=["leaf"], trusted=["between"]),
    "intermediate nowhere": _with_intermediate(in_bundle=["leaf"], trusted=["root"]),
    "another root": _with_intermediate(in_bundle=["between", "root"], trusted=["another"]),
    "expired certificate": _expired_leaf,
    "expired root": _expired_root,
    "authority for code signing": _authority_for_code,
    "authority": _authority,
    "certificate for time stamping": _for_time_stamping,
    "certificate not for signatures": _no_digital_signature,
}
