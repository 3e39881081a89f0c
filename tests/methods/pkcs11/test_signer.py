from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import hf_model_signing as hms
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key, Pkcs11Signer
from tests.certificates import self_signed
from tests.helpers import loaded_modules, run_python
from tests.softhsm import CURVES, ODD_PIN, PIN, SoftHsm, add_private_key

SIGN_AND_VERIFY = """
import sys
import hf_model_signing as hms
for uri in sys.argv[2:]:
    signer = hms.Pkcs11Signer(uri)
    bundle = hms.sign(sys.argv[1], signer=signer)
    signer.verifier().verify(bundle)
    print(signer.describe())
"""


@pytest.mark.parametrize("name", CURVES)
def test_each_curve_signs_and_verifies(softhsm: SoftHsm, model: Path, tmp_path: Path, name: str) -> None:
    signer = Pkcs11Signer(softhsm.uri(f"token=main;object={name}"))
    hms.sign(model, signer=signer).write(tmp_path / "model.sig")
    # The verifier has the public key of the imported file, not the one from the token.
    assert hms.verify(model, tmp_path / "model.sig", verifier=softhsm.pairs[name].verifier)
    assert hms.verify(model, tmp_path / "model.sig", verifier=signer.verifier())


def test_bundle_is_like_that_of_a_key_file(softhsm: SoftHsm, model: Path) -> None:
    signer = Pkcs11Signer(softhsm.uri("token=main;id=%01"))
    bundle, other = hms.sign(model, signer=signer), hms.sign(model, signer=softhsm.pairs["p256"].signer)
    assert (bundle.method, bundle.material, bundle.payload) == (other.method, other.material, other.payload)


def test_describe_begins_like_that_of_a_key(softhsm: SoftHsm) -> None:
    signer = Pkcs11Signer(softhsm.uri("token=main;object=p384"))
    assert signer.describe() == f"{softhsm.pairs['p384'].signer.describe()} on the token 'main'"
    assert signer.verifier().describe() == softhsm.pairs["p384"].verifier.describe()


def test_timestamp_service_is_kept(softhsm: SoftHsm) -> None:
    uri = softhsm.uri("token=single")
    assert Pkcs11Signer(uri).tsa_url is None
    assert Pkcs11Signer(uri, tsa_url="https://tsa.example").tsa_url == "https://tsa.example"


def test_chain_without_certificate(softhsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="a certificate chain is given and no signing certificate"):
        Pkcs11Signer(softhsm.uri("token=single"), cert_chain=["chain.pem"])


def test_broken_uri() -> None:
    with pytest.raises(UsageError, match="does not begin with 'pkcs11:'"):
        Pkcs11Signer("token=main")


