"""Edits of a signed model: each makes another tree, which must not verify."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from tests.properties.trees import (
    EmptyFolder,
    Files,
    How,
    Link,
    Tree,
    contents,
    folders,
    new_names,
    signable,
    trees,
    ways,
    with_bytes,
)

Edited = tuple[Files, How, Tree]  # the signed files, the options, the files at verification


def _any_file(draw: st.DrawFn, files: Files, fits: Callable[[bytes], bool] = lambda content: True) -> str:
    return draw(st.sampled_from([name for name, content in files.items() if fits(content)]))


def _model(draw: st.DrawFn, source: st.SearchStrategy[Files]) -> tuple[Files, How]:
    files, how = draw(source), draw(ways)
    return signable(files, how), how


@st.composite
def flip(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, trees.map(with_bytes))
    name = _any_file(draw, files, bool)
    content = bytearray(files[name])
    content[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
    return files, how, {**files, name: bytes(content)}


@st.composite
def append(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, trees)
    name = _any_file(draw, files)
    return files, how, {**files, name: files[name] + draw(st.binary(min_size=1, max_size=300))}


@st.composite
def cut(draw: st.DrawFn, part: slice) -> Edited:
    """Keep only `part` of a file."""
    files, how = _model(draw, trees.map(with_bytes))
    name = _any_file(draw, files, bool)
    return files, how, {**files, name: files[name][part]}


@st.composite
def add(draw: st.DrawFn, content: st.SearchStrategy[bytes]) -> Edited:
    files, how = _model(draw, folders)
    return files, how, {**files, draw(new_names(files)): draw(content)}


@st.composite
def remove(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, folders)
    gone = _any_file(draw, files)
    return files, how, {name: content for name, content in files.items() if name != gone}


@st.composite
def remove_empty(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, folders)
    return {**files, draw(new_names(files)): b""}, how, files


@st.composite
def rename(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, folders)
    old, new = _any_file(draw, files), draw(new_names(files))
    return files, how, {new if name == old else name: content for name, content in files.items()}


@st.composite
def swap(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, folders)
    if len(set(files.values())) == 1:
        files = {**files, draw(new_names(files)): next(iter(files.values())) + b"x"}
    one = _any_file(draw, files)
    other = _any_file(draw, files, lambda content: content != files[one])
    return files, how, {**files, one: files[other], other: files[one]}


@st.composite
def file_to_folder(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, folders)
    gone = _any_file(draw, files)
    inside = draw(st.sampled_from(["a", gone.rpartition("/")[2]]))
    rest = {name: content for name, content in files.items() if name != gone}
    return files, how, {**rest, f"{gone}/{inside}": files[gone]}


@st.composite
def file_to_empty_folder(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, trees)
    return files, how, {**files, _any_file(draw, files): EmptyFolder()}


@st.composite
def file_to_link(draw: st.DrawFn) -> Edited:
    files, how = _model(draw, trees)
    name = _any_file(draw, files)
    return files, How(how.hash_type, how.shard_size, allow_symlinks=False), {**files, name: Link(files[name])}


EDITS = {
    "flip a bit": flip(),
    "append": append(),
    "cut the last byte": cut(slice(-1)),
    "cut the first byte": cut(slice(1, None)),
    "cut everything": cut(slice(0)),
    "add a file": add(contents),
    "add an empty file": add(st.just(b"")),
    "remove a file": remove(),
    "remove an empty file": remove_empty(),
    "rename a file": rename(),
    "swap two contents": swap(),
    "a folder in place of a file": file_to_folder(),
    "an empty folder in place of a file": file_to_empty_folder(),
    "a link in place of a file": file_to_link(),
}
