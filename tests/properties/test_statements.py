"""For any list of files or shards by a trusted signer: it verifies only if it is the list of the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hf_model_signing as hms
from hf_model_signing.errors import VerificationError
from hf_model_signing.oms.hash_algorithms import HASHES
from tests.helpers import KeyPair, forge, with_root
from tests.properties.trees import Files, How, examples, folders, hash_types, places, sign, verify, with_bytes, write

Shards = list[dict[str, Any]]
Document = dict[str, Any]
SIZES = st.sampled_from([1, 2, 3, 7, 16, 64, 255, 256, 1024, 4096])
SMALL = folders.map(lambda files: with_bytes({name: content[:256] for name, content in files.items()}))


def _shards(document: Document) -> Shards:
    shards: Shards = document["predicate"]["resources"]
    return shards


def _an_index(draw: st.DrawFn, document: Document) -> int:
    return draw(st.integers(0, len(_shards(document)) - 1))


def _moved(name: str, start: int, end: int) -> str:
    path, first, last = name.rsplit(":", 2)
    return f"{path}:{int(first) + start}:{int(last) + end}"


def _drop(draw: st.DrawFn, document: Document) -> None:
    del _shards(document)[_an_index(draw, document)]


def _double(draw: st.DrawFn, document: Document) -> None:
    shards = _shards(document)
    shards.insert(_an_index(draw, document), dict(shards[_an_index(draw, document)]))


def _double_otherwise(draw: st.DrawFn, document: Document) -> None:
    """Add the same name a second time, with another digest."""
    shards = _shards(document)
    digest = shards[_an_index(draw, document)]["digest"][::-1]
    shards.insert(_an_index(draw, document), {**shards[_an_index(draw, document)], "digest": digest})


def _shift(draw: st.DrawFn, document: Document) -> None:
    shard, by = _shards(document)[_an_index(draw, document)], draw(st.sampled_from([-7, -1, 1, 7, 4096]))
    shard["name"] = _moved(shard["name"], by, by)


def _move_start(draw: st.DrawFn, document: Document) -> None:
    shard = _shards(document)[_an_index(draw, document)]
    shard["name"] = _moved(shard["name"], draw(st.sampled_from([-1, 1, 4096])), 0)


def _move_end(draw: st.DrawFn, document: Document) -> None:
    shard = _shards(document)[_an_index(draw, document)]
    shard["name"] = _moved(shard["name"], 0, draw(st.sampled_from([-1, 1, 4096])))


def _move_boundary(draw: st.DrawFn, document: Document) -> None:
    """Move the boundary between two shards of a file."""
    shard, by = _shards(document)[_an_index(draw, document)], draw(st.sampled_from([-1, 1]))
    path, _, end = shard["name"].rsplit(":", 2)
    following = [other for other in _shards(document) if other["name"].startswith(f"{path}:{end}:")]
    for other in following[:1]:
        shard["name"], other["name"] = _moved(shard["name"], 0, by), _moved(other["name"], by, 0)


def _swap_names(draw: st.DrawFn, document: Document) -> None:
    one, other = (_shards(document)[_an_index(draw, document)] for _ in range(2))
    one["name"], other["name"] = other["name"], one["name"]


def _join(draw: st.DrawFn, document: Document) -> None:
    """Merge two shards of a file."""
    shards, at = _shards(document), _an_index(draw, document)
    shards[at]["name"] = shards[at]["name"].rpartition(":")[0] + ":" + shards[-1]["name"].rpartition(":")[2]
    del shards[-1]


def _rename(draw: st.DrawFn, document: Document) -> None:
    shard = _shards(document)[_an_index(draw, document)]
    shard["name"] = draw(st.sampled_from(["x", "./", "a:0:1:"])) + shard["name"]


def _spell(draw: st.DrawFn, document: Document) -> None:
    """Write the same range differently."""
    shard = _shards(document)[_an_index(draw, document)]
    path, start, end = shard["name"].rsplit(":", 2)
    shard["name"] = draw(
        st.sampled_from([f"{path}:0{start}:{end}", f"{path}:{start}:+{end}", f"{path}:{start}:{end} ", path])
    )


def _resize(draw: st.DrawFn, document: Document) -> None:
    document["predicate"]["serialization"]["shard_size"] = draw(SIZES)


def _whole_files(draw: st.DrawFn, document: Document) -> None:
    document["predicate"]["serialization"] = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    _shards(document)[_an_index(draw, document)]["algorithm"] = "sha256"


def _rehash(draw: st.DrawFn, document: Document) -> None:
    shard = _shards(document)[_an_index(draw, document)]
    shard["digest"] = f"{int(shard['digest'], 16) ^ 1 << draw(st.integers(0, 255)):0{len(shard['digest'])}x}"


def _list_empty_files(draw: st.DrawFn, document: Document) -> None:
    """Change the empty files: one more, one less, one that is not empty, or one twice."""
    annotations = document["subject"][0].setdefault("annotations", {})
    empty = annotations.setdefault("empty_files", [])
    name = _shards(document)[_an_index(draw, document)]["name"].rsplit(":", 2)[0]
    annotations["empty_files"] = draw(st.sampled_from([[*empty, "more"], empty[1:], [*empty, name], empty * 2]))


def _reorder(draw: st.DrawFn, document: Document) -> None:
    document["predicate"]["resources"] = draw(st.permutations(_shards(document)))


Change = Callable[[st.DrawFn, Document], None]
CHANGES_OF_FILES: dict[str, Change] = {
    "drop": _drop,
    "double": _double,
    "double otherwise": _double_otherwise,
    "swap names": _swap_names,
    "rename": _rename,
    "other digest": _rehash,
    "other empty files": _list_empty_files,
    "other order": _reorder,
}
CHANGES: dict[str, Change] = {
    **CHANGES_OF_FILES,
    "shift": _shift,
    "move the start": _move_start,
    "move the end": _move_end,
    "move a boundary": _move_boundary,
    "join": _join,
    "spell otherwise": _spell,
    "other size": _resize,
    "whole files": _whole_files,
}


def _is_about(document: Document, files: Files, how: How) -> bool:
    """Return True if the statement describes the files as the specification demands (sections 6.3.1 and 6.3.2)."""
    serialization, new = document["predicate"]["serialization"], HASHES[how.hash_type].new
    size = serialization.get("shard_size")
    if size is None:
        true = [(name, new(content).hexdigest()) for name, content in files.items()]
    else:
        true = [
            (f"{name}:{start}:{min(start + size, len(content))}", new(content[start : start + size]).hexdigest())
            for name, content in files.items()
            for start in range(0, len(content), size)
        ]
    unlisted = [] if size is None else sorted(name for name in files if not files[name])
    empty = document["subject"][0].get("annotations", {}).get("empty_files", [])
    said = [(shard["name"], shard["digest"]) for shard in _shards(document)]
    return sorted(said) == sorted(true) and sorted(empty) == unlisted


def _check(pair: KeyPair, change: Change, data: st.DataObject, files: Files, how: How) -> None:
    """Sign the files, change the statement, sign it again: it verifies only if it is still true."""
    with places() as place:
        write(model := place("signed"), files)
        document = json.loads(sign(model, how, pair).payload)
        data.draw(st.composite(lambda draw: change(draw, document))())
        bundle = hms.Bundle.parse(json.dumps(forge(pair, with_root(document))).encode())
        if _is_about(document, files, how):
            assert set(verify(model, bundle, pair).files) == set(files)
            return
        with pytest.raises(
            VerificationError, match=r"is not what was signed|shard|^the (signed|entry|digest|statement)"
        ):
            verify(model, bundle, pair)


@pytest.mark.parametrize("change", CHANGES)
@examples(25)
@given(data=st.data(), files=SMALL, how=st.builds(How, hash_types, SIZES, st.just(False)))
def test_only_true_shards_verify(pair: KeyPair, change: str, data: st.DataObject, files: Files, how: How) -> None:
    _check(pair, CHANGES[change], data, files, how)


@pytest.mark.parametrize("change", CHANGES_OF_FILES)
@examples(15)
@given(data=st.data(), files=SMALL, how=st.builds(How, hash_types, st.none(), st.just(False)))
def test_only_true_files_verify(pair: KeyPair, change: str, data: st.DataObject, files: Files, how: How) -> None:
    _check(pair, CHANGES_OF_FILES[change], data, files, how)
