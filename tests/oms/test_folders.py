"""The directories of a list of names."""

from __future__ import annotations

import tracemalloc

import pytest

from hf_model_signing._util.path_depth import MAX_DEPTH
from hf_model_signing.oms.folders import Folders

_NAMES = ["a/b/c/f", "a/b-c", "a/b.txt", "a/b/d", "z", "a.b/c/f", "é/f", "a/b/c/g"]


def _parents(names: list[str]) -> set[str]:
    return {name[:at] for name in names for at, letter in enumerate(name) if letter == "/"}


def test_folders_of_names() -> None:
    found = list(Folders(_NAMES))
    assert len(found) == len(set(found))
    assert set(found) == _parents(_NAMES)
    assert all(found.index(above) < found.index(folder) for folder in found for above in _parents([folder]))


def test_membership() -> None:
    folders = Folders(_NAMES)
    assert all(folder in folders for folder in _parents(_NAMES))
    assert not any(name in folders for name in [*_NAMES, "b", "a/b/c/f/x", "a/", "", "c", "zz", "\U0001f600"])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], None),
        (["a"], None),
        (_NAMES, None),
        (["a", "a/b"], "a"),
        (["a/b/c/d", "a-b", "a/b", "a/b-c", "a/b.c"], "a/b"),
        (["a", "a-b", "a.b", "a b", "a\u00a0b", "ab/c"], None),
    ],
)
def test_file_that_is_a_folder_as_well(names: list[str], found: str | None) -> None:
    assert Folders(names).first_file() == found


def test_no_folders() -> None:
    assert not list(Folders(()))
    assert "a" not in Folders(())


def test_memory_of_deep_names() -> None:
    deep = "/".join(["d" * 39] * (MAX_DEPTH - 1))
    names = [f"{number}/{deep}" for number in range(500)]
    tracemalloc.start()
    try:
        folders = Folders(names)
        assert sum(1 for _ in folders) == 500 * (MAX_DEPTH - 1)
        assert folders.first_file() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * sum(map(len, names))
