from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.signer import Pkcs11Key
from tests.softhsm import SoftHsm


def _info(softhsm: SoftHsm, token: str) -> dict[str, str]:
    """The attributes of a URI that describe a token, from the module."""
    library, slot = softhsm.library(), softhsm.slot(token)
    info, place = library.getTokenInfo(slot), library.getSlotInfo(slot)
    return {
        "slot-id": str(slot),
        "token": info.label.rstrip(),
        "serial": info.serialNumber.rstrip(),
        "model": info.model.rstrip(),
        "manufacturer": info.manufacturerID.rstrip(),
        "slot-description": place.slotDescription.rstrip(),
        "slot-manufacturer": place.manufacturerID.rstrip(),
    }


@pytest.mark.parametrize("name", ["slot-id", "token", "serial", "slot-description"])
def test_token_by_one_attribute(softhsm: SoftHsm, name: str) -> None:
    value = quote(_info(softhsm, "single")[name])
    assert Pkcs11Key(softhsm.uri(f"{name}={value}")).token == "single"


def test_token_by_all_attributes(softhsm: SoftHsm) -> None:
    path = ";".join(f"{name}={quote(value)}" for name, value in _info(softhsm, "single").items())
    assert Pkcs11Key(softhsm.uri(path)).token == "single"


@pytest.mark.parametrize("name", ["token", "serial", "model", "manufacturer", "slot-description", "slot-manufacturer"])
def test_each_attribute_has_to_fit(softhsm: SoftHsm, name: str) -> None:
    slot = softhsm.slot("single")
    message = f"no token has .*{name} 'other'.*, as the PKCS #11 URI says; there are .*'main'"
    with pytest.raises(UsageError, match=message):
        Pkcs11Key(softhsm.uri(f"slot-id={slot};{name}=other"))


@pytest.mark.parametrize("token", ["mai", "main2", "Main", ""])
def test_token_missing(softhsm: SoftHsm, token: str) -> None:
    with pytest.raises(UsageError, match=f"no token has token '{token}', as .*; there are .*") as caught:
        Pkcs11Key(softhsm.uri(f"token={token}"))
    for there in ("'main'", "'single'", "'empty'", "'twins'", "'ödd; t=1'"):
        assert there in str(caught.value)


def test_slot_missing(softhsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="no token has slot-id 18446744073709551616"):
        Pkcs11Key(softhsm.uri(f"slot-id={2**64}"))


def test_two_tokens_of_one_name(softhsm: SoftHsm) -> None:
    library = softhsm.library()
    serials = [library.getTokenInfo(slot).serialNumber for slot in library.getSlotList(tokenPresent=True)
               if library.getTokenInfo(slot).label.rstrip() == "twins"]  # fmt: skip
    with pytest.raises(
        UsageError, match="the PKCS #11 URI fits 2 tokens; add serial= to it, which is one of"
    ) as caught:
        Pkcs11Key(softhsm.uri("token=twins"))
    assert all(repr(serial) in str(caught.value) for serial in serials)
    for serial in serials:
        with pytest.raises(UsageError, match="the token 'twins' has no private key"):
            Pkcs11Key(softhsm.uri(f"token=twins;serial={serial}"))


def test_no_token_named(softhsm: SoftHsm) -> None:
    with pytest.raises(UsageError, match="the PKCS #11 URI fits 6 tokens; add serial= to it"):
        Pkcs11Key(softhsm.uri(""))


@pytest.fixture
def tokens(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], None]:
    """Let the module show only these slots."""
    import PyKCS11

    def show(slots: list[int]) -> None:
        monkeypatch.setattr(PyKCS11.PyKCS11Lib, "getSlotList", lambda *_, **__: slots)

    return show


def test_only_token_needs_no_name(softhsm: SoftHsm, tokens: Callable[[list[int]], None]) -> None:
    tokens([softhsm.slot("single")])
    assert Pkcs11Key(softhsm.uri("")).sign(b"message")


def test_tokens_of_different_names(softhsm: SoftHsm, tokens: Callable[[list[int]], None]) -> None:
    tokens([softhsm.slot("single"), softhsm.slot("main")])
    with pytest.raises(UsageError, match="fits 2 tokens; add token= to it, which is one of: 'single', 'main'"):
        Pkcs11Key(softhsm.uri(""))


def test_no_token_at_all(softhsm: SoftHsm, tokens: Callable[[list[int]], None]) -> None:
    tokens([])
    with pytest.raises(UsageError, match="finds no token; is the device connected"):
        Pkcs11Key(softhsm.uri("token=main"))


def test_uninitialized_token_is_ignored(softhsm: SoftHsm, tokens: Callable[[list[int]], None]) -> None:
    """SoftHSM shows a slot for a token that does not exist yet."""
    library = softhsm.library()
    blank = [slot for slot in library.getSlotList() if not library.getTokenInfo(slot).label.rstrip()]
    assert blank
    tokens(blank)
    with pytest.raises(UsageError, match="finds no token; is the device connected"):
        Pkcs11Key(softhsm.uri(""))


def test_one_slot_shown_twice(softhsm: SoftHsm, tokens: Callable[[list[int]], None]) -> None:
    tokens([softhsm.slot("single")] * 2)
    with pytest.raises(HfSignError, match="the PKCS #11 module shows one slot several times"):
        Pkcs11Key(softhsm.uri("token=single"))


@pytest.fixture
def unreadable(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Let the module fail to describe one token."""
    import PyKCS11

    real = PyKCS11.PyKCS11Lib.getTokenInfo

    def change(token: str, code: int) -> None:
        broken = softhsm.slot(token)

        def info(self: object, slot: int) -> Any:  # noqa: ANN401 - PyKCS11 has no types
            if slot == broken:
                raise PyKCS11.PyKCS11Error(code)
            return real(self, slot)

        monkeypatch.setattr(PyKCS11.PyKCS11Lib, "getTokenInfo", info)

    return change


@pytest.mark.parametrize("code", [0x32, 0xE0, 0xE1])
def test_other_token_pulled_out(softhsm: SoftHsm, unreadable: Callable[[str, int], None], code: int) -> None:
    unreadable("main", code)
    assert Pkcs11Key(softhsm.uri("token=single")).sign(b"message")


def test_token_that_fails(softhsm: SoftHsm, unreadable: Callable[[str, int], None]) -> None:
    unreadable("main", 0x30)
    with pytest.raises(HfSignError, match="failed to describe a token: CKR_DEVICE_ERROR") as caught:
        Pkcs11Key(softhsm.uri("token=main"))
    assert caught.value.exit_code == 3


def test_token_pulled_out_at_the_prompt(softhsm: SoftHsm, unreadable: Callable[[str, int], None]) -> None:
    def ask(_: str) -> str:
        unreadable("single", 0xE0)
        return "1234"

    with pytest.raises(HfSignError, match="the token 'single' is gone") as caught:
        Pkcs11Key(softhsm.uri("token=single", pin=None), ask=ask)
    assert caught.value.exit_code == 3


def test_device_fails_to_list(softhsm: SoftHsm, fail: Callable[[str, int], None]) -> None:
    fail("C_GetSlotList", 0x30)
    with pytest.raises(HfSignError, match="failed to list its tokens: CKR_DEVICE_ERROR"):
        Pkcs11Key(softhsm.uri("token=main"))


def test_many_tokens_are_not_all_listed(softhsm: SoftHsm, tokens: Callable[[list[int]], None]) -> None:
    tokens([softhsm.slot("single")] * 14)
    with pytest.raises(UsageError, match=re.escape("'single' and 4 more")):
        Pkcs11Key(softhsm.uri("token=other"))
