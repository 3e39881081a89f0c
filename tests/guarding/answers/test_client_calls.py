"""Answers of `huggingface_hub` under the guard: signed files, or an error."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

import hf_model_signing as hms
from tests.guarded import REPO, Loader, each, rule, tamper
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

People = Callable[..., Person]
WEIGHTS = "model.safetensors"
CHANGED = b"\1" * 16384


@pytest.fixture
def guarded(loader: Loader, signed: str) -> Loader:
    """A machine on which the signed model was loaded under the guard."""
    with loader.guard():
        loader.snapshot()
    return loader


class TestSigned:
    def test_every_way_in_gives_what_was_signed(self, loader: Loader, signed: str) -> None:
        with loader.guard():
            path = loader.download(WEIGHTS)
            assert Path(path).read_bytes() == bytes(range(256)) * 64
            assert loader.cached(WEIGHTS) == path
            folder = loader.snapshot()
            assert path == os.path.join(folder, WEIGHTS)
            assert Path(folder, "config.json").read_bytes() == b'{"hidden_size": 8}\n'
            assert loader.snapshot(local_files_only=True) == folder
            assert loader.download(WEIGHTS, local_files_only=True) == path
            assert loader.download("a file.txt", subfolder="sub") == os.path.join(folder, "sub/a file.txt")
            api = HfApi(endpoint=loader.hub.url, token="hf_write")
            assert api.hf_hub_download(REPO, WEIGHTS, cache_dir=loader.home / "hub") == path
            assert api.snapshot_download(REPO, cache_dir=loader.home / "hub") == folder

    def test_branch_moves_in_the_cache(self, loader: Loader, signed: str) -> None:
        with loader.guard():
            folder = loader.download(WEIGHTS)
        assert (loader.folder() / "refs" / "main").read_text() == Path(folder).parent.name

    def test_patterns_bring_no_more_than_they_choose(self, loader: Loader, signed: str) -> None:
        with loader.guard():
            folder = Path(loader.snapshot(allow_patterns=["*.json"]))
        assert {path.name for path in folder.iterdir()} == {"config.json", "model.sig"}

    def test_file_that_is_not_there(self, loader: Loader, signed: str) -> None:
        """The client says so, and its cache records it."""
        with loader.guard():
            loader.download("config.json")
            with pytest.raises(EntryNotFoundError):
                loader.download("nothing.json")
            assert loader.cached("nothing.json") is huggingface_hub._CACHED_NO_EXIST

    def test_repository_that_is_not_there(self, loader: Loader, signed: str) -> None:
        with loader.guard(), pytest.raises(RepositoryNotFoundError):
            loader.download("config.json", repo="acme/nothing")

    def test_nothing_in_the_cache(self, loader: Loader, signed: str) -> None:
        with loader.guard():
            assert loader.cached(WEIGHTS) is None
            with pytest.raises(LocalEntryNotFoundError):
                loader.download(WEIGHTS, local_files_only=True)
            with pytest.raises(LocalEntryNotFoundError):
                loader.snapshot(local_files_only=True)

    def test_cache_that_was_filled_before(self, loader: Loader, signed: str) -> None:
        """Its files are verified in place, with the signature that the hub has for that revision."""
        folder = loader.snapshot(ignore_patterns=["model.sig"])
        with loader.guard():
            assert loader.cached(WEIGHTS) == os.path.join(folder, WEIGHTS)
            assert loader.snapshot() == folder

    def test_part_of_a_repository_when_offline(self, loader: Loader, signed: str) -> None:
        with loader.guard():
            loader.download("config.json")
        loader.hub.stop()
        with loader.guard():
            assert os.listdir(loader.snapshot(local_files_only=True))
            assert loader.snapshot()

    def test_dataset(self, loader: Loader, hub: Hub, person: People, acme: KeyPair) -> None:
        hub.create_repo("acme/data", repo_type="dataset")
        hub.commit("acme/data", {"train.csv": b"a,b\n1,2\n"}, repo_type="dataset")
        assert person("signer").run("push", "acme/data", "--type", "dataset", "--private-key", acme.private).code == 0
        with loader.guard():
            assert Path(loader.download("train.csv", "acme/data", repo_type="dataset")).read_bytes() == b"a,b\n1,2\n"

    def test_local_folder_without_the_hub(self, loader: Loader, hub: Hub, signed: str, tmp_path: Path) -> None:
        """The client records which commit the files of a folder are of, and no branch."""
        here = tmp_path / "here"
        with loader.guard():
            loader.snapshot(local_dir=here)
            hub.stop()
            for offline in (True, False):
                assert loader.snapshot(local_dir=here, local_files_only=offline) == str(here)
            tamper(here / WEIGHTS)
            for offline in (True, False):
                with pytest.raises(hms.MismatchError, match=f"changed: {WEIGHTS}"):
                    loader.snapshot(local_dir=here, local_files_only=offline)

    @pytest.mark.parametrize("offline", [False, True])
    @pytest.mark.parametrize("planted", ["directory", "link", "lock that is a directory", "replacement", "lock"])
    def test_download_that_nobody_makes(
        self, loader: Loader, signed: str, tmp_path: Path, planted: str, *, offline: bool
    ) -> None:
        """Something looks like a download of ours that is going on."""
        records = tmp_path / "here" / ".cache" / "huggingface"
        own = records / (".hf-sign" if planted == "replacement" else ".hf-sign-0123456789abcdef")
        place = tmp_path / "elsewhere" if planted == "link" else own
        with loader.guard():
            loader.snapshot(local_dir=tmp_path / "here")
        (place / "sub").mkdir(parents=True)
        (place / "sub" / "x.safetensors").write_text("evil")
        if planted == "link":
            own.symlink_to(place)
        elif planted.startswith("lock that"):
            own.with_name(f"{own.name}.lock").mkdir()
        elif planted == "lock":
            own.with_name(f"{own.name}.lock").touch()
        is_left = planted.startswith(("link", "lock that")) or (offline and planted == "replacement")
        with loader.guard(), pytest.raises(hms.MismatchError, match="1 added") if is_left else nullcontext():
            loader.snapshot(local_dir=tmp_path / "here", local_files_only=offline)
            assert not own.exists()

    def test_local_folder(self, loader: Loader, signed: str, tmp_path: Path) -> None:
        with loader.guard():
            folder = loader.snapshot(local_dir=tmp_path / "here")
            assert Path(folder, WEIGHTS).stat().st_size == 16384
            path = loader.download("config.json", local_dir=tmp_path / "there")
            assert path == str(tmp_path / "there" / "config.json")

    @pytest.mark.parametrize("spelling", ["~/here", "here", "./here/", "link", "x/../here"])
    @pytest.mark.parametrize("name", ["local_dir", "cache_dir"])
    def test_spelled_directories(
        self, loader: Loader, signed: str, name: str, spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A program gets the paths that the client returns without the guard."""
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        for folder in ("home", "there", "x", "plain"):
            (tmp_path / folder).mkdir()
        found = []
        for guard in (nullcontext(), loader.guard()):
            (tmp_path / "start").mkdir()
            monkeypatch.chdir(tmp_path / "start")
            (tmp_path / "start" / "link").symlink_to(tmp_path / "there")
            for each_name in ("x", "here"):
                (tmp_path / "start" / each_name).mkdir()
            with guard:
                paths = [loader.download(file, **{name: spelling}) for file in ("config.json", "sub/a file.txt")]
                found.append([*paths, loader.snapshot(**{name: spelling})])
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(tmp_path / "start")
            shutil.rmtree(tmp_path / "there")
            (tmp_path / "there").mkdir()
            shutil.rmtree(tmp_path / "home" / "here", ignore_errors=True)
        assert found[0] == found[1]

    def test_names_that_were_taken_before(self, loader: Loader, signed: str, stranger: KeyPair) -> None:
        """Functions, partials and bound methods from before the guard was switched on are guarded as well."""
        loader.write_policy(rule(stranger))
        api = HfApi(endpoint=loader.hub.url, token="hf_write")
        before = [
            partial(hf_hub_download, REPO, WEIGHTS, **loader.how),
            partial(snapshot_download, REPO, **loader.how),
            partial(api.hf_hub_download, REPO, WEIGHTS, cache_dir=loader.home / "hub"),
            partial(api.snapshot_download, REPO, cache_dir=loader.home / "hub"),
            partial(huggingface_hub.hf_hub_download, REPO, WEIGHTS, **loader.how),
        ]
        with loader.guard():
            for call in before:
                with pytest.raises(hms.VerificationError, match="signed with another key"):
                    call()
        snapshot_download(REPO, **loader.how)
        with loader.guard(), pytest.raises(hms.VerificationError, match="signed with another key"):
            try_to_load_from_cache(REPO, WEIGHTS, cache_dir=loader.home / "hub")


