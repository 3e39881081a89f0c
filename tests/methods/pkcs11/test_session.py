from __future__ import annotations

import gc
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pytest

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key, Pkcs11Signer
from tests.softhsm import ODD_PIN, ODD_TOKEN, PIN, SoftHsm, add_private_key

Calls = Callable[[str], list[Any]]
MAIN = "token=main;object=p256"
WRONG = "4712-mistake"

CKU_USER, CKU_CONTEXT_SPECIFIC = 1, 2


@pytest.fixture
def set_flags(monkeypatch: pytest.MonkeyPatch, softhsm: SoftHsm) -> Callable[..., None]:
    """Set flags of tokens that SoftHSM never sets."""
    import PyKCS11

    def change(add: str = "", remove: str = "") -> None:
        real = PyKCS11.PyKCS11Lib.getTokenInfo

        def info(self: object, slot: int) -> Any:  # noqa: ANN401 - PyKCS11 has no types
            token = real(self, slot)
            token.flags |= getattr(PyKCS11, add, 0)
            token.flags &= ~getattr(PyKCS11, remove, 0)
            return token

        monkeypatch.setattr(PyKCS11.PyKCS11Lib, "getTokenInfo", info)

    return change


# Sources of the PIN


def _never(prompt: str) -> str:
    pytest.fail(f"asked for: {prompt}")


