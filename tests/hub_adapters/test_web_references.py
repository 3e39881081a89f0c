"""References to models of TensorFlow Hub, PyTorch Hub and web servers, and their URLs."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hub_adapters import find_adapter
from hub_adapters.errors import (
    BadReferenceError,
    BadSettingError,
    ContentError,
    DishonestError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from hub_adapters.interface import FetchOptions, Reference, Snapshot
from hub_adapters.limits import Limits
from hub_adapters.onnx import OnnxAdapter
from hub_adapters.pytorch_hub import PyTorchHubAdapter
from hub_adapters.tfhub import TfHubAdapter
from tests.helpers import names_below
from tests.hub_adapters.archives.make import END, tar_file
from tests.hub_adapters.archives.zips import plain_zip
from tests.real_models import tarball
from tests.servers.static import Page, StaticHosts
from tests.user import small_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _fetch(text: str, options: FetchOptions | None = None) -> Snapshot:
    found = find_adapter(text)
    assert found is not None
    adapter, reference = found
    return adapter.fetch(adapter.resolve(reference), options=options)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("tfhub://google/bertseq2seq/bert24_en_de/1", "tfhub://google/bertseq2seq/bert24_en_de/1"),
        ("tfhub://google/imagenet/mobilenet_v2_100_224/classification/5/", None),
        ("https://tfhub.dev/google/universal-sentence-encoder/4", "tfhub://google/universal-sentence-encoder/4"),
        ("https://tfhub.dev/google/x/1?tf-hub-format=compressed", "tfhub://google/x/1"),
    ],
)
def test_names_of_tensorflow_hub(text: str, uri: str | None) -> None:
    reference = TfHubAdapter.parse(text)
    assert reference is not None
    assert reference.uri == str(reference) == (uri or text.rstrip("/"))


@pytest.mark.parametrize(
    "text",
    ["tfhub://", "tfhub://google", "tfhub://google/x", "tfhub://google/x/y", "tfhub://google/../1", "tfhub:///x/1", "tfhub:///google/x/1",
     "tfhub://google/x/1/2/", "tfhub://google//x/1", "tfhub://google/x/-1", "tfhub://google/x%2F/1"],
)  # fmt: skip
def test_names_that_tensorflow_hub_does_not_have(text: str) -> None:
    if text == "tfhub://google/x/1/2/":
        assert TfHubAdapter.parse(text) is not None  # a model may be called `1`
        return
    with pytest.raises(BadReferenceError, match="expected tfhub://PUBLISHER/MODEL/VARIATION/VERSION"):
        TfHubAdapter.parse(text)


@pytest.mark.parametrize(
    ("text", "name", "revision"),
    [
        ("torchhub://hustvl/YOLOP", "hustvl/YOLOP", None),
        ("torchhub://hustvl/YOLOP:main", "hustvl/YOLOP", "main"),
        ("torchhub://a/b.c:refs/tags/v1.0", "a/b.c", "refs/tags/v1.0"),
        (f"torchhub://a/b:{COMMIT}", "a/b", COMMIT),
    ],
)
def test_names_of_pytorch_hub(text: str, name: str, revision: str | None) -> None:
    reference = PyTorchHubAdapter.parse(text)
    assert reference is not None
    assert (reference.name, reference.revision, reference.uri) == (name, revision, f"torchhub://{name}")
    assert str(reference) == text


@pytest.mark.parametrize(
    "ref", ["", "/main", "a/../b", "-x", "a b", "a?b", "a#b", "a%2e", "a//b", "a:b", "../main", "a\\b", "x" * 256]
)
def test_refs_that_pytorch_hub_does_not_have(ref: str) -> None:
    with pytest.raises(BadReferenceError, match=r"expected torchhub://OWNER/REPO\[:REF\]"):
        PyTorchHubAdapter.parse(f"torchhub://acme/model:{ref}")


@pytest.mark.parametrize("name", ["", "acme", "acme/", "/model", "a/b/c", "acme/..", "acme/.", "-/../x", "a/b.git"])
def test_names_that_pytorch_hub_does_not_have(name: str) -> None:
    with pytest.raises(BadReferenceError, match="expected torchhub://"):
        PyTorchHubAdapter.parse(f"torchhub://{name}")


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("https://host/a/roberta-base-11.onnx", None),
        ("https://HOST:8443/a/B.ONNX", "https://host:8443/a/B.ONNX"),
        ("https://user:s3cret@host/a.onnx?token=s3cret#x", "https://host/a.onnx"),
        ("https://host:443/a.onnx", "https://host/a.onnx"),
        ("https://host:/a.onnx", "https://host/a.onnx"),
        ("https://host.:0443/a.onnx", "https://host/a.onnx"),
        ("https://host/my%20model.tar.gz", None),
        ("http://127.0.0.1:8000/a.tgz", None),
        ("http://localhost/a.zip", None),
        ("http://[::1]:8000/a.onnx", None),
        ("https://github.com/onnx/models/blob/main/vision/x.onnx", "https://github.com/onnx/models/raw/main/vision/x.onnx"),
        ("https://github.com/onnx/models/raw/main/x.onnx?download=", "https://github.com/onnx/models/raw/main/x.onnx"),
        ("https://media.githubusercontent.com/media/onnx/models/main/x.onnx", None),
        ("https://huggingface.co/acme/model/resolve/main/onnx/model.onnx", None),
    ],
)  # fmt: skip
def test_addresses_of_models(text: str, uri: str | None) -> None:
    found = find_adapter(text)
    assert found is not None
    adapter, reference = found
    assert isinstance(adapter, OnnxAdapter)
    assert reference.uri == str(reference) == (uri or text)
    assert "s3cret" not in repr(reference)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("https://host/", r"is not the address of a model: it would end in \.onnx, \.tar\.gz, \.tgz, \.zip"),
        ("https://host/page.html", "is not the address of a model"),
        ("https://user:s3cret@host/x?a.onnx", "'https://host/x' is not the address of a model"),
        ("http://models.example/a.onnx", "http is for this machine alone; write https"),
        ("http://127.0.0.1@models.example/a.onnx", "http is for this machine alone"),
        ("https:///a.onnx", "it names no host"),
        ("https://host:port/a.onnx", "that is no address"),
        ("https://höst/a.onnx", "it has characters that no address can hold"),
        ("https://host/a b.onnx", "it has characters that no address can hold"),
        ("https://host/acme/../evil/x.onnx", "write it plainly"),
        ("https://host/acme/%2e%2E/x.onnx", "write it plainly"),
        ("https://host//acme/x.onnx", "write it plainly"),
        ("https://host/./x.onnx", "write it plainly"),
        ("https://host/%61cme/x.onnx", "write it plainly"),
        ("https://host/a%2Fb.onnx", "does not end in the name of a file"),
        ("https://host/a%00.onnx", "does not end in the name of a file"),
        ("https://host/a%5Cb.onnx", "does not end in the name of a file"),
        ("ftp://host/a.onnx", "names no hub that is known here; known are hf://, tfhub://, torchhub://, https://"),
        ("file:///etc/passwd", "names no hub that is known here"),
    ],
)
def test_addresses_of_no_model(text: str, sentence: str) -> None:
    with pytest.raises(BadReferenceError, match=sentence) as caught:
        find_adapter(text)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["bert", "./bert", "/models/bert", "C:bert", "a:b"])
def test_paths_are_no_references(text: str) -> None:
    assert find_adapter(text) is None


@pytest.mark.parametrize("variable", ["HF_SIGN_TFHUB_ENDPOINT", "HF_SIGN_GITHUB_ENDPOINT"])
@pytest.mark.parametrize("url", ["models.example", "http://models.example", "ftp://x", "https://x/?a=b", "https://"])
def test_endpoint_that_cannot_be(variable: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, url)
    reference = "tfhub://acme/m/1" if "TFHUB" in variable else "torchhub://acme/m"
    with pytest.raises(BadSettingError, match=f"{variable} is "):
        _fetch(reference)


def test_web_address_on_a_mirror(hosts: StaticHosts) -> None:
    found = find_adapter(f"{hosts.url}/acme/m/1")
    assert found is not None
    assert found[1].uri == "tfhub://acme/m/1"


@pytest.mark.parametrize(
    ("page", "reference"),
    [
        ("https://github.com/hustvl/YOLOP", "torchhub://hustvl/YOLOP"),
        ("https://github.com/hustvl/YOLOP.git", "torchhub://hustvl/YOLOP"),
        ("https://github.com/hustvl/YOLOP/tree/v1.0/?tab=readme", "torchhub://hustvl/YOLOP:v1.0"),
    ],
)
def test_page_of_a_repository(page: str, reference: str) -> None:
    with pytest.raises(BadReferenceError, match=f"for the repository at .* write {reference}$"):
        find_adapter(page)


# Branches and commits


@pytest.mark.parametrize("branch", ["main", "master"])
def test_default_branch(hosts: StaticHosts, branch: str) -> None:
    hosts.github("acme/model", branch, plain_zip({"model-x/a.py": b"x"}))
    assert names_below(Path(_fetch("torchhub://acme/model").path)) == {"a.py"}


def test_main_comes_before_master(hosts: StaticHosts) -> None:
    for branch in ("master", "main"):
        hosts.github("acme/model", branch, plain_zip({f"model/{branch}": b"x"}))
    assert names_below(Path(_fetch("torchhub://acme/model").path)) == {"main"}


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("status", [500, 503])
def test_other_branch_is_not_tried_after_a_failure(hosts: StaticHosts, status: int) -> None:
    for branch in ("master", "main"):
        hosts.github("acme/model", branch, plain_zip({f"model/{branch}": b"x"}))
    hosts.fail(status, path="main", times=None)
    with pytest.raises(UnavailableError, match=f"HTTP {status}"):
        _fetch("torchhub://acme/model")


def test_repository_that_is_not_there(hosts: StaticHosts) -> None:
    with pytest.raises(NotFoundError, match="there is nothing at"):
        _fetch("torchhub://acme/model")


def test_mirror_that_knows_the_address_of_torch_hub_alone(hosts: StaticHosts) -> None:
    hosts.github("acme/model", "v1", plain_zip({"model/a": b"x"}))
    hosts.remove("/acme/model/archive/v1.zip")
    assert names_below(Path(_fetch("torchhub://acme/model:v1").path)) == {"a"}


def test_commit_is_that_of_the_archive(hosts: StaticHosts) -> None:
    hosts.github("acme/model", "main", plain_zip({"model/a": b"x"}, comment=COMMIT.encode()))
    assert _fetch("torchhub://acme/model").commit == COMMIT
    other = COMMIT[::-1]
    hosts.github("acme/model", other, plain_zip({"model/a": b"x"}, comment=COMMIT.encode()))
    with pytest.raises(DishonestError, match=f"was asked for, and the archive is that of the commit {COMMIT}"):
        _fetch(f"torchhub://acme/model:{other}")


def test_archive_of_no_repository(hosts: StaticHosts) -> None:
    hosts.github("acme/model", "main", plain_zip({"model/a": b"x", "other/b": b"x"}))
    with pytest.raises(ContentError, match="it has more than one folder at its top"):
        _fetch("torchhub://acme/model")


@pytest.mark.parametrize("ref", ["feature/a+b", "v1@2=3", "refs/tags/v1.0"])
def test_refs_of_all_kinds(hosts: StaticHosts, ref: str) -> None:
    hosts.github("acme/model", ref, plain_zip({"model/a": b"x"}))
    assert names_below(Path(_fetch(f"torchhub://acme/model:{ref}").path)) == {"a"}


@pytest.mark.parametrize("name", ["...onnx", "..onnx", ".onnx", "....zip", ".hf-sign.json.tar.gz", "files.json.zip"])
def test_names_that_could_be_something_else(hosts: StaticHosts, name: str) -> None:
    hosts.put("/n/w.bin", b"w")
    data = b"x" if name.endswith("onnx") else plain_zip({"a": b"x", "b": b"y"})
    if ".tar" in name:
        data = gzip.compress(tar_file("a") + END)
    found = find_adapter(hosts.put(f"/n/{name}", data))
    assert found is not None
    adapter, reference = found
    wanted = adapter.beside(reference, ["w.bin"]) if name.endswith("onnx") else reference
    path = Path(adapter.fetch(adapter.resolve(wanted)).path)
    assert path.parent.name == "model"
    assert path.name not in ("", ".", "..")
    assert len(list(path.iterdir())) <= 2


# Files beside an .onnx


@pytest.mark.parametrize("name", ["../w.bin", "/w.bin", "a//b", "", ".", "a/./b", "a\\b"])
def test_files_beside_that_lie_elsewhere(hosts: StaticHosts, name: str) -> None:
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/m/a.onnx", b"x"))
    assert reference is not None
    with pytest.raises(BadReferenceError, match="is no path below the folder of"):
        adapter.fetch(adapter.resolve(adapter.beside(reference, [name])))


def test_files_beside_in_folders(hosts: StaticHosts) -> None:
    hosts.put("/m/deep/w 1.bin", b"w")
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/m/a.onnx", b"x"))
    assert reference is not None
    named = adapter.beside(reference, ["deep/w 1.bin", "a.onnx", "deep/w 1.bin"])
    assert names_below(Path(adapter.fetch(adapter.resolve(named)).path)) == {"a.onnx", "deep", "deep/w 1.bin"}


def test_limit_is_for_all_files_together(hosts: StaticHosts) -> None:
    hosts.put("/m/w.bin", bytes(600))
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/m/a.onnx", bytes(600)))
    assert reference is not None
    named = adapter.resolve(adapter.beside(reference, ["w.bin"]))
    with pytest.raises(ContentError, match="600 bytes, and 400 are allowed"):
        adapter.fetch(named, options=FetchOptions(Limits(max_download=1000)))
    adapter.fetch(named, options=FetchOptions(Limits(max_download=1200)))


@pytest.mark.parametrize("reference", ["tfhub://acme/m/1", "torchhub://acme/m", "https://host/a.zip", "hf://acme/m"])
def test_nothing_lies_beside_a_whole_model(reference: str) -> None:
    found = find_adapter(reference)
    assert found is not None
    with pytest.raises(UnsupportedError, match="there is nothing to name beside"):
        found[0].beside(found[1], ["w.bin"])


def test_data_files_that_are_not_named(hosts: StaticHosts) -> None:
    entry = b"\x0a\x08location\x12\x06w.data\x0a\x08location\x12\x07../evil\x0a\x08location\x12\x7fcut off"
    reference = hosts.put("/m/a.onnx", b"\x08\x0a" + entry)
    hosts.put("/m/w.data", b"w")
    adapter, named = OnnxAdapter(), OnnxAdapter.parse(reference)
    assert named is not None
    told: list[str] = []
    options = FetchOptions(note=told.append)
    adapter.fetch(adapter.resolve(named), options=options)
    assert told == [f"'{reference}' keeps data in files beside it, which are no part of this: ['w.data']"]
    adapter.fetch(adapter.resolve(adapter.beside(named, ["w.data"])), options=options)
    assert len(told) == 1


# Not a model


@pytest.mark.parametrize(
    ("data", "page", "sentence"),
    [
        (b"<!DOCTYPE html>\n<html>", None, "is a web page, not a model; the address of the file itself"),
        (b"\xef\xbb\xbf\n  <!-- x --> <HTML lang=en>", None, "is a web page"),
        (b"<p>No such model</p>", Page(content_type="text/html; charset=utf-8"), "is a web page"),
        (b"", None, "is an empty file, not a model"),
        (f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 9\n".encode(), None,
         "is a Git LFS pointer, not the file itself"),
    ],
    ids=["page", "page behind a comment", "page by its type", "empty", "pointer"],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["onnx", "tar.gz", "zip"])
def test_response_that_is_not_a_model(
    hosts: StaticHosts, tmp_path: Path, data: bytes, page: Page | None, sentence: str, ending: str
) -> None:
    reference = hosts.put(f"/roberta-base-11.{ending}", data, page)
    with pytest.raises(ContentError, match=f"^'{reference}' {sentence}"):
        _fetch(reference)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"<svg/>", b"plain text", b"\x08\x0a\x12\x07pytorch"])
def test_what_may_be_a_model(hosts: StaticHosts, data: bytes) -> None:
    assert Path(_fetch(hosts.put("/a.onnx", data)).path).read_bytes() == data


def test_pointer_of_github_tells_where_the_file_is() -> None:
    from hub_adapters.http.content_sniffing import _media

    raw = "https://raw.githubusercontent.com/onnx/models/main/vision/x.onnx"
    assert _media(raw).endswith("https://media.githubusercontent.com/media/onnx/models/main/vision/x.onnx")
    assert _media("https://host/x.onnx") == ""


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_malformed_archive(hosts: StaticHosts, tmp_path: Path, ending: str) -> None:
    with pytest.raises(ContentError, match=f"a.{ending}': it is no archive of a kind that is known here"):
        _fetch(hosts.put(f"/a.{ending}", b"neither tar nor zip"))


def test_archive_that_is_cut_off(hosts: StaticHosts, tmp_path: Path) -> None:
    archive = tarball(small_folder(tmp_path))
    with pytest.raises(ContentError, match=r"a\.tar\.gz': the archive is cut off, or damaged"):
        _fetch(hosts.put("/a.tar.gz", archive[:-10]))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_damaged_copy_is_downloaded_again(hosts: StaticHosts, tmp_path: Path) -> None:
    address = hosts.put("/a.tar.gz", tarball(small_folder(tmp_path)))
    first = _fetch(address)
    (blob,) = (tmp_path / "cache/hf-sign/downloads/blobs").iterdir()
    blob.write_bytes(bytes(blob.stat().st_size))
    Path(first.path, "saved_model.pb").write_text("changed, so that it is made anew")
    assert names_below(Path(_fetch(address).path)) == {"saved_model.pb", "variables", "variables/variables.index"}
    assert [record.status for record in hosts.requests] == [200, 304, 200]
    assert not list((tmp_path / "cache/hf-sign/downloads/making").iterdir())


def test_reference_is_what_the_server_gives_now(hosts: StaticHosts) -> None:
    address = hosts.put("/a.onnx", b"old")
    old = _fetch(address)
    hosts.put("/a.onnx", b"new")
    assert Path(_fetch(address).path).read_bytes() == b"new"
    assert Path(old.path).read_bytes() == b"old"


def test_reference_has_its_address_apart(hosts: StaticHosts) -> None:
    reference = OnnxAdapter.parse("https://user:s3cret@host/a.onnx?token=s3cret")
    assert reference == Reference("https", "model", "host/a.onnx", url="https://user:s3cret@host/a.onnx?token=s3cret")
