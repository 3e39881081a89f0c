from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_model_signing._util.path_depth import MAX_DEPTH
from hf_model_signing.errors import ModelError
from hf_model_signing.hashing import model_hasher
from hf_model_signing.hashing.file_tree import Scope
from hf_model_signing.hashing.git_objects import is_lfs_pointer
from hf_model_signing.hashing.model_hasher import git_blob_id, hash_file, hash_model, model_name, with_bytes
from hf_model_signing.oms.manifest import Manifest, Serialization
from tests.helpers import COMMIT, FILES, LONG_AGO, Meddler, cache_snapshot, run_python, sha256, write_tree

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n".encode()
BIG = 3 * 1024 * 1024 + 17  # four reads


def _hash(model: Path, *ignored: str) -> Manifest:
    return hash_model(model, Serialization(ignore_paths=ignored))


def _names(model: Path, *ignored: str) -> list[str]:
    return list(_hash(model, *ignored).digests)


def test_folder_digests(model: Path) -> None:
    assert {name: digest.hex() for name, digest in _hash(model).digests.items()} == {
        name: sha256(content) for name, content in FILES.items()
    }


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, BIG])
def test_file_sizes(tmp_path: Path, size: int) -> None:
    content = (b"0123456789abcde" * (size // 15 + 1))[:size]
    assert _hash(write_tree(tmp_path / "m", {"f": content})).digests == {"f": hashlib.sha256(content).digest()}


def test_many_files(tmp_path: Path) -> None:
    files = {f"d{number % 7}/{number}": str(number).encode() * number for number in range(200)}
    assert {n: d.hex() for n, d in _hash(write_tree(tmp_path / "m", files)).digests.items()} == {
        name: sha256(content) for name, content in files.items()
    }


def test_single_file_is_named_by_basename(model: Path) -> None:
    assert list(_hash(model / "config.json").digests) == ["config.json"]


def test_hidden_files_count(tmp_path: Path) -> None:
    assert _names(write_tree(tmp_path / "m", {".env": b"", ".d/x": b""})) == [".d/x", ".env"]


def test_empty_folders_do_not_count(model: Path) -> None:
    (model / "empty" / "deeper").mkdir(parents=True)
    assert set(_names(model)) == set(FILES)


def test_ignored_paths_are_exact(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", dict.fromkeys(["cache/a", "cache2", "sub/cache", "sub/cache2/a", "cach"], b""))
    assert _names(model, "cache", "sub/cache2") == ["cach", "cache2", "sub/cache"]


def test_git_folder_below_is_not_ignored(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {".git/config": b"", "sub/.git/config": b""})
    assert _names(model, ".git") == ["sub/.git/config"]


def test_ignored_folder_is_not_opened(model: Path) -> None:
    os.mkfifo(model / "fifo")
    assert set(_names(model, "fifo")) == set(FILES)


def test_deep_tree(tmp_path: Path) -> None:
    name = "/".join(["d"] * (MAX_DEPTH - 1) + ["f"])
    assert _names(write_tree(tmp_path / "m", {name: b"x"})) == [name]
    with pytest.raises(ModelError, match="has more than 100 names"):
        _names(write_tree(tmp_path / "m", {f"d/{name}": b"x"}))


def test_deep_tree_without_files(tmp_path: Path) -> None:
    (tmp_path / "m" / "/".join(["d"] * (MAX_DEPTH + 1))).mkdir(parents=True)
    with pytest.raises(ModelError, match="has more than 100 names"):
        _names(tmp_path / "m")


@pytest.mark.parametrize(
    "name",
    ["a b", " a ", "-rf", "--json", "a:b", "a:0:10", "...", "..a", "é", "e\u0301", "模型", "\U0001f600", "'\"$`"],
)
def test_unusual_names(tmp_path: Path, name: str) -> None:
    assert _names(write_tree(tmp_path / "m", {name: b"x"})) == [name]


def test_both_unicode_forms_stay_apart(tmp_path: Path) -> None:
    assert _names(write_tree(tmp_path / "m", {"\u00e9": b"1", "e\u0301": b"2"})) == ["e\u0301", "\u00e9"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"a\nb", "control character"),
        (b"a\\b", "backslash"),
        (b"a\xffb", "not valid UTF-8"),
        (b"\x1b[2J", "control character"),
        (b"sub\xff/file", "not valid UTF-8"),
    ],
)
def test_unusable_names(tmp_path: Path, name: bytes, message: str) -> None:
    model = write_tree(tmp_path / "m", {"ok": b"", os.fsdecode(name): b""})
    with pytest.raises(ModelError, match=message):
        _hash(model)


def test_unusable_name_of_single_file(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a\nb": b""})
    with pytest.raises(ModelError, match="control character"):
        _hash(tmp_path / "a\nb")


def test_unusable_name_can_be_ignored(tmp_path: Path) -> None:
    assert _names(write_tree(tmp_path / "m", {"ok": b"", "bad\n": b""}), "bad\n") == ["ok"]


def test_message_about_name_is_printable(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"\x1b[2J": b""})
    with pytest.raises(ModelError, match="rename or ignore it") as caught:
        _hash(model)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("target", ["config.json", "weights", "missing", "/etc/passwd", "link"])
def test_link_is_refused(model: Path, target: str) -> None:
    (model / "link").symlink_to(target)
    with pytest.raises(ModelError, match="link is a symbolic link"):
        _hash(model)


def test_link_as_single_file_is_refused(model: Path) -> None:
    (model / "link").symlink_to("config.json")
    with pytest.raises(ModelError, match="is a symbolic link"):
        _hash(model / "link")


def test_link_to_folder_as_root(model: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(model)
    assert _hash(tmp_path / "way").digests == _hash(model).digests


def test_hard_link_is_a_file(model: Path) -> None:
    os.link(model / "config.json", model / "again.json")
    digests = _hash(model).digests
    assert digests["again.json"] == digests["config.json"]


def test_fifo_is_refused(model: Path) -> None:
    os.mkfifo(model / "pipe")
    with pytest.raises(ModelError, match="pipe is a FIFO; a model holds regular files only"):
        _hash(model)


def test_fifo_as_single_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="pipe is a FIFO"):
        _hash(tmp_path / "pipe")


def test_socket_is_refused() -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{short}/s")
        with pytest.raises(ModelError, match="s is a socket"):
            _hash(Path(short))


def test_device_is_refused() -> None:
    with pytest.raises(ModelError, match="/dev/null is a device"):
        _hash(Path("/dev/null"))


def _meddle(model: Path, moment: str, act: Callable[[], object]) -> Manifest:
    return hash_model(model, Serialization(), progress=Meddler(moment, act))


def _write(path: Path, content: bytes) -> Callable[[], object]:
    return lambda: path.write_bytes(content)


@pytest.mark.parametrize("moment", ["begin", "advance", "end"])
@pytest.mark.parametrize("content", [b"B" * BIG, b"A" * (BIG + 1), b"", b"A"])
def test_file_changes_while_hashing(tmp_path: Path, moment: str, content: bytes) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A" * BIG})
    with pytest.raises(ModelError, match="changed while it was hashed"):
        _meddle(model, moment, _write(model / "f", content))


def test_file_changes_before_it_is_opened(tmp_path: Path) -> None:
    """Nothing was read yet when it changed, so the new content is hashed."""
    model = write_tree(tmp_path / "m", {"f": b"A" * BIG, "tiny": b"A"})
    for name in ("f", "tiny"):
        found = _meddle(model, "total", _write(model / name, b"other"))
        assert found.digests[name].hex() == sha256(b"other")


@pytest.mark.parametrize("moment", ["begin", "advance", "end"])
def test_file_grows_while_hashing(tmp_path: Path, moment: str) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A" * BIG})

    def grow() -> None:
        with open(model / "f", "ab") as file:
            file.write(b"A")

    with pytest.raises(ModelError, match="changed while it was hashed"):
        _meddle(model, moment, grow)


@pytest.mark.parametrize("moment", ["total", "begin", "advance", "end"])
def test_file_appears_while_hashing(model: Path, moment: str) -> None:
    with pytest.raises(ModelError, match="changed while it was hashed"):
        _meddle(model, moment, _write(model / "weights" / "new.bin", b""))


@pytest.mark.parametrize("moment", ["begin", "advance", "end"])
def test_file_vanishes_while_hashing(tmp_path: Path, moment: str) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A", "g": b"B"})
    with pytest.raises(ModelError, match="changed while it was hashed|No such file"):
        _meddle(model, moment, (model / "g").unlink)


@pytest.mark.parametrize("moment", ["begin", "advance", "end"])
def test_file_is_replaced_while_hashing(tmp_path: Path, moment: str) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A" * BIG})
    evil = write_tree(tmp_path, {"evil": b"B" * BIG}) / "evil"  # same size, same time
    with pytest.raises(ModelError, match="changed while it was hashed"):
        _meddle(model, moment, lambda: os.replace(evil, model / "f"))


@pytest.mark.parametrize("moment", ["begin", "advance", "end"])
def test_change_with_restored_time(tmp_path: Path, moment: str) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A" * BIG})

    def rewrite() -> None:
        time.sleep(0.02)  # a tick of the file system's clock
        (model / "f").write_bytes(b"B" * BIG)
        os.utime(model / "f", (LONG_AGO, LONG_AGO))

    with pytest.raises(ModelError, match="changed while it was hashed"):
        _meddle(model, moment, rewrite)


@pytest.mark.parametrize("moment", ["begin", "advance", "end"])
def test_file_becomes_link_while_hashing(tmp_path: Path, moment: str) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A" * BIG})

    def swap() -> None:
        os.rename(model / "f", tmp_path / "f")
        (model / "f").symlink_to(tmp_path / "f")  # the same file, with the same size and time

    with pytest.raises(ModelError, match="is a symbolic link|changed while"):
        _meddle(model, moment, swap)


def test_listed_file_becomes_link_before_it_is_opened(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A"})

    def swap() -> None:
        os.rename(model / "f", tmp_path / "f")
        (model / "f").symlink_to(tmp_path / "f")

    with pytest.raises(ModelError, match="cannot read .*m/f: Too many levels of symbolic links"):
        _meddle(model, "total", swap)


def test_listed_file_becomes_fifo_before_it_is_opened(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A"})

    def swap() -> None:
        (model / "f").unlink()
        os.mkfifo(model / "f")

    with pytest.raises(ModelError, match="f changed while it was hashed"):
        _meddle(model, "total", swap)


def test_change_in_ignored_directory_does_not_matter(model: Path) -> None:
    write_tree(model, {"log/x": b""})
    found = hash_model(
        model, Serialization(ignore_paths=("log",)), progress=Meddler("advance", _write(model / "log/y", b"1"))
    )
    assert set(found.digests) == set(FILES)


def test_observer_that_fails(model: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError("observer")

    with pytest.raises(ZeroDivisionError, match="observer"):
        _meddle(model, "advance", fail)


def test_interrupted(model: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        _meddle(model, "total", interrupt)


def test_interrupted_while_a_file_is_read(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        _meddle(write_tree(tmp_path / "m", {"f": b"A"}), "begin", interrupt)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one processor there is one hashing thread")
def test_thread_that_ends_loses_no_file(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A" * BIG, "g": b"B" * BIG})
    ended = threading.Event()

    class Ender(Meddler):
        def begin(self, name: str, size: int) -> None:
            if threading.current_thread() is threading.main_thread():
                ended.wait(10)
            elif not ended.is_set():
                ended.set()
                raise SystemExit("ended")

    with pytest.raises((ModelError, SystemExit), match="ended|hashed"):
        hash_model(model, Serialization(), progress=Ender("never", lambda: None))


def test_shards_are_put_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that hashes the first shard ends last."""
    monkeypatch.setattr(model_hasher, "_PIECE", 1)
    monkeypatch.setattr(model_hasher, "_workers", lambda: 2)
    model = write_tree(tmp_path / "m", {"f": b"A" * 20_000 + b"B" * 10_000})
    how = Serialization("shards", shard_size=20_000)
    ended = threading.Event()

    class Waiter(Meddler):
        def begin(self, name: str, size: int) -> None:
            if size == 20_000:
                ended.wait(10)

    found = hash_model(model, how, progress=Waiter("end", ended.set))
    assert [digest.hex() for _, digest in found.entries] == [sha256(b"A" * 20_000), sha256(b"B" * 10_000)]


def test_observer_hears_all_bytes(tmp_path: Path) -> None:
    class Counter(Meddler):
        count = 0
        files: tuple[int, int] = (0, 0)

        def total(self, files: int, size: int) -> None:
            self.files = files, size

        def advance(self, name: str, count: int) -> None:
            self.count += count

    counter = Counter("never", lambda: None)
    hash_model(write_tree(tmp_path / "m", {"f": b"A" * BIG}), Serialization(), progress=counter)
    assert (counter.count, counter.files) == (BIG, (1, BIG))


@pytest.mark.parametrize("mode", [0o000, 0o333])
@pytest.mark.parametrize("name", ["secret/x", "f"])
def test_unreadable(mode: int, name: str) -> None:
    code = (
        "import os, sys; from hf_model_signing.hashing.model_hasher import hash_model, Serialization\n"
        "from hf_model_signing import errors\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root can read every file
        "try: hash_model(sys.argv[1], Serialization())\n"
        "except errors.ModelError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as place:  # not in tmp_path, which no other user may enter
        os.chmod(place, 0o755)
        write_tree(Path(place) / "m", {name: b""})
        closed = Path(place) / "m" / name.partition("/")[0]
        os.chmod(closed, mode)
        done = run_python(code, f"{place}/m")
        os.chmod(closed, 0o755)
    assert done.stdout == f"cannot read {place}/m/{name.partition('/')[0]}: Permission denied\n", done.stderr


@pytest.mark.skipif(
    not os.path.exists("/proc/self/cmdline"), reason="there is no /proc with files that hide their size"
)
@pytest.mark.parametrize("how", [Serialization(), Serialization("shards", shard_size=10)])
def test_file_that_holds_more_than_it_says(how: Serialization) -> None:
    with pytest.raises(ModelError, match="cmdline changed while it was hashed"):
        hash_model(Path("/proc/self/cmdline"), how)


def test_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read .*nowhere: No such file"):
        _hash(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("serialization", "message"),
    [
        (Serialization(method="shards"), "method 'shards' with shards of None bytes is not supported"),
        (Serialization(method="shards", shard_size=0), "method 'shards' with shards of 0 bytes is not supported"),
        (Serialization(method="shards", shard_size=-1), "method 'shards' with shards of -1 bytes is not supported"),
        (Serialization(method="files", shard_size=10), "method 'files' with shards of 10 bytes is not supported"),
        (Serialization(method="lines"), "method 'lines' .* is not supported"),
        (Serialization(hash_type="md5"), "'md5' is not supported"),
    ],
)
def test_unsupported_serialization(model: Path, serialization: Serialization, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        hash_model(model, serialization)


def test_too_many_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_tree(tmp_path / "m", {"f": b"A" * 31, "g": b"B" * 15})
    monkeypatch.setattr(model_hasher, "_MAX_SHARDS", 6)
    assert len(hash_model(model, Serialization("shards", shard_size=10)).entries) == 6
    monkeypatch.setattr(model_hasher, "_MAX_SHARDS", 5)
    with pytest.raises(ModelError, match="shards of 10 bytes would be 6, too many to sign; choose larger ones"):
        hash_model(model, Serialization("shards", shard_size=10))


def test_scope_only(model: Path) -> None:
    found = hash_model(model, Serialization(), scope=Scope(only=("*.bin",)))
    assert list(found.digests) == ["weights/a.bin", "weights/b.bin"]


def test_scope_names(model: Path) -> None:
    os.mkfifo(model / "pipe")
    found = hash_model(model, Serialization(), scope=Scope(names=frozenset({"config.json"})))
    assert list(found.digests) == ["config.json"]


def test_pointer_is_refused(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"w.bin": POINTER})
    with pytest.raises(ModelError, match="w.bin is a Git LFS pointer, not the file itself: run `git lfs pull`"):
        hash_model(model, Serialization(), allow_lfs_pointers=False)


@pytest.mark.parametrize("shard_size", [1, 50, 1000, 100_000])
def test_pointer_in_shards_is_refused(tmp_path: Path, shard_size: int) -> None:
    model = write_tree(tmp_path / "m", {"w.bin": POINTER})
    how = Serialization("shards", shard_size=shard_size)
    with pytest.raises(ModelError, match="w.bin is a Git LFS pointer"):
        hash_model(model, how, allow_lfs_pointers=False)
    assert hash_model(model, how)


def test_pointer_is_allowed(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"w.bin": POINTER})
    assert _hash(model).digests["w.bin"].hex() == sha256(POINTER)


@pytest.mark.parametrize("content", [POINTER.ljust(1024), b" " + POINTER, POINTER[:30], b""])
def test_no_pointer(tmp_path: Path, content: bytes) -> None:
    path = write_tree(tmp_path, {"f": content}) / "f"
    assert not is_lfs_pointer(path)


@pytest.mark.parametrize("size", [len(POINTER), 1023])
def test_pointer(tmp_path: Path, size: int) -> None:
    assert is_lfs_pointer(write_tree(tmp_path, {"f": POINTER.ljust(size)}) / "f")


def test_short_file_after_text_about_pointers(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"README.md": POINTER.ljust(5000), "pkg/__init__.py": b""})
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})  # one thread reads both
    try:
        found = hash_model(model, Serialization(), allow_lfs_pointers=False)
    finally:
        os.sched_setaffinity(0, processors)
    assert len(found.entries) == 2


def test_hash_file(model: Path) -> None:
    assert hash_file(model / "config.json").hex() == sha256(FILES["config.json"])


def test_hash_file_link(model: Path) -> None:
    (model / "link").symlink_to("config.json")
    with pytest.raises(ModelError, match="is a symbolic link"):
        hash_file(model / "link")


def test_hash_file_folder(model: Path) -> None:
    with pytest.raises(ModelError, match="not a regular file"):
        hash_file(model)


def test_hash_file_missing(model: Path) -> None:
    with pytest.raises(ModelError, match="nothing.bin"):
        hash_file(model / "nothing.bin")


@pytest.mark.parametrize("call", ["read", "close"])
@pytest.mark.parametrize("function", [hash_file, git_blob_id])
def test_each_file_is_watched_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, function: Callable[[Path], object]
) -> None:
    """Without a manifest, the state of the file is checked all the same."""
    path = write_tree(tmp_path, {"f": b"A"}) / "f"
    real = getattr(os, call)

    def meddling(*arguments: Any) -> object:  # noqa: ANN401 - those of `os.read` and `os.close`
        monkeypatch.undo()
        path.write_bytes(b"B")
        return real(*arguments)

    monkeypatch.setattr(os, call, meddling)
    with pytest.raises(ModelError, match="f changed while it was hashed"):
        function(path)


@pytest.mark.parametrize("function", ["hash_file", "git_blob_id"])
def test_hash_file_that_changes_before_it_is_opened(tmp_path: Path, function: str) -> None:
    code = (
        "import sys; from hf_model_signing import errors; from hf_model_signing.hashing import model_hasher\n"
        "def meddle(event, arguments, done=[]):\n"
        "  if event == 'open' and arguments[0] == sys.argv[1] and not done:\n"
        "    done.append(True); open(sys.argv[1], 'ab').write(b'more')\n"
        "sys.addaudithook(meddle)\n"
        f"try: print(model_hasher.{function}(sys.argv[1]))\n"
        "except errors.ModelError as error: print(error)"
    )
    done = run_python(code, write_tree(tmp_path, {"f": b"A"}) / "f")
    assert done.stdout.startswith("f changed while it was hashed"), done.stderr


@pytest.mark.parametrize(("size", "opened"), [(1, 1), (BIG, 1), (BIG, 2)])
@pytest.mark.parametrize("function", [hash_file, git_blob_id, _hash])
def test_folder_is_swapped_while_a_file_in_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, opened: int, function: Callable[[Path], object]
) -> None:
    """Large files are opened twice. Between two equal states of the path, another file was opened and read."""
    write_tree(tmp_path, {"d/f": b"A" * size, "other/f": b"B" * size})
    real, calls = os.open, iter(range(1, 9))

    def swapped(*arguments: Any) -> int:  # noqa: ANN401 - those of `os.open`
        if next(calls) != opened:
            return real(*arguments)
        monkeypatch.undo()
        os.rename(tmp_path / "d", tmp_path / "away")
        os.rename(tmp_path / "other", tmp_path / "d")
        handle = real(*arguments)
        os.rename(tmp_path / "d", tmp_path / "other")
        os.rename(tmp_path / "away", tmp_path / "d")
        return handle

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(ModelError, match="f changed while it was hashed"):
        function(tmp_path / "d/f")


def test_hash_file_in_cache(tmp_path: Path) -> None:
    snapshot = cache_snapshot(tmp_path, FILES)
    assert hash_file(snapshot / "config.json").hex() == sha256(FILES["config.json"])


def test_git_blob_id(tmp_path: Path) -> None:
    path = write_tree(tmp_path, {"hello": b"hello\n"}) / "hello"
    assert git_blob_id(path) == "ce013625030ba8dba906f756967f9e9ca394464a"  # `git hash-object`


@pytest.mark.parametrize("path", ["model", "model/", "model/.", "./model", "model/weights/.."])
def test_model_name(model: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(model.parent)
    assert model_name(path) == "model"


def test_model_name_of_current_folder(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model)
    assert model_name(".") == "model"


def test_model_name_of_root() -> None:
    assert model_name("/") == "model"


def test_model_name_of_snapshot(tmp_path: Path) -> None:
    assert model_name(str(cache_snapshot(tmp_path, FILES, "org/some--name"))) == "some--name"


def test_model_name_of_linked_snapshot(tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(cache_snapshot(tmp_path / "cache", FILES))
    assert model_name(str(tmp_path / "way")) == "name"


def test_model_name_below_snapshot(tmp_path: Path) -> None:
    assert model_name(str(cache_snapshot(tmp_path, FILES) / "weights")) == "weights"


def test_model_name_of_commit_alone(tmp_path: Path) -> None:
    assert model_name(str(write_tree(tmp_path / COMMIT, FILES))) == COMMIT


@pytest.mark.parametrize("path", ["config.json", "weights/a.bin", "new:0:5", "empty"])
@pytest.mark.parametrize("data", [b"", b"{}", b"0123456789"])
@pytest.mark.parametrize("size", [None, 1, 5, 1000])
def test_file_in_memory_counts_as_on_disk(tmp_path: Path, path: str, data: bytes, size: int | None) -> None:
    how = Serialization("shards" if size else "files", "blake2b", shard_size=size)
    files = {"config.json": b"0123456", "weights/a.bin": b"A" * 7, "empty": b"", "new": b"12345"}
    before = hash_model(write_tree(tmp_path / "m", files), how)
    assert with_bytes(before, path, data) == hash_model(write_tree(tmp_path / "m", {path: data}), how)