def test_pin_of_the_uri_beats_the_environment(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_PKCS11_PIN", WRONG)
    assert Pkcs11Key(softhsm.uri(MAIN), ask=_never).sign(b"message")


def test_pin_of_the_environment_is_not_asked_for(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_PKCS11_PIN", PIN)
    assert Pkcs11Key(softhsm.uri(MAIN, pin=None), ask=_never).sign(b"message")


def test_pin_from_prompt(softhsm: SoftHsm) -> None:
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return PIN

    assert Pkcs11Signer(softhsm.uri(MAIN, pin=None), ask=ask)
    assert prompts == ["PIN of the token 'main'"]


@pytest.mark.parametrize("ask", [None, lambda _: ""])
def test_pin_missing(softhsm: SoftHsm, calls: Calls, ask: Callable[[str], str] | None) -> None:
    logins = calls("C_Login")
    with pytest.raises(UsageError, match="the token 'main' wants a PIN: set HF_SIGN_PKCS11_PIN, or add pin-source="):
        Pkcs11Key(softhsm.uri(MAIN, pin=None), ask=ask)
    assert not logins


def test_pin_percent_encoded(softhsm: SoftHsm) -> None:
    label = quote("a/b;c=ü", safe="")
    path = f"token={quote(ODD_TOKEN)};object={label};id=%00%FF"
    uri = softhsm.uri(path, pin=None) + f"&pin-value={quote(ODD_PIN, safe='')}"
    assert Pkcs11Key(uri).sign(b"message")


def test_pin_beyond_ascii_from_environment(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_SIGN_PKCS11_PIN", ODD_PIN)
    assert Pkcs11Key(softhsm.uri(f"token={quote(ODD_TOKEN)}", pin=None)).sign(b"message")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("scheme", ["", "file:", "file://"])
def test_pin_file(softhsm: SoftHsm, tmp_path: Path, scheme: str, end: str) -> None:
    (tmp_path / "pin").write_bytes((PIN + end).encode())
    uri = softhsm.uri(MAIN, pin=None, **{"pin-source": f"{scheme}{tmp_path / 'pin'}"})
    assert Pkcs11Key(uri, ask=_never).sign(b"message")


@pytest.mark.parametrize("content", [f"{PIN}\n\n", f"{PIN}\r", f" {PIN}", f"{PIN} "])
def test_pin_file_is_taken_as_it_is(softhsm: SoftHsm, tmp_path: Path, content: str) -> None:
    """One newline at the end comes from an editor; everything else is part of the PIN."""
    (tmp_path / "pin").write_bytes(content.encode())
    with pytest.raises(UsageError, match="the PIN is wrong"):
        Pkcs11Key(softhsm.uri(MAIN, pin=None, **{"pin-source": str(tmp_path / "pin")}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "cannot read the PIN from '.*none': No such file"),
        (".", "cannot read the PIN from '.*': Is a directory"),
        ("empty", "there is no PIN in '.*empty'"),
        ("newline", "there is no PIN in '.*newline'"),
        ("/dev/zero", "'/dev/zero'.*: it is a device"),
    ],
)
def test_pin_file_broken(softhsm: SoftHsm, tmp_path: Path, calls: Calls, name: str, message: str) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "newline").write_bytes(b"\n")
    logins = calls("C_Login")
    with pytest.raises(UsageError, match=message):
        Pkcs11Key(softhsm.uri(MAIN, pin=None, **{"pin-source": os.path.join(tmp_path, name)}))
    assert not logins


# The login


def test_wrong_pin_is_tried_once(softhsm: SoftHsm, calls: Calls) -> None:
    logins, closed = calls("C_Login"), calls("C_CloseSession")
    with pytest.raises(UsageError, match="the PIN is wrong for the token 'main'; it counts wrong attempts") as caught:
        Pkcs11Signer(softhsm.uri(MAIN, pin=WRONG), ask=_never)
    assert len(closed) == 1
    assert caught.value.__traceback__  # it holds the frames, and with them the session
    assert [bytes(pin) for _, pin in logins] == [WRONG.encode()]
    assert Pkcs11Signer(softhsm.uri(MAIN))
    assert len(logins) == 2


def test_right_pin_is_used_once(softhsm: SoftHsm, calls: Calls) -> None:
    logins = calls("C_Login")
    key = Pkcs11Key(softhsm.uri(MAIN))
    assert key.sign(b"one")
    assert key.sign(b"other")
    assert [user for user, _ in logins] == [CKU_USER]


def test_wrong_pin_beside_a_login(softhsm: SoftHsm) -> None:
    """The token does not check the PIN of a process that is logged in already."""
    first = Pkcs11Key(softhsm.uri(MAIN))
    with pytest.raises(UsageError, match="the PIN is wrong for the token 'main'"):
        Pkcs11Key(softhsm.uri(MAIN, pin=WRONG))
    assert Pkcs11Key(softhsm.uri(MAIN)).sign(b"message")
    assert first.sign(b"message")


def test_login_ends_with_the_last_signer(softhsm: SoftHsm) -> None:
    first = Pkcs11Key(softhsm.uri(MAIN))
    del first
    gc.collect()
    session = softhsm.library().openSession(softhsm.slot("main"))
    state = session.getSessionInfo().state
    session.closeSession()
    assert state == 0  # CKS_RO_PUBLIC_SESSION


def test_login_of_others_is_used(softhsm: SoftHsm) -> None:
    with softhsm.session():
        assert Pkcs11Key(softhsm.uri(MAIN)).sign(b"message")


LOGIN_ERRORS = [
    (0xA0, UsageError, "the PIN is wrong for the token 'main'"),
    (0xA1, UsageError, "the PIN is wrong for the token 'main'"),
    (0xA2, UsageError, "the PIN is wrong for the token 'main'"),
    (0xA3, UsageError, "the PIN of the token 'main' has expired; change it"),
    (0xA4, UsageError, "the PIN of the token 'main' is locked after too many wrong attempts"),
    (0x102, UsageError, "the token 'main' has no user PIN yet"),
    (0x30, HfSignError, "the login to the token 'main' failed: CKR_DEVICE_ERROR"),
    (0x104, HfSignError, "the login to the token 'main' failed: CKR_USER_ANOTHER_ALREADY_LOGGED_IN"),
    (0x80000001, HfSignError, "the login to the token 'main' failed: Vendor error"),
]


@pytest.mark.parametrize(("code", "kind", "message"), LOGIN_ERRORS)
def test_login_fails(
    softhsm: SoftHsm, fail: Callable[[str, int], None], code: int, kind: type[HfSignError], message: str
) -> None:
    fail("C_Login", code)
    with pytest.raises(HfSignError, match=message) as caught:
        Pkcs11Key(softhsm.uri(MAIN))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("add", "remove", "message"),
    [
        ("CKF_USER_PIN_FINAL_TRY", "", "one more wrong PIN locks the token 'main', so none is tried"),
        ("CKF_USER_PIN_LOCKED", "", "the PIN of the token 'main' is locked"),
        ("CKF_USER_PIN_TO_BE_CHANGED", "", "the PIN of the token 'main' has expired"),
        ("", "CKF_USER_PIN_INITIALIZED", "the token 'main' has no user PIN yet"),
    ],
)
def test_login_is_not_tried(
    softhsm: SoftHsm, set_flags: Callable[..., None], calls: Calls, add: str, remove: str, message: str
) -> None:
    logins = calls("C_Login")
    set_flags(add, remove)
    with pytest.raises(UsageError, match=message):
        Pkcs11Key(softhsm.uri(MAIN, pin=None), ask=_never)
    assert not logins


