"""For any model: the signed files verify, and no others."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hf_model_signing.errors import ModelError, ModelWarning, VerificationError
from tests.conformance import section
from tests.helpers import KeyPair
from tests.properties.edits import EDITS
from tests.properties.trees import (
    Files,
    How,
    Link,
    examples,
    new_names,
    places,
    sign,
    signable,
    single_files,
    trees,
    verify,
    ways,
    write,
)


@examples(100)
@given(files=trees, how=ways)
def test_what_is_signed_verifies(pair: KeyPair, files: Files, how: How) -> None:
    files = signable(files, how)
    with places() as place:
        write(model := place("signed"), files)
        verification = verify(model, sign(model, how, pair), pair)
        assert sorted(verification.files) == sorted(name or "model" for name in files)
        assert verification.statement.manifest.serialization.shard_size == how.shard_size


@section("8.4")
@pytest.mark.parametrize("edit", EDITS)
@examples(30)
@given(data=st.data())
def test_what_is_edited_is_refused(pair: KeyPair, edit: str, data: st.DataObject) -> None:
    files, how, edited = data.draw(EDITS[edit])
    with places() as place:
        write(model := place("signed"), files)
        bundle = sign(model, how, pair)
        write(other := place("edited"), edited)
        with pytest.raises(VerificationError, match=r"is not what was signed|is a symbolic link|is a folder|lists"):
            verify(other, bundle, pair)


@examples(20)
@given(files=single_files, how=ways, name=new_names({"": b""}))
def test_single_file_keeps_its_name(pair: KeyPair, files: Files, how: How, name: str) -> None:
    assume("/" not in name and name != "model")
    with places() as place:
        write(model := place("signed"), signable(files, how))
        bundle = sign(model, how, pair)
        with pytest.raises(VerificationError, match="is not what was signed"):
            verify(model.rename(model.with_name(name)), bundle, pair)


@examples(30)
@given(files=trees, how=ways, linked=st.booleans())
def test_followed_links_count_as_files(pair: KeyPair, files: Files, how: How, linked: bool) -> None:
    how = How(how.hash_type, how.shard_size, allow_symlinks=True)
    files = signable(files, how)
    links = {name: Link(content) for name, content in files.items()}
    with places() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)  # the links lead out of the model
        write(model := place("signed"), links if linked else files)
        write(other := place("other"), files if linked else links)
        assert set(verify(other, sign(model, how, pair), pair).files) == {name or "model" for name in files}


@examples(20)
@given(files=trees, how=ways.filter(lambda how: how.shard_size is not None))
def test_shards_of_nothing_are_not_signed(pair: KeyPair, files: Files, how: How) -> None:
    with places() as place:
        write(model := place("signed"), dict.fromkeys(files, b""))
        with pytest.raises(ModelError, match=r"every file of .* is empty, and shards list no empty file"):
            sign(model, how, pair)