def test_missing_package(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PyKCS11", None)
    with pytest.raises(UsageError, match=r"needs the package PyKCS11: `pip install 'hf-sign\[pkcs11\]'`"):
        Pkcs11Signer(softhsm.uri("token=main;object=p256"))


def test_package_loads_late() -> None:
    assert not loaded_modules("from hf_model_signing import Pkcs11Signer", ["PyKCS11"])


# The same module several times


def test_signers_one_after_the_other(softhsm: SoftHsm) -> None:
    for _ in range(3):
        for name in CURVES:
            assert Pkcs11Key(softhsm.uri(f"token=main;object={name}")).sign(b"message")


def test_signers_side_by_side(softhsm: SoftHsm) -> None:
    keys = [Pkcs11Key(softhsm.uri(f"token=main;object={name}")) for name in CURVES for _ in range(3)]
    assert all(key.sign(b"message") for key in keys)
    del keys[1:]
    gc.collect()
    assert keys[0].sign(b"message")  # closing other sessions does not close this one


def test_signers_on_two_tokens(softhsm: SoftHsm) -> None:
    one, other = Pkcs11Key(softhsm.uri("token=main;object=p256")), Pkcs11Key(softhsm.uri("token=single"))
    assert one.sign(b"message")
    assert other.sign(b"message")
    assert one.public_key == other.public_key


def test_threads(softhsm: SoftHsm) -> None:
    shared, failed = Pkcs11Key(softhsm.uri("token=main;object=p256")), []

    def work(name: str) -> None:
        try:
            for _ in range(10):
                assert shared.sign(name.encode())
                assert Pkcs11Key(softhsm.uri(f"token=main;object={name}")).sign(b"message")
        except BaseException as error:  # noqa: BLE001 - reported to the test, which fails
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in [*CURVES, *CURVES]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_module_under_two_names(softhsm: SoftHsm, tmp_path: Path) -> None:
    link = tmp_path / "link.so"
    link.symlink_to(softhsm.module)
    first = Pkcs11Key(softhsm.uri("token=main;object=p256"))
    for query in ({"module-path": str(link)}, {"module-path": str(tmp_path), "module-name": "link"}):
        assert Pkcs11Key(softhsm.uri("token=main;object=p256", **query)).sign(b"message")
        with pytest.raises(UsageError, match="the PIN is wrong"):  # that of the first login is known
            Pkcs11Key(softhsm.uri("token=main;object=p256", pin="4712-mistake", **query))
    gc.collect()
    assert first.sign(b"message")


def test_sessions_are_closed(softhsm: SoftHsm, calls: Callable[[str], list[Any]]) -> None:
    opened, closed = calls("C_OpenSession"), calls("C_CloseSession")
    key = Pkcs11Key(softhsm.uri("token=main;object=p256"))
    assert (len(opened), len(closed)) == (1, 0)
    del key
    gc.collect()
    assert (len(opened), len(closed)) == (1, 1)


@pytest.mark.parametrize("path", ["token=main;object=none", "token=main;object=rsa", "token=main;object=lonely"])
def test_session_of_a_failure_is_closed(softhsm: SoftHsm, calls: Callable[[str], list[Any]], path: str) -> None:
    opened, closed = calls("C_OpenSession"), calls("C_CloseSession")
    with pytest.raises(UsageError, match="token 'main'") as caught:
        Pkcs11Key(softhsm.uri(path))
    assert len(opened) == len(closed) == 1
    assert caught.value.__traceback__  # it holds the frames, and with them the session


def test_fresh_process(softhsm: SoftHsm, model: Path) -> None:
    uris = [softhsm.uri("token=main;object=p256"), softhsm.uri("token=single")]
    done = run_python(SIGN_AND_VERIFY, model, *uris)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("key P-256 ") == 2


def test_forked_process_leaves_the_session_alone(softhsm: SoftHsm) -> None:
    code = """
import os, sys
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key
import PyKCS11
key = Pkcs11Key(sys.argv[1])
real, closed = PyKCS11.LowLevel.CPKCS11Lib.C_CloseSession, []
PyKCS11.LowLevel.CPKCS11Lib.C_CloseSession = lambda *a: closed.append(1) or real(*a)
if os.fork() == 0:
    del key
    os._exit(len(closed))
print(os.waitstatus_to_exitcode(os.wait()[1]), len(key.sign(b"m")) > 8)
"""
    assert run_python(code, softhsm.uri("token=main;object=p256")).stdout == "0 True\n"


# Signatures of a token


@pytest.fixture
def broken_sign(monkeypatch: pytest.MonkeyPatch, softhsm: SoftHsm) -> Callable[[Callable[[bytes], bytes]], None]:
    """Change the signatures of the token."""
    from PyKCS11.LowLevel import CPKCS11Lib

    def change(how: Callable[[bytes], bytes]) -> None:
        real = CPKCS11Lib.C_Sign

        def sign(self: object, session: object, data: object, signature: Any) -> int:  # noqa: ANN401 - PyKCS11's
            code: int = real(self, session, data, signature)
            changed = how(bytes(signature))
            signature.resize(len(changed))
            for index, byte in enumerate(changed):
                signature[index] = byte
            return code

        monkeypatch.setattr(CPKCS11Lib, "C_Sign", sign)

    return change


def test_signature_that_does_not_verify(softhsm: SoftHsm, broken_sign: Callable[..., None], model: Path) -> None:
    signer = Pkcs11Signer(softhsm.uri("token=main;object=p256"))
    broken_sign(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(HfSignError, match="does not fit the public key 'p256' on it") as caught:
        hms.sign(model, signer=signer)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("length", [0, 1, 63, 65, 72])
def test_signature_of_wrong_length(softhsm: SoftHsm, broken_sign: Callable[..., None], length: int) -> None:
    key = Pkcs11Key(softhsm.uri("token=main;object=p256"))
    broken_sign(lambda raw: (raw + bytes(10))[:length])
    with pytest.raises(HfSignError, match=f"made a signature of {length} bytes instead of 64"):
        key.sign(b"message")


def test_public_key_of_another_pair(softhsm: SoftHsm) -> None:
    """The public key with the same id belongs to another private key."""
    with softhsm.session() as session:
        add_private_key(session, ec.generate_private_key(ec.SECP256R1()), LABEL="impostor", ID=b"\x01")
        key = Pkcs11Key(softhsm.uri("token=main;object=impostor"))
        with pytest.raises(HfSignError, match="does not fit the public key 'impostor' on it: the two are no pair"):
            key.sign(b"message")


def test_small_values_are_padded(softhsm: SoftHsm) -> None:
    """One in 128 signatures has a leading zero byte in r or s."""
    key = Pkcs11Key(softhsm.uri("token=main;object=p256"))
    for number in range(300):
        key.sign(b"%d" % number)  # verifies its own signature


@pytest.mark.parametrize(
    ("function", "code", "message"),
    [
        ("C_Sign", 0x30, r"the token 'main' failed to sign: CKR_DEVICE_ERROR"),
        ("C_Sign", 0x32, r"the token 'main' failed to sign: CKR_DEVICE_REMOVED"),
        ("C_SignInit", 0xB3, r"the token 'main' failed to sign: CKR_SESSION_HANDLE_INVALID"),
    ],
)
def test_device_breaks_while_signing(
    softhsm: SoftHsm, fail: Callable[[str, int], None], model: Path, function: str, code: int, message: str
) -> None:
    signer = Pkcs11Signer(softhsm.uri("token=main;object=p256"))
    fail(function, code)
    with pytest.raises(HfSignError, match=message) as caught:
        hms.sign(model, signer=signer)
    assert caught.value.exit_code == 3


def test_module_finalized_by_others(softhsm: SoftHsm) -> None:
    code = """
import os, sys, PyKCS11
from hf_model_signing.errors import HfSignError
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key
key = Pkcs11Key(sys.argv[1])
os.symlink(sys.argv[2], sys.argv[3])
PyKCS11.PyKCS11Lib().load(sys.argv[3]).unload()
try:
    key.sign(b"m")
except HfSignError as error:
    print(error)
print(len(Pkcs11Key(sys.argv[1]).sign(b"m")) > 8)
"""
    link = softhsm.folder / "finalized.so"
    done = run_python(code, softhsm.uri("token=main;object=p256"), softhsm.module, link)
    assert done.stdout == "the token 'main' failed to sign: CKR_CRYPTOKI_NOT_INITIALIZED (0x00000190)\nTrue\n"


def test_secrets_are_in_no_repr(softhsm: SoftHsm) -> None:
    signer = Pkcs11Signer(softhsm.uri("token=main;object=p256"))
    shown = f"{signer!r} {vars(signer)!r} {vars(signer._key)!r} {vars(signer._key._session)!r}"
    assert PIN not in shown
    assert ODD_PIN not in shown


def test_introduced_like_a_key_or_a_certificate_in_a_file(softhsm: SoftHsm, tmp_path: Path) -> None:
    uri, pair = softhsm.uri("token=main;object=p256"), softhsm.pairs["p256"]
    assert Pkcs11Signer(uri).introduce() == pair.signer.introduce()
    _, cert = self_signed("Acme", key=pair.key).write(tmp_path)
    certified = Pkcs11Signer(uri, signing_cert=cert)
    assert certified.introduce() == hms.CertificateSigner(pair.private, cert).introduce()
    assert certified.introduce().who == certified.describe().removesuffix(" on the token 'main'")
