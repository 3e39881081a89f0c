"""Files that others can write, by owner, mode, access control list, the directories above, and links."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_model_signing.hashing import file_systems, own_groups, shared_files
from hf_model_signing.hashing.own_groups import is_own_group
from hf_model_signing.hashing.shared_files import OtherWriter, SharedFiles, other_writer
from tests.shared_files import STRANGER, acl, as_user, needs_root

Make = Callable[[Path], Path]


def _file(folder: Path, mode: int = 0o644) -> Path:
    path = folder / "file"
    path.write_bytes(b"x")
    path.chmod(mode)
    return path


def _owned(path: Path, user: int, group: int = -1) -> Path:
    os.chown(path, user, group)
    return path


def _changed(path: Path, mode: int) -> Path:
    path.chmod(mode)
    return path


def _with_acl(path: Path, tag: int, number: int, *, mask: int = 7) -> Path:
    acl(path, tag, number, mask=mask)
    return path


def _in(folder: Path, mode: int, *, owner: int | None = None, group: int = -1, file_owner: int | None = None) -> Path:
    inner = folder / "inner"
    (inner / "deep").mkdir(parents=True)
    path = _file(inner / "deep")
    if file_owner is not None:
        os.chown(inner / "deep", file_owner, -1)
    os.chown(inner, -1 if owner is None else owner, group)
    inner.chmod(mode)
    return path


def _linked(folder: Path, target: Make, *, mode: int = 0o755) -> Path:
    """Return a link in a directory with this mode to a file that `target` makes in another one."""
    for name in ("there", "here"):
        (folder / name).mkdir()
    link = folder / "here" / "link"
    link.symlink_to(os.path.relpath(target(folder / "there"), folder / "here"))
    (folder / "here").chmod(mode)
    return link


def _through(folder: Path, mode: int) -> Path:
    """Return a file through a link to its directory, which is in a directory with this mode."""
    (folder / "real").mkdir()
    _file(folder / "real")
    (folder / "links").mkdir()
    (folder / "links" / "way").symlink_to("../real")
    (folder / "links").chmod(mode)
    return folder / "links" / "way" / ".." / "links" / "way" / "file"


def _hard_linked(folder: Path, mode: int) -> Path:
    open_folder = folder / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    path = _file(folder, mode)
    os.link(path, open_folder / "other")
    return path


# Of this user alone: honest.
OWN: dict[str, Make] = {
    "0600": lambda folder: _file(folder, 0o600),
    "0644": _file,
    "0444": lambda folder: _file(folder, 0o444),
    "0755": lambda folder: _file(folder, 0o755),
    "nothing there": lambda folder: folder / "missing",
    "nothing there, sticky": lambda folder: _changed(folder, 0o1777) / "missing",
    "sticky directory": lambda folder: _in(folder, 0o1777),
    "sticky directory of a group": lambda folder: _in(folder, 0o1775),
    "link": lambda folder: _linked(folder, _file),
    "link in a sticky directory": lambda folder: _linked(folder, _file, mode=0o1777),
    "link on the way": lambda folder: _through(folder, 0o755),
    "link on the way in a sticky directory": lambda folder: _through(folder, 0o1777),
    "hard link in an open directory": lambda folder: _hard_linked(folder, 0o644),
    "list that names this user": lambda folder: _with_acl(_file(folder), 2, os.geteuid()),
    "list that names root": lambda folder: _with_acl(_file(folder), 2, 0),
    "list that may only read": lambda folder: _with_acl(_file(folder), 2, STRANGER, mask=4),
}

SHARED: dict[str, Make] = {
    "0666": lambda folder: _file(folder, 0o666),
    "0602": lambda folder: _file(folder, 0o602),
    "directory 0777": lambda folder: _in(folder, 0o777),
    "directory 0703": lambda folder: _in(folder, 0o703),
    "nothing there": lambda folder: _changed(folder, 0o777) / "missing",
    "target of a link": lambda folder: _linked(folder, lambda there: _file(there, 0o666)),
    "directory of a target": lambda folder: _linked(folder, lambda there: _in(there, 0o777)),
    "directory of a link": lambda folder: _linked(folder, _file, mode=0o777),
    "directory of a link on the way": lambda folder: _through(folder, 0o777),
    "hard link of a file that is open": lambda folder: _hard_linked(folder, 0o666),
    "list that names a user": lambda folder: _with_acl(_file(folder), 2, STRANGER),
    "list that names a group": lambda folder: _with_acl(_file(folder), 8, STRANGER),
    "list of a directory": lambda folder: _with_acl(_in(folder, 0o755).parents[1], 2, STRANGER) / "deep" / "file",
}

# Root gives a file to another user.
SHARED_BY_OWNER: dict[str, Make] = {
    "owner": lambda folder: _owned(_file(folder), STRANGER),
    "owner, 0444": lambda folder: _owned(_file(folder, 0o444), STRANGER),
    "owner, 0000": lambda folder: _owned(_file(folder, 0), STRANGER),
    "group": lambda folder: _owned(_file(folder, 0o664), -1, STRANGER),
    "owner of a directory": lambda folder: _in(folder, 0o755, owner=STRANGER),
    "owner of a sticky directory": lambda folder: _in(folder, 0o1777, owner=STRANGER),
    "owner in a sticky directory": lambda folder: _in(folder, 0o1777, file_owner=STRANGER),
    "group of a directory": lambda folder: _in(folder, 0o775, group=STRANGER),
    "group of a directory that hands it on": lambda folder: _in(folder, 0o2775, group=STRANGER),
    "group, handed on": lambda folder: _owned(_file(_changed(folder, 0o2755), 0o664), -1, STRANGER),
    "target of a link": lambda folder: _linked(folder, lambda there: _owned(_file(there), STRANGER)),
}


@pytest.fixture(autouse=True)
def _own_memory() -> None:
    shared_files._accepted.clear()


@pytest.mark.parametrize("kind", OWN)
def test_own(tmp_path: Path, kind: str) -> None:
    path = str(OWN[kind](tmp_path))
    assert [other_writer(path), other_writer(path), SharedFiles().other_writer(path)] == [None] * 3


@pytest.mark.parametrize("kind", SHARED)
def test_shared(tmp_path: Path, kind: str) -> None:
    path = str(SHARED[kind](tmp_path))
    found = other_writer(path)
    assert found
    assert found == other_writer(path) == SharedFiles().other_writer(path)
    assert found.path in str(found)


@needs_root
@pytest.mark.parametrize("kind", SHARED_BY_OWNER)
def test_shared_by_its_owner(tmp_path: Path, kind: str) -> None:
    path = str(SHARED_BY_OWNER[kind](tmp_path))
    found = other_writer(path)
    assert found
    assert found == SharedFiles().other_writer(path)
    assert str(STRANGER) in found.who


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o1777])
def test_of_root_read_by_another_user(open_folder: Path, mode: int) -> None:
    path = _in(open_folder, mode) if mode == 0o1777 else _file(open_folder, mode)
    assert as_user(STRANGER, STRANGER, lambda: other_writer(str(path))) is None


@needs_root
@pytest.mark.parametrize(("mode", "own"), [(0o600, True), (0o664, True), (0o666, False)])
def test_of_a_user_with_a_group_of_its_own(open_folder: Path, mode: int, own: bool) -> None:
    user = pwd.getpwnam("daemon")
    path = _owned(_file(open_folder, mode), user.pw_uid, user.pw_gid)
    found = as_user(user.pw_uid, user.pw_gid, lambda: other_writer(str(path)))
    assert (found is None) == own, found
    assert other_writer(str(path)), "for root, that user is another one"


def test_group_of_root_or_of_this_user(tmp_path: Path) -> None:
    if not is_own_group(os.getegid()):
        pytest.skip(f"the group {os.getegid()} of this user has other members, or no name")
    path = _owned(_file(tmp_path, 0o664), -1, os.getegid())
    assert other_writer(str(path)) is None
    tmp_path.chmod(0o2755)
    assert other_writer(str(path)) is not None, "a directory that hands its group on is shared"


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no second file system")
@pytest.mark.parametrize(("options", "own"), [(["user_id=0"], True), ([f"user_id={STRANGER}"], False), ([], True)])
def test_file_system_of_another_user(monkeypatch: pytest.MonkeyPatch, options: list[str], own: bool) -> None:
    mount = file_systems.Mount("fuse.sshfs", frozenset({"rw", *options}))
    monkeypatch.setitem(file_systems._mounts, os.stat("/dev/shm").st_dev, mount)
    found = other_writer("/dev/shm/file")
    assert (found is None) == own
    if found is not None:
        assert str(found) == f"user {STRANGER} can write to '/dev/shm'"


def test_directories_are_looked_at_again(tmp_path: Path) -> None:
    path = _in(tmp_path, 0o755)
    assert other_writer(str(path)) is None
    (tmp_path / "inner").chmod(0o777)
    assert other_writer(str(path)) == OtherWriter(
        str((tmp_path / "inner").resolve()), "every user", f"chmod o-w '{(tmp_path / 'inner').resolve()}'"
    )
    (tmp_path / "inner").chmod(0o755)
    assert other_writer(str(path)) is None
    (tmp_path / "inner").rename(tmp_path / "gone")
    assert other_writer(str(path)) is None
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "inner").symlink_to("open")
    assert other_writer(str(path)) is not None


def test_links_that_never_end(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        other_writer(str(tmp_path / "loop" / "file"))


@pytest.mark.parametrize(
    ("members", "primary", "sources", "own"),
    [
        ([], [], "files systemd", True),
        (["root"], [], "files", True),
        (["daemon"], [], "files", False),
        (["gone"], [], "files", False),
        ([], ["daemon"], "files", False),
        ([], [], "files sss", False),  # the directory service may not list the members
        ([], [], "sss [NOTFOUND=return] files", False),
    ],
)
def test_members_of_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[str], primary: list[str], sources: str, own: bool
) -> None:
    import builtins
    import grp

    config = tmp_path / "nsswitch.conf"
    config.write_text(f"# users\npasswd: {sources}  # and no others\ngroup: files\n")
    daemon, real_open = pwd.getpwnam("daemon"), open
    users = [pwd.struct_passwd(("d", "x", daemon.pw_uid, 777 if primary else 1, "", "/", ""))]
    monkeypatch.setattr(grp, "getgrgid", lambda number: grp.struct_group(("shared", "x", number, members)))
    monkeypatch.setattr(pwd, "getpwall", lambda: users)
    monkeypatch.setattr(
        builtins,
        "open",
        lambda path, *rest, **more: real_open(config if "nsswitch" in str(path) else path, *rest, **more),
    )
    own_groups._is_own_group.cache_clear()
    try:
        assert is_own_group(777) == own
    finally:
        own_groups._is_own_group.cache_clear()


def test_without_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, modes tell nothing about users."""
    path = _file(tmp_path, 0o666)
    monkeypatch.delattr(os, "geteuid")
    assert other_writer(str(path)) is None


def test_access_control_list_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows then who else can write, so no answer is given."""
    path = tmp_path / "f"
    path.touch()
    path.chmod(0o660)

    def fail(*_: object, **__: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "getxattr", fail)
    with pytest.raises(OSError, match="Input/output error"):
        other_writer(str(path))
