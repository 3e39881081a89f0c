from __future__ import annotations

import traceback
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_model_signing.errors import UsageError
from hf_model_signing.methods.pkcs11.uri import Pin, Pkcs11Uri

SECRET = "87654321"

# Everything with an encoding in UTF-8, without NUL.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


def test_all_attributes_of_the_path() -> None:
    uri = Pkcs11Uri.parse(
        "pkcs11:token=The%20token;manufacturer=Snake%20Oil,%20Inc.;serial=DECAFBAD;model=1.0;object=my-key;type=private"
        ";id=%69%95%3E%5C;slot-id=327;slot-description=Slot;slot-manufacturer=Maker;library-manufacturer=Lib"
        ";library-description=Soft;library-version=3.1"
    )
    assert uri == Pkcs11Uri(
        token="The token",
        manufacturer="Snake Oil, Inc.",
        serial="DECAFBAD",
        model="1.0",
        object="my-key",
        type="private",
        id=b"\x69\x95\x3e\x5c",
        slot_id=327,
        slot_description="Slot",
        slot_manufacturer="Maker",
        library_manufacturer="Lib",
        library_description="Soft",
        library_version="3.1",
    )


def test_all_attributes_of_the_query() -> None:
    uri = Pkcs11Uri.parse("pkcs11:?module-path=/usr/lib/a%26b.so&module-name=softhsm2&pin-value=12%2634")
    assert uri == Pkcs11Uri(module_path="/usr/lib/a&b.so", module_name="softhsm2", pin_value=Pin(b"12&34"))


@pytest.mark.parametrize("uri", ["pkcs11:", "pkcs11:?", "PKCS11:"])
def test_nothing_named(uri: str) -> None:
    assert Pkcs11Uri.parse(uri) == Pkcs11Uri()


def test_empty_value_is_not_absent() -> None:
    uri = Pkcs11Uri.parse("pkcs11:token=;id=;object=")
    assert (uri.token, uri.id, uri.object) == ("", b"", "")


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("/etc/token_pin", "/etc/token_pin"),
        ("file:/etc/token_pin", "/etc/token_pin"),
        ("file:///etc/token_pin", "/etc/token_pin"),
        ("FILE://localhost/etc/token_pin", "/etc/token_pin"),
        ("file:/etc/a%2520b", "/etc/a b"),  # a URI in a URI is encoded twice
        ("/etc/a%20b", "/etc/a b"),
        ("/etc/what%3F", "/etc/what?"),
    ],
)
def test_pin_source(source: str, path: str) -> None:
    assert Pkcs11Uri.parse(f"pkcs11:token=t?pin-source={source}").pin_source == path


def test_unknown_attribute_of_the_query_is_ignored() -> None:
    """The example of RFC 7512 with attributes of a vendor."""
    uri = Pkcs11Uri.parse("pkcs11:token=my-token?pin-source=file:/etc/token_pin&vendor-bbb=value-b")
    assert uri == Pkcs11Uri(token="my-token", pin_source="/etc/token_pin")


