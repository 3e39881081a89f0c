"""Several files of a directory are replaced together, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hf_model_signing._util import file_replacement
from hf_model_signing._util.file_replacement import FileReplacement
from hf_model_signing.errors import UsageError
from tests.helpers import write_tree
from tests.killing import killed_at, moments
from tests.shared_files import as_user

PRIVATE = ".cache/tool/.own"

# Each way in which a version can follow another: what was there, and what comes; None is removed.
OLD = {
    "same": b"same",
    "changed": b"old",
    "sub/changed": b"old",
    "gone": b"gone",
    "left/behind/gone": b"gone",
    "file then folder": b"a file",
    "folder then file/a": b"a",
    "folder then file/b/c": b"c",
    "Case": b"old",
    "signature": b"of the old version",
}
REMOVED = ["gone", "left/behind/gone", "file then folder", "folder then file/a", "folder then file/b/c", "Case"]
NEW = {
    "changed": b"new",
    "sub/changed": b"new",
    "added": b"added",
    "new/folder/added": b"added",
    "file then folder/x/y": b"y",
    "folder then file": b"a file",
    "case": b"new",
    "signature": b"of the new version",
}
Tree = dict[str, tuple[int, bytes]]


def tree(root: Path, *but: str) -> Tree:
    """Return the mode and the content of everything below `root`, for a link where it leads to.

    A call that is killed at its very end leaves the empty folder of a tool.
    """
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = (0, os.fsencode(os.readlink(path)))
        elif not (name.startswith(but) or (name in (".cache", ".cache/tool") and not (root / PRIVATE).exists())):
            found[name] = (stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else b"")
    return found


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = write_tree(tmp_path / "target", OLD)
    (target / "changed").chmod(0o444)
    (target / "left" / "behind").chmod(0o750)
    (target / "folder then file" / "empty").mkdir()
    (target / "empty").mkdir()
    return target


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "stage", NEW)


def _replace(target: Path, stage: Path, names: Sequence[str] = tuple(NEW), removed: Sequence[str] = REMOVED) -> None:
    FileReplacement(str(target), PRIVATE).run(str(stage), names, removed)


def _is_new(target: Path) -> bool:
    files = {name: content for name, (_, content) in tree(target).items() if (target / name).is_file()}
    return files == {"same": b"same", **NEW}


def test_all_files_are_replaced(target: Path, stage: Path) -> None:
    _replace(target, stage)
    assert _is_new(target)
    assert (target / "empty").is_dir()
    assert not [name for name in ("left", ".cache") if (target / name).exists()]
    assert tree(stage).keys() <= {"sub", "new", "new/folder", "file then folder", "file then folder/x"}


def test_killed_at_any_moment(target: Path, stage: Path, tmp_path: Path) -> None:
    """Before a change of the disk: the next call has all of the old files, or all of the new ones."""
    before, downloaded, outcomes = tree(target), tree(stage), set()
    for number, moment in enumerate(moments(_copy(target, stage, tmp_path / "whole")[2], 15)):
        here, from_here, replace_files = _copy(target, stage, tmp_path / f"{number}")
        assert killed_at(replace_files, moment)
        for name, (_, content) in tree(here, PRIVATE).items():
            assert not (here / name).is_file() or content in (OLD.get(name), NEW.get(name)), (moment, name)
        is_undone = FileReplacement(str(here), PRIVATE).settle(str(from_here))
        is_old = tree(here) == before
        assert is_old or _is_new(here), moment
        assert not is_old or tree(from_here) == downloaded, moment
        outcomes.add((is_old, is_undone))
    assert outcomes == {(True, True), (True, False), (False, False)}


@pytest.mark.parametrize("has_links", [True, False])
def test_killed_while_it_is_undone(
    target: Path, stage: Path, tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle, and again while the next call puts the files back; also where there are no hard links."""
    if not has_links:
        monkeypatch.setattr(os, "link", _no_links)
    before = tree(target)
    half, _, replace_files = _copy(target, stage, tmp_path / "half")
    assert killed_at(replace_files, 35)
    whole = _copy(half, stage, tmp_path / "whole")[0]
    for number, moment in enumerate(moments(FileReplacement(str(whole), PRIVATE).settle, 5)):
        here = _copy(half, stage, tmp_path / f"{number}")[0]
        assert killed_at(FileReplacement(str(here), PRIVATE).settle, moment)
        FileReplacement(str(here), PRIVATE).settle()
        assert tree(here) == before


