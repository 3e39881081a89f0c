"""Functions of `huggingface_hub` that read content, besides its two downloads: signed content, or an error."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import re
import struct
import sys
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from huggingface_hub import (
    HfApi,
    HfFileSystem,
    file_download,
    get_local_safetensors_metadata,
    hf_hub_download,
    metadata_load,
    parse_local_safetensors_file_metadata,
    scan_cache_dir,
)
from huggingface_hub.hf_file_system import HfFileSystemStreamFile
from huggingface_hub.utils import XetFileData

import hf_model_signing as hms
from tests.guarded import REPO, Loader, rule, tamper
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub
from tests.servers.hub_store import RepoKey

NAME, WEIGHTS = "config.json", "model.safetensors"


def _tensors(name: str) -> bytes:
    header = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def _dduf(text: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("model_index.json", json.dumps({"_class_name": text}))
    return made.getvalue()


def _made(text: str) -> dict[str, bytes]:
    """Return the files of a repository, all of which say something."""
    card = f"---\nlicense: {text}\n---\n# {text}\n".encode()
    config = json.dumps({text: 1}).encode()
    more = {"model.pkl": text.encode(), "model.dduf": _dduf(text)}
    return {NAME: config, WEIGHTS: _tensors(text), "README.md": card, **more}


FILES, EVIL = _made("honest"), _made("evil!!")


@pytest.fixture
def machine(loader: Loader, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """A machine with the files of a repository of `acme` in its cache, which nobody has signed yet."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(loader.home / "hub"))
    hub.create_repo(REPO)
    hub.commit(REPO, FILES)
    return loader


@pytest.fixture
def honest(machine: Loader, person: Callable[..., Person], acme: KeyPair) -> Loader:
    assert person("signer").run("push", REPO, "--private-key", acme.private).code == 0
    machine.snapshot()
    return machine


def _api(loader: Loader) -> HfApi:
    return HfApi(endpoint=loader.hub.url, token="hf_write")


def _files(loader: Loader) -> HfFileSystem:
    return HfFileSystem(endpoint=loader.hub.url, token="hf_write", skip_instance_cache=True)


def _got(loader: Loader, method: str = "get") -> bytes:
    getattr(_files(loader), method)(f"{REPO}/{NAME}", str(loader.home / "got"))
    return (loader.home / "got").read_bytes()


def _got_into(loader: Loader) -> bytes:
    file = io.BytesIO()
    _files(loader).get_file(f"{REPO}/{NAME}", outfile=file)
    return file.getvalue()


def _listed(loader: Loader) -> Any:  # noqa: ANN401 - the client's entry
    (repository,) = scan_cache_dir(loader.home / "hub").repos
    return max(repository.revisions, key=lambda revision: bool(revision.refs))


def _file_of(revision: Any) -> Any:  # noqa: ANN401 - as above
    return next(file for file in revision.files if file.file_name == NAME)


def _native(path: object) -> bytes:
    """Read a file as a library does that the guard does not see."""
    from hf_model_signing.guarding.own_calls import own_calls

    with own_calls():
        return Path(str(path)).read_bytes()


def _card(loader: Loader) -> bytes:
    from huggingface_hub import ModelCard

    return str(ModelCard.load(REPO, token="hf_write").content).encode()


def _checkpoint(loader: Loader) -> bytes:
    from huggingface_hub import load_state_dict_from_file

    try:
        load_state_dict_from_file(_local(loader, WEIGHTS))
    except ImportError:  # it would be read by a library that is not installed here
        return b"honest"
    return b"honest"


def _mixin(loader: Loader) -> bytes:
    from huggingface_hub import ModelHubMixin

    class Model(ModelHubMixin):
        @classmethod
        def _from_pretrained(cls, honest: int = 0, **_: Any) -> Model:  # noqa: ANN401 - as the client
            return cls(honest)

        def __init__(self, honest: int = 0, **_: Any) -> None:  # noqa: ANN401 - as the client
            self.honest = honest

    return b"honest" if Model.from_pretrained(REPO, token="hf_write", cache_dir=loader.home / "hub").honest else b""


def _parsed(loader: Loader) -> bytes:
    return " ".join(_api(loader).parse_safetensors_file_metadata(REPO, WEIGHTS).tensors).encode()


def _dry(loader: Loader, **more: Any) -> bytes:  # noqa: ANN401 - as the client
    from huggingface_hub import hf_hub_download

    return _native(hf_hub_download(REPO, NAME, **loader.how, dry_run=True, **more).local_path)


