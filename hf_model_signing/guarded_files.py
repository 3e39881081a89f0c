"""The files that a program is about to open: each must be listed in the signature, and be what was signed."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hf_model_signing.errors import MismatchError, ModelError, VerificationError
from hf_model_signing.hashing import hash_listed
from hf_model_signing.manifest import SIGNATURE_NAME, Difference, Manifest, Serialization, show
from hf_model_signing.receipts import Receipts, may_change_unseen
from hf_model_signing.walking import FileState, Listed, Scope, list_names, look_at

# Read by no loader, and not signed by anybody: the signature cannot list itself, git's own files it leaves out.
UNSIGNED = frozenset({SIGNATURE_NAME, ".gitattributes", ".gitignore"})
CLIENT_FOLDER = ".cache/huggingface"  # where the client notes in a local_dir what it downloaded

_TRIES = 5  # for a file that another process moves into place while it is looked at


class KnownFiles:
    """What this process has hashed, by the state in which it was hashed; shared by all threads."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, str], tuple[FileState, bytes]] = {}
        self._lock = threading.Lock()

    def find(self, files: Iterable[FileState], how: Serialization) -> dict[str, bytes]:
        """The digests, by name, of the files that lie there just as they did when they were hashed."""
        way = _way(how)
        with self._lock:
            known = {file.name: (file, self._digests.get((file.path, way))) for file in files}
        return {name: kept[1] for name, (file, kept) in known.items() if kept and kept[0][2:] == file[2:]}

    def add(self, found: Mapping[FileState, bytes], how: Serialization, started: int) -> None:
        """Keep what was hashed since `started`, in nanoseconds, unless it could change without its times telling."""
        way = _way(how)
        with self._lock:
            for file, digest in found.items():
                if not may_change_unseen(file, started):
                    self._digests[file.path, way] = (file, digest)


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
        ignored = frozenset({CLIENT_FOLDER}) if self.local else frozenset()
        self._check(self._list(Scope(ignored)), required)

    def check(self, names: Collection[str]) -> None:
        """Raise as `check_all` does, for some files of it that must be there."""
        self._check(self._list(Scope(names=frozenset(names))), names)

    def _check(self, listed: Sequence[Listed], required: Collection[str]) -> None:
        signed = self.manifest.digests
        files = [file for file in listed if file.name not in UNSIGNED]
        names = {file.name for file in listed}
        missing = sorted({*required} - names)
        added = sorted(file.name for file in files if file.name not in signed)
        if added or missing:
            self._refuse(Difference(missing=tuple(missing), added=tuple(added)))
        found = self._digests(files)
        changed = sorted(name for name, digest in found.items() if digest != signed[name])
        if changed or len(found) != len(files):
            self._refuse(Difference(changed=tuple(changed)))

    def _digests(self, files: Sequence[Listed]) -> dict[str, bytes]:
        try:
            return self._hash(files, self.manifest.serialization)
        except (ModelError, OSError) as error:
            raise VerificationError(f"'{show(self.folder)}' cannot be verified: {error}") from error

    def _hash(self, listed: Sequence[Listed], how: Serialization) -> dict[str, bytes]:
        started = time.time_ns()
        found = self.known.find(map(look_at, listed), how) if self.purpose else {}
        rest = [file for file in listed if file.name not in found]
        if rest:
            receipts = Receipts(how, self.manifest.digests, purpose=self.purpose) if self.purpose else None
            hashed = hash_listed(rest, how, receipts=receipts)
            self.known.add(hashed, how, started)
            found.update({file.name: digest for file, digest in hashed.items()})
        return found

    def _list(self, scope: Scope) -> list[Listed]:
        for attempt in range(_TRIES):
            try:
                return list_names(self.folder, scope)
            except ModelError as error:
                # The client replaces a link by removing it first.
                if attempt == _TRIES - 1 or not isinstance(error.__cause__, FileNotFoundError):
                    raise VerificationError(f"'{show(self.folder)}' cannot be verified: {error}") from error
                time.sleep(0.01)
        raise AssertionError("unreachable")

    def _refuse(self, difference: Difference) -> None:
        message = f"'{show(self.folder)}' is not what was signed: {difference.describe()}"
        if difference.added:
            message += "\n  (a file that the signature does not list was signed by nobody)"
        raise MismatchError(message, difference)


def _way(how: Serialization) -> str:
    return f"{how.method}:{how.hash_type}:{how.shard_size}"
