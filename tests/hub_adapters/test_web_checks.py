"""Each check of the adapters of web servers on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_adapters import find_adapter
from hub_adapters.errors import BadReferenceError, UnsupportedError
from hub_adapters.interface import FetchOptions, Snapshot
from hub_adapters.onnx import OnnxAdapter
from hub_adapters.tfhub import TfHubAdapter
from tests.helpers import names_below
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


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 9\n".encode()


@pytest.mark.parametrize(
    ("data", "page"),
    [(POINTER + bytes(1024), None), (b"\x08\x0a\x12\x07pytorch", Page(content_type="text/html"))],
    ids=["longer than a pointer", "model that is called a page"],
)
def test_what_looks_like_no_model(hosts: StaticHosts, data: bytes, page: Page | None) -> None:
    assert Path(_fetch(hosts.put("/a.onnx", data, page)).path).read_bytes() == data


def test_pointer_of_a_branch_tells_where_the_file_is() -> None:
    from hub_adapters.http.content_sniffing import _media

    raw = "https://raw.githubusercontent.com/onnx/models/refs/heads/main/x.onnx"
    assert _media(raw).endswith("https://media.githubusercontent.com/media/onnx/models/main/x.onnx")


@pytest.mark.parametrize("chosen", [{"files": []}, {"to": "here"}], ids=str)
def test_models_come_whole_and_into_the_cache(hosts: StaticHosts, chosen: dict[str, object]) -> None:
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/a.onnx", b"x"))
    assert reference is not None
    with pytest.raises(UnsupportedError, match="a web server gives whole models: '.*' comes into the cache"):
        adapter.fetch(adapter.resolve(reference), **chosen)  # type: ignore[arg-type]
    assert not hosts.requests


def test_pins_of_a_single_file(hosts: StaticHosts) -> None:
    assert _fetch(hosts.put("/a.onnx", b"x")).pins.keys() == {"url", "etag"}


def test_same_archive_from_two_hubs(hosts: StaticHosts, tmp_path: Path) -> None:
    """TensorFlow Hub has no top directory to remove, and an archive at any URL may have one."""
    archive = tarball(small_folder(tmp_path / "made").parent)
    hosts.tfhub("acme/m/1", archive)
    assert "small" in names_below(Path(_fetch("tfhub://acme/m/1").path))
    assert "small" not in names_below(Path(_fetch(hosts.put("/m.tar.gz", archive)).path))


def test_same_data_under_two_names(hosts: StaticHosts) -> None:
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/m/a.onnx", b"x"))
    assert reference is not None
    paths = {}
    for name in ("x.bin", "y.bin"):
        hosts.put(f"/m/{name}", b"data")
        paths[name] = Path(adapter.fetch(adapter.resolve(adapter.beside(reference, [name]))).path)
    for name, path in paths.items():
        assert names_below(path) == {"a.onnx", name}


@pytest.mark.parametrize("reference", ["tfhub://acme/m/1", "torchhub://acme/m", "https"])
def test_only_the_first_time_is_fresh(hosts: StaticHosts, tmp_path: Path, reference: str) -> None:
    hosts.tfhub("acme/m/1", tarball(small_folder(tmp_path)))
    hosts.github("acme/m", "main", plain_zip({"m/a": b"x"}))
    text = hosts.put("/a.onnx", b"x") if reference == "https" else reference
    assert [_fetch(text).fresh for _ in range(2)] == [frozenset({"."}), frozenset()]


@pytest.mark.parametrize(
    "text",
    ["tfhub://google/x/1x", "tfhub://google/x/1 ", "tfhub://google/x/1234567890", "tfhub://google/x/1\n",
     "tfhub://göögle/x/1", "tfhub://google/x/\u0661"],
)  # fmt: skip
def test_more_names_that_tensorflow_hub_does_not_have(text: str) -> None:
    with pytest.raises(BadReferenceError, match="expected tfhub://PUBLISHER/MODEL/VARIATION/VERSION"):
        TfHubAdapter.parse(text)


def test_address_of_the_service_means_the_mirror(hosts: StaticHosts) -> None:
    reference = TfHubAdapter.parse("https://tfhub.dev/acme/m/1")
    assert reference is not None
    assert reference.uri == "tfhub://acme/m/1"


@pytest.mark.parametrize(
    ("comment", "commit"),
    [(b"made by hand", ""), (COMMIT[:-1].encode(), ""), (f"{COMMIT}0".encode(), ""), (COMMIT.upper().encode(), ""),
     (f"{COMMIT}{'0' * 24}".encode(), f"{COMMIT}{'0' * 24}")],
)  # fmt: skip
def test_comment_that_may_be_a_commit(hosts: StaticHosts, comment: bytes, commit: str) -> None:
    hosts.github("acme/model", "main", plain_zip({"model/a": b"x"}, comment=comment))
    assert _fetch("torchhub://acme/model").commit == commit


def test_branch_is_not_compared_with_the_commit(hosts: StaticHosts) -> None:
    hosts.github("acme/model", "main", plain_zip({"model/a": b"x"}, comment=COMMIT.encode()))
    assert _fetch("torchhub://acme/model:main").commit == COMMIT


def test_file_does_not_lie_beside_itself() -> None:
    reference = OnnxAdapter.parse("https://host/m/a.onnx")
    assert reference is not None
    assert OnnxAdapter().beside(reference, ["a.onnx"]) == reference


@pytest.mark.parametrize("name", [".zip", "..zip", "...zip"])
def test_archive_that_has_no_name(hosts: StaticHosts, tmp_path: Path, name: str) -> None:
    path = Path(_fetch(hosts.put(f"/{name}", plain_zip({"f": b"x"}))).path)
    assert (path.name, names_below(path)) == ("model", {"f"})


def test_copy_of_fewer_files_is_not_used(hosts: StaticHosts) -> None:
    hosts.put("/m/x.bin", b"x")
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/m/a.onnx", b"a"))
    assert reference is not None
    some, more = (adapter.beside(reference, names) for names in (["x.bin"], ["x.bin", "y.bin"]))
    adapter.fetch(adapter.resolve(some))
    assert adapter.cached(some) is not None
    assert adapter.cached(more) is None


@pytest.mark.parametrize("names", [["A.onnx"], ["w", "w/x"], ["W.bin", "w.bin"], ["a.onnx/x"]], ids=str)
def test_files_beside_that_stand_in_each_others_way(hosts: StaticHosts, names: list[str]) -> None:
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/m/a.onnx", b"x"))
    assert reference is not None
    with pytest.raises(BadReferenceError, match="cannot lie beside the other files of"):
        adapter.fetch(adapter.resolve(adapter.beside(reference, names)))
    assert not hosts.requests


def test_query_is_for_the_files_beside_as_well(hosts: StaticHosts) -> None:
    hosts.put("/m/w.bin?token=1", b"w")
    adapter, reference = OnnxAdapter(), OnnxAdapter.parse(hosts.put("/m/a.onnx?token=1", b"x"))
    assert reference is not None
    named = adapter.beside(reference, ["w.bin"])
    assert names_below(Path(adapter.fetch(adapter.resolve(named)).path)) == {"a.onnx", "w.bin"}


def test_mode_of_a_single_file(hosts: StaticHosts) -> None:
    path = Path(_fetch(hosts.put("/a.onnx", b"x")).path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"x", 0o644)


def test_page_of_another_host_is_not_taken_for_that_of_github() -> None:
    reference = OnnxAdapter.parse("https://host/acme/model/blob/main/x.onnx")
    assert reference is not None
    assert reference.url == "https://host/acme/model/blob/main/x.onnx"