def _dry_snapshot(loader: Loader, **more: Any) -> bytes:  # noqa: ANN401 - as the client
    from huggingface_hub import snapshot_download

    (info,) = (info for info in snapshot_download(REPO, **loader.how, dry_run=True, **more) if info.filename == NAME)
    return _native(info.local_path)


def _copied(loader: Loader) -> bytes:
    copy = "acme/copy"
    if RepoKey("model", copy) not in loader.hub.store.repos:
        loader.hub.create_repo(copy)
    _files(loader).cp_file(f"{REPO}/{NAME}", f"{copy}/{NAME}")
    return loader.hub.read(copy, NAME)


def _local(loader: Loader, name: str) -> Path:
    """Return the path of a file in the cache, as a program finds it."""
    commit = (loader.folder() / "refs" / "main").read_text()
    return loader.folder() / "snapshots" / commit / name


def _archive(loader: Loader) -> bytes:
    from huggingface_hub import read_dduf_file

    return read_dduf_file(_local(loader, "model.dduf"))["model_index.json"].read_text().encode()


def _fastai(loader: Loader) -> bytes:
    from huggingface_hub import from_pretrained_fastai

    learner = SimpleNamespace(load_learner=lambda path: _native(path))
    stubs = {"fastai": SimpleNamespace(), "fastai.learner": learner}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.fastai_utils._check_fastai_fastcore_versions", lambda: None)
        patch.setattr("huggingface_hub.fastai_utils._check_fastai_fastcore_pyproject_versions", lambda path: None)
        for name, stub in stubs.items():
            patch.setitem(sys.modules, name, stub)
        return bytes(from_pretrained_fastai(REPO))


class _Module:
    """A model of which the client loads the state."""

    def load_state_dict(self, state: object, **_: object) -> bytes:
        return b"honest"


def _model(loader: Loader) -> bytes:
    from huggingface_hub import load_torch_model

    try:
        load_torch_model(_Module(), _local(loader, WEIGHTS))
    except ImportError:  # as above
        return b"honest"
    return b"honest"


def _torch_mixin(loader: Loader) -> bytes:
    from huggingface_hub import PyTorchModelHubMixin

    class Model(PyTorchModelHubMixin):
        pass

    local: dict[str, Any] = {"cache_dir": None, "token": None, "local_files_only": True, "force_download": False}
    try:
        Model._from_pretrained(model_id=str(_local(loader, WEIGHTS).parent), revision=None, **local)
    except (ImportError, AttributeError):  # as above
        return b"honest"
    return b"honest"


