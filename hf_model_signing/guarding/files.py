"""The files that a program is about to open: each must be listed in the signature, and be what was signed."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from hf_model_signing._util.text import show, some
from hf_model_signing.errors import ModelError, VerificationError
from hf_model_signing.hashing.file_tree import FileState, Listed, Scope, list_names, state_of
from hf_model_signing.hashing.model_hasher import hash_listed
from hf_model_signing.hashing.receipts import Receipts, may_change_unseen
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.names import EXEMPT_FILES, is_below

CLIENT_FOLDER = ".cache/huggingface"  # where the client notes in a local_dir what it downloaded

State = tuple[int, int, int, int, int]  # what `state_of` gives

_TRIES = 5  # for a file that another process moves into place while it is looked at


class KnownFiles:
    """What this process has hashed, by where it lies and the state in which it was hashed; shared by all threads."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], tuple[State, bytes]] = {}

    def find(self, place: str, way: str, state: State) -> bytes | None:
        """The digest of a file, if what a program would open there now is just as it was when it was hashed."""
        before, digest = self._digests.get((place, way), (None, b""))
        return digest if before == state else None

    def add(self, place: str, way: str, file: FileState, digest: bytes, started: int) -> None:
        """Keep what was hashed since `started`, in nanoseconds, unless it could change without its times telling."""
        if not may_change_unseen(file, started):
            self._digests[place, way] = (file[2:], digest)


@dataclass(frozen=True)
class Files:
    """A folder of a hub's client that is handed to a program, and the manifest of its signature.

    `purpose` is what receipts are for: they count for nothing under another policy or signature. Without one every file
    is hashed each time. `local` is a folder of the user's own, in which the client keeps notes.
    """

    folder: str
    manifest: Manifest
    known: KnownFiles
    purpose: str = ""
    local: bool = False

    def check_all(self, required: Collection[str] = ()) -> None:
        """Raise `MismatchError` unless all that the folder holds is what was signed, and all `required` are there.

        Raises `VerificationError` for what cannot be hashed, such as a link to anywhere but the client's own cache.
        """
        try:
            places = dict(_walk(self.folder, ""))
        except OSError as error:
            raise self._unreadable(error) from error
        if self.local:
            places = {name: place for name, place in places.items() if not is_below(name, (CLIENT_FOLDER,))}
        self._check(places, required)

    def check(self, names: Collection[str]) -> None:
        """Raise as `check_all` does, for some files of it that must be there."""
        places = {name: os.path.join(self.folder, *name.split("/")) for name in names}
        self._check({name: place for name, place in places.items() if os.path.lexists(place)}, names)

    def _check(self, places: Mapping[str, str], required: Collection[str]) -> None:
        signed = self.manifest.digests
        names = places.keys() - EXEMPT_FILES
        missing, added = sorted({*required} - places.keys()), sorted(names - signed.keys())
        if added or missing:
            self._refuse(Difference(missing=tuple(missing), added=tuple(added)))
        try:
            found = self._digests({name: places[name] for name in names})
        except (ModelError, OSError) as error:
            raise self._unreadable(error) from error
        changed = sorted(name for name in names if found.get(name) != signed[name])
        if changed:
            self._refuse(Difference(changed=tuple(changed)))

    def _digests(self, places: Mapping[str, str]) -> dict[str, bytes]:
        """What tells the content of each file, by its name; of what is known from its state alone, without a look."""
        how = self.manifest.serialization
        way = f"{how.method}:{how.hash_type}:{how.shard_size}"
        digests = {}
        if self.purpose:
            for name, place in places.items():
                # Through a link, if it is one: what counts is what a program would open.
                digest = self.known.find(place, way, state_of(os.stat(place)))
                if digest is not None:
                    digests[name] = digest
        rest = places.keys() - digests.keys()
        if rest:
            receipts = Receipts(how, self.manifest.digests, purpose=self.purpose) if self.purpose else None
            started = time.time_ns()
            for file, digest in hash_listed(self._list(frozenset(rest)), how, receipts=receipts).items():
                digests[file.name] = digest
                self.known.add(places[file.name], way, file, digest, started)
        return digests

    def _list(self, names: frozenset[str]) -> list[Listed]:
        for _ in range(_TRIES):
            listed = self._list_once(names)
            if len(listed) == len(names):
                return listed
            time.sleep(0.01)  # the client replaces a link by removing it first
        gone = sorted(names - {file.name for file in listed})
        raise ModelError(f"files were taken away while they were looked at: {some(gone)}")

    def _list_once(self, names: frozenset[str]) -> list[Listed]:
        try:
            return list_names(self.folder, Scope(names=names))
        except ModelError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return []
            raise

    def _unreadable(self, error: Exception) -> VerificationError:
        return VerificationError(f"'{show(self.folder)}' cannot be verified: {error}")

    def _refuse(self, difference: Difference) -> None:
        message = f"'{show(self.folder)}' is not what was signed: {difference.describe()}"
        if difference.added:
            message += "\n  (a file that the signature does not list was signed by nobody)"
        raise MismatchError(message, difference)


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Whatever lies in a folder and is none itself: its name with `/`, and its path."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, entry.path