def _copy(target: Path, stage: Path, folder: Path) -> tuple[Path, Path, Callable[[], None]]:
    """Return copies of a target and its stage in a folder, and the call that replaces the files."""
    here, from_here = folder / "target", folder / "stage"
    shutil.copytree(target, here, symlinks=True)
    shutil.copytree(stage, from_here)
    return here, from_here, lambda: _replace(here, from_here)


def _no_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


FAULTS = {
    "denied": PermissionError(errno.EACCES, "Permission denied", "somewhere"),
    "full": OSError(errno.ENOSPC, "No space left on device", "somewhere"),
    "another file system": OSError(errno.EXDEV, "Invalid cross-device link", "somewhere"),
    "Ctrl-C": KeyboardInterrupt(),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [*NEW, *REMOVED])
def test_error_at_any_file_undoes_all(
    target: Path, stage: Path, name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, downloaded, replace_file = tree(target), tree(stage), os.replace

    def fail(source: str, final: str) -> None:
        path = source if name in REMOVED else final
        if path == str(target / name):
            monkeypatch.setattr(os, "replace", replace_file)
            raise FAULTS[fault]
        replace_file(source, final)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(FAULTS[fault])) as caught:
        _replace(target, stage)
    assert (tree(target), tree(stage)) == (before, downloaded)
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(target / name)


