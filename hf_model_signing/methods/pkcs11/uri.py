"""PKCS #11 URIs (RFC 7512), which name a module, a token, a key, and the source of the PIN.

No message quotes the query of a URI: an `&` in a PIN that is not encoded splits it, and the rest looks like a name.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from hf_model_signing.errors import UsageError

_PATH_NAMES = frozenset(
    {
        "token",
        "manufacturer",
        "serial",
        "model",
        "object",
        "type",
        "id",
        "slot-id",
        "slot-description",
        "slot-manufacturer",
        "library-manufacturer",
        "library-description",
        "library-version",
    }
)
_QUERY_NAMES = frozenset({"module-path", "module-name", "pin-value", "pin-source"})
_TYPES = ("public", "private", "cert", "secret-key", "data")
# RFC 7512, section 2.3: the characters of a name, of a value in the path and of a value in the query.
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PATH_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*")
_QUERY_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*")
# After any separator but `?` and `&` a PIN is part of another value, which messages may quote.
_PIN_NAME = re.compile(r"pin-(?:value|source)(?:=|%3d)", re.IGNORECASE)
_MISPLACED_PIN = re.compile(r"(?<=[^&])pin-(?:value|source)(?:=|%3d)", re.IGNORECASE)
# A module that is named in the path: no attribute there has these names, and a value would have its `=` after another.
_QUERY_NAME = re.compile(r"(?:^|;)(module-(?:path|name))=")
_VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3})?")
_SLOT_ID = re.compile(r"[0-9]{1,20}")  # up to 64 bits
_FILE_URI = re.compile(r"(?i:file:)(?://(?i:localhost)?|(?!//))(/[^?#]*)", re.DOTALL)


@dataclass(frozen=True)
class Pin:
    """A PIN, wrapped so that no repr or traceback shows it."""

    value: bytes = field(repr=False)


@dataclass(frozen=True)
class Pkcs11Uri:
    """The decoded attributes of a PKCS #11 URI; None for those that it does not have.

    `pin_source` is the absolute path of the file that contains the PIN.
    """

    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    object: str | None = None
    type: str | None = None
    id: bytes | None = None
    slot_id: int | None = None
    slot_description: str | None = None
    slot_manufacturer: str | None = None
    library_manufacturer: str | None = None
    library_description: str | None = None
    library_version: str | None = None
    module_path: str | None = None
    module_name: str | None = None
    pin_value: Pin | None = field(default=None, repr=False)
    pin_source: str | None = None

    @classmethod
    def parse(cls, uri: str) -> Pkcs11Uri:
        """Parse a URI; raises `UsageError`, whose message never contains the PIN.

        An unknown attribute in the path is an error, because it selects the key. In the query it is ignored, as vendors
        may define some; together with a PIN it is an error, because it may be the second half of the PIN.
        """
        scheme, colon, rest = uri.partition(":")
        if scheme.lower() != "pkcs11" or not colon:
            raise UsageError("the PKCS #11 URI does not begin with 'pkcs11:'")
        path, _, query = rest.partition("?")
        if _PIN_NAME.search(path) or _MISPLACED_PIN.search(query):
            raise UsageError("the PIN stands at a wrong place in the PKCS #11 URI: pin-value= and pin-source= come "
                             "behind the '?', or behind an '&' that follows it")  # fmt: skip
        found = _QUERY_NAME.search(path)
        if found:
            raise UsageError(f"{found[1]}= stands at a wrong place in the PKCS #11 URI: it belongs behind the '?', "
                             f"as in 'pkcs11:token=NAME?{found[1]}=VALUE'")  # fmt: skip
        values = _path_values(path) | _query_values(query)
        return cls(**{name.replace("-", "_"): _convert(name, value) for name, value in values.items()})


def _path_values(path: str) -> dict[str, bytes]:
    values = _split(path, ";", _PATH_VALUE)
    for name in values:
        if name not in _PATH_NAMES:
            raise UsageError(f"the PKCS #11 URI has an attribute '{name}', which is not known, so that it is not sure "
                             "which key is meant")  # fmt: skip
    return values


def _query_values(query: str) -> dict[str, bytes]:
    values = _split(query, "&", _QUERY_VALUE)
    if "pin-value" in values and not _QUERY_NAMES.issuperset(values):
        raise UsageError("the PKCS #11 URI has an attribute that is not known beside pin-value=; "
                         "an '&' that belongs to the PIN is written as %26")  # fmt: skip
    if "pin-value" in values and "pin-source" in values:
        raise UsageError("the PKCS #11 URI has both pin-value= and pin-source=; leave one of them out")
    return {name: value for name, value in values.items() if name in _QUERY_NAMES}


def _split(text: str, separator: str, allowed: re.Pattern[str]) -> dict[str, bytes]:
    """Return the attributes of the path or the query, with percent-decoded values."""
    values: dict[str, bytes] = {}
    for attribute in text.split(separator) if text else ():
        name, equals, value = attribute.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise UsageError("the PKCS #11 URI is not a list of name=value, "
                             "with ';' between them, and '&' instead behind the '?'")  # fmt: skip
        known = f"{name}=" if name in _PATH_NAMES | _QUERY_NAMES else "an attribute that is not known"
        if not allowed.fullmatch(value):
            raise UsageError(f"{known} in the PKCS #11 URI has a character that must be percent-encoded, "
                             "such as %20 for a blank and %25 for a percent sign")  # fmt: skip
        if name in values:
            raise UsageError(f"the PKCS #11 URI has {known} twice")
        values[name] = unquote_to_bytes(value)
    return values


def _convert(name: str, value: bytes) -> Any:  # noqa: ANN401 - the type of the field
    if name == "id":
        return value
    text = value.decode("utf-8", "replace")
    # Compared instead of catching an error: UnicodeDecodeError contains the value, which may be the PIN.
    if text.encode("utf-8") != value or "\0" in text:
        raise UsageError(f"{name}= in the PKCS #11 URI is not UTF-8 text")
    convert = _CONVERT.get(name)
    return convert(text) if convert else text


def _slot_id(text: str) -> int:
    if not _SLOT_ID.fullmatch(text):
        raise UsageError("slot-id= in the PKCS #11 URI is not a decimal number")
    return int(text)


def _type(text: str) -> str:
    if text not in _TYPES:
        raise UsageError(f"type= in the PKCS #11 URI is none of {', '.join(_TYPES)}")
    return text


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise UsageError("library-version= in the PKCS #11 URI is not a version such as 2 or 2.6")
    return text


def _module_path(text: str) -> str:
    if not os.path.isabs(text):
        raise UsageError("module-path= in the PKCS #11 URI is not an absolute path")
    return text


def _module_name(text: str) -> str:
    if "/" in text or text in ("", ".", ".."):
        raise UsageError("module-name= in the PKCS #11 URI is not the name of a module; module-path= takes a path")
    return text


def _pin_value(text: str) -> Pin:
    if not text:
        raise UsageError("pin-value= in the PKCS #11 URI is empty; leave it out to be asked for the PIN")
    return Pin(text.encode("utf-8"))


def _pin_source(text: str) -> str:
    found = _FILE_URI.fullmatch(text)
    path = os.fsdecode(unquote_to_bytes(found[1])) if found else text
    if not os.path.isabs(path) or "\0" in path:
        raise UsageError("pin-source= in the PKCS #11 URI is neither an absolute path nor a URI such as file:/path")
    return path


_CONVERT = {
    "slot-id": _slot_id,
    "type": _type,
    "library-version": _version,
    "module-path": _module_path,
    "module-name": _module_name,
    "pin-value": _pin_value,
    "pin-source": _pin_source,
}
