"""The files of a model with followed links (section 6.1.1)."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.errors import ModelError, ModelWarning, VerificationError
from hf_model_signing.hashing import file_tree
from hf_model_signing.hashing.model_hasher import hash_model
from hf_model_signing.oms.manifest import Serialization
from tests.conftest import Cli
from tests.helpers import FILES, KeyPair, Meddler, cache_snapshot, sha256, write_tree

LINKS = Serialization(allow_symlinks=True)
LINKS_AND_SIGNATURE = Serialization(allow_symlinks=True, ignore_paths=("model.sig",))


def _names(model: Path) -> list[str]:
    return list(hash_model(model, LINKS).digests)


def _link(path: Path, target: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_link_to_file_has_its_own_name(model: Path) -> None:
    _link(model / "link.json", "config.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        digests = hash_model(model, LINKS).digests
    assert digests["link.json"].hex() == sha256(FILES["config.json"])
    assert set(digests) == {*FILES, "link.json"}


def test_link_to_folder_brings_what_is_in_it(model: Path) -> None:
    _link(model / "more/again", "../weights")
    assert set(_names(model)) == {*FILES, "more/again/a.bin", "more/again/b.bin"}


def test_two_links_to_one_file_are_two_entries(model: Path) -> None:
    _link(model / "one", "config.json")
    _link(model / "two", "one")
    digests = hash_model(model, LINKS).digests
    assert digests["one"] == digests["two"] == digests["config.json"]


def test_link_out_of_the_model_is_warned_of_once(model: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / "outside", {"f": b"x"})
    _link(model / "f", tmp_path / "outside/f")
    with pytest.warns(ModelWarning, match="is a symbolic link out of the model, to .*outside/f") as caught:
        assert "f" in _names(model)
    assert len(caught) == 1


def test_link_to_folder_out_of_the_model_is_warned_of(model: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / "outside", {"f": b"x"})
    _link(model / "o", tmp_path / "outside")
    with pytest.warns(ModelWarning, match="out of the model"):
        assert "o/f" in _names(model)


@pytest.mark.parametrize("target", [".", "..", "../weights"])
def test_link_back_up_is_left_out_with_a_warning(model: Path, target: str) -> None:
    _link(model / "weights/up", target)
    with pytest.warns(ModelWarning, match="link back to a folder that holds it; it is left out"):
        assert set(_names(model)) == set(FILES)


def test_links_that_lead_to_each_other(tmp_path: Path) -> None:
    model = write_tree(tmp_path / "m", {"a/f": b"1", "b/g": b"2"})
    _link(model / "a/to", "../b")
    _link(model / "b/to", "../a")
    with pytest.warns(ModelWarning, match="link back"):
        assert set(_names(model)) == {"a/f", "b/g", "a/to/g", "b/to/f"}


def test_link_that_leads_nowhere(model: Path) -> None:
    _link(model / "gone", "nothing")
    with pytest.raises(ModelError, match="gone is a symbolic link that leads nowhere"):
        _names(model)


def test_link_to_itself(model: Path) -> None:
    _link(model / "self", "self")
    with pytest.raises(ModelError, match="leads nowhere|Too many levels"):
        _names(model)


def test_link_to_a_device(model: Path) -> None:
    _link(model / "null", "/dev/null")
    with pytest.warns(ModelWarning), pytest.raises(ModelError, match="/dev/null is a device"):
        _names(model)


def test_ignored_link_is_not_followed(model: Path) -> None:
    _link(model / "gone", "nothing")
    how = Serialization(allow_symlinks=True, ignore_paths=("gone",))
    assert set(hash_model(model, how).digests) == set(FILES)


def test_links_that_multiply_folders_come_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_tree, "_MAX_FILES", 1000)
    model = write_tree(tmp_path / "m", {"30/f": b""})
    for number in range(30):
        _link(model / str(number) / "x", f"../{number + 1}")
        _link(model / str(number) / "y", f"../{number + 1}")
    with pytest.raises(ModelError, match="more than 1,000 files"):
        _names(model)


def test_links_that_multiply_empty_folders_come_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_tree, "_MAX_FOLDERS", 1000)
    model = write_tree(tmp_path / "m", {"f": b""})
    (model / "30").mkdir()
    for number in range(30):
        _link(model / str(number) / "x", f"../{number + 1}")
        _link(model / str(number) / "y", f"../{number + 1}")
    with pytest.raises(ModelError, match="more than 1,000 folders"):
        _names(model)


def test_folders_without_links_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_tree, "_MAX_FOLDERS", 3)
    model = write_tree(tmp_path / "m", {f"{number}/f": b"" for number in range(5)})
    assert len(hash_model(model, Serialization()).entries) == 5


def test_folder_under_the_name_of_the_signature(model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model, signer=pair.signer)
    write_tree(model, {"model.sig/__init__.py": b"evil"})
    with pytest.raises(VerificationError, match="model.sig is a folder; that name is for the signature"):
        hms.verify(model, bundle, verifier=pair.verifier)
    with pytest.raises(ModelError, match="model.sig is a folder; that name is for the signature"):
        hms.sign(model, signer=pair.signer)


@pytest.mark.parametrize("how", [Serialization(ignore_paths=("model.sig",)), LINKS_AND_SIGNATURE])
def test_link_to_a_folder_under_the_name_of_the_signature(model: Path, how: Serialization) -> None:
    _link(model / "model.sig", "weights")
    with pytest.raises(ModelError, match="model.sig is a folder; that name is for the signature"):
        hash_model(model, how)


def test_cache_snapshot_with_links_allowed(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(_names(cache_snapshot(tmp_path, FILES))) == set(FILES)


def test_link_moved_while_hashing(model: Path) -> None:

    _link(model / "link", "weights/a.bin")

    def move() -> None:
        (model / "link").unlink()
        _link(model / "link", "weights/b.bin")

    with pytest.raises(ModelError, match="changed while it was hashed"):
        hash_model(model, LINKS, progress=Meddler("end", move))


@pytest.mark.parametrize("field", ["st_ino", "st_dev", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_state_tells_files_apart_by(field: str) -> None:
    def state(**more: int) -> tuple[int, ...]:
        numbers = {"st_mode": 0o100644, "st_ino": 1, "st_dev": 2, "st_nlink": 1, "st_uid": 0, "st_gid": 0, "st_size": 3}
        times = {"st_mtime_ns": 4, "st_ctime_ns": 5}
        places = [more.get(name, value) for name, value in numbers.items()]
        return file_tree.state_of(os.stat_result((*places, 0, 0, 0), {**times, **more}))

    assert state() == state()
    assert state(**{field: 9}) != state()


# Signing and verifying


def test_signature_says_whether_links_are_followed(model: Path, pair: KeyPair) -> None:
    _link(model / "link", "config.json")
    bundle = hms.sign(model, signer=pair.signer, allow_symlinks=True)
    assert "link" in hms.verify(model, bundle, verifier=pair.verifier).files
    os.unlink(model / "link")
    _link(model / "link", "weights/a.bin")
    with pytest.raises(VerificationError, match="changed: link"):
        hms.verify(model, bundle, verifier=pair.verifier)


def test_link_that_appears_where_none_was_allowed(model: Path, pair: KeyPair) -> None:
    bundle = hms.sign(model, signer=pair.signer)
    _link(model / "link", "config.json")
    with pytest.raises(VerificationError, match="link is a symbolic link"):
        hms.verify(model, bundle, verifier=pair.verifier)


def test_program_signs_links_with_the_option(model: Path, pair: KeyPair, cli: Cli, tmp_path: Path) -> None:
    _link(model / "link", "/etc/hostname")
    options = ("--private-key", pair.private, "--signature", tmp_path / "s")
    refused = cli("sign", "key", *options, model)
    assert (refused.code, "sign what links lead to with --allow-symlinks" in refused.err) == (1, True)
    done = cli("sign", "key", *options, "--allow-symlinks", model)
    assert done.code == 0
    assert "hf-sign: note: " in done.err
    assert "out of the model" in done.err
    verify = ("verify", "key", "--public-key", pair.public, "--signature", tmp_path / "s", model)
    assert cli(*verify).code == 0
    assert cli(*verify, "--allow_symlinks").code == 0
