"""Files that are opened by their path, and the file system `hf://`."""

from __future__ import annotations

import os
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from huggingface_hub import HfFileSystem
from huggingface_hub.hf_file_system import HfFileSystemFile, HfFileSystemStreamFile

import hf_model_signing as hms
from tests.guarded import REPO, Loader, rule, tamper
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

WEIGHTS = "model.safetensors"
COPIED = "transformers_modules"


class TestOpenInTheCache:
    def test_signed(self, loader: Loader, signed: str) -> None:
        folder = loader.snapshot()
        with loader.guard():
            assert Path(folder, "config.json").read_bytes() == b'{"hidden_size": 8}\n'

    def test_neighbour_that_was_changed(self, loader: Loader, signed: str) -> None:
        """A library that opens the configuration by its path opens the weights by their path, too."""
        folder = loader.snapshot()
        tamper(loader.blob(WEIGHTS))
        with loader.guard():
            for name in ("config.json", WEIGHTS, "sub/a file.txt"):
                with pytest.raises(hms.MismatchError, match=f"changed: {WEIGHTS}"):
                    Path(folder, name).read_bytes()
        assert Path(folder, "config.json").read_bytes()

    def test_not_signed(self, loader: Loader, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = loader.snapshot()
        with loader.guard():
            monkeypatch.chdir(folder)
            with pytest.raises(hms.MissingSignatureError):
                open("config.json").close()
            with pytest.raises(hms.MissingSignatureError):
                Path(folder, "config.json").read_text()
            assert not os.path.exists(os.path.join(folder, "nothing"))
            with pytest.raises(FileNotFoundError):
                Path(folder, "nothing").read_text()

    @pytest.mark.parametrize("name", ["evil", "main", "short", "upper", "commit.old", " "])
    def test_snapshot_of_no_commit(self, loader: Loader, signed: str, name: str, acme: KeyPair) -> None:
        """No signature can be about it, however its directory is called and whichever way leads to a file of it."""
        commit = Path(loader.snapshot()).name
        name = {"short": commit[:7], "upper": commit.upper()}.get(name, name)
        snapshot = Path(loader.snapshot()).parent / name
        blob = snapshot.parents[1] / "blobs" / "evil"
        blob.write_text("evil")
        (snapshot / "sub").mkdir(parents=True)
        (snapshot / "config.json").symlink_to(blob)
        (snapshot / "sub" / "config.json").write_text("evil")
        ways = (snapshot / "config.json", snapshot / "sub" / "config.json", blob)
        with loader.guard():
            for path in ways:
                with pytest.raises(hms.VerificationError, match="is no commit, so no signature can be for it; delete"):
                    path.read_text()
            assert Path(loader.snapshot(), "config.json").read_text()
        loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
        with loader.guard():
            assert {path.read_text() for path in ways} == {"evil"}

    def test_not_named_by_the_policy(self, loader: Loader, repo: str, acme: KeyPair) -> None:
        loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
        folder = loader.snapshot()
        with loader.guard():
            assert Path(folder, "config.json").read_text()

    def test_files_elsewhere(self, loader: Loader, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with loader.guard():
            assert (tmp_path / "file").read_text() == "x"


class TestCopiedCode:
    @pytest.fixture
    def code(self, loader: Loader, hub: Hub, person: Callable[..., Person], acme: KeyPair, tmp_path: Path) -> Path:
        """The copy of a repository's code that `transformers` makes when it loads it."""
        hub.create_repo("acme/my-model.v2")
        hub.commit("acme/my-model.v2", {"modeling.py": b"VALUE = 1\n", "config.json": b"{}"})
        assert person("signer").run("push", "acme/my-model.v2", "--private-key", acme.private).code == 0
        folder = tmp_path / COPIED / "acme" / "my_hyphen_model_dot_v2" / hub.head("acme/my-model.v2")
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "modeling.py").write_text("VALUE = 1\n")
        return folder

    def _run(self, folder: Path) -> int:
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location("copied_modeling", folder / "modeling.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return int(module.VALUE)

    def test_what_was_signed(self, loader: Loader, code: Path) -> None:
        with loader.guard():
            loader.download("modeling.py", "acme/my-model.v2")
            assert self._run(code) == 1
            assert (code / "__init__.py").read_text() == ""

    def test_changed(self, loader: Loader, code: Path) -> None:
        (code / "modeling.py").write_text("VALUE = 2\n")
        assert self._run(code) == 2
        with loader.guard():
            loader.download("modeling.py", "acme/my-model.v2")
            with pytest.raises(hms.VerificationError, match=r"is not the 'modeling\.py' that was signed"):
                self._run(code)

    def test_changed_under_a_lenient_default(self, loader: Loader, code: Path, acme: KeyPair) -> None:
        loader.write_policy(rule(acme, '"acme/my-model.v2"'), head='default = "allow"')
        (code / "modeling.py").write_text("VALUE = 2\n")
        with loader.guard(), pytest.raises(hms.VerificationError):
            self._run(code)

    def test_in_a_process_that_has_loaded_nothing(self, loader: Loader, code: Path) -> None:
        """A process of a pool, which gets the directory of code from the one that started it."""
        with loader.guard():
            assert self._run(code) == 1
        (code / "modeling.py").write_text("VALUE = 2\n")
        with loader.guard(), pytest.raises(hms.VerificationError, match=r"is not the 'modeling\.py' that was signed"):
            self._run(code)

    def test_of_a_repository_that_is_not_signed(self, loader: Loader, hub: Hub, code: Path) -> None:
        hub.create_repo("acme/other")
        hub.commit("acme/other", {"modeling.py": b"VALUE = 1\n"})
        other = code.parents[1] / "other" / hub.head("acme/other")
        other.parent.mkdir()
        code.rename(other)
        assert self._run(other) == 1
        with loader.guard(), pytest.raises(hms.MissingSignatureError):
            self._run(other)

    def test_compiled_code_of_something_else(self, loader: Loader, code: Path, tmp_path: Path) -> None:
        (tmp_path / "evil.py").write_text("VALUE = 6\n")
        status = (code / "modeling.py").stat()
        os.utime(tmp_path / "evil.py", ns=(status.st_atime_ns, status.st_mtime_ns))
        target = code / "__pycache__" / f"modeling.{sys.implementation.cache_tag}.pyc"
        py_compile.compile(str(tmp_path / "evil.py"), cfile=str(target), dfile=str(code / "modeling.py"))
        assert self._run(code) == 6
        with loader.guard():
            loader.download("modeling.py", "acme/my-model.v2")
            assert self._run(code) == 1


class TestFileSystem:
    @pytest.fixture
    def files(self, loader: Loader, monkeypatch: pytest.MonkeyPatch) -> HfFileSystem:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(loader.home / "hub"))
        return HfFileSystem(endpoint=loader.hub.url, token="hf_write", skip_instance_cache=True)

    def test_signed(self, loader: Loader, signed: str, files: HfFileSystem, tmp_path: Path) -> None:
        with loader.guard():
            with files.open(f"{REPO}/config.json", "rb") as file:
                assert file.read() == b'{"hidden_size": 8}\n'
            with files.open(f"{REPO}@main/sub/a file.txt", "r") as file:
                assert file.read() == "text\n"
            assert files.cat_file(f"{REPO}/README.md") == b"# A model\n"
            assert files.read_text(f"{REPO}/README.md") == "# A model\n"
            files.get_file(f"{REPO}/{WEIGHTS}", tmp_path / "got" / "weights")
            files.get(f"{REPO}/sub", str(tmp_path / "all"), recursive=True)
            with (tmp_path / "out").open("wb+") as out:
                files.get_file(f"{REPO}/README.md", outfile=out)
        assert (tmp_path / "got" / "weights").read_bytes() == bytes(range(256)) * 64
        assert (tmp_path / "out").read_bytes() == b"# A model\n"
        assert [path.name for path in (tmp_path / "all").rglob("*") if path.is_file()] == ["a file.txt"]

    def test_through_fsspec(self, loader: Loader, signed: str, files: HfFileSystem) -> None:
        how = {"endpoint": loader.hub.url, "token": "hf_write", "skip_instance_cache": True}
        with loader.guard(), fsspec.open(f"hf://{REPO}/config.json", **how) as file:
            assert file.read() == b'{"hidden_size": 8}\n'

    def test_not_signed(self, loader: Loader, repo: str, files: HfFileSystem, tmp_path: Path) -> None:
        path = f"{REPO}/config.json"
        loads: list[Callable[[], object]] = [
            lambda: files.open(path, "rb"),
            lambda: files.open(path, "rb", block_size=0),
            lambda: files.cat_file(path),
            lambda: files.read_text(path),
            lambda: files.head(path),
            lambda: files.read_block(path, 0, 5),
            lambda: files.get_file(path, tmp_path / "got"),
            lambda: files.get(path, str(tmp_path / "got")),
            lambda: HfFileSystemFile(files, path),
            lambda: HfFileSystemStreamFile(files, path),
            lambda: fsspec.open(f"hf://{path}", endpoint=loader.hub.url, token="hf_write").open(),
        ]
        with loader.guard():
            for load in loads:
                with pytest.raises(hms.VerificationError, match="was not loaded"):
                    load()
        assert not (tmp_path / "got").exists()

    def test_file_that_is_not_there(self, loader: Loader, signed: str, files: HfFileSystem) -> None:
        with loader.guard(), pytest.raises(FileNotFoundError):
            files.open(f"{REPO}/nothing", "rb")

    def test_listing_and_writing_are_nobody_s_business(
        self, loader: Loader, hub: Hub, repo: str, files: HfFileSystem
    ) -> None:
        with loader.guard():
            assert f"{REPO}/config.json" in files.ls(REPO, detail=False)
            with files.open(f"{REPO}/new.txt", "wb") as file:
                file.write(b"new")
        assert hub.read(REPO, "new.txt") == b"new"

    def test_not_named_by_the_policy(self, loader: Loader, repo: str, files: HfFileSystem, acme: KeyPair) -> None:
        loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
        with loader.guard(), files.open(f"{REPO}/config.json", "rb") as file:
            assert file.read() == b'{"hidden_size": 8}\n'
