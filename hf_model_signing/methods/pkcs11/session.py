"""A session with a PKCS #11 token: one login, reading of objects, signing."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import threading
import weakref
from collections.abc import Callable
from typing import Any

from hf_model_signing._util.input_files import read_start
from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.module import device_errors, load_module
from hf_model_signing.methods.pkcs11.slot import Slot, choose_slot, read_slot
from hf_model_signing.methods.pkcs11.uri import Pin, Pkcs11Uri

PIN_VARIABLE = "HF_SIGN_PKCS11_PIN"
_MAX_PIN_FILE = 4096
_MAX_SIGNATURE = 1024  # ECDSA on the largest curve has 132 bytes
_SALT = secrets.token_bytes(32)
_logger = logging.getLogger(__name__)


class TokenSession:
    """A session with the token that `uri` names, logged in as its user; closed when the object is collected.

    The PIN comes from the URI, from `HF_SIGN_PKCS11_PIN` or from `ask`. It is tried only once: a token locks itself
    after a few wrong attempts.
    """

    def __init__(self, uri: Pkcs11Uri, *, ask: Callable[[str], str | None] | None) -> None:
        self._module = load_module(uri)
        self.api: Any = self._module.api
        slot = choose_slot(self._module, uri)
        self.token, self._slot_id = slot.token, slot.slot_id
        # Tokens whose objects are all public need no login, and then no PIN is asked for.
        login = bool(slot.flags & self.api.CKF_LOGIN_REQUIRED)
        self._pin = _obtain_pin(self.api, slot, uri, ask) if login else None
        self._lock = threading.Lock()
        with device_errors("to open a session"):
            self._handle = self._module.library.openSession(slot.slot_id)
        self._finalizer = weakref.finalize(self, _close, self._handle, self.api, os.getpid())
        if login:
            try:
                self._log_in(self.api.CKU_USER)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the session; with the last one of this process, the token logs out. A second call does nothing."""
        self.forget_pin()
        self._finalizer()

    def forget_pin(self) -> None:
        """Drop the PIN; only keys that require a login for each signature need it again."""
        self._pin = None

    def find(self, template: list[tuple[int, Any]]) -> list[Any]:
        """Return the handles of the objects with these attributes."""
        with self._lock, device_errors("to search its objects"):
            found: list[Any] = self._handle.findObjects(template)
        return found

    def read(self, handle: Any, *attributes: int) -> list[bytes | None]:  # noqa: ANN401 - PyKCS11 has no types
        """Return attributes of an object as bytes; None for one that it does not have or does not reveal."""
        with self._lock, device_errors("to read an object"):
            values = self._handle.getAttributeValue(handle, list(attributes), allAsBinary=True)
        return [None if value is None else bytes(value) for value in values]

    def sign(self, handle: Any, digest: bytes, *, login: bool) -> bytes:  # noqa: ANN401 - PyKCS11 has no types
        """Return the raw ECDSA signature over `digest`; with `login`, the key requires the PIN again."""
        lib, session = self._handle.lib, self._handle.session
        with self._lock:
            if not self._finalizer.alive:
                raise HfSignError(f"the session with the token '{self.token}' was closed; make a new signer")
            self._check_signing(lib.C_SignInit(session, self.api.Mechanism(self.api.CKM_ECDSA).to_native(), handle))
            if login:
                try:
                    self._log_in(self.api.CKU_CONTEXT_SPECIFIC)
                except BaseException:
                    self.close()  # so that the next signature does not use up another attempt
                    raise
            signature = self.api.ckbytelist(bytes(_MAX_SIGNATURE))
            self._check_signing(lib.C_Sign(session, self.api.ckbytelist(digest), signature))
        return bytes(signature)

    def _check_signing(self, code: int) -> None:
        api = self.api
        if code == api.CKR_OK:
            return
        unfit = (api.CKR_KEY_FUNCTION_NOT_PERMITTED, api.CKR_KEY_TYPE_INCONSISTENT, api.CKR_MECHANISM_INVALID)
        if code in unfit:
            raise UsageError(f"the token '{self.token}' does not sign with this key: {api.PyKCS11Error(code)}")
        raise HfSignError(f"the token '{self.token}' failed to sign: {api.PyKCS11Error(code)}")

    def _log_in(self, user: int) -> None:
        """Try the PIN once; with the low-level function, since an exception of PyKCS11 would contain the PIN."""
        _check_attempts(self.api, read_slot(self._module, self._slot_id), self.token)
        pin, login = self._pin, self._handle.lib.C_Login
        with self._module.lock:
            _logger.debug("logging in to the token %r", self.token)
            code = login(self._handle.session, user, self.api.ckbytelist(pin.value if pin else None))
            if code == self.api.CKR_USER_ALREADY_LOGGED_IN and user == self.api.CKU_USER:
                code = self._compare_pin(pin)
            elif code == self.api.CKR_OK and pin:
                self._module.logins[self._slot_id] = _digest(pin)
        if code != self.api.CKR_OK:
            raise _login_error(self.api, code, self.token)

    def _compare_pin(self, pin: Pin | None) -> int:
        """Compare a PIN with that of the current login of this process, as the token does not check it again."""
        known = self._module.logins.get(self._slot_id)
        same = pin is None or known is None or secrets.compare_digest(known, _digest(pin))
        code: int = self.api.CKR_OK if same else self.api.CKR_PIN_INCORRECT
        return code