def test_attempts_used_up_at_the_prompt(softhsm: SoftHsm, set_flags: Callable[..., None], calls: Calls) -> None:
    """Another program tries PINs while the user is asked."""
    logins = calls("C_Login")

    def ask(_: str) -> str:
        set_flags("CKF_USER_PIN_FINAL_TRY")
        return PIN

    with pytest.raises(UsageError, match="one more wrong PIN locks the token 'main'"):
        Pkcs11Key(softhsm.uri(MAIN, pin=None), ask=ask)
    assert not logins


def test_count_low_is_tried(softhsm: SoftHsm, set_flags: Callable[..., None]) -> None:
    set_flags("CKF_USER_PIN_COUNT_LOW")
    assert Pkcs11Key(softhsm.uri(MAIN))


def test_pin_pad_asks_itself(softhsm: SoftHsm, set_flags: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    from PyKCS11.LowLevel import CPKCS11Lib

    set_flags("CKF_PROTECTED_AUTHENTICATION_PATH")
    real, given = CPKCS11Lib.C_Login, []

    def typed(self: object, session: object, user: int, pin: object) -> Any:  # noqa: ANN401 - PyKCS11's
        from PyKCS11 import ckbytelist

        given.append(bytes(pin))  # type: ignore[call-overload] # a list of bytes of PyKCS11
        return real(self, session, user, ckbytelist(PIN))

    monkeypatch.setattr(CPKCS11Lib, "C_Login", typed)
    assert Pkcs11Key(softhsm.uri(MAIN, pin=None), ask=_never).sign(b"message")
    assert given == [b""]


def test_token_without_login(softhsm: SoftHsm, set_flags: Callable[..., None], calls: Calls) -> None:
    with softhsm.session():  # in which the private keys are visible
        logins = calls("C_Login")
        set_flags(remove="CKF_LOGIN_REQUIRED")
        assert Pkcs11Key(softhsm.uri(MAIN, pin=None), ask=_never).sign(b"message")
    assert not logins


# Keys that require a login for each signature


@pytest.fixture
def careful(softhsm: SoftHsm) -> Iterator[str]:
    """The path of such a key, whose public key is that of `p256`."""
    with softhsm.session() as session:
        key = softhsm.pairs["p256"].key
        add_private_key(session, key, LABEL="careful", ID=b"\x01", ALWAYS_AUTHENTICATE=True)
        yield "token=main;object=careful"


def test_each_signature_logs_in(softhsm: SoftHsm, careful: str, calls: Calls) -> None:
    logins = calls("C_Login")
    key = Pkcs11Key(softhsm.uri(careful, pin=None), ask=lambda _: PIN)
    assert key.sign(b"one")
    assert key.sign(b"other")
    assert [user for user, _ in logins] == [CKU_USER, CKU_CONTEXT_SPECIFIC, CKU_CONTEXT_SPECIFIC]


def test_wrong_pin_for_a_signature_is_tried_once(softhsm: SoftHsm, careful: str, calls: Calls) -> None:
    from hf_model_signing.methods.pkcs11 import module

    for loaded in module._modules.values():
        loaded.logins.clear()  # the PIN of the other session is unknown
    logins = calls("C_Login")
    key = Pkcs11Key(softhsm.uri(careful, pin=WRONG))
    with pytest.raises(UsageError, match="the PIN is wrong for the token 'main'"):
        key.sign(b"message")
    with pytest.raises(HfSignError, match="the session with the token 'main' was closed; make a new signer"):
        key.sign(b"message")
    assert [user for user, _ in logins] == [CKU_USER, CKU_CONTEXT_SPECIFIC]


def test_last_attempt_is_not_used_for_a_signature(
    softhsm: SoftHsm, careful: str, set_flags: Callable[..., None], calls: Calls
) -> None:
    key = Pkcs11Key(softhsm.uri(careful))
    logins = calls("C_Login")
    set_flags("CKF_USER_PIN_FINAL_TRY")
    with pytest.raises(UsageError, match="one more wrong PIN locks the token 'main'"):
        key.sign(b"message")
    assert not logins


def test_login_for_a_signature_has_to_happen(softhsm: SoftHsm, careful: str, fail: Callable[[str, int], None]) -> None:
    """The login of the user does not count as the login for this key."""
    key = Pkcs11Key(softhsm.uri(careful))
    fail("C_Login", 0x100)
    with pytest.raises(HfSignError, match="the login to the token 'main' failed: CKR_USER_ALREADY_LOGGED_IN"):
        key.sign(b"message")


def test_pin_is_kept_only_for_such_keys(softhsm: SoftHsm, careful: str) -> None:
    plain, other = Pkcs11Key(softhsm.uri(MAIN)), Pkcs11Key(softhsm.uri(careful))
    assert plain._session._pin is None
    assert other._session._pin is not None


# Errors and leaks


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("C_OpenSession", "the PKCS #11 module failed to open a session: CKR_DEVICE_ERROR"),
        ("C_FindObjectsInit", "the PKCS #11 module failed to search its objects: CKR_DEVICE_ERROR"),
        ("C_GetAttributeValue", "the PKCS #11 module failed to read an object: CKR_DEVICE_ERROR"),
    ],
)
def test_device_breaks(softhsm: SoftHsm, fail: Callable[[str, int], None], function: str, message: str) -> None:
    fail(function, 0x30)
    with pytest.raises(HfSignError, match=message) as caught:
        Pkcs11Key(softhsm.uri(MAIN))
    assert caught.value.exit_code == 3


