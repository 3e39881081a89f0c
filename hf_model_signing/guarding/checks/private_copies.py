"""Private copies of snapshots whose files others can write: nobody can change a copy after it was verified.

They lie in the user's own cache, in the layout of the client's: `copies/<cache>/models--ORG--NAME/snapshots/<commit>`,
with files in place of links, because libraries read the commit from a path. A copy stays for later programs, and is
verified each time as the original would be. When a copy is made, those are removed whose original is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO

from hf_model_signing._util.atomic_files import write_file, write_pieces
from hf_model_signing._util.file_lock import changing
from hf_model_signing._util.hashing_opens import open_to_hash
from hf_model_signing._util.ioctls import clone
from hf_model_signing._util.own_cache import make_private, own_cache
from hf_model_signing._util.text import one_line, show
from hf_model_signing.errors import ModelError, VerificationError
from hf_model_signing.guarding.checks.audit_log import LOGGER_NAME
from hf_model_signing.guarding.private_directory import private_directory
from hf_model_signing.hashing.file_tree import Listed, list_named
from hf_model_signing.hashing.shared_files import OtherWriter
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import Difference, MismatchError
from hf_model_signing.oms.names import SIGNATURE_NAME

_logger = logging.getLogger(LOGGER_NAME)

_PIECE = 1024 * 1024  # bytes
_OPEN = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
_ORIGINAL = "original"  # a file with the path of the cache that the copies are of
_NEW = "new"  # a directory for files that are being copied


@dataclass(frozen=True)
class PrivateCopy:
    """The private copy of the snapshot of one commit."""

    snapshot: str  # the original
    commit: str

    @property
    def directory(self) -> str:
        """The directory of the copy, which may be missing."""
        return os.path.join(self._repository, "snapshots", self.commit)

    def holds(self, name: str) -> bool:
        """Return True if it has a file of this name."""
        return os.path.lexists(self._path(name))

    def make(self, names: Iterable[str], bundle: Bundle, check: Callable[[], None], *, other: OtherWriter) -> None:
        """Copy the files that are missing, and what `check` refuses; raise what it raises about a fresh copy.

        The first copy is logged with its reason, `other`: it takes time and room. Raises `VerificationError` if nothing
        can be copied.
        """
        wanted = {*names, SIGNATURE_NAME}
        try:
            self._make_private()
        except OSError as error:
            raise self._error(error) from error
        if all(map(self.holds, wanted)):
            with contextlib.suppress(VerificationError):
                return check()
        if not self.holds(SIGNATURE_NAME):
            text = (
                f"{other}, so '{self.snapshot}' is copied to '{self.directory}'; `{other.remedy}` makes that needless"
            )
            _logger.warning("%s", one_line(text))
        with self._changing():
            self._copy(wanted, bundle)
            try:
                return check()
            except MismatchError as error:
                self._remove(error.difference)
            self._copy(wanted, bundle)
            try:
                check()
            except MismatchError as error:
                self._remove(error.difference)
                raise

    def _remove(self, difference: Difference) -> None:
        for name in (*difference.changed, *difference.added):
            with contextlib.suppress(OSError):
                os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, *name.split("/"))

    def _error(self, error: Exception) -> VerificationError:
        return VerificationError(
            f"'{show(self.snapshot)}' cannot be copied to a private directory in '{show(own_cache())}': {error}; let "
            "XDG_CACHE_HOME name a directory with enough room that only you can write to"
        )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let no other process or thread change it."""
        try:
            with changing(self._repository, long=True):
                yield
                _remove_copies_without_original(os.path.dirname(self._cache))
        except OSError as error:
            raise self._error(error) from error

    @property
    def _cache(self) -> str:
        original = os.path.dirname(os.path.dirname(os.path.dirname(self.snapshot)))
        return os.path.join(own_cache(), "copies", hashlib.sha256(os.fsencode(original)).hexdigest()[:16])

    @property
    def _repository(self) -> str:
        return os.path.join(self._cache, os.path.basename(os.path.dirname(os.path.dirname(self.snapshot))))

    def _make_private(self) -> None:
        for directory in (self.directory, os.path.join(self._cache, _NEW)):
            private_directory(os.path.relpath(directory, own_cache()))

    def _copy(self, wanted: Set[str], bundle: Bundle) -> None:
        missing = frozenset(name for name in wanted if not self.holds(name))
        original = os.path.dirname(os.path.dirname(os.path.dirname(self.snapshot)))
        write_file(os.path.join(self._cache, _ORIGINAL), os.fsencode(original), mode=0o600)
        try:
            files = list_named(self.snapshot, missing - {SIGNATURE_NAME})
        except ModelError as error:
            raise self._error(error) from error
        for file in files:
            target = self._path(file.name)
            make_private(os.path.dirname(target))
            self._copy_file(file, target)
        if SIGNATURE_NAME in missing:
            new = self._new_file()
            write_file(new, bundle.to_bytes(), mode=0o600)
            os.replace(new, self._path(SIGNATURE_NAME))

    def _copy_file(self, file: Listed, target: str) -> None:
        new = self._new_file()
        with FileIO(open_to_hash(file.path, _OPEN), "rb") as source:
            if not _is_cloned(source, new):
                write_pieces(new, iter(lambda: source.read(_PIECE) or b"", b""), mode=0o600)
        os.replace(new, target)

    def _new_file(self) -> str:
        """Return a path that no other thread, process or container uses."""
        return os.path.join(self._cache, _NEW, os.urandom(16).hex())


def _is_cloned(source: FileIO, path: str) -> bool:
    """Return True if the file system has made `path` share the content of a file."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        return clone(source.fileno(), target)
    finally:
        os.close(target)


def _remove_copies_without_original(copies: str) -> None:
    for cache in os.scandir(copies):
        try:
            with open(os.path.join(cache.path, _ORIGINAL), "rb") as file:
                original = os.fsdecode(file.read())
        except OSError:
            continue
        for repository in os.scandir(cache.path):
            snapshots = os.path.join(repository.path, "snapshots")
            for commit in os.listdir(snapshots) if os.path.isdir(snapshots) else ():
                if not os.path.lexists(os.path.join(original, repository.name, "snapshots", commit)):
                    shutil.rmtree(os.path.join(snapshots, commit), ignore_errors=True)