def test_full_disk(target: Path, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list cannot be written."""
    before = tree(target)
    monkeypatch.setattr(file_replacement, "write_file", lambda *_, **__: _no_links())
    with pytest.raises(PermissionError):
        _replace(target, stage)
    assert tree(target) == before


def test_folder_that_must_not_be_written_to(target: Path, stage: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for path in (target.parent, target, stage, *target.rglob("*"), *stage.rglob("*")):
        os.chown(path, 12345, 12345)
    (target / "sub").chmod(0o555)
    before = tree(target)
    for above in target.parents:
        if above != target.parent and not above.stat().st_mode & 0o001:
            above.chmod(0o711)

    def replace() -> str:
        try:
            _replace(target, stage)
        except PermissionError as error:
            return str(error.filename)
        return ""

    assert as_user(12345, 12345, replace) == str(target / "sub" / "changed")
    assert tree(target) == before


def test_link_is_replaced_and_not_what_it_leads_to(target: Path, stage: Path) -> None:
    (target / "elsewhere").write_text("of the user")
    (target / "changed").unlink()
    (target / "changed").symlink_to("elsewhere")
    _replace(target, stage, ["changed"], [])
    assert not (target / "changed").is_symlink()
    assert (target / "elsewhere").read_text() == "of the user"


def test_file_keeps_its_name_until_it_is_replaced(target: Path, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file = os.replace
    missing: list[str] = []

    def look(source: str, final: str) -> None:
        missing.extend(name for name in ("changed", "sub/changed", "signature") if not (target / name).exists())
        replace_file(source, final)

    monkeypatch.setattr(os, "replace", look)
    _replace(target, stage)
    assert missing == []


@pytest.mark.parametrize("names", [list(NEW), []])
def test_check_that_fails_changes_nothing(target: Path, stage: Path, names: list[str]) -> None:
    before = tree(target)

    def fail() -> None:
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        FileReplacement(str(target), PRIVATE).run(str(stage), names, check=fail)
    assert (tree(target), (target / PRIVATE).exists()) == (before, False)


def test_check_sees_what_a_killed_process_left_undone(target: Path, stage: Path, tmp_path: Path) -> None:
    before, (half, _, replace_files) = tree(target), _copy(target, stage, tmp_path / "half")
    assert killed_at(replace_files, 35)
    seen: list[Tree] = []
    FileReplacement(str(half), PRIVATE).run(
        str(stage), list(NEW), REMOVED, check=lambda: seen.append(tree(half, ".cache"))
    )
    assert seen == [before]
    assert _is_new(half)


def test_order_is_that_of_the_names(target: Path, stage: Path) -> None:
    moved: list[str] = []

    def move(name: str, source: str, final: str) -> None:
        moved.append(name)
        os.replace(source, final)

    FileReplacement(str(target), PRIVATE).run(str(stage), list(NEW), REMOVED, move=move)
    assert moved == list(NEW)


def test_what_is_in_the_way_of_a_file_stays(target: Path, stage: Path) -> None:
    (target / "folder then file" / "mine").write_text("of the user")
    before = tree(target)
    with pytest.raises(OSError, match="folder then file"):
        _replace(target, stage)
    assert tree(target) == before


def test_where_nothing_can_be_locked(target: Path, stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str, **_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available", path)

    monkeypatch.setattr(file_replacement, "locked", fail)
    _replace(target, stage)
    assert _is_new(target)
    assert not (target / ".cache").exists()


def test_two_at_once(target: Path, stage: Path, tmp_path: Path) -> None:
    other = write_tree(tmp_path / "other", dict.fromkeys(NEW, b"of the other"))
    both = [threading.Thread(target=_replace, args=(target, folder)) for folder in (stage, other)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len({(target / name).read_bytes() == b"of the other" for name in NEW}) == 1


class TestForeignList:
    """A list in a directory that another user made: nothing outside of the directory is read, moved or removed."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        return write_tree(tmp_path / "outside", {"secret": b"secret"})

    @pytest.fixture(autouse=True)
    def _nothing_outside_changes(self, outside: Path, target: Path) -> object:
        before = tree(outside)
        yield
        assert tree(outside) == before

    def _leave(self, target: Path, *entries: str) -> None:
        (target / PRIVATE).mkdir(parents=True, exist_ok=True)
        (target / PRIVATE / "list").write_bytes(b"".join(entry.encode() + b"\0" for entry in entries))

    @pytest.mark.parametrize(
        "entry",
        [
            *(
                "new ../outside/secret",
                "removed ../outside/secret",
                "replaced /etc/passwd",
                "made ..",
                "755 ../outside",
            ),
            *("new a//b", "new ", "new .", "unknown name", "", "9 name", "new"),
        ],
    )
    def test_entry_that_is_not_ours(self, target: Path, entry: str) -> None:
        self._leave(target, entry)
        with pytest.raises(UsageError, match="not a list that a stopped download has left"):
            FileReplacement(str(target), PRIVATE).settle()

    @pytest.mark.parametrize("data", [b"", b"new a", b"{}", b"\xff\0", b"new a\0" * 2_000_001])
    def test_file_that_is_no_list(self, target: Path, data: bytes) -> None:
        (target / PRIVATE).mkdir(parents=True)
        (target / PRIVATE / "list").write_bytes(data)
        with pytest.raises(UsageError, match="not a list that a stopped download has left"):
            FileReplacement(str(target), PRIVATE).settle()

    @pytest.mark.parametrize("kind", ["new", "removed", "replaced"])
    @pytest.mark.parametrize("place", ["target", "old"])
    def test_folder_that_is_a_link(self, target: Path, outside: Path, kind: str, place: str) -> None:
        self._leave(target, f"{kind} link/secret")
        (target / PRIVATE / "old").mkdir()
        link = target / "link" if place == "target" else target / PRIVATE / "old" / "link"
        link.symlink_to(outside)
        with pytest.raises(NotADirectoryError):
            FileReplacement(str(target), PRIVATE).settle()

    @pytest.mark.parametrize("name", [".cache", ".cache/tool", PRIVATE])
    def test_own_folder_that_is_a_link(self, target: Path, outside: Path, name: str) -> None:
        rest = PRIVATE.removeprefix(name).strip("/")
        (outside / rest).mkdir(parents=True, exist_ok=True)
        (outside / rest / "old").mkdir()
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).symlink_to(outside)
        with pytest.raises(NotADirectoryError):
            FileReplacement(str(target), PRIVATE).settle()
        shutil.rmtree(outside / rest / "old")
        if rest:
            shutil.rmtree(outside / rest.split("/")[0])
