"""Files that others can write: users besides the one of this process and root.

A file that others can write can change after it was verified, and while a program reads it. The owner, the mode and the
access control list decide, of the file and of each directory above it: each writer of a directory can replace the
files in it. Links on the way count as well, both where the link is and where it leads. A mount that is read-only here
changes nothing, because the same files can be mounted elsewhere. On Windows nothing is known, and no file is shared.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from hf_model_signing._util.text import show
from hf_model_signing.hashing.file_systems import mount_of
from hf_model_signing.hashing.own_groups import is_own_group

_MOST_LINKS = 40  # as many as Linux follows
_MOST_ACCEPTED = 10_000  # directories
_ACL = "system.posix_acl_access"
_ACL_USER, _ACL_GROUP, _ACL_MASK = 2, 8, 16  # tags of entries
_ACL_WRITE = 2
_NO_ACL = (errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # no list, or a system without them


class OtherWriter(NamedTuple):
    """Someone else who can write to a file, or replace it: the file or directory `path` permits that."""

    path: str
    who: str
    remedy: str  # a command that ends it

    def __str__(self) -> str:
        return f"{self.who} can write to '{show(self.path)}'"


def other_writer(path: str) -> OtherWriter | None:
    """Return who else can write to the file or directory `path`, or replace it; None if nobody can.

    If nothing is there, the directories above decide. Raises `OSError` if a directory cannot be read.
    """
    return SharedFiles(remember=True).other_writer(path)


class SharedFiles:
    """The same for many files at one moment: each directory above them is looked at once.

    With `remember`, a directory is accepted in later calls as well, for as long as no link or directory on the way to
    it has another owner, another mode or another place.
    """

    def __init__(self, *, remember: bool = False) -> None:
        self._places: dict[str, _Place] = {}
        self._seen: list[_Seen] = []
        self._unchanged: set[_Seen] = set()
        self._links = 0
        self._remember = remember

    def other_writer(self, path: str) -> OtherWriter | None:
        """Return who else can write to `path`; see the function of this name."""
        if not hasattr(os, "geteuid"):
            return None
        self._links = 0
        place = self._look(os.path.join(os.getcwd(), path))
        return place.above or place.here

    def _look(self, path: str) -> _Place:
        """Return the place that an absolute path leads to, with every link on the way followed."""
        directory, name = os.path.split(path)
        if directory == path:
            status = self._status(path)
            return _Place(path, status, None, _writer(path, status, None))
        if name in ("", os.curdir):
            return self._look_into(directory)
        if name == os.pardir:
            return self._look_into(os.path.dirname(self._look_into(directory).path))
        return self._step(self._look_into(directory), name)

    def _look_into(self, directory: str) -> _Place:
        """Return the place of a directory, without looking again if it is known."""
        known = self._places.get(directory) or (self._recall(directory) if self._remember else None)
        if known is None:
            before, self._seen = self._seen, []
            known = self._look(directory)
            if self._remember and known.above is None and known.here is None:
                if len(_accepted) >= _MOST_ACCEPTED:
                    _accepted.clear()
                _accepted[directory] = os.geteuid(), tuple(self._seen), known
            self._seen = before + self._seen
        self._places[directory] = known
        return known

    def _recall(self, directory: str) -> _Place | None:
        user, seen, place = _accepted.get(directory, (-1, (), None))
        if place is None or user != os.geteuid():
            return None
        try:
            for each in seen:
                if each not in self._unchanged:  # of another directory: most are above both
                    if _kept(os.lstat(each[0])) != each[1]:
                        return None
                    self._unchanged.add(each)
        except FileNotFoundError:
            return None
        self._seen += seen
        return place

    def _step(self, parent: _Place, name: str) -> _Place:
        path = os.path.join(parent.path, name)
        try:
            status = self._status(path)
        except FileNotFoundError:
            self._seen.append((path, None))
            return parent._replace(path=path, above=parent.above or parent.replaced_by(None), here=None)
        here = _writer(path, status, parent.status)
        above = parent.above or parent.replaced_by(here if not _is_own(status) else None)
        above = above or _server(path, status, parent.status)
        if not stat.S_ISLNK(status.st_mode):
            return _Place(path, status, above, here)
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = self._look(os.path.join(parent.path, os.readlink(path)))
        return target._replace(above=above or target.above)

    def _status(self, path: str) -> os.stat_result:
        status = os.lstat(path)
        self._seen.append((path, _kept(status)))
        return status


class _Place(NamedTuple):
    """A file or directory, by its real path; `above` is who can replace it, `here` who can write to it."""

    path: str
    status: os.stat_result
    above: OtherWriter | None
    here: OtherWriter | None

    def replaced_by(self, owner: OtherWriter | None) -> OtherWriter | None:
        """Return who else can replace an entry of this directory; `owner` is the one of the entry, if not this user."""
        # Of a sticky directory such as /tmp, only the owners of the entry and of the directory remove entries.
        is_sticky = self.status.st_mode & stat.S_ISVTX and _is_own(self.status)
        return owner if self.here and is_sticky else self.here


# What was seen on the way to a directory: the path of a link or directory, and its state, None if nothing is there.
_Kept = tuple[int, int, int, int, int, int]
_Seen = tuple[str, _Kept | None]

_accepted: dict[str, tuple[int, tuple[_Seen, ...], _Place]] = {}  # by directory; with the user


def _kept(status: os.stat_result) -> _Kept:
    # A new access control list shows in the change time alone; others than its group matter only with this bit.
    changed = status.st_ctime_ns if status.st_mode & stat.S_IWGRP else 0
    return status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_dev, changed


def _writer(path: str, status: os.stat_result, parent: os.stat_result | None) -> OtherWriter | None:
    """Return who else can write to a file or directory by its owner, mode and access control list."""
    mode, quoted = status.st_mode, f"'{show(path)}'"
    if not _is_own(status):
        return OtherWriter(path, f"its owner, {_name_of_user(status.st_uid)},", f"chown {os.geteuid()} {quoted}")
    if stat.S_ISLNK(mode) or not mode & (stat.S_IWGRP | stat.S_IWOTH):
        return None
    if mode & stat.S_IWOTH:
        return OtherWriter(path, "every user", f"chmod o-w {quoted}")
    # The group bits are the mask of an access control list, if there is one.
    if any(_is_other(tag, number) for tag, number in _acl_writers(path)):
        return OtherWriter(path, "whom its access control list names", f"setfacl -b {quoted}")
    # A directory passes its group on by this bit: that is how several users, or containers, share a directory.
    is_handed_on = mode & stat.S_ISGID if parent is None or stat.S_ISDIR(mode) else parent.st_mode & stat.S_ISGID
    if is_handed_on or not is_own_group(status.st_gid):
        return OtherWriter(path, f"the group {_name_of_group(status.st_gid)}", f"chmod g-w {quoted}")
    return None


def _server(path: str, status: os.stat_result, parent: os.stat_result) -> OtherWriter | None:
    """Return the other user whose program serves the file system that is mounted here: owners and modes are its say."""
    mount = mount_of(path, status.st_dev) if status.st_dev != parent.st_dev else None
    if mount is None or not mount.kind.startswith("fuse"):
        return None
    (user,) = [int(option[8:]) for option in mount.options if option.startswith("user_id=")] or [0]
    return (
        None if user in (0, os.geteuid()) else OtherWriter(path, _name_of_user(user), f"fusermount -u '{show(path)}'")
    )


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid())


def _is_other(tag: int, number: int) -> bool:
    return number not in (0, os.geteuid()) if tag == _ACL_USER else not is_own_group(number)


def _acl_writers(path: str) -> Iterator[tuple[int, int]]:
    """Yield tag and number of each user and group that the access control list of a file names and lets write."""
    if not hasattr(os, "getxattr"):
        return
    try:
        data = os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_ACL:
            raise  # there may be one that lets others write
        return
    entries = [struct.unpack_from("<HHI", data, at) for at in range(4, len(data) - 7, 8)]
    if all(permissions & _ACL_WRITE for tag, permissions, _ in entries if tag == _ACL_MASK):
        for tag, permissions, number in entries:
            if tag in (_ACL_USER, _ACL_GROUP) and permissions & _ACL_WRITE:
                yield tag, number


@lru_cache(maxsize=64)
def _name_of_user(number: int) -> str:
    import pwd

    try:
        return f"'{show(pwd.getpwuid(number).pw_name)}'"
    except KeyError:
        return f"user {number}"


@lru_cache(maxsize=64)
def _name_of_group(number: int) -> str:
    import grp

    try:
        return f"'{show(grp.getgrgid(number).gr_name)}'"
    except KeyError:
        return str(number)