def _obtain_pin(api: Any, slot: Slot, uri: Pkcs11Uri, ask: Callable[[str], str | None] | None) -> Pin | None:  # noqa: ANN401
    _check_attempts(api, slot, slot.token)
    if slot.flags & api.CKF_PROTECTED_AUTHENTICATION_PATH:
        return None  # entered on the device itself
    if uri.pin_value is not None:
        return uri.pin_value
    if uri.pin_source is not None:
        return _read_pin(uri.pin_source)
    answer = os.environ.get(PIN_VARIABLE) or (ask(f"PIN of the token '{slot.token}'") if ask else "")
    if not answer:
        raise UsageError(f"the token '{slot.token}' wants a PIN: set {PIN_VARIABLE}, "
                         "or add pin-source=/path/of/a/file to the URI")  # fmt: skip
    return Pin(os.fsencode(answer))


def _read_pin(path: str) -> Pin:
    try:
        pin = Pin(read_start(path, _MAX_PIN_FILE + 1))
    except OSError as error:
        raise UsageError(f"cannot read the PIN from '{path}': {error.strerror}") from error
    if len(pin.value) > _MAX_PIN_FILE:
        raise UsageError(f"'{path}' is too large to be a file with a PIN")
    pin = Pin(re.sub(rb"\r?\n\Z", b"", pin.value))
    if not pin.value:
        raise UsageError(f"there is no PIN in '{path}'")
    return pin


def _check_attempts(api: Any, slot: Slot | None, token: str) -> None:  # noqa: ANN401 - PyKCS11 has no types
    """Raise `UsageError` if a login cannot succeed, or if another wrong PIN would lock the token."""
    if slot is None:
        raise HfSignError(f"the token '{token}' is gone")
    for flag, name in (
        (api.CKF_USER_PIN_LOCKED, "CKR_PIN_LOCKED"),
        (api.CKF_USER_PIN_TO_BE_CHANGED, "CKR_PIN_EXPIRED"),
    ):
        if slot.flags & flag:
            raise _login_error(api, getattr(api, name), token)
    if not slot.flags & api.CKF_USER_PIN_INITIALIZED:
        raise _login_error(api, api.CKR_USER_PIN_NOT_INITIALIZED, token)
    if slot.flags & api.CKF_USER_PIN_FINAL_TRY:
        raise UsageError(f"one more wrong PIN locks the token '{token}', so none is tried; "
                         "log in once with the tool of its maker, which resets its counter")  # fmt: skip


def _login_error(api: Any, code: int, token: str) -> HfSignError:  # noqa: ANN401 - PyKCS11 has no types
    wrong = (f"the PIN is wrong for the token '{token}'; it counts wrong attempts and locks itself after a few, "
             "so make sure of the PIN before the next one")  # fmt: skip
    sentences = {
        api.CKR_PIN_INCORRECT: wrong,
        api.CKR_PIN_INVALID: wrong,
        api.CKR_PIN_LEN_RANGE: wrong,
        api.CKR_PIN_LOCKED: f"the PIN of the token '{token}' is locked after too many wrong attempts; "
        "its security officer can set a new one",
        api.CKR_PIN_EXPIRED: f"the PIN of the token '{token}' has expired; change it with the tool of its maker",
        api.CKR_USER_PIN_NOT_INITIALIZED: f"the token '{token}' has no user PIN yet; its security officer sets one",
    }
    if code in sentences:
        return UsageError(sentences[code])
    return HfSignError(f"the login to the token '{token}' failed: {api.PyKCS11Error(code)}")


def _digest(pin: Pin) -> bytes:
    return hashlib.blake2b(pin.value, key=_SALT).digest()


def _close(handle: Any, api: Any, process: int) -> None:  # noqa: ANN401 - PyKCS11 has no types
    # A forked process has a copy of the handle, but the session belongs to its parent.
    if os.getpid() != process:
        return
    try:
        handle.closeSession()
    except api.PyKCS11Error as error:
        _logger.debug("a session could not be closed: %s", error)