# Each function that hands out content of a repository of which there is a copy in the cache.
READS: dict[str, Callable[[Loader], bytes]] = {
    "HfFileSystem.open": lambda loader: _files(loader).open(f"{REPO}/{NAME}").read(),
    "HfFileSystem.open as a stream": lambda loader: _files(loader).open(f"{REPO}/{NAME}", block_size=0).read(),
    "HfFileSystem.open as text": lambda loader: _files(loader).open(f"{REPO}/{NAME}", "r").read().encode(),
    "HfFileSystem.cat": lambda loader: _files(loader).cat(f"{REPO}/{NAME}"),
    "HfFileSystem.cat_file": lambda loader: _files(loader).cat_file(f"{REPO}/{NAME}", start=0, end=20),
    "HfFileSystem.cat_ranges": lambda loader: _files(loader).cat_ranges(
        [f"{REPO}/{NAME}"], [0], [20], on_error="raise"
    )[0],
    "HfFileSystem.read_block": lambda loader: _files(loader).read_block(f"{REPO}/{NAME}", 0, 20),
    "HfFileSystem.read_text": lambda loader: _files(loader).read_text(f"{REPO}/{NAME}").encode(),
    "HfFileSystem.read_bytes": lambda loader: _files(loader).read_bytes(f"{REPO}/{NAME}"),
    "HfFileSystem.head": lambda loader: _files(loader).head(f"{REPO}/{NAME}", 20),
    "HfFileSystem.tail": lambda loader: _files(loader).tail(f"{REPO}/{NAME}", 20),
    "HfFileSystem.get": _got,
    "HfFileSystem.download": lambda loader: _got(loader, "download"),
    "HfFileSystem.get_mapper": lambda loader: _files(loader).get_mapper(REPO)[NAME],
    "HfFileSystem.cp_file": _copied,
    "HfApi.hf_hub_download": lambda loader: _native(_api(loader).hf_hub_download(REPO, NAME)),
    "HfApi.snapshot_download": lambda loader: _native(f"{_api(loader).snapshot_download(REPO)}/{NAME}"),
    "HfApi.run_as_future": lambda loader: _native(
        _api(loader).run_as_future(hf_hub_download, REPO, NAME, **loader.how).result()
    ),
    "HfApi.verify_repo_checksums": lambda loader: _native(
        _api(loader).verify_repo_checksums(REPO).verified_path / NAME
    ),
    "HfFileSystem.get_file": _got_into,
    "scan_cache_dir, file_path": lambda loader: _native(_file_of(_listed(loader)).file_path),
    "scan_cache_dir, blob_path": lambda loader: _native(_file_of(_listed(loader)).blob_path),
    "scan_cache_dir, snapshot_path": lambda loader: _native(_listed(loader).snapshot_path / NAME),
    "dry_run of hf_hub_download": _dry,
    "dry_run of hf_hub_download without the hub": lambda loader: _dry(loader, local_files_only=True),
    "dry_run of snapshot_download": _dry_snapshot,
    "dry_run of snapshot_download with patterns": lambda loader: _dry_snapshot(loader, allow_patterns="*.json"),
    "parse_safetensors_file_metadata": _parsed,
    "HfApi.get_safetensors_metadata": lambda loader: " ".join(
        _api(loader).get_safetensors_metadata(REPO).files_metadata[WEIGHTS].tensors
    ).encode(),
    "get_local_safetensors_metadata": lambda loader: " ".join(
        get_local_safetensors_metadata(_local(loader, WEIGHTS)).weight_map
    ).encode(),
    "parse_local_safetensors_file_metadata": lambda loader: " ".join(
        parse_local_safetensors_file_metadata(_local(loader, WEIGHTS)).tensors
    ).encode(),
    "load_state_dict_from_file": _checkpoint,
    "load_torch_model": _model,
    "read_dduf_file": _archive,
    "from_pretrained_fastai": _fastai,
    "metadata_load": lambda loader: str(metadata_load(_local(loader, "README.md"))).encode(),
    "RepoCard.load": _card,
    "ModelHubMixin.from_pretrained": _mixin,
    "PyTorchModelHubMixin.from_pretrained of a path": _torch_mixin,
}


def _not_refused(loader: Loader, match: str, prepare: Callable[[], object] = lambda: None) -> dict[str, object]:
    """Return the functions that hand out something, each under a guard of its own, or that fail in another way."""
    found: dict[str, object] = {}
    for name, read in READS.items():
        prepare()
        with loader.guard():
            try:
                found[name] = read(loader)
            except hms.VerificationError as error:
                if not re.search(match, str(error)):
                    found[name] = error
    return found


def test_signed(honest: Loader) -> None:
    for name, read in READS.items():
        with honest.guard():
            assert b"honest" in read(honest), name


def test_unsigned(machine: Loader) -> None:
    machine.snapshot()
    assert _not_refused(machine, r"no model\.sig") == {}


def test_changed_in_the_cache(honest: Loader) -> None:
    blobs = {honest.blob(name): data for name, data in EVIL.items()}
    assert (
        _not_refused(honest, "is not what was signed", lambda: [blob.write_bytes(blobs[blob]) for blob in blobs]) == {}
    )


def test_changed_on_the_hub_and_in_the_cache(honest: Loader, hub: Hub) -> None:
    hub.commit(REPO, EVIL)
    honest.snapshot()
    assert _not_refused(honest, "not what was signed") == {}


class TestDirectReads:
    """Functions that read straight from the hub, for which there is no verified copy."""

    READS: dict[str, Callable[[Loader], object]] = {
        "http_get": lambda loader: file_download.http_get(f"{loader.hub.url}/{REPO}/resolve/main/{NAME}", io.BytesIO()),
        "http_get of other URLs": lambda loader: file_download.http_get(
            f"{loader.hub.cdn_url}/models/{REPO}/x", io.BytesIO()
        ),
        "xet_get": lambda loader: file_download.xet_get(
            incomplete_path=loader.home / "got",
            xet_file_data=XetFileData("0" * 64, f"{loader.hub.url}/api/models/{REPO}/xet-read-token/main"),
            headers={},
        ),
    }

    def test_refused(self, honest: Loader) -> None:
        for read in self.READS.values():
            with (
                honest.guard(),
                pytest.raises(hms.VerificationError, match=r"not loaded: .*(cannot be verified|no rule)"),
            ):
                read(honest)

    def test_allowed_by_the_policy(self, honest: Loader, acme: KeyPair) -> None:
        honest.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
        into = io.BytesIO()
        with honest.guard():
            file_download.http_get(f"{honest.hub.url}/{REPO}/resolve/main/{NAME}", into)
        assert into.getvalue() == FILES[NAME]

    def test_summary_of_tensors(self, honest: Loader) -> None:
        if not hasattr(HfApi, "get_sharded_safetensors_metadata"):
            pytest.skip("this release does not have it")
        with honest.guard(), pytest.raises(hms.VerificationError, match="call get_safetensors_metadata"):
            _api(honest).get_sharded_safetensors_metadata(REPO)


