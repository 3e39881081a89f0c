"""Messages of the guard blame what is wrong, and come once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

import hf_model_signing as hms
from tests.guarded import REPO, Loader
from tests.helpers import KeyPair
from tests.servers.fixtures import Person
from tests.servers.hub import Hub

DISABLED = "outgoing traffic"


class TestHub:
    """The hub cannot serve a repository: what is said is why, and not that the program has disabled it."""

    @pytest.mark.parametrize(("status", "why"), [(429, "429"), (500, "500"), (503, "503")])
    def test_answers_with_an_error(self, loader: Loader, signed: str, hub: Hub, status: int, why: str) -> None:
        hub.fail("ANY", r"/api/models/.*", status)
        with (
            loader.guard(),
            pytest.raises(LocalEntryNotFoundError, match=f"the hub cannot list it now: .*{why}") as error,
        ):
            loader.snapshot()
        assert DISABLED not in str(error.value)

    def test_has_no_list_of_files(self, loader: Loader, signed: str, hub: Hub) -> None:
        hub.fail("ANY", r"/api/models/.*/tree/.*", 404)
        with loader.guard(), pytest.raises(LocalEntryNotFoundError, match="the hub cannot list it now: .*404") as error:
            loader.snapshot()
        assert DISABLED not in str(error.value)

    def test_is_away(self, loader: Loader, signed: str) -> None:
        with loader.guard(), pytest.raises(LocalEntryNotFoundError, match="the hub cannot list it now") as error:
            loader.snapshot(endpoint="http://127.0.0.1:9")
        assert DISABLED not in str(error.value)

    def test_is_away_and_a_file_is_missing(self, loader: Loader, signed: str) -> None:
        with loader.guard():
            snapshot = Path(loader.snapshot())
        (snapshot / "config.json").unlink()
        with loader.guard(), pytest.raises((LocalEntryNotFoundError, hms.VerificationError)) as error:
            loader.snapshot(endpoint="http://127.0.0.1:9")
        assert "Outgoing traffic" not in str(error.value)

    def test_is_away_and_the_signature_is_missing(self, loader: Loader, signed: str) -> None:
        snapshot = Path(loader.snapshot())
        (snapshot / "model.sig").unlink()
        with loader.guard(), pytest.raises(LocalEntryNotFoundError, match="not all of it, and the hub") as error:
            loader.snapshot(endpoint="http://127.0.0.1:9")
        assert DISABLED not in str(error.value)

    def test_refuses_the_signature(
        self, loader: Loader, signed: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_pauses = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
        monkeypatch.setattr("huggingface_hub.utils._http.time", without_pauses)  # the client tries again, several times
        hub.fail("ANY", r"/.*model\.sig", 503)
        with loader.guard(), pytest.raises(hms.VerificationError, match="the hub cannot serve it now: .*503"):
            loader.download("config.json")

    def test_is_not_asked(self, loader: Loader, signed: str) -> None:
        snapshot = Path(loader.snapshot())
        (snapshot / "model.sig").unlink()
        why = r"the call asks for nothing else \(local_files_only\). Load it once with the hub in reach"
        with loader.guard(), pytest.raises(hms.VerificationError, match=why):
            loader.download("config.json", local_files_only=True)
        with loader.guard(), pytest.raises(LocalEntryNotFoundError, match=DISABLED):  # that is so
            loader.snapshot(repo="acme/other", local_files_only=True)


@pytest.mark.parametrize("local", [False, True])
def test_incomplete_list_of_the_client(loader: Loader, signed: str, local: bool) -> None:
    """The client downloads what its own list of the commit names; such a list is not used."""
    how: dict[str, Any] = {"local_dir": loader.home / "local"} if local else {}
    with loader.guard():
        loader.snapshot(**how)
    lists = list(loader.home.rglob("trees/*.json"))
    for path in lists:
        kept = json.loads(path.read_text())
        del kept["files"]["config.json"]
        path.write_text(json.dumps(kept))
    code = f"""
import sys, json
import hf_model_signing as hms
from huggingface_hub import snapshot_download
with hms.guard({str(loader.policy)!r}):
    print(snapshot_download({REPO!r}, **json.loads(sys.argv[1])))