BROKEN = [
    ("", "does not begin with 'pkcs11:'"),
    ("pkcs11", "does not begin with 'pkcs11:'"),
    ("pkcs12:token=a", "does not begin with 'pkcs11:'"),
    ("token=a", "does not begin with 'pkcs11:'"),
    ("pkcs11:token", "is not a list of name=value"),
    ("pkcs11:token=a;", "is not a list of name=value"),
    ("pkcs11:;token=a", "is not a list of name=value"),
    ("pkcs11:=a", "is not a list of name=value"),
    ("pkcs11:to%6ben=a", "is not a list of name=value"),
    ("pkcs11:token=a?module-name", "is not a list of name=value"),
    ("pkcs11:token=a?&", "is not a list of name=value"),
    ("pkcs11:vendor-aaa=value-a", "an attribute 'vendor-aaa', which is not known"),
    ("pkcs11:Token=a", "an attribute 'Token', which is not known"),
    ("pkcs11:module-name=a", r"module-name= stands at a wrong place .* behind the '\?'"),
    (
        "pkcs11:module-path=/usr/lib/p.so;token=t",
        r"module-path= stands at a wrong place .*'pkcs11:token=NAME\?module-path=",
    ),
    ("pkcs11:token=t;module-path=/usr/lib/p q.so", "module-path= stands at a wrong place"),
    ("pkcs11:module-path=%2Fa.so?module-name=a", "module-path= stands at a wrong place"),
    ("pkcs11:token=a;token=a", "has token= twice"),
    ("pkcs11:id=%01;id=%02", "has id= twice"),
    ("pkcs11:?module-name=a&module-name=b", "has module-name= twice"),
    ("pkcs11:?vendor=a&vendor=b", "has an attribute that is not known twice"),
    ("pkcs11:token=a b", "token= in the PKCS #11 URI has a character that must be percent-encoded"),
    ("pkcs11:token=a/b", "token= .* must be percent-encoded"),
    ("pkcs11:token=a#b", "token= .* must be percent-encoded"),
    ("pkcs11:token=\u00e9", "token= .* must be percent-encoded"),
    ("pkcs11:token=\u0661", "token= .* must be percent-encoded"),
    ("pkcs11:token=a\n", "token= .* must be percent-encoded"),
    ("pkcs11:token=\udce9", "token= .* must be percent-encoded"),
    ("pkcs11:token=100%", "token= .* must be percent-encoded"),
    ("pkcs11:token=%4", "token= .* must be percent-encoded"),
    ("pkcs11:token=%zz", "token= .* must be percent-encoded"),
    ("pkcs11:?module-path=/a;b", "module-path= .* must be percent-encoded"),
    ("pkcs11:token=%ff", "token= in the PKCS #11 URI is not UTF-8 text"),
    ("pkcs11:token=%ed%b3%a9", "token= in the PKCS #11 URI is not UTF-8 text"),
    ("pkcs11:token=a%00", "token= in the PKCS #11 URI is not UTF-8 text"),
    ("pkcs11:?module-path=/a%00", "module-path= in the PKCS #11 URI is not UTF-8 text"),
    ("pkcs11:slot-id=", "slot-id= in the PKCS #11 URI is not a decimal number"),
    ("pkcs11:slot-id=0x1", "slot-id= .* not a decimal number"),
    ("pkcs11:slot-id=-1", "slot-id= .* not a decimal number"),
    ("pkcs11:slot-id=+1", "slot-id= .* not a decimal number"),
    ("pkcs11:slot-id=1.0", "slot-id= .* not a decimal number"),
    ("pkcs11:slot-id=1%0A", "slot-id= .* not a decimal number"),
    ("pkcs11:slot-id=%D9%A1", "slot-id= .* not a decimal number"),
    ("pkcs11:slot-id=" + "9" * 5000, "slot-id= .* not a decimal number"),
    ("pkcs11:type=", "type= in the PKCS #11 URI is none of public, private, cert, secret-key, data"),
    ("pkcs11:type=Private", "type= in the PKCS #11 URI is none of"),
    ("pkcs11:library-version=", "library-version= in the PKCS #11 URI is not a version"),
    ("pkcs11:library-version=1.", "library-version= .* is not a version"),
    ("pkcs11:library-version=1.2.3", "library-version= .* is not a version"),
    ("pkcs11:?module-path=", "module-path= in the PKCS #11 URI is not an absolute path"),
    ("pkcs11:?module-path=lib/evil.so", "module-path= in the PKCS #11 URI is not an absolute path"),
    ("pkcs11:?module-path=file:/a.so", "module-path= in the PKCS #11 URI is not an absolute path"),
    ("pkcs11:?module-name=", "module-name= in the PKCS #11 URI is not the name of a module"),
    ("pkcs11:?module-name=..", "module-name= .* not the name of a module"),
    ("pkcs11:?module-name=../../home/evil", "module-name= .* not the name of a module; module-path= takes a path"),
    ("pkcs11:?pin-value=", "pin-value= in the PKCS #11 URI is empty"),
    ("pkcs11:?pin-value=1&pin-source=/a", "both pin-value= and pin-source="),
    ("pkcs11:?pin-value=1&pin-value=1", "has pin-value= twice"),
    ("pkcs11:?pin-source=", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=token_pin", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=file:token_pin", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=file://elsewhere/pin", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=file:/pin?a", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=file:/pin%23a", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=file:/pin%2500", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=|/bin/get-pin", "pin-source= .* neither an absolute path nor a URI"),
    ("pkcs11:?pin-source=https://pins/1", "pin-source= .* neither an absolute path nor a URI"),
]


@pytest.mark.parametrize(("uri", "message"), BROKEN)
def test_broken_uri(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Pkcs11Uri.parse(uri)
    assert "\n" not in str(caught.value)


LEAKS = [
    ("pkcs11:?pin-value={}%", "percent-encoded"),
    ("pkcs11:?pin-value={} ", "percent-encoded"),
    ("pkcs11:?pin-value={};module-name=a", "percent-encoded"),
    ("pkcs11:?pin-value={}%ff", "not UTF-8 text"),
    ("pkcs11:?pin-value={}%00", "not UTF-8 text"),
    ("pkcs11:?pin-value={0}&pin-value={0}", "twice"),
    ("pkcs11:?pin-value={}&pin-source=/a", "leave one of them out"),
    ("pkcs11:?pin-source={}", "neither an absolute path"),
    # A separator that is not encoded, or the wrong one.
    ("pkcs11:?pin-value=1&{}", "not a list of name=value"),
    ("pkcs11:?pin-value=1&{}=1", "beside pin-value=; an '&' that belongs to the PIN is written as %26"),
    ("pkcs11:?pin-value=1&{}=%zz", "percent-encoded"),
    ("pkcs11:token=a;{}", "not a list of name=value"),
    ("pkcs11:pin-value={}", "the PIN stands at a wrong place"),
    ("pkcs11:token=a;pin-value={}", "the PIN stands at a wrong place"),
    ("pkcs11:token=a;pin-source={}", "the PIN stands at a wrong place"),
    ("pkcs11:token=a&pin-value={}", "the PIN stands at a wrong place"),
    ("pkcs11:token=a%3Fpin-value={}", "the PIN stands at a wrong place"),
    ("pkcs11:token=a;PIN-VALUE={}", "the PIN stands at a wrong place"),
    ("pkcs11:?module-path=/a?pin-value={}", "the PIN stands at a wrong place"),
    ("pkcs11:?module-path=/a|PIN-value={}", "the PIN stands at a wrong place"),
    ("pkcs11:?module-name=a,pin-source={}", "the PIN stands at a wrong place"),
    ("pkcs11:?module-path=/a%26pin-value%3D{}", "the PIN stands at a wrong place"),
    ("pkcs12:?pin-value={}", "does not begin with"),
]


@pytest.mark.parametrize(("uri", "message"), LEAKS)
def test_pin_is_in_no_error(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Pkcs11Uri.parse(uri.format(SECRET))
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert caught.value.__context__ is None


def test_pin_is_in_no_repr() -> None:
    uri = Pkcs11Uri.parse(f"pkcs11:token=a?pin-value={SECRET}")
    assert uri.pin_value == Pin(SECRET.encode())
    assert SECRET not in f"{uri!r} {uri} {uri.pin_value!r} {vars(uri)!r}"


def test_uri_is_frozen() -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        Pkcs11Uri().token = "other"  # type: ignore[misc] # what must not work


@given(_TEXT, _TEXT)
def test_text_round_trip(token: str, label: str) -> None:
    assert Pkcs11Uri.parse(f"pkcs11:token={quote(token, safe='')};object={quote(label, safe='')}") == Pkcs11Uri(
        token=token, object=label
    )


@given(st.binary(max_size=40))
def test_id_round_trip(ident: bytes) -> None:
    assert Pkcs11Uri.parse(f"pkcs11:id={quote_from_bytes(ident, safe='')}").id == ident


@given(_TEXT.filter(bool))
def test_pin_round_trip(pin: str) -> None:
    assert Pkcs11Uri.parse(f"pkcs11:token=t?pin-value={quote(pin, safe='')}").pin_value == Pin(pin.encode())


@given(st.text(max_size=60))
def test_any_text_is_a_uri_or_a_usage_error(rest: str) -> None:
    try:
        uri = Pkcs11Uri.parse("pkcs11:" + rest)
    except UsageError:
        return
    assert isinstance(uri, Pkcs11Uri)