class TestDryRuns:
    def test_that_finds_nothing_is_no_load(self, machine: Loader, hub: Hub) -> None:
        """Of a repository that is neither signed nor here: how large it is, and what would be downloaded."""
        from huggingface_hub import hf_hub_download, snapshot_download

        with machine.guard():
            info = hf_hub_download(REPO, NAME, **machine.how, dry_run=True)
            assert (info.will_download, info.file_size) == (True, len(FILES[NAME]))
            assert len(snapshot_download(REPO, **machine.how, dry_run=True)) == len(hub.files(REPO))

    def test_of_a_link_that_leads_nowhere(self, honest: Loader) -> None:
        honest.blob(NAME).unlink()
        with honest.guard():
            assert hf_hub_download(REPO, NAME, **honest.how, dry_run=True).will_download

    @pytest.mark.parametrize("evil", [False, True])
    def test_of_a_directory_of_the_user(self, honest: Loader, tmp_path: Path, *, evil: bool) -> None:
        place = tmp_path / "model"
        honest.snapshot(local_dir=place)
        if evil:
            tamper(place / NAME)
        with honest.guard(), pytest.raises(hms.MismatchError) if evil else nullcontext():
            assert _dry(honest, local_dir=place) == FILES[NAME]
            assert _dry_snapshot(honest, local_dir=place) == FILES[NAME]