def test_device_breaks_at_the_end(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    from PyKCS11.LowLevel import CPKCS11Lib

    key = Pkcs11Key(softhsm.uri(MAIN))
    real = CPKCS11Lib.C_CloseSession
    monkeypatch.setattr(CPKCS11Lib, "C_CloseSession", lambda *arguments: real(*arguments) or 0x30)
    key._session.close()
    key._session.close()


def _library_frames(trace: TracebackType | None) -> Iterator[dict[str, Any]]:
    for frame, _ in traceback.walk_tb(trace):
        if frame.f_code.co_filename != __file__:
            yield frame.f_locals


def test_wrong_pin_leaks_nowhere(softhsm: SoftHsm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UsageError, match="the PIN is wrong") as caught:
        Pkcs11Signer(softhsm.uri(MAIN, pin=WRONG))
    assert "logging in to the token 'main'" in caplog.text
    assert caught.value.__context__ is None
    frames = list(_library_frames(caught.value.__traceback__))
    assert len(frames) >= 4
    shown = f"{caught.value!r} {''.join(traceback.format_exception(caught.value))} {caplog.text} {frames!r}"
    assert WRONG not in shown


def test_right_pin_is_in_no_log(softhsm: SoftHsm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Pkcs11Key(softhsm.uri(MAIN)).sign(b"message")
    assert caplog.records
    assert PIN not in caplog.text
