"""Signing again reuses the digests of files that have not changed, and no others."""

from __future__ import annotations

import hashlib
import mmap
import os
import sqlite3
import time
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import UsageError, VerificationError
from hf_model_signing.hashing import file_systems, receipts
from hf_model_signing.hashing.file_tree import FileState, Scope, list_model
from hf_model_signing.oms.manifest import Serialization
from tests.conftest import Cli
from tests.helpers import KeyPair, Meddler, write_tree
from tests.shared_files import KINDS, OWN, need_receipts, share

LARGE = b"L" * receipts.SMALLEST
FILES = {"README.md": b"one", "large.bin": LARGE, "other.bin": b"O" * receipts.SMALLEST}


class Listener(Meddler):
    """Records the files that are really hashed."""

    def __init__(self) -> None:
        super().__init__("never", lambda: None)
        self.names: set[str] = set()

    def begin(self, name: str, size: int) -> None:
        self.names.add(name)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    need_receipts(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hf-sign" / "receipts"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "model", FILES)


@pytest.fixture
def old(model: Path, pair: KeyPair) -> hms.Bundle:
    return hms.sign(model, signer=pair.signer)


def _hashed(model: Path, pair: KeyPair, old: hms.Bundle | Path, **how: object) -> set[str]:
    """Sign again, check that the result equals signing without receipts, and return the names of the hashed files."""
    listener = Listener()
    again = hms.sign(model, signer=pair.signer, reuse=old, progress=listener, **how)  # type: ignore[arg-type]
    assert again.payload == hms.sign(model, signer=pair.signer, **how).payload  # type: ignore[arg-type]
    return listener.names


def test_only_what_changed_is_hashed(model: Path, pair: KeyPair, old: hms.Bundle) -> None:
    (model / "README.md").write_bytes(b"two")
    assert _hashed(model, pair, old) == {"README.md"}


def test_nothing_is_reused_unasked(model: Path, pair: KeyPair, old: hms.Bundle) -> None:
    listener = Listener()
    hms.sign(model, signer=pair.signer, progress=listener)
    assert listener.names == set(FILES)


@pytest.mark.parametrize("how", [{"hash_type": "blake2b"}, {"hash_type": "blake3"}, {"shard_size": 400_000}])
def test_with_other_hashes_and_shards(model: Path, pair: KeyPair, how: dict[str, object]) -> None:
    old = hms.sign(model, signer=pair.signer, **how)  # type: ignore[arg-type]
    assert _hashed(model, pair, old, **how) == {"README.md"}


def test_change_at_same_size_and_modification_time(model: Path, pair: KeyPair, old: hms.Bundle) -> None:
    """A program that restores the modification time cannot restore the change time."""
    path = model / "large.bin"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert "large.bin" in _hashed(model, pair, old)


def test_another_file_of_that_name(model: Path, pair: KeyPair, old: hms.Bundle, tmp_path: Path) -> None:
    before = (model / "large.bin").stat()
    (tmp_path / "new").write_bytes(b"N" * receipts.SMALLEST)
    os.utime(tmp_path / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(tmp_path / "new", model / "large.bin")
    assert "large.bin" in _hashed(model, pair, old)


def test_files_that_swap_names(model: Path, pair: KeyPair, old: hms.Bundle) -> None:
    """Both inodes have receipts, but their digests differ from the signed ones of their new names."""
    os.rename(model / "large.bin", model / "x")
    os.rename(model / "other.bin", model / "large.bin")
    os.rename(model / "x", model / "other.bin")
    assert {"large.bin", "other.bin"} <= _hashed(model, pair, old)


def test_without_receipts_everything_is_hashed(model: Path, pair: KeyPair, old: hms.Bundle, cache: Path) -> None:
    (cache / "receipts.sqlite").unlink()
    assert _hashed(model, pair, old) == set(FILES)


@pytest.mark.parametrize("damage", ["junk", "empty", "page", "columns", "view"])
def test_damaged_receipts_are_not_believed(
    model: Path, pair: KeyPair, old: hms.Bundle, cache: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And replaced: the run after the next one finds receipts again."""
    database = cache / "receipts.sqlite"
    if damage in ("junk", "empty"):
        database.write_bytes(b"junk" * 1000 if damage == "junk" else b"")
    elif damage == "page":
        with database.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * (database.stat().st_size - 100))
    else:
        made = "TABLE receipts (device, inode)" if damage == "columns" else "VIEW receipts AS SELECT 1"
        with sqlite3.connect(database) as connection:
            connection.execute("DROP TABLE receipts")
            connection.execute(f"CREATE {made}")
    assert _hashed(model, pair, old) == set(FILES)
    _hashed(model, pair, old)
    caplog.clear()
    assert _hashed(model, pair, old) == {"README.md"}
    assert not caplog.records


def test_receipts_that_never_end(
    model: Path, pair: KeyPair, old: hms.Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("device", "inode", "size", "modified", "changed", "way", "digests", "made")
    columns = ", ".join(f"x + {number} AS {name}" for number, name in enumerate(names))
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    with sqlite3.connect(cache / "receipts.sqlite") as database:
        database.execute("DROP TABLE receipts")
        database.execute(f"CREATE VIEW receipts AS SELECT {columns} FROM ({endless})")
    monkeypatch.setattr(time, "monotonic", iter(range(0, 10**9, 3)).__next__)
    assert _hashed(model, pair, old) == set(FILES)


def test_receipt_that_the_signature_contradicts(model: Path, pair: KeyPair, old: hms.Bundle, cache: Path) -> None:
    with sqlite3.connect(cache / "receipts.sqlite") as database:
        database.execute("UPDATE receipts SET digests = ?", (bytes(32),))
    assert _hashed(model, pair, old) == set(FILES)


def test_file_written_as_it_is_hashed_gets_no_receipt(model: Path, cache: Path) -> None:
    """The kernel records times in steps: a second write in the same step would not show."""
    far = time.time_ns() + 3_600_000_000_000
    files = [file._replace(changed=far) for file in _listed(model)]
    receipts.Receipts(Serialization()).remember(files, {file.name: [bytes(32)] for file in files}, time.time_ns())
    assert not (cache / "receipts.sqlite").exists()


def test_times_of_whole_seconds_need_a_longer_wait(model: Path) -> None:
    second = 1_700_000_000_000_000_000
    (file, *_) = _listed(model)
    assert receipts.may_change_unseen(file._replace(changed=second), second + 1_000_000_000)
    assert not receipts.may_change_unseen(file._replace(changed=second), second + 3_000_000_000)
    assert not receipts.may_change_unseen(file._replace(changed=second + 1), second + 1_000_000_000)


def test_fresh_file_is_waited_for(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    large = [file._replace(changed=time.time_ns()) for file in _listed(model)]
    receipts.Receipts(Serialization()).settle(large)
    assert len(slept) == 1
    assert 0 < slept[0] < 0.1


def test_cache_that_cannot_be_written(
    model: Path, pair: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(write_tree(tmp_path / "f", {"file": b""}) / "file"))
    assert _hashed(model, pair, hms.sign(model, signer=pair.signer)) == set(FILES)


def test_oldest_receipts_go(model: Path, pair: KeyPair, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "_MOST", 1)
    hms.sign(model, signer=pair.signer)
    with sqlite3.connect(cache / "receipts.sqlite") as database:
        assert database.execute("SELECT count(*) FROM receipts").fetchone() == (1,)


def test_small_files_get_no_receipt(tmp_path: Path, pair: KeyPair, cache: Path) -> None:
    hms.sign(write_tree(tmp_path / "small", {"f": b"x"}), signer=pair.signer)
    assert not cache.exists()


def test_small_files_get_no_receipt_later(model: Path, cache: Path) -> None:
    small = [file._replace(size=receipts.SMALLEST - 1) for file in _listed(model)]
    digests = {file.name: [bytes(32)] for file in small}
    receipts.Receipts(Serialization()).remember(small, digests, time.time_ns() + 3_600_000_000_000)
    assert not cache.exists()


# The earlier signature


def test_signature_of_another_signer(model: Path, pair: KeyPair, other_pair: KeyPair) -> None:
    with pytest.raises(VerificationError, match="another key"):
        hms.sign(model, signer=pair.signer, reuse=hms.sign(model, signer=other_pair.signer))


def test_signature_that_was_altered(model: Path, pair: KeyPair, old: hms.Bundle) -> None:
    digest = hashlib.sha256(LARGE).hexdigest().encode()
    altered = hms.Bundle(old.method, old.material, old.payload.replace(digest, b"0" * 64), old.signature)
    with pytest.raises(VerificationError, match="not valid"):
        hms.sign(model, signer=pair.signer, reuse=altered)


def test_signature_with_other_digests(model: Path, pair: KeyPair, old: hms.Bundle) -> None:
    with pytest.raises(UsageError, match="it was made with the hash 'sha256'"):
        hms.sign(model, signer=pair.signer, reuse=old, hash_type="blake3")
    with pytest.raises(UsageError, match="it was made with the hash 'sha256'"):
        hms.sign(model, signer=pair.signer, reuse=old, shard_size=1000)


def test_program_reuses(model: Path, pair: KeyPair, cli: Cli, tmp_path: Path) -> None:
    sign = ("sign", "key", "--private-key", pair.private, "--signature", tmp_path / "s", model)
    assert cli(*sign).code == 0
    (model / "README.md").write_bytes(b"two")
    again = cli(*sign, "--reuse", tmp_path / "s")
    assert (again.code, "note: 2 of 2 large files have not changed" in again.err) == (0, True)
    assert cli("verify", "key", "--public-key", pair.public, "--signature", tmp_path / "s", model).code == 0


def test_program_without_the_earlier_signature(model: Path, pair: KeyPair, cli: Cli, tmp_path: Path) -> None:
    done = cli("sign", "key", "--private-key", pair.private, "--reuse", tmp_path / "none", model)
    assert done.code == 2
    assert f"'{tmp_path}/none' does not exist" in done.err


def _listed(model: Path) -> list[FileState]:
    return [file for file in list_model(str(model), Scope()) if file.size >= receipts.SMALLEST]


def test_settle_does_not_wait_for_old_files(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: float) -> None:
        raise AssertionError("nothing to wait for")

    monkeypatch.setattr(time, "sleep", never)
    old = [file._replace(changed=1) for file in _listed(model)]
    assert receipts.Receipts(Serialization()).settle(old) > 1


def test_settle_does_not_wait_for_a_time_to_come(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    far = time.time_ns() + 3_600_000_000_000
    receipts.Receipts(Serialization()).settle([file._replace(changed=far) for file in _listed(model)])
    assert slept == []


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702])
def test_receipts_that_others_can_write(model: Path, pair: KeyPair, old: hms.Bundle, cache: Path, mode: int) -> None:
    cache.chmod(mode)
    assert _hashed(model, pair, old) == set(FILES)


def test_receipts_of_another_user(
    model: Path, pair: KeyPair, old: hms.Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    assert _hashed(model, pair, old) == set(FILES)


def test_receipts_are_for_their_user_alone(old: hms.Bundle, cache: Path) -> None:
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("field", ["size", "modified", "changed", "inode", "device"])
@pytest.mark.parametrize("step", [1, -1])
def test_receipt_is_for_that_very_file(model: Path, field: str, step: int) -> None:
    known = [file._replace(size=file.size + 9) for file in _listed(model)]
    digests = {file.name: [bytes(32)] for file in known}
    some = receipts.Receipts(Serialization(), {file.name: bytes(32) for file in known})
    some.remember(known, digests, time.time_ns() + 3_600_000_000_000)
    assert some.recall(known) == digests
    assert not some.recall([file._replace(**{field: getattr(file, field) + step}) for file in known])


def test_receipt_is_for_that_way_to_hash(model: Path) -> None:
    known = _listed(model)
    signed = {file.name: bytes(32) for file in known}
    digests = {file.name: [bytes(32)] for file in known}
    receipts.Receipts(Serialization()).remember(known, digests, time.time_ns() + 3_600_000_000_000)
    assert receipts.Receipts(Serialization(), signed).recall(known) == digests
    assert receipts.Receipts(Serialization(hash_type="blake3"), signed).recall(known) == {}


def test_newest_receipts_stay(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "_MOST", 1)
    digests = {file.name: [bytes(32)] for file in _listed(model)}
    some = receipts.Receipts(Serialization(), {name: bytes(32) for name in digests})
    for file in _listed(model):
        some.remember([file], digests, time.time_ns() + 3_600_000_000_000)
        assert some.recall(_listed(model)).keys() == {file.name}


@pytest.mark.parametrize("value", ["text", 10**12, None, 1.5, b"", b"x"])
def test_receipt_of_another_kind(model: Path, pair: KeyPair, old: hms.Bundle, cache: Path, value: object) -> None:
    with sqlite3.connect(cache / "receipts.sqlite") as database:
        database.execute("UPDATE receipts SET digests = ?", (value,))
    assert _hashed(model, pair, old) == set(FILES)


def test_folder_above_that_is_open_to_a_group(model: Path, pair: KeyPair, cache: Path) -> None:
    """Other parts of the program create the directory so when the umask is 002."""
    cache.parent.mkdir(parents=True)
    cache.parent.chmod(0o775)
    old = hms.sign(model, signer=pair.signer)
    assert _hashed(model, pair, old) == {"README.md"}


# Writers beside us


def test_page_that_was_changed_before(model: Path, pair: KeyPair) -> None:
    """A write to mapped memory that was changed before sets no time, unless it was written back in between."""
    with (model / "large.bin").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = 1
        old = hms.sign(model, signer=pair.signer)
        mapped[0] = 2
        assert "large.bin" in _hashed(model, pair, old)


def test_page_in_memory(model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system in memory no time is ever set, so a file there is hashed each time."""
    monkeypatch.setitem(file_systems._mounts, model.stat().st_dev, file_systems.Mount("tmpfs", frozenset()))
    assert _hashed(model, pair, hms.sign(model, signer=pair.signer)) == set(FILES)


@pytest.mark.parametrize("kind", KINDS)
def test_file_that_others_can_write(model: Path, pair: KeyPair, kind: str) -> None:
    share(kind, model / "large.bin")
    assert "large.bin" in _hashed(model, pair, hms.sign(model, signer=pair.signer))


@pytest.mark.parametrize("kind", OWN)
def test_file_that_others_cannot_write(model: Path, pair: KeyPair, kind: str) -> None:
    OWN[kind](model / "large.bin")
    assert _hashed(model, pair, hms.sign(model, signer=pair.signer)) == {"README.md"}


def test_directory_above_that_others_can_write(model: Path, pair: KeyPair, old: hms.Bundle, cache: Path) -> None:
    """They could replace the receipts by others."""
    cache.parent.chmod(0o777)
    assert _hashed(model, pair, old) == set(FILES)
