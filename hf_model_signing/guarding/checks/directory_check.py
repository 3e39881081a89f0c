"""Check of the files that a program is about to open: each must be listed in the signature, with the digest it has."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hf_model_signing._util.file_lock import is_held
from hf_model_signing._util.text import show, some
from hf_model_signing.errors import ModelError, VerificationError
from hf_model_signing.guarding.checks.state import CallState
from hf_model_signing.guarding.checks.writers import MOST_LOOKS, wait_for_writers
from hf_model_signing.hashing.bytecode import how_to_remove, remove_bytecode, unsigned_bytecode
from hf_model_signing.hashing.file_tree import Listed, current_state, list_named, state_of
from hf_model_signing.hashing.model_hasher import hash_listed
from hf_model_signing.hashing.receipts import SMALLEST, Receipts
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.names import CLIENT_DIRECTORY, EXEMPT_FILES, is_bytecode
from hf_model_signing.verifying import stopped_download

# What the client writes there. A program that searches the directory for weights finds the rest.
_RECORD = re.compile(
    rf"{re.escape(CLIENT_DIRECTORY)}/(?:\.gitignore(?:\.lock)?|CACHEDIR\.TAG|trees/(?:[0-9a-f]+\.json|[^/]+\.tmp)"
    r"|(?:download|upload)/.+\.(?:metadata|lock|incomplete))"
)
# What downloads of ours write there, in a directory that they hold, beside its lock.
_OWN = re.compile(rf"({re.escape(CLIENT_DIRECTORY)}/\.hf-sign(?:\.stage|-[0-9a-f]{{16}})?)(\.lock|/.+)")

_ALWAYS = 100  # files: a directory with no more of them is looked at each time
_TRIES = 5  # for a file that another process moves into place at the same time


@dataclass(frozen=True)
class DirectoryCheck:
    """The check of a directory that is handed to a program against the signature that the call has accepted.

    `purpose` separates receipts: those of another policy or signature are not used. Without one, every file is hashed
    each time. A directory of the user's own is `local`; the client keeps records in it. A private copy of a directory
    is shown to the user by the path of the original. Bytecode that is not signed may lie in a directory in which the
    hooks let nobody read it. With `removes_bytecode`, it is removed.
    """

    directory: str
    call: CallState
    purpose: str = ""
    local: bool = False
    shown: str = ""
    removes_bytecode: bool = False
    needs_all: ClassVar[bool] = False  # True if every signed file must be there

    def check_all(self, required: Collection[str] = ()) -> None:
        """Raise `MismatchError` unless all files in the directory are as signed, and all `required` ones are there.

        Raises `VerificationError` for a file that cannot be hashed, such as a link to anything but the client's own
        cache.
        """
        self.check_paths(self.paths(), required)

    def paths(self) -> Mapping[str, str]:
        """Return the path of every file in the directory, by its name; raise `VerificationError` if that fails.

        A signed file whose link leads nowhere is not there: its blob was deleted.
        """
        try:
            paths = self._existing(self._all_paths())
        except (ModelError, OSError) as error:
            raise self._unreadable(error) from error
        bytecode = unsigned_bytecode(paths, self.call.manifest.digests)
        if bytecode and self.removes_bytecode:
            remove_bytecode(self.directory, self.call.manifest.digests)
            bytecode = [name for name in bytecode if not os.path.lexists(paths[name])]
        for name in bytecode:
            del paths[name]
        return paths

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, *name.split("/"))

    def _all_paths(self) -> Mapping[str, str]:
        """Return the path of every file that has to be signed, by its name."""
        paths = dict(_walk(self.directory, ""))
        if self.local:
            own = {name: found for name in paths if (found := _OWN.fullmatch(name))}
            held = {name for name in {found[1] for found in own.values()} if is_held(f"{self._path(name)}.lock")}
            ours = {name for name, found in own.items() if found[2] == ".lock" or found[1] in held}
            paths = {name: path for name, path in paths.items() if name not in ours and not _RECORD.fullmatch(name)}
        return paths

    def check_names(self, paths: Collection[str], required: Collection[str]) -> set[str]:
        """Return the names that must be as signed; raise `MismatchError` for unsigned ones and missing ones."""
        signed = self.call.manifest.digests
        names = {*paths} - EXEMPT_FILES
        missing = sorted(name for name in required if name not in paths)
        added = sorted(name for name in names if name not in signed)
        if added or missing:
            self._refuse(Difference(missing=tuple(missing), added=tuple(added)))
        return names

    def check(self, names: Collection[str]) -> None:
        """Raise as `check_all` does, for the files `names`, which must all be there."""
        paths = self._existing({name: self._path(name) for name in names})
        self.check_paths({name: path for name, path in paths.items() if os.path.lexists(path)}, names)

    def has_changed(self) -> bool:
        """Return True if a file is not in the state in which it was verified, or is new: look at all of them then.

        That takes a few microseconds for each file, so a large directory is looked at from time to time only.
        """
        look = f"look at {self.directory}"
        if self.call.is_resting(look):
            return False
        started = time.monotonic()
        try:
            paths = self._all_paths()
        except (ModelError, OSError):
            return True  # the full check says why
        signed = self.call.manifest.digests
        if self.needs_all and not paths.keys() >= signed.keys():
            return True
        for name, path in paths.items():
            if name in EXEMPT_FILES or (is_bytecode(name) and name not in signed and not self.removes_bytecode):
                continue
            if name not in signed or (self.call.knows(path) and not self._is_known(path, signed[name])):
                return True
        if len(paths) > _ALWAYS:
            self.call.record_look(look, started)
        return False

    def _is_known(self, path: str, digest: bytes) -> bool:
        """Return True if a file is in the state in which it had this digest, or if its link leads nowhere."""
        try:
            return self.call.digest(path, state_of(os.stat(path))) == digest
        except FileNotFoundError:
            return not self.needs_all

    def _existing(self, paths: Mapping[str, str]) -> dict[str, str]:
        signed = self.call.manifest.digests
        return {name: path for name, path in paths.items() if name not in signed or os.path.exists(path)}

    def check_paths(self, paths: Mapping[str, str], required: Collection[str]) -> None:
        """Raise as `check_all` does, for files by their names.

        If another process is writing a file, it is checked again when it is complete. Where there are no links, the
        client copies a file to its place, and all processes see it grow.
        """
        looks, is_first = MOST_LOOKS, True
        while True:
            try:
                return self._compare(paths, required)
            except VerificationError as error:
                is_mismatch = isinstance(error, MismatchError)
                names = error.difference.changed if isinstance(error, MismatchError) else paths
                files = [paths[name] for name in names if not os.path.islink(paths[name])]
                if self.shown or not files or not (is_mismatch or "changed while" in str(error)):
                    raise
                was_written, looks = wait_for_writers(files, looks)
                if not is_first and not was_written:
                    raise
                is_first = False

    def _compare(self, paths: Mapping[str, str], required: Collection[str]) -> None:
        signed, names = self.call.manifest.digests, self.check_names(paths, required)
        try:
            found = self._digests({name: paths[name] for name in names})
        except (ModelError, OSError) as error:
            raise self._unreadable(error) from error
        changed = sorted(name for name in names if found.get(name) != signed[name])
        if changed:
            self._refuse(Difference(changed=tuple(changed)))
        self.call.record_verified(found)

    def has_content(self, name: str, path: str) -> bool:
        """Return True if the file at `path` has the content that was signed for `name`: it may get this name here."""
        if name not in self.call.manifest.digests:
            return False
        try:
            found = self._hash([Listed(name, path)], {name: self._path(name)})
        except (ModelError, OSError):
            return False
        return found[name] == self.call.manifest.digests[name]

    def move(self, name: str, path: str, final: str) -> None:
        """Rename a verified file in a private directory to `final`, from where the program gets it under its name.

        The rename changes the change time of the file. A large file is not hashed again for that: it could not be
        written to in the private directory.
        """
        before = state_of(os.stat(path))
        digest = self.call.digest(path, before)
        os.replace(path, final)
        receipts, place = self._receipts(), Listed(name, final)
        if receipts is None or digest is None or before[0] < SMALLEST:
            return
        file = current_state(place)
        started = receipts.settle([file])
        if current_state(place) != file or (file.size, file.modified, file.inode) != (before[0], before[1], before[3]):
            return
        self.call.record_digest(self._path(name), file, digest, started)
        if receipts.serialization.shard_size is None:
            receipts.remember([file], {name: [digest]}, started)

    def _digests(self, paths: Mapping[str, str]) -> dict[str, bytes]:
        """Return the digest of each file by its name; known ones by their file state, without reading the file."""
        digests = {}
        if self.purpose:
            for name, path in paths.items():
                # Through a link, if it is one: a program opens the file that the path leads to.
                digest = self.call.digest(path, state_of(os.stat(path)))
                if digest is not None:
                    digests[name] = digest
        rest = paths.keys() - digests.keys()
        return {**digests, **self._hash(self._list(frozenset(rest)), paths)} if rest else digests

    def _hash(self, listed: Sequence[Listed], paths: Mapping[str, str]) -> dict[str, bytes]:
        """Hash files, or use their receipts, and record the digests for their `paths` in the directory."""
        started, digests = time.time_ns(), {}
        for file, digest in hash_listed(listed, self.call.manifest.serialization, receipts=self._receipts()).items():
            digests[file.name] = digest
            if self.purpose:
                self.call.record_digest(paths[file.name], file, digest, started)
        return digests

    def _receipts(self) -> Receipts | None:
        manifest = self.call.manifest
        return Receipts(manifest.serialization, manifest.digests, purpose=self.purpose) if self.purpose else None

    def _list(self, names: frozenset[str]) -> list[Listed]:
        for _ in range(_TRIES):
            listed = self._list_once(names)
            if len(listed) == len(names):
                return listed
            time.sleep(0.01)  # the client removes a link before it makes the new one
        gone = sorted(names - {file.name for file in listed})
        raise ModelError(f"files were taken away while they were looked at: {some(gone)}")

    def _list_once(self, names: frozenset[str]) -> list[Listed]:
        try:
            return list_named(self.directory, names)
        except ModelError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return []
            raise

    def _unreadable(self, error: Exception) -> VerificationError:
        return VerificationError(f"'{show(self.shown or self.directory)}' cannot be verified: {error}")

    def _refuse(self, difference: Difference) -> None:
        message = f"'{show(self.shown or self.directory)}' is not what was signed: {difference.describe()}"
        if difference.added:
            message += "\n  (a file that the signature does not list was signed by nobody)"
        if unsigned_bytecode(difference.added, ()):
            message += f"\n  {how_to_remove(self.directory)}"
        message += stopped_download(self.directory)
        raise MismatchError(message, difference)


def _walk(directory: str, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield everything below a directory except directories: the name, with `/`, and the path."""
    try:
        found = os.scandir(directory)
    except FileNotFoundError:
        if not prefix:
            raise
        return  # it is gone since it was listed, as the directory for downloads of another process
    with found as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, entry.path
