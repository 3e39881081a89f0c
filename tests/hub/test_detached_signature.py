"""A signature apart from its model or in it, and verification without the server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers import KeyPair
from tests.hub_adapters.archives.zips import plain_zip
from tests.real_models import tarball
from tests.servers.static import StaticHosts
from tests.user import User, small_folder

TFHUB = "tfhub://acme/small/double/1"


def test_signature_from_an_address(user: User, published: str, tmp_path: Path) -> None:
    path = user.verify(TFHUB, "--signature", published)
    shutil.copytree(path, tmp_path / "copy")
    user.verify(tmp_path / "copy", "--signature", published)


@pytest.mark.parametrize(
    ("data", "code", "sentence"),
    [
        (b"<!doctype html>", 1, "/double.sig': this is not a model signature"),
        (b"", 1, "/double.sig': this is not a model signature"),
        (None, 3, "there is nothing at"),
    ],
)
def test_address_of_no_signature(
    hosts: StaticHosts, user: User, published: str, data: bytes | None, code: int, sentence: str
) -> None:
    hosts.remove("/double.sig") if data is None else hosts.put("/double.sig", data)
    assert sentence in user.refused(TFHUB, "--signature", published, code=code)


@pytest.mark.parametrize(
    ("signature", "sentence"),
    [
        ("hf://acme/model", "names no signature: give a file, or an address that begins with https://"),
        ("http://models.example/x.sig", "http is for this machine alone"),
        ("https:///x.sig", "it names no host"),
        ("nothing.sig", "there is no signature file 'nothing.sig'"),
    ],
)
def test_signature_that_cannot_be(user: User, published: str, signature: str, sentence: str) -> None:
    assert sentence in user.refused(TFHUB, "--signature", signature, code=2)


def test_inspecting_an_address(user: User, published: str) -> None:
    assert user.cli("--json", "inspect", published).document["uri"] == TFHUB


@pytest.mark.parametrize("option", [("--only", "*.pb"), ("--ignore-unsigned-files",)])
def test_files_that_are_not_verified_are_not_there(
    hosts: StaticHosts, user: User, published: str, tmp_path: Path, option: tuple[str, ...]
) -> None:
    folder = small_folder(tmp_path)
    (folder / "evil.txt").write_text("evil")
    hosts.tfhub("acme/small/double/1", tarball(folder))
    path = Path(user.verify(TFHUB, "--signature", published, *option))
    there = {file.name for file in path.rglob("*") if file.is_file()}
    assert there == ({"saved_model.pb"} if option[0] == "--only" else {"saved_model.pb", "variables.index"})


def test_what_the_signature_leaves_out_is_not_there(
    hosts: StaticHosts, user: User, published: str, tmp_path: Path
) -> None:
    folder = small_folder(tmp_path)
    for name in (".git/config", ".github/x", ".cache/huggingface/e.py", ".gitignore", "variables/.git/config"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("[core]\n\tfsmonitor = touch /tmp/x; false\n")
    hosts.tfhub("acme/small/double/1", tarball(folder))
    assert "added: variables/.git/config" in user.refused(TFHUB, "--signature", published)
    shutil.rmtree(folder / "variables" / ".git")
    hosts.tfhub("acme/small/double/1", tarball(folder))
    path = Path(user.verify(TFHUB, "--signature", published))
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    assert there == {"saved_model.pb", "variables/variables.index", ".gitignore"}


def test_old_signature_in_the_current_folder(hosts: StaticHosts, user: User, published: str, tmp_path: Path) -> None:
    (tmp_path / "model.sig").write_bytes(hosts.page("/double.sig"))
    user.sign(TFHUB)
    user.verify(TFHUB, "--signature", hosts.put("/new.sig", (tmp_path / "s.sig").read_bytes()))
    done = user.cli("verify", "key", "--public-key", user.pair.public, TFHUB)
    assert done.code == 1
    assert "the hub went back" in done.err


def test_folder_that_is_called_as_a_reference(hosts: StaticHosts, user: User, published: str, tmp_path: Path) -> None:
    small_folder(tmp_path / "tfhub:" / "acme" / "small" / "double" / "1")
    hosts.forget()
    user.verify(TFHUB, "--signature", published)
    assert hosts.requests


def test_signature_in_the_model(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    folder = small_folder(tmp_path)
    user.sign(str(folder))
    shutil.move("s.sig", folder / "model.sig")
    hosts.tfhub("acme/small/double/1", tarball(folder))
    done = user.cli("verify", "key", "--public-key", user.pair.public, TFHUB)
    assert done.code == 0, done.err
    assert "the signature does not say for which repository it was made" in done.err


def test_signature_in_the_current_folder(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    user.sign(TFHUB)
    shutil.move("s.sig", "model.sig")
    assert user.cli("verify", "key", "--public-key", user.pair.public, TFHUB).code == 0


def test_model_without_any_signature(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    done = user.cli("verify", "key", "--public-key", user.pair.public, TFHUB)
    assert done.code == 1
    assert "name the signature with --signature" in done.err


def test_server_with_a_rollback(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    served: list[tuple[bytes, bytes]] = []
    for text in ("old", "new"):
        folder = small_folder(tmp_path, text)
        hosts.tfhub("acme/small/double/1", tarball(folder))
        user.sign(TFHUB)
        served.append((tarball(folder), (tmp_path / "s.sig").read_bytes()))

    def serve(index: int) -> str:
        hosts.tfhub("acme/small/double/1", served[index][0])
        return hosts.put("/double.sig", served[index][1])

    for index in (0, 1):
        user.verify(TFHUB, "--signature", serve(index))
    refusal = user.refused(TFHUB, "--signature", serve(0))
    assert "the hub went back" in refusal
    assert "give that signature as a file: --signature FILE" in refusal
    (tmp_path / "mine.sig").write_bytes(served[0][1])
    user.verify(TFHUB, "--signature", "mine.sig")


def test_older_commit_that_is_named(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    commits = ["a" * 40, "b" * 40]
    for commit in commits:
        (tmp_path / "w.bin").write_text(commit)
        user.sign("w.bin")
        hosts.github("acme/m", commit, plain_zip({"m/w.bin": commit.encode()}, comment=commit.encode()))
        hosts.github("acme/m", "main", hosts.page(f"/acme/m/zip/{commit}"))
        user.sign("torchhub://acme/m")
        hosts.put(f"/{commit}.sig", Path("s.sig").read_bytes())
        user.verify("torchhub://acme/m", "--signature", f"{hosts.url}/{commit}.sig")
    old = f"{hosts.url}/{commits[0]}.sig"
    hosts.github("acme/m", "main", hosts.page(f"/acme/m/zip/{commits[0]}"))
    assert "the hub went back" in user.refused("torchhub://acme/m", "--signature", old)
    user.verify(f"torchhub://acme/m:{commits[0]}", "--signature", old)
    assert "the hub went back" in user.refused("torchhub://acme/m", "--signature", old)


# Without the server


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("status", [404, 403, 503])
def test_copy_stands_in_for_the_server(hosts: StaticHosts, user: User, downloaded: str, status: int) -> None:
    hosts.fail(status, times=None)
    done = user.cli("verify", "key", "--public-key", user.pair.public, "--signature", "s.sig", TFHUB)
    assert done.code == 0
    assert f"using the copy in '{downloaded}'" in done.err
    assert f"(HTTP {status})" in done.err


@pytest.mark.usefixtures("pauses")
def test_copy_is_verified_all_the_same(
    hosts: StaticHosts, user: User, downloaded: str, other_pair: KeyPair, tmp_path: Path
) -> None:
    hosts.fail(503, times=None)
    assert "refused" in User(user.cli, other_pair).refused(TFHUB)
    Path(downloaded, "saved_model.pb").write_text("other")
    user.verify(TFHUB)
    assert Path(downloaded, "saved_model.pb").read_text() == "x"  # built again from the download
    for blob in (tmp_path / "cache/hf-sign/downloads/blobs").iterdir():
        blob.write_bytes(bytes(blob.stat().st_size))
    Path(downloaded, "saved_model.pb").write_text("other")
    assert "cannot be had now" in user.refused(TFHUB, code=3)


def test_changed_copy_is_not_used(user: User, downloaded: str) -> None:
    Path(downloaded, "saved_model.pb").write_text("other")
    assert user.verify(TFHUB) == downloaded
    assert Path(downloaded, "saved_model.pb").read_text() == "x"


@pytest.mark.usefixtures("pauses")
def test_no_signature_is_made_of_a_copy(hosts: StaticHosts, user: User, downloaded: str) -> None:
    hosts.fail(503, times=None)
    done = user.cli("sign", "key", "--private-key", user.pair.private, "--signature", "new.sig", TFHUB)
    assert done.code == 3
    assert not Path("new.sig").exists()


def test_bad_model_is_not_kept(hosts: StaticHosts, user: User, published: str, tmp_path: Path) -> None:
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path, "other")))
    refusal = user.refused(TFHUB, "--signature", published)
    assert "changed: saved_model.pb" in refusal
    kept = (tmp_path / "cache").glob("hf-sign/downloads/models/*/model/double/saved_model.pb")
    assert [path.read_text() for path in kept] == ["x"]  # that of the signer