class TestRefused:
    def test_not_signed(self, loader: Loader, repo: str) -> None:
        with loader.guard():
            for load in each(lambda: loader.download(WEIGHTS), loader.snapshot):
                with pytest.raises(hms.MissingSignatureError, match="is not signed: it has no model.sig"):
                    load()
        assert loader.tree() == set()

    def test_signed_by_somebody_else(self, loader: Loader, repo: str, person: People, stranger: KeyPair) -> None:
        assert person("signer").run("push", repo, "--private-key", stranger.private).code == 0
        with loader.guard():
            for load in each(lambda: loader.download(WEIGHTS), loader.snapshot):
                with pytest.raises(hms.VerificationError, match="'hf://acme/model' at 'main' was not loaded"):
                    load()
        assert loader.tree() == set()

    def test_no_rule_names_it(self, loader: Loader, signed: str, acme: KeyPair) -> None:
        loader.write_policy(rule(acme, '"other/*"'))
        with loader.guard(), pytest.raises(hms.VerificationError, match="no rule of the trust policy"):
            loader.download(WEIGHTS)
        assert loader.tree() == set()

    @pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
    def test_changed_on_the_hub(self, loader: Loader, hub: Hub, signed: str, name: str) -> None:
        """Files that the call downloaded are removed from the cache, and no branch in it points to them."""
        hub.commit(signed, {name: CHANGED}, lfs=name == WEIGHTS)
        with loader.guard():
            for load in each(lambda: loader.download(name), loader.snapshot):
                with pytest.raises(hms.MismatchError, match=f"1 changed\n  changed: {name}"):
                    load()
            assert not any(name in path for path in loader.tree())
            assert not (loader.folder() / "refs").exists()
            with pytest.raises(hms.MismatchError):
                loader.cached(name)
            with pytest.raises(hms.MismatchError):
                loader.snapshot(local_files_only=True)

    def test_download_that_replaces_what_was_good(self, guarded: Loader, hub: Hub, tmp_path: Path) -> None:
        """A good copy stays, in the cache and in a directory of the user's own."""
        hub.serve_bytes(REPO, "config.json", b'{"hidden_size": 9}\n', times=2)
        folder = tmp_path / "local"
        with guarded.guard():
            guarded.download("config.json", local_dir=folder)
            for more in ({"force_download": True}, {"local_dir": folder, "force_download": True}):
                with pytest.raises(hms.MismatchError):
                    guarded.download("config.json", **more)
            assert (folder / "config.json").read_bytes() == b'{"hidden_size": 8}\n'
            assert Path(guarded.download("config.json")).read_bytes() == b'{"hidden_size": 8}\n'
            assert guarded.snapshot()

    def test_large_file_is_refused_before_it_is_downloaded(self, loader: Loader, hub: Hub, signed: str) -> None:
        hub.commit(signed, {WEIGHTS: b"x" * 3_000_000}, lfs=True)
        hub.clear_requests()
        with loader.guard():
            for load in each(lambda: loader.download(WEIGHTS), loader.snapshot):
                with pytest.raises(hms.MismatchError):
                    load()
        assert hub.bytes_sent() < 100_000

    @pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
    def test_changed_in_the_cache(self, guarded: Loader, name: str) -> None:
        """It is refused each time, and named; no file that was there before is deleted."""
        before = guarded.tree()
        tamper(guarded.blob(name))
        loads = each(
            lambda: guarded.download(name),
            lambda: guarded.download("README.md"),  # its neighbour is handed out with it
            lambda: guarded.cached(name),
            guarded.snapshot,
            lambda: guarded.snapshot(local_files_only=True),
            lambda: guarded.download(name, local_files_only=True),
        )
        for _ in range(2):
            with guarded.guard():
                for load in loads:
                    with pytest.raises(hms.MismatchError, match=rf"changed: {name}\n.*it was so already in"):
                        load()
        assert guarded.tree() == before

    @pytest.mark.parametrize("deleted", ["blob", "link", "both"])
    def test_deleting_what_the_message_names_mends_it(self, guarded: Loader, deleted: str) -> None:
        """The message names the blob, which a user can confuse with the link to it."""
        tamper(guarded.blob(WEIGHTS))
        (link,) = guarded.folder().glob(f"snapshots/*/{WEIGHTS}")
        with guarded.guard():
            with pytest.raises(hms.MismatchError) as caught:
                guarded.download(WEIGHTS)
            named = re.search("already in '(.+)'; delete it there", str(caught.value))
            assert named is not None
            if deleted != "link":
                os.unlink(named[1])
            if deleted != "blob":
                link.unlink()
            assert guarded.download(WEIGHTS)

    def test_changed_in_the_cache_while_the_guard_is_on(self, guarded: Loader) -> None:
        with guarded.guard():
            guarded.snapshot()
            tamper(guarded.blob(WEIGHTS))
            with pytest.raises(hms.MismatchError, match=f"changed: {WEIGHTS}"):
                guarded.snapshot()

    def test_file_that_the_signature_does_not_list(self, loader: Loader, hub: Hub, signed: str) -> None:
        hub.commit(signed, {"modeling.py": b"import os\n", "big.bin": b"y" * 3_000_000})
        hub.clear_requests()
        with loader.guard():
            loader.download(WEIGHTS)
            for name in ("modeling.py", "big.bin"):
                with pytest.raises(hms.MismatchError, match="not in the signature"):
                    loader.download(name)
            with pytest.raises(hms.MismatchError, match="added: big.bin, modeling.py"):
                loader.snapshot()
        assert hub.bytes_sent() < 100_000

    def test_file_that_was_signed_as_ignored(self, loader: Loader, repo: str, person: People, acme: KeyPair) -> None:
        """Verifying a whole model skips ignored paths; a program never gets one."""
        signer = person("signer")
        assert signer.run("push", repo, "--private-key", acme.private, "--ignore-paths", "config.json").code == 0
        with loader.guard():
            assert loader.download(WEIGHTS)
            for load in each(lambda: loader.download("config.json"), loader.snapshot):
                with pytest.raises(hms.MismatchError, match=r"config\.json"):
                    load()

    @pytest.mark.parametrize("name", ["extra.py", "sub/extra.json"])
    def test_file_that_somebody_put_into_the_cache(self, guarded: Loader, name: str) -> None:
        (snapshot,) = guarded.folder().glob("snapshots/*")
        (snapshot / name).write_text("x")
        with guarded.guard():
            for load in each(
                lambda: guarded.download("config.json"), guarded.snapshot, lambda: guarded.cached(WEIGHTS)
            ):
                with pytest.raises(hms.MismatchError, match=f"added: {name}"):
                    load()

    def test_absence_that_somebody_noted_in_the_cache(
        self, loader: Loader, hub: Hub, signed: str, acme: KeyPair
    ) -> None:
        """Without a signature that could list the file, the answer is that the cache does not know."""
        commit = hub.head(signed)
        (loader.folder() / "snapshots" / commit).mkdir(parents=True)
        for path in ("refs/main", f".no_exist/{commit}/config.json"):
            (loader.folder() / path).parent.mkdir(parents=True, exist_ok=True)
            (loader.folder() / path).write_text(commit)
        noted = loader.cached("config.json")
        assert noted is not None
        with loader.guard():
            assert loader.cached("config.json") is None
            assert loader.download("README.md")
            with pytest.raises(hms.VerificationError):
                loader.cached("config.json")
        loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
        with loader.guard():
            assert loader.cached("config.json") is noted

    def test_link_that_leads_out_of_the_cache(self, guarded: Loader, tmp_path: Path) -> None:
        (link,) = guarded.folder().glob("snapshots/*/config.json")
        (tmp_path / "config.json").write_bytes(link.read_bytes())
        link.unlink()
        link.symlink_to(tmp_path / "config.json")
        with guarded.guard(), pytest.raises(hms.VerificationError, match="not a blob of this repository's cache"):
            guarded.cached("config.json")

    def test_hub_that_hides_a_signed_file(self, loader: Loader, hub: Hub, signed: str) -> None:
        hub.commit(signed, {"config.json": None})
        with loader.guard():
            with pytest.raises(hms.MismatchError, match=r"says that it has no 'config\.json'"):
                loader.download("config.json")
            with pytest.raises(hms.MismatchError, match=r"missing: config\.json"):
                loader.snapshot()

    def test_another_model_of_the_same_signer(
        self, loader: Loader, hub: Hub, signed: str, person: People, acme: KeyPair
    ) -> None:
        hub.create_repo("acme/other")
        hub.commit("acme/other", {name: hub.read(signed, name) for name in hub.files(signed)})
        with loader.guard(), pytest.raises(hms.VerificationError, match="the signature is for another repository"):
            loader.download(WEIGHTS, "acme/other")

    def test_signature_without_a_repository_of_another_name(
        self, loader: Loader, hub: Hub, repo: str, acme: KeyPair, tmp_path: Path
    ) -> None:
        for name, accepted in (("model", True), ("other", False)):
            folder = tmp_path / name
            loader.snapshot(local_dir=folder)
            data = hms.sign(folder, signer=hms.KeySigner(acme.private)).to_bytes()
            hub.commit(repo, {"model.sig": data})
            with loader.guard():
                if accepted:
                    assert loader.snapshot()
                else:
                    with pytest.raises(hms.VerificationError, match="'other'"):
                        loader.snapshot()

    def test_malformed_signature(self, loader: Loader, hub: Hub, repo: str) -> None:
        hub.commit(repo, {"model.sig": b"{}"})
        with loader.guard(), pytest.raises(hms.BundleError):
            loader.snapshot()
        assert loader.tree() == set()

    def test_no_signature_on_this_disk_when_offline(
        self, loader: Loader, hub: Hub, signed: str, pauses: list[float]
    ) -> None:
        loader.snapshot(ignore_patterns=["model.sig"])
        hub.stop()
        with loader.guard():
            for load in each(
                lambda: loader.cached(WEIGHTS),
                loader.snapshot,
                lambda: loader.snapshot(local_files_only=True),
            ):
                with pytest.raises(hms.MissingSignatureError, match="oad it once with the hub in reach"):
                    load()

    def test_cached_copy_that_the_client_falls_back_to(self, guarded: Loader, hub: Hub) -> None:
        """If the hub fails, the client returns what the cache has, without a message."""
        tamper(guarded.blob(WEIGHTS))
        hub.fail("GET", r"/api/models/", 500, times=100)
        with guarded.guard(), pytest.raises(hms.MismatchError, match=f"changed: {WEIGHTS}"):
            guarded.snapshot()

    @pytest.mark.parametrize(
        ("name", "refused"),
        [
            ("evil.safetensors", True),
            ("download/evil.safetensors", True),
            ("download/sub/evil.bin", True),
            ("upload/evil.bin", True),
            ("trees/evil.safetensors", True),
            ("other/evil.metadata", True),
            ("download/x.bin.metadata", False),
            ("download/sub/x.bin.lock", False),
            ("download/x.0123.incomplete", False),
            ("upload/x.bin.metadata", False),
            (f"trees/{'0' * 40}.json", False),
            ("trees/x.tmp", False),
            (".gitignore.lock", False),
            (".hf-sign-0123456789abcdef/x.safetensors", False),  # of a killed process: it is removed
            (".hf-sign/old/x.safetensors", False),
            (".hf-sign-evil/x.safetensors", False),
            (".hf-sign-0123456789abcdef.lock/x.safetensors", True),
            (".hf-sign.stage/x.safetensors", True),
            (".hf-sign.stage.lock/x.safetensors", True),
            (".hf-sign.safetensors", True),
            (".hf-signed/x.safetensors", True),
        ],
    )
    def test_records_of_the_client(
        self, loader: Loader, signed: str, tmp_path: Path, name: str, *, refused: bool
    ) -> None:
        """Something lies beside the records of the client: a program that searches for weights finds it."""
        path = tmp_path / "here" / ".cache" / "huggingface" / name
        path.parent.mkdir(parents=True)
        path.write_text("evil")
        with loader.guard(), pytest.raises(hms.MismatchError, match="1 added") if refused else nullcontext():
            loader.snapshot(local_dir=tmp_path / "here")
            assert not list((tmp_path / "here" / ".cache").rglob("*.safetensors"))

    def test_local_folder(self, loader: Loader, signed: str, tmp_path: Path) -> None:
        with loader.guard():
            folder = loader.snapshot(local_dir=tmp_path / "here")
            tamper(Path(folder, WEIGHTS))
            with pytest.raises(hms.MismatchError, match=f"changed: {WEIGHTS}"):
                loader.snapshot(local_dir=folder)
            with pytest.raises(hms.MismatchError, match=f"changed: {WEIGHTS}"):
                loader.download(WEIGHTS, local_dir=folder)
            Path(folder, "more.py").write_text("x")
            # It may be the user's own: the message does not say to delete it.
            with pytest.raises(hms.MismatchError, match=r"added: more\.py(?s:.*)holds nothing else\)$"):
                loader.snapshot(local_dir=folder)

    @pytest.mark.parametrize("etag", ['"../../../../../escaped"', '"a/b"'])
    def test_answers_that_the_client_would_make_file_names_of(
        self, loader: Loader, hub: Hub, signed: str, tmp_path: Path, etag: str
    ) -> None:
        def change(reply: object) -> object:
            for header in ("ETag", "X-Linked-ETag"):
                reply.headers[header] = etag  # type: ignore[attr-defined]
            return reply

        hub.spoil("HEAD", r"(config\.json|safetensors)$", change)  # type: ignore[arg-type]
        with loader.guard(), pytest.raises(hms.VerificationError, match="something that is no identifier"):
            loader.download("config.json")
        assert not list(tmp_path.rglob("escaped"))


