"""Software tokens for the tests of PKCS #11: SoftHSM with a directory of its own, filled by its own tool."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.helpers import KeyPair, make_pair, private_pem
from tests.needs import softhsm_module

PIN, SO_PIN = "4711-secret", "9876-officer"
ODD_TOKEN, ODD_PIN = "ödd; t=1", "a&b%c?d é#"
CURVES: dict[str, ec.EllipticCurve] = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
PARAMS = {  # the object identifiers in DER
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp521r1": bytes.fromhex("06052b81040023"),
    "secp256k1": bytes.fromhex("06052b8104000a"),
}


@dataclass(frozen=True)
class SoftHsm:
    """The module, its configuration, and the key pairs of the token `main`.

    The token `main` has p256, p384 and p521 with the ids 01, 02, 03, an RSA key `rsa`, two keys `twin` with the ids 11
    and 12, and `lonely` without a public key; `single` has one key; `empty` has none; two tokens are named `twins`.
    """

    module: Path
    folder: Path
    pairs: dict[str, KeyPair]

    def uri(self, path: str, *, pin: str | None = PIN, **query: str) -> str:
        """Return a URI with the module and the PIN."""
        values = {"module-path": str(self.module), **query, **({"pin-value": pin} if pin is not None else {})}
        return f"pkcs11:{path}?" + "&".join(f"{name}={quote(value)}" for name, value in values.items())

    def slot(self, token: str) -> int:
        library = self.library()
        slots: list[int] = library.getSlotList(tokenPresent=True)
        return next(slot for slot in slots if library.getTokenInfo(slot).label.rstrip() == token)

    def library(self) -> Any:  # noqa: ANN401 - PyKCS11 has no types
        import PyKCS11

        return PyKCS11.PyKCS11Lib().load(str(self.module))

    @contextmanager
    def session(self, token: str = "main") -> Iterator[Any]:
        """A session of other code in this process, for objects that are removed with it."""
        gc.collect()  # a signer in a reference cycle, such as that of a caught error, would still be logged in
        session = self.library().openSession(self.slot(token))
        session.login(PIN)
        try:
            yield session
        finally:
            session.closeSession()


def add_private_key(session: Any, key: ec.EllipticCurvePrivateKey, **attributes: Any) -> None:  # noqa: ANN401
    """Put a private key into a session; `attributes` are those of PKCS #11 without `CKA_`."""
    import PyKCS11 as api  # noqa: N813 - only for its constants

    size = (key.curve.key_size + 7) // 8
    values = {
        "CLASS": api.CKO_PRIVATE_KEY,
        "KEY_TYPE": api.CKK_EC,
        "TOKEN": api.CK_FALSE,
        "PRIVATE": api.CK_TRUE,
        "SENSITIVE": api.CK_TRUE,
        "SIGN": api.CK_TRUE,
        "EC_PARAMS": PARAMS[key.curve.name],
        "VALUE": key.private_numbers().private_value.to_bytes(size, "big"),
        **attributes,
    }
    session.createObject([(getattr(api, f"CKA_{name}"), value) for name, value in values.items()])


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """SoftHSM for the whole run: a module reads its configuration only once in a process."""
    module = softhsm_module()
    assert module, "tests.needs skips the tests where there is no module"
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        yield SoftHsm(Path(module).resolve(), folder, _fill(folder))


def _fill(folder: Path) -> dict[str, KeyPair]:
    for token in ("main", "single", "empty", "twins", "twins", ODD_TOKEN):
        pin = ODD_PIN if token == ODD_TOKEN else PIN
        _tool("--init-token", "--free", "--label", token, "--pin", pin, "--so-pin", SO_PIN)
    pairs = {name: make_pair(folder, name, curve) for name, curve in CURVES.items()}
    pairs |= {name: make_pair(folder, name) for name in ("twin1", "twin2", "lonely")}
    rsa_key = folder / "rsa.pem"
    rsa_key.write_bytes(private_pem(rsa.generate_private_key(65537, 2048)))
    for number, name in enumerate(CURVES, 1):
        _import("main", pairs[name].private, label=name, ident=f"{number:02}")
    _import("main", rsa_key, label="rsa", ident="04")
    _import("main", pairs["twin1"].private, label="twin", ident="11")
    _import("main", pairs["twin2"].private, label="twin", ident="12")
    _import("main", pairs["lonely"].private, "--no-public-key", label="lonely", ident="21")
    _import("single", pairs["p256"].private, label="the only one", ident="01")
    _import(ODD_TOKEN, pairs["p256"].private, label="a/b;c=ü", ident="00ff", pin=ODD_PIN)
    return pairs


def _import(token: str, key: Path, *more: str, label: str, ident: str, pin: str = PIN) -> None:
    _tool("--import", str(key), "--token", token, "--label", label, "--id", ident, "--pin", pin, *more)


def _tool(*arguments: str) -> None:
    subprocess.run(["softhsm2-util", *arguments], check=True, capture_output=True)
