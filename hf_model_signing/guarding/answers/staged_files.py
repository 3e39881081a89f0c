"""Files that are downloaded: beside their place, where they are verified, and then renamed into it.

Other processes read the cache, or a directory of the user's own, while a file is downloaded. At its path they find what
was there before, or the verified file, and never anything else; also after a refusal, and after a process was killed.
In a directory of the user's own, all files of a call are replaced at its end, or none of them.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hf_model_signing._util.file_replacement import FileReplacement
from hf_model_signing._util.text import show
from hf_model_signing.errors import BundleError, ModelError, VerificationError
from hf_model_signing.guarding.checks.directory_check import DirectoryCheck
from hf_model_signing.guarding.checks.repository import GuardedRepository
from hf_model_signing.guarding.own_calls import own_calls
from hf_model_signing.hashing.model_hasher import git_blob_id, hash_file
from hf_model_signing.oms.bundle import Bundle
from hf_model_signing.oms.difference import MismatchError
from hf_model_signing.oms.names import CLIENT_DIRECTORY, EXEMPT_FILES, REPLACEMENT, SIGNATURE_NAME
from hub_adapters.huggingface.cache import is_recorded, own_cache, remove_left

Download = Callable[..., Any]  # the client's `hf_hub_download`, with the arguments of a call and some changed ones

_SHA256, _GIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_SENT = "that is what the hub sent; it was not kept"


class _Stage:
    """A private directory for the downloads of one call, made when it is first needed."""

    def __init__(self, beside: str, stack: ExitStack) -> None:
        self._beside, self._stack = beside, stack
        self._lock = threading.Lock()
        self._contents: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._path: str | None = None

    def path(self) -> str:
        with self._lock:
            if self._path is None:
                self._path = self._stack.enter_context(own_cache(self._beside))
            return self._path

    def is_possible(self) -> bool:
        """Return False if the directory cannot be made."""
        try:
            return bool(self.path())
        except OSError:
            return False

    def lock(self, content: str) -> threading.Lock:
        """Return the lock of a content: threads of the client download equal files to one blob."""
        with self._lock:
            return self._contents[content]


@dataclass(frozen=True)
class StagedFiles:
    """The files of one commit, and their directory: a snapshot in the client's cache, or one of the user's own.

    In the latter, the verified downloads `waiting` are put into place together, after `check` was called with them.
    """

    repository: GuardedRepository
    directory: str
    stage: _Stage
    check: Callable[[Collection[str]], None]
    waiting: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def of(
        cls,
        repository: GuardedRepository,
        directory: str,
        check: Callable[[Collection[str]], None] = lambda _: None,
    ) -> Iterator[StagedFiles]:
        """Yield the files of the commit of a call; what is left of its downloads is removed at the end."""
        beside = repository.request.cache.directory
        if repository.request.local_dir:
            beside = os.path.join(directory, *CLIENT_DIRECTORY.split("/"))
            with own_calls(), suppress(OSError):  # it cannot be written to: what is there is verified
                FileReplacement(directory, REPLACEMENT).settle()
        remove_left(beside)
        with ExitStack() as stack:
            files = cls(repository, directory, _Stage(beside, stack), check)
            yield files
            files._install_waiting()

    def prepare(self, names: Collection[str]) -> None:
        """Make the directory for downloads in this thread, if one of the files may need it.

        The lock of that directory belongs to a thread, and the client downloads in others.
        """
        if self._is_local or self.repository.request.arguments.get("force_download"):
            is_needed = True
        else:
            is_needed = not all(os.path.exists(self._path(self.directory, name)) for name in names)
        if is_needed:
            with suppress(OSError):  # it cannot be written to: all that is there can still be loaded
                self.stage.path()

    @property
    def _is_local(self) -> bool:
        return bool(self.repository.request.local_dir)

    def fetch(self, name: str, download: Download, *, force: bool = False, etag: str | None = None) -> str:
        """Return the path of a file that is at its place, downloaded if necessary.

        A file that was there stays if another one is refused. `etag` is the name of its blob in the cache, if known.
        """
        self.repository.check_listed(name)
        target = self._path(self.directory, name)
        with self.stage.lock(etag or name):
            if force or not self._is_there(name, target, etag):
                self._download(name, download)
        return target

    def _is_there(self, name: str, target: str, etag: str | None) -> bool:
        """Return True if there is a file that needs no download. Whether it is as signed is checked later.

        A blob that other commits have already is used if it is as signed.
        """
        if self._is_local:
            return os.path.exists(target) and self._is_there_local(name, target)
        if os.path.exists(target):
            return True
        blob = os.path.realpath(os.path.join(self._blobs, etag)) if etag and os.path.basename(etag) == etag else ""
        if not blob or not os.path.isfile(blob) or not self._check.has_content(name, blob):
            return False
        self._link(os.path.join(self._blobs, etag or ""), target)
        return True

    def _is_there_local(self, name: str, target: str) -> bool:
        """Return True for a file that is as signed, or that the client has for this commit; it can be of an older one.

        Another signature of the same files stays where it cannot be replaced.
        """
        if name == SIGNATURE_NAME:
            return self._is_accepted(target) or not self.stage.is_possible()
        is_good = name in EXEMPT_FILES or self._check.has_content(name, target)
        return is_good or is_recorded(self.directory, name, self._commit)

    def _download(self, name: str, download: Download) -> None:
        from huggingface_hub.errors import LocalEntryNotFoundError

        target = self._path(self.directory, name)
        directory = stage = self.stage.path()
        if not self._is_local:
            cache = self.repository.request.cache
            directory = os.path.join(stage, os.path.relpath(cache.snapshot(self._commit), cache.cache_directory))
        try:
            found = str(download(**{"local_dir" if self._is_local else "cache_dir": stage}))
        except LocalEntryNotFoundError:
            if os.path.exists(target):
                return  # the hub cannot be reached: what is there is verified, and refused
            raise
        path = self._path(directory, name)
        if os.path.realpath(found) != os.path.realpath(path):
            raise VerificationError(f"the client gives '{show(found)}', and '{show(target)}' was to be downloaded")
        if name not in EXEMPT_FILES:
            check = self.repository.check_of(directory, local=self._is_local, shown=self.directory)
            try:
                check.check([name])
            except MismatchError as error:
                raise MismatchError(f"{error}\n  ({_SENT})", error.difference) from error
        elif name == SIGNATURE_NAME and not self._is_accepted(path):
            raise VerificationError(f"the hub gave two different {SIGNATURE_NAME} for '{self.repository.request.uri}'")
        if self._is_local:
            self.waiting.append(name)
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with own_calls():  # the hooks would look at the renames
            self._install(name, path, target)

    def _install(self, name: str, path: str, target: str) -> None:
        """Move a verified file to the blobs, and link to it; in a cache without links, move it to its place."""
        if not os.path.islink(path):
            self._check.move(name, path, target)
            return
        content = os.path.realpath(path)
        blob = self._blob_for(name, content, os.path.basename(os.readlink(path)))
        if not self._has(name, blob):
            os.makedirs(self._blobs, exist_ok=True)
            self._check.move(name, content, blob)
        self._link(blob, target)

    def _blob_for(self, name: str, content: str, etag: str) -> str:
        """Return where in the blobs a verified file belongs: under its ETag, unless that is the name of another file.

        The hub chooses the ETag. It may name what other commits need, so only the name that the content itself
        gives is a reason to replace a blob.
        """
        blob = os.path.join(self._blobs, etag)
        if not os.path.exists(blob) or self._has(name, blob) or _is_named_by_content(content, etag):
            return blob
        return os.path.join(self._blobs, hash_file(content).hex())

    def _has(self, name: str, blob: str) -> bool:
        return name not in EXEMPT_FILES and self._check.has_content(name, os.path.realpath(blob))

    def _link(self, blob: str, target: str) -> None:
        """Replace what is at `target` by a link to a blob, or by a copy of it where there are no links."""
        from huggingface_hub import constants

        os.makedirs(os.path.dirname(target), exist_ok=True)
        new = os.path.join(self.stage.path(), os.urandom(8).hex())
        try:
            if getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
                raise OSError
            os.symlink(os.path.relpath(blob, os.path.dirname(target)), new)
        except OSError:
            shutil.copyfile(blob, new)
        os.replace(new, target)

    def _install_waiting(self) -> None:
        """Move files to the directory of the user, each with the client's record of its download; the signature last.

        Raises `OSError` if one of them cannot be replaced; then all are as they were before.
        """
        if not self.waiting:
            return
        stage = self.stage.path()
        names = [f"{CLIENT_DIRECTORY}/{name}" for name in (".gitignore", "CACHEDIR.TAG")]
        names = [name for name in names if not os.path.exists(self._path(self.directory, name))]
        for name in sorted(self.waiting, key=lambda name: (name == SIGNATURE_NAME, name)):
            names += [name, f"{CLIENT_DIRECTORY}/download/{name}.metadata"]
        names = [name for name in names if os.path.exists(self._path(stage, name))]
        check = partial(self.check, frozenset(self.waiting))
        with own_calls():  # the hooks would look at the renames
            FileReplacement(self.directory, REPLACEMENT).run(stage, names, check=check, move=self._check.move)

    def _is_accepted(self, path: str) -> bool:
        """Return True if a file is the signature that the call has accepted."""
        try:
            return Bundle.read(path) == self.repository.call.signature.bundle
        except BundleError:
            return False

    @property
    def _check(self) -> DirectoryCheck:
        return self.repository.check_of(self.directory, local=self._is_local)

    @property
    def _commit(self) -> str:
        return self.repository.call.commit

    @property
    def _blobs(self) -> str:
        return os.path.join(self.repository.request.cache.directory, "blobs")

    @staticmethod
    def _path(directory: str, name: str) -> str:
        return os.path.join(directory, *name.split("/"))


def _is_named_by_content(path: str, name: str) -> bool:
    """Return True if a file has the name that the Hub gives its content: its SHA-256, or its id in git."""
    try:
        if _SHA256.fullmatch(name):
            return hash_file(path).hex() == name
        return bool(_GIT.fullmatch(name)) and git_blob_id(path) == name
    except ModelError:
        return False