class TestManyAtOnce:
    def test_processes_that_load_the_same_model_at_once(self, loader: Loader, hub: Hub, signed: str) -> None:
        """The workers of a training do this, with an empty cache."""
        import subprocess
        import sys

        code = (
            "import sys, hf_model_signing as hms; hms.guard(sys.argv[1])\n"
            "import huggingface_hub as hub\n"
            f"hub.hf_hub_download('{REPO}', '{WEIGHTS}'); hub.hf_hub_download('{REPO}', 'config.json')\n"
            f"print(hub.snapshot_download('{REPO}'))"
        )
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(loader.home)}
        command = [sys.executable, "-c", code, str(loader.policy)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running = [subprocess.Popen(command, env=environment, **pipes) for _ in range(6)]
        results = [(process.communicate(timeout=60), process.returncode) for process in running]
        assert [code for _, code in results] == [0] * 6, results
        assert len({out for (out, _), _ in results}) == 1

    def test_threads(self, loader: Loader, signed: str) -> None:
        from concurrent.futures import ThreadPoolExecutor

        names = [WEIGHTS, "config.json", "README.md", "empty.txt", "sub/a file.txt"] * 4
        with loader.guard(), ThreadPoolExecutor(8) as pool:
            found = list(pool.map(loader.download, names))
        assert [os.path.isfile(path) for path in found] == [True] * 20

    def test_many_files(self, loader: Loader, hub: Hub, person: People, acme: KeyPair) -> None:
        hub.create_repo("acme/many")
        hub.commit("acme/many", {f"{number % 7}/{number}.txt": str(number).encode() for number in range(300)})
        assert person("signer").run("push", "acme/many", "--private-key", acme.private).code == 0
        with loader.guard():
            folder = loader.snapshot("acme/many")
            assert loader.snapshot("acme/many") == folder
