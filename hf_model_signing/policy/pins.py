"""The file `trust.lock` beside a trust policy: the pinned signer of each repository (trust on first use).

It is JSON, with one entry for each repository: the public key, or the Sigstore identity and its issuer, and the date.
A malformed file is rejected, because ignoring it would trust any signer again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from hf_model_signing._util.atomic_files import write_file
from hf_model_signing._util.file_lock import changing
from hf_model_signing._util.regular_files import open_regular
from hf_model_signing._util.text import show
from hf_model_signing.errors import VerificationError
from hf_model_signing.methods.method import Pinning
from hf_model_signing.methods.registry import embedded_signers
from hf_model_signing.oms import strict_json
from hf_model_signing.oms.json_shapes import closed_object
from hf_model_signing.policy.unchanged_files import UnchangedFiles

_MAX_BYTES = 16 * 1024 * 1024  # some 40,000 repositories
_IN_ANY_CASE = ("hf://", "torchhub://")  # hubs whose names are case-insensitive


@dataclass(frozen=True)
class Pin:
    """The pinned signer of a repository: the `method` of its signature, and the time of first use, `since` (UTC).

    `signer` holds the pinned fields of the method (see `Pinning`): a public key, or an identity and its issuer.
    """

    method: str
    signer: Mapping[str, str]
    since: str = field(default_factory=lambda: f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC")

    @classmethod
    def parse(cls, entry: object) -> Pin:
        """Parse an entry of the file; raises `ValueError` or an `HfSignError` for a malformed one."""
        known = dict(embedded_signers())
        method = entry.get("method") if isinstance(entry, dict) else None
        if not isinstance(method, str) or method not in known:
            raise ValueError(f"it has the method {method!a}; known are {', '.join(known)}")
        pinning = known[method].pinning
        values = dict(closed_object(entry, "it", {"method", "since", *pinning.fields, *pinning.derived}))
        if not all(isinstance(text, str) and text for text in values.values()):
            raise ValueError("it has a field that is no text, or empty")
        pin = cls(method, {name: values[name] for name in pinning.fields}, values["since"])
        for name, derive in pinning.derived.items():
            if values[name] != derive(pin.signer):
                raise ValueError(f"its {name} is not that of its {' and '.join(pinning.fields).replace('_', ' ')}")
        return pin

    def entry(self) -> dict[str, str]:
        """Return the entry of the file for this pin."""
        derived = {name: derive(self.signer) for name, derive in self._pinning.derived.items()}
        return {"method": self.method, "since": self.since, **self.signer, **derived}

    def describe(self) -> str:
        """Describe the signer, in the same words as its verifier."""
        return self._pinning.describe(self.signer)

    def is_signer(self, other: Pin) -> bool:
        """Return true if both are the same signer. A key may sign with a certificate and without one."""
        return self.signer == other.signer

    @property
    def _pinning(self) -> Pinning:
        return dict(embedded_signers())[self.method].pinning


@dataclass(frozen=True)
class TrustLock:
    """The pins in the file `path`, which may be missing. Every method looks at the file again."""

    path: str

    def find(self, uri: str) -> Pin | None:
        """Return the pin of a repository, or None; raises `VerificationError` for an unreadable or malformed file."""
        return self._pin(self._read(), uri)

    def check(self, uri: str, found: Pin) -> None:
        """Raise `VerificationError` when another signer than `found` is pinned for a repository."""
        entries = self._read()
        pinned = self._pin(entries, uri)
        if pinned is not None and not pinned.is_signer(found):
            raise VerificationError(
                f"the signer of '{uri}' changed: {pinned.describe()} was pinned on {show(pinned.since)}, when it was "
                f"first used here, and now {found.describe()} signed it. If its maker confirms the change, remove the "
                f"entry '{show(_name(entries, uri))}' from '{self.path}', and the next use pins the new signer"
            )

    def add(self, uri: str, pin: Pin) -> None:
        """Pin a signer; raises `VerificationError` when another one is pinned, or the file cannot be written.

        If several processes pin at once, the first one wins.
        """
        if self.find(uri) is None:
            try:
                with changing(self.path):
                    entries = self._read()
                    if _name(entries, uri) not in entries:
                        mode = None if os.path.exists(self.path) else 0o600  # it can name private repositories
                        write_file(self.path, self._encode({**entries, uri: pin.entry()}), mode=mode)
            except OSError as error:
                raise VerificationError(
                    f"'{uri}' is used here for the first time, and who signed it cannot be noted in '{self.path}': "
                    f"{error.strerror}; without that the next use would trust anybody. Make that file and its folder "
                    "writable, or name the signer in the trust policy"
                ) from error
        self.check(uri, pin)

    def _read(self) -> dict[str, object]:
        """Return the entries, by the names of the repositories; the caller must not change them."""
        return _files.read(self.path)

    def read_entries(self) -> dict[str, object]:
        """Read the entries from the file; raises `VerificationError` for an unreadable or malformed one."""
        try:
            with open_regular(self.path) as file:
                data = file.read(_MAX_BYTES + 1)
        except FileNotFoundError as error:
            if os.path.lexists(self.path):
                raise self._refusal("is a link to a file that is not there") from error
            return {}
        except OSError as error:
            raise self._refusal(f"cannot be read: {error.strerror}") from error
        if len(data) > _MAX_BYTES:
            raise self._refusal(f"has more than {_MAX_BYTES:,} bytes")
        try:
            values = strict_json.loads(data)
        except ValueError as error:
            raise self._refusal(f"is damaged: {error}") from error
        version, entries = values.get("version"), values.get("repositories")
        if version != 1 or isinstance(version, bool):
            raise self._refusal(f"has the version {version!a}, of which this release knows nothing: update it")
        if set(values) != {"version", "repositories"} or not isinstance(entries, dict):
            raise self._refusal("is damaged: it must hold a version and the repositories, and nothing else")
        if len({_folded(name) for name in entries}) != len(entries):
            raise self._refusal("is damaged: it names a repository twice, in other letters")
        return entries

    def _pin(self, entries: Mapping[str, object], uri: str) -> Pin | None:
        name = _name(entries, uri)
        if name not in entries:
            return None
        try:
            return Pin.parse(entries[name])
        except MemoryError:
            raise
        except Exception as error:  # a malformed key can raise anything in the library
            raise self._refusal(f"is damaged: its entry '{show(name)}' cannot be understood: {error}") from error

    def _encode(self, entries: Mapping[str, object]) -> bytes:
        data = json.dumps({"version": 1, "repositories": entries}, indent=2, sort_keys=True).encode("ascii") + b"\n"
        if len(data) > _MAX_BYTES:
            raise VerificationError(f"'{self.path}' is full: remove the entries of repositories that you no longer use")
        return data

    def _refusal(self, why: str) -> VerificationError:
        return VerificationError(
            f"the file '{self.path}', which says who signed each repository when it was first used, {why}. Nobody is "
            "trusted on first use until it is mended: put back a good copy, or delete it to trust anew whoever signs"
        )


def _name(entries: Mapping[str, object], uri: str) -> str:
    """Return the name of the entry of a repository, or `uri` if it has none."""
    return next((name for name in entries if _folded(name) == _folded(uri)), uri)


def _folded(uri: str) -> str:
    folded = uri.casefold()
    return folded if folded.startswith(_IN_ANY_CASE) else uri


_files = UnchangedFiles(lambda path: TrustLock(path).read_entries())