class TestListOfTheCache:
    """Nothing is looked at before a path is read."""

    @pytest.fixture
    def listed(self, honest: Loader) -> Any:  # noqa: ANN401 - the client's list
        for name in FILES:
            tamper(honest.blob(name))
        with honest.guard():
            return scan_cache_dir(honest.home / "hub")

    def test_names_and_sizes(self, honest: Loader, listed: Any) -> None:  # noqa: ANN401
        with honest.guard():
            (repository,) = listed.repos
            assert (repository.repo_id, repository.repo_type) == (REPO, "model")
            assert repository.repo_path == honest.folder().resolve()
            (revision,) = repository.revisions
            assert {file.file_name for file in revision.files} == {*FILES, "model.sig", ".gitattributes"} - (
                {".gitattributes"} - {file.file_name for file in revision.files}
            )
            assert sum(file.size_on_disk for file in revision.files) == revision.size_on_disk
            assert len({*revision.files, *revision.files}) == len(revision.files)
            assert pickle.loads(pickle.dumps(listed)) == copy.deepcopy(listed) == listed
            assert NAME in repr(revision)
            assert str(honest.folder().resolve()) in listed.export_as_table(verbosity=1)
            with pytest.raises(hms.MismatchError):
                revision.snapshot_path  # noqa: B018 - it is looked at when it is read

    def test_deleting(self, honest: Loader, listed: Any) -> None:  # noqa: ANN401
        with honest.guard():
            ((revision,),) = (repository.revisions for repository in listed.repos)
            listed.delete_files(_file_of(revision)).execute()
            assert not list(honest.folder().glob(f"snapshots/*/{NAME}"))
            listed.delete_revisions(revision.commit_hash).execute()
        assert not honest.folder().exists()

    def test_program_of_the_client(self, honest: Loader, listed: Any, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: ANN401
        from huggingface_hub.cli import cache

        with honest.guard():
            cache.ls(cache_dir=str(honest.home / "hub"), revisions=True)
        assert REPO in capfd.readouterr().out


class TestBuckets:
    BUCKET = "acme/bucket"

    @pytest.fixture
    def bucket(self, machine: Loader) -> Loader:
        machine.hub.buckets[self.BUCKET] = {NAME: b"anything", "empty": b""}
        return machine

    def _download(self, loader: Loader) -> bytes:
        place = loader.home / "got"
        _api(loader).download_bucket_files(self.BUCKET, [("empty", place)])
        return b"anything" + place.read_bytes()

    def _sync(self, loader: Loader) -> bytes:
        place = loader.home / "synced"
        _api(loader).sync_bucket(f"hf://buckets/{self.BUCKET}", str(place), include=["empty"], quiet=True)
        return b"anything" + (place / "empty").read_bytes()

    def _get(self, loader: Loader) -> bytes:
        _files(loader).get(f"buckets/{self.BUCKET}/{NAME}", str(loader.home / "got"))
        return (loader.home / "got").read_bytes()

    def _http_get(self, loader: Loader) -> bytes:
        into = io.BytesIO()
        file_download.http_get(f"{loader.hub.url}/buckets/{self.BUCKET}/resolve/{NAME}", into)
        return into.getvalue()

    def _command(self, loader: Loader) -> bytes:
        from huggingface_hub.cli import _cp

        place = loader.home / "copied"
        _cp._download_file_to_local(_api(loader), f"hf://buckets/{self.BUCKET}/empty", str(place))
        return b"anything" + place.read_bytes()

    READS: dict[str, Callable[[TestBuckets, Loader], bytes]] = {
        "download_bucket_files": _download,
        "sync_bucket": _sync,
        "hf cp": _command,
        "http_get": _http_get,
        "HfFileSystem.get": _get,
        "HfFileSystem.open": lambda self, loader: _files(loader).open(f"buckets/{self.BUCKET}/{NAME}").read(),
        "HfFileSystem.cat": lambda self, loader: _files(loader).cat(f"buckets/{self.BUCKET}/{NAME}"),
        "HfFileSystemStreamFile": lambda self, loader: HfFileSystemStreamFile(
            _files(loader), f"buckets/{self.BUCKET}/{NAME}"
        ).read(),
        "fsspec.open": lambda self, loader: (
            fsspec.open(f"hf://buckets/{self.BUCKET}/{NAME}", endpoint=loader.hub.url, token="hf_write").open().read()
        ),
        "HfFileSystem.get_mapper": lambda self, loader: _files(loader).get_mapper(f"buckets/{self.BUCKET}")[NAME],
        "HfFileSystem.read_block": lambda self, loader: _files(loader).read_block(
            f"buckets/{self.BUCKET}/{NAME}", 0, 20
        ),
    }

    def test_refused(self, bucket: Loader) -> None:
        sentence = r"the storage bucket 'acme/bucket' cannot be verified, .* `hf-sign push`, .* `unsigned = true` "
        for read in self.READS.values():
            with bucket.guard(), pytest.raises(hms.VerificationError, match=sentence):
                read(self, bucket)
        assert not any(os.path.isfile(bucket.home / name) for name in ("got", "copied", "synced/empty"))

    @pytest.mark.parametrize("policy", ["allow", "unsigned"])
    def test_allowed(self, bucket: Loader, acme: KeyPair, policy: str) -> None:
        if policy == "allow":
            bucket.write_policy(rule(acme), head='default = "allow"')
        else:
            bucket.write_policy('[[trust]]\nrepos = ["hf://buckets/acme/*"]\nunsigned = true\n')
        bucket.home.mkdir(exist_ok=True)
        for name, read in self.READS.items():
            with bucket.guard():
                assert read(self, bucket) == b"anything", name

    def test_warned(self, bucket: Loader) -> None:
        with bucket.guard(mode="warn"), pytest.warns(hms.GuardWarning, match="storage bucket"):
            assert _files(bucket).cat(f"buckets/{self.BUCKET}/{NAME}") == b"anything"

    def test_listing(self, bucket: Loader) -> None:
        with bucket.guard():
            assert {file.path for file in _api(bucket).list_bucket_tree(self.BUCKET)} == {NAME, "empty"}
            assert _files(bucket).ls(f"buckets/{self.BUCKET}", detail=False)

    @pytest.mark.parametrize("lenient_first", [False, True])
    def test_two_guards(self, bucket: Loader, tmp_path: Path, acme: KeyPair, *, lenient_first: bool) -> None:
        lenient = tmp_path / "lenient.toml"
        lenient.write_text('version = 1\ndefault = "allow"\n' + rule(acme))
        policies = [lenient, bucket.policy] if lenient_first else [bucket.policy, lenient]
        with hms.guard(policies[0]), hms.guard(policies[1]):
            for read in self.READS.values():
                with pytest.raises(hms.VerificationError, match="storage bucket"):
                    read(self, bucket)
        assert not (bucket.home / "got").exists()
