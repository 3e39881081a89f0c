"""Each check of `fetch` on its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.helpers import KeyPair, forge, statement_document, write_bundle
from tests.real_models import tarball
from tests.servers.static import Page, StaticHosts
from tests.user import User, small_folder

TFHUB = "tfhub://acme/small/double/1"


def _two_versions(hosts: StaticHosts, user: User, tmp_path: Path) -> list[tuple[Path, bytes]]:
    """An older and a newer model, with their signatures."""
    made = []
    for text in ("old", "new"):
        folder = small_folder(tmp_path / text, text)
        hosts.tfhub("acme/small/double/1", tarball(folder))
        user.sign(TFHUB)
        made.append((folder, Path("s.sig").read_bytes()))
    return made


def test_going_back_with_the_signature_in_the_model(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    old, new = _two_versions(hosts, user, tmp_path)
    for (folder, signature), code in ((old, 0), (new, 0), (old, 1)):
        (folder / "model.sig").write_bytes(signature)
        hosts.tfhub("acme/small/double/1", tarball(folder))
        done = user.cli("verify", "key", "--public-key", user.pair.public, TFHUB)
        assert done.code == code, done.err
    assert "the hub went back" in done.err


def test_signature_of_the_user_says_nothing_of_the_server(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    user.sign(TFHUB)
    older = hosts.put("/s.sig", Path("s.sig").read_bytes())
    user.sign(TFHUB)
    user.verify(TFHUB)
    user.verify(TFHUB, "--signature", older)


@pytest.mark.usefixtures("pauses")
def test_copy_says_nothing_of_what_is_newest(hosts: StaticHosts, user: User, published: str, downloaded: str) -> None:
    user.sign(TFHUB)
    newer = hosts.put("/newer.sig", Path("s.sig").read_bytes())
    fault = hosts.fail(503, path="/acme/small", times=None)
    user.verify(TFHUB, "--signature", newer)
    fault.clear()
    user.verify(TFHUB, "--signature", published)


@pytest.mark.usefixtures("pauses")
def test_copy_that_is_not_what_was_signed(hosts: StaticHosts, user: User, downloaded: str, tmp_path: Path) -> None:
    user.sign(str(small_folder(tmp_path, "other")))
    hosts.fail(503, times=None)
    assert "is not what was signed: 1 changed" in user.refused(TFHUB)
    assert Path(downloaded).exists()


def test_bad_model_is_downloaded_once(hosts: StaticHosts, user: User, published: str, tmp_path: Path) -> None:
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path, "other")))
    hosts.forget()
    user.refused(TFHUB, "--signature", published)
    assert len([record for record in hosts.requests if record.path.endswith(".tar.gz")]) == 1


def test_etag_that_stayed_when_the_file_changed(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    """A cached model is downloaded once more before it is rejected, even if the server says that it is current."""
    reference = hosts.put("/a.onnx", b"old", Page(etag='"1"'))
    user.sign(reference)
    user.verify(reference)
    hosts.put("/a.onnx", b"new", Page(etag='"1"'))
    (tmp_path / "a.onnx").write_bytes(b"new")
    user.sign(str(tmp_path / "a.onnx"))
    assert Path(user.verify(reference)).read_bytes() == b"new"


def test_signature_here_names_the_data_beside(hosts: StaticHosts, user: User) -> None:
    reference = hosts.put("/m/a.onnx", b"model")
    hosts.put("/m/a.data", b"data")
    user.sign(reference, "--with", "a.data")
    shutil.move("s.sig", "model.sig")
    done = user.cli("verify", "key", "--public-key", user.pair.public, reference)
    assert done.code == 0, done.err


def test_single_file_as_older_tools_name_it(hosts: StaticHosts, pair: KeyPair, tmp_path: Path) -> None:
    reference = hosts.put("/a.onnx", b"model")
    signature = write_bundle(tmp_path / "s.sig", forge(pair, statement_document({".": b"model"})))
    assert Path(hms.fetch(reference, verifier=pair.verifier, signature=signature)).read_bytes() == b"model"


def test_address_of_a_signature_that_is_too_large(
    hosts: StaticHosts, user: User, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(hosts.page("/double.sig"))
    monkeypatch.setattr("hf_model_signing.hub.detached_signature.MAX_SIGNATURE", size)
    user.verify(TFHUB, "--signature", published)
    monkeypatch.setattr("hf_model_signing.hub.detached_signature.MAX_SIGNATURE", size - 1)
    assert "is larger than any signature can be" in user.refused(TFHUB, "--signature", published)


def test_secret_of_an_address_of_no_signature(hosts: StaticHosts, user: User, published: str) -> None:
    hosts.put("/double.sig", b"nothing")
    assert "s3cret" not in user.refused(TFHUB, "--signature", f"{published}?token=s3cret")