"""
    for path in loader.home.rglob("config.json"):
        if "trees" not in path.parts:
            path.unlink()
    options = {**loader.how, **how}
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(options, default=str)], capture_output=True, text=True, check=False
    )  # another process: the client keeps its list in memory as well
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()) / "config.json").exists()


def test_cache_of_links_to_elsewhere(loader: Loader, signed: str, tmp_path: Path) -> None:
    with loader.guard():
        snapshot = Path(loader.snapshot())
    shutil.copy(snapshot / "config.json", tmp_path / "elsewhere.json")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(tmp_path / "elsewhere.json")
    with (
        loader.guard(),
        pytest.raises(hms.VerificationError, match="not a blob of this repository's cache: it leads to") as error,
    ):
        loader.snapshot()
    assert str(tmp_path / "elsewhere.json") in str(error.value)
    assert "--allow-symlinks" not in str(error.value)


def test_rollback_record_that_cannot_be_written(
    loader: Loader, signed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, by the program or by one of the processes that it starts."""
    (tmp_path / "xdg-2" / "hf-sign").mkdir(parents=True, mode=0o700)
    (tmp_path / "xdg-2" / "hf-sign" / "newest").symlink_to(tmp_path / "missing")  # nothing can be made in it
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-2"))
    monkeypatch.delenv("HF_SIGN_SAID", raising=False)
    monkeypatch.setenv("HF_SIGN_SAID", "")
    said = "cannot write the rollback record"
    with loader.guard():
        for name in ("config.json", "empty.txt", "model.safetensors"):
            loader.download(name)
    assert [record.levelname for record in caplog.records if said in record.getMessage()].count("WARNING") == 1
    code = (
        "import sys, json, hf_model_signing as hms, huggingface_hub as hub\n"
        f"with hms.guard({str(loader.policy)!r}):\n"
        f"    hub.hf_hub_download({REPO!r}, 'config.json', **json.loads(sys.argv[1]))"
    )
    child = [sys.executable, "-c", code, json.dumps(loader.how, default=str)]
    assert said not in subprocess.run(child, capture_output=True, text=True, check=True).stderr
    monkeypatch.setenv("HF_SIGN_SAID", "")
    assert subprocess.run(child, capture_output=True, text=True, check=True).stderr.count(said) == 1


# A program in which a library raises an error of its own from the refusal, in one of three ways.
PROGRAM = """
import sys
from huggingface_hub import snapshot_download

def load(depth):
    if depth:
        return load(depth - 1)
    try:
        snapshot_download("acme/model")
    except Exception as error:
        if sys.argv[1] == "from":
            raise OSError("Can't load the model") from error
        if sys.argv[1] == "context":
            raise OSError("Can't load the model")
        if sys.argv[1] == "hidden":
            raise OSError("Can't load the model") from None
        if sys.argv[1] == "exit":
            sys.exit("own message")
        raise

load(20)
"""


class TestProgramThatARefusalEnds:
    @pytest.fixture
    def run(self, loader: Loader, repo: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
        (tmp_path / "program.py").write_text(PROGRAM)

        def go(how: str, *options: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "hf_model_signing", *options, "run", "--policy", str(loader.policy), "--"]
            return subprocess.run(
                [*command, sys.executable, "program.py", how],
                env={**os.environ, "HF_ENDPOINT": loader.hub.url, "HF_HOME": str(loader.home)},
                cwd=tmp_path, capture_output=True, text=True, check=False,
            )  # fmt: skip

        return go

    @pytest.mark.parametrize("how", ["itself", "from"])
    def test_one_sentence(self, run: Callable[..., subprocess.CompletedProcess[str]], how: str) -> None:
        done = run(how)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("refused hf://")]  # of the log
        assert (done.returncode, len(lines)) == (1, 2), done.stderr
        assert lines[0].startswith(
            "hf-sign: refused: 'hf://acme/model' at 'main' was not loaded: 'hf://acme/model' at "
        )
        assert "is not signed: it has no model.sig" in lines[0]
        assert "program.py:21; `hf-sign --debug run` shows the traceback)" in lines[1]

    def test_traceback_on_demand(self, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        done = run("from", "--debug")
        assert "Traceback" in done.stderr
        assert "Can't load the model" in done.stderr
        assert done.stderr.splitlines()[-2].startswith("hf-sign: refused: ")

    def test_error_that_another_one_may_have(self, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        """A refusal that is only the context of an error need not be its cause, so both are shown."""
        done = run("context")
        assert "OSError: Can't load the model" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("hf-sign: refused: 'hf://acme/model' at 'main' was not loaded")

    @pytest.mark.parametrize(("how", "said"), [("hidden", "OSError: Can't load the model"), ("exit", "own message")])
    def test_program_that_says_it_by_itself(
        self, run: Callable[..., subprocess.CompletedProcess[str]], how: str, said: str
    ) -> None:
        done = run(how)
        assert done.stderr.splitlines()[-1] == said


def test_snapshot_that_is_not_signed_names_no_other_cause(
    loader: Loader, repo: str, person: Callable[..., Person], acme: KeyPair
) -> None:
    with loader.guard(), pytest.raises(hms.VerificationError, match="is not signed: it has no model.sig"):
        loader.snapshot()
