"""The file that causes a mismatch, and the files that are removed after a rejected download."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from hf_model_signing.hub.mismatch import Blame, discard_rejected
from hf_model_signing.oms.difference import Difference
from hub_adapters.huggingface.cache import discard
from hub_adapters.interface import Snapshot
from tests.helpers import names_below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A snapshot in a cache: each file is a link to a blob."""
    snapshot = tmp_path / "snapshots" / "commit"
    snapshot.mkdir(parents=True)
    (tmp_path / "blobs").mkdir()
    for name in ("good", "bad"):
        (tmp_path / "blobs" / f"blob of {name}").write_text(name)
        (snapshot / name).symlink_to(f"../../blobs/blob of {name}")
    return snapshot


def rejected(folder: Path, fresh: Collection[str], difference: Difference | None, old: Collection[str] = ()) -> Blame:
    return discard_rejected(Snapshot(str(folder), "commit", frozenset(fresh), frozenset(old)), difference, discard)


def test_what_the_hub_sent_is_removed(folder: Path) -> None:
    blame = rejected(folder, {"good", "bad"}, Difference(changed=("bad",)))
    assert blame.sent
    assert blame.describe() == "that is what the hub sent"
    assert names_below(folder) == {"good"}
    assert names_below(folder.parents[1] / "blobs") == {"blob of good"}


def test_what_was_there_before_stays_and_is_named(folder: Path) -> None:
    blame = rejected(folder, {"good"}, Difference(changed=("bad",)))
    path = folder.parents[1] / "blobs" / "blob of bad"
    assert blame == Blame(sent=False, path=str(path))
    assert blame.describe() == f"it was so already in '{path}'; delete it there"
    assert names_below(folder) == {"good", "bad"}


def test_blob_that_was_there_before_is_named_through_a_new_link(folder: Path) -> None:
    blame = rejected(folder, {"bad"}, Difference(changed=("bad",)), old={"blob of bad"})
    assert blame == Blame(sent=False, path=str(folder.parents[1] / "blobs" / "blob of bad"))
    assert names_below(folder) == {"good"}


def test_unsigned_file_that_the_hub_sent_is_removed(folder: Path) -> None:
    assert rejected(folder, {"bad"}, Difference(added=("bad",))).sent
    assert names_below(folder) == {"good"}


def test_without_a_difference_all_that_is_new_is_removed(folder: Path) -> None:
    assert rejected(folder, {"good", "bad"}, None).sent
    assert names_below(folder) == set()


def test_missing_file_is_the_fault_of_the_folder(folder: Path) -> None:
    assert rejected(folder, {"good"}, Difference(missing=("gone",))) == Blame(sent=False, path=str(folder))
    assert names_below(folder) == {"good", "bad"}


def test_path_is_safe_to_print() -> None:
    assert "\x1b" not in Blame(sent=False, path="/cache/\x1b[31m").describe()
