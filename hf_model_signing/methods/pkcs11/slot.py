"""The tokens of a PKCS #11 module, and the choice of the one that a URI names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hf_model_signing.errors import HfSignError, UsageError
from hf_model_signing.methods.pkcs11.module import Module, device_errors, unpadded
from hf_model_signing.methods.pkcs11.uri import Pkcs11Uri

# In the order in which they are proposed to distinguish tokens.
_ATTRIBUTES = ("token", "serial", "model", "manufacturer", "slot_id", "slot_description", "slot_manufacturer")
_LISTED = 10


@dataclass(frozen=True)
class Slot:
    """A slot with a token; the fields have the names of those of `Pkcs11Uri`."""

    slot_id: int
    slot_description: str
    slot_manufacturer: str
    token: str
    manufacturer: str
    serial: str
    model: str
    flags: int


def choose_slot(module: Module, uri: Pkcs11Uri) -> Slot:
    """Return the token that `uri` names; raises `UsageError` unless there is exactly one."""
    slots = _slots(module)
    matching = [slot for slot in slots if _matches(slot, uri)]
    if not slots:
        raise UsageError(f"the PKCS #11 module '{module.path}' finds no token; is the device connected?")
    if not matching:
        there = f"there {'is' if len(slots) == 1 else 'are'} {listed([repr(slot.token) for slot in slots])}"
        raise UsageError(f"no token has {_wanted(uri)}, as the PKCS #11 URI says; {there}")
    if len(matching) > 1:
        raise UsageError(f"the PKCS #11 URI fits {len(matching)} tokens; {_difference(matching)}")
    return matching[0]


def listed(words: list[str]) -> str:
    """Join the words with commas; of many, only the first."""
    return ", ".join(words[:_LISTED]) + (f" and {len(words) - _LISTED} more" if len(words) > _LISTED else "")


def _matches(slot: Slot, uri: Pkcs11Uri) -> bool:
    return all(getattr(uri, name) in (None, getattr(slot, name)) for name in _ATTRIBUTES)


def _wanted(uri: Pkcs11Uri) -> str:
    given = [(name, getattr(uri, name)) for name in _ATTRIBUTES if getattr(uri, name) is not None]
    return " and ".join(f"{name.replace('_', '-')} {value!r}" for name, value in given)


def _difference(slots: list[Slot]) -> str:
    """Return a hint how to complete a URI so that it matches only one of these; the ids of slots always differ."""
    for name in _ATTRIBUTES:
        values = [getattr(slot, name) for slot in slots]
        if len(set(values)) == len(values):
            break
    else:
        raise HfSignError("the PKCS #11 module shows one slot several times")
    return f"add {name.replace('_', '-')}= to it, which is one of: {listed([repr(value) for value in values])}"


def _slots(module: Module) -> list[Slot]:
    with device_errors("to list its tokens"):
        found = [read_slot(module, number) for number in module.library.getSlotList(tokenPresent=True)]
    return [slot for slot in found if slot is not None and slot.flags & module.api.CKF_TOKEN_INITIALIZED]


def read_slot(module: Module, number: int) -> Slot | None:
    """Return the slot and its token; None when the token was removed or the module does not recognize it."""
    api: Any = module.api
    with device_errors("to describe a token"):
        try:
            slot, token = module.library.getSlotInfo(number), module.library.getTokenInfo(number)
        except api.PyKCS11Error as error:
            gone = (api.CKR_TOKEN_NOT_PRESENT, api.CKR_TOKEN_NOT_RECOGNIZED, api.CKR_DEVICE_REMOVED)
            if error.value in gone:
                return None
            raise
    return Slot(
        slot_id=number,
        slot_description=unpadded(slot.slotDescription),
        slot_manufacturer=unpadded(slot.manufacturerID),
        token=unpadded(token.label),
        manufacturer=unpadded(token.manufacturerID),
        serial=unpadded(token.serialNumber),
        model=unpadded(token.model),
        flags=token.flags,
    )
