"""TensorFlow Hub, PyTorch Hub and ONNX: signed and verified by reference, and after a download by hand."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import KeyPair, names_below
from tests.real_models import (
    git_archive,
    head,
    onnx_model,
    repository,
    run_onnx,
    run_saved_model,
    saved_model,
    tarball,
)
from tests.servers.static import StaticHosts
from tests.user import User, small_folder

TFHUB = "tfhub://acme/small/double/1"
TORCHHUB = "torchhub://acme/Double"


def _shell(script: str) -> None:
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True)


def _flipped(data: bytes, old: bytes) -> bytes:
    assert old in data
    return data.replace(old, bytes([old[0] ^ 1]) + old[1:], 1)


@pytest.mark.needs("tensorflow")
def test_tensorflow_hub(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    model = saved_model(tmp_path / "made")
    hosts.tfhub("acme/small/double/1", tarball(model))
    user.sign(TFHUB)
    path = user.verify(TFHUB)
    assert names_below(Path(path)) == names_below(model)
    (tmp_path / "m.tar.gz").write_bytes(tarball(model))
    _shell("mkdir recipe; tar -xzf m.tar.gz -C recipe")
    assert user.verify(tmp_path / "recipe") == str(tmp_path / "recipe")
    signer = f'signature = "{tmp_path}/s.sig"\nsigners = [{{ method = "key", public_key = "{user.pair.public}" }}]'
    (tmp_path / "trust.toml").write_text(f'version = 1\n[[trust]]\npaths = ["recipe"]\n{signer}\n')
    found = run_saved_model(path, tmp_path / "trust.toml", tmp_path / "recipe")
    assert found == "[2.0, 42.0] [2.0, 42.0] refused"
    (weights,) = (model / "variables").glob("*.data-*")
    weights.write_bytes(_flipped(weights.read_bytes(), weights.read_bytes()[:1]))
    hosts.tfhub("acme/small/double/1", tarball(model))
    assert f"changed: variables/{weights.name}" in user.refused(TFHUB)


@pytest.mark.skipif(shutil.which("unzip") is None, reason="the recipe needs unzip, which is missing")
def test_pytorch_hub(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    source = repository(tmp_path / "made")
    hosts.github("acme/Double", "main", git_archive(source, "Double-main"))
    user.sign(TORCHHUB)
    path = Path(user.verify(TORCHHUB))
    assert path.name == "Double"
    assert subprocess.run([path / "tools" / "run.sh"], capture_output=True, check=True).stdout == b"42\n"
    assert {".style", "lib/.hidden/x", "lib/deep/er/net.py", "Ünï.txt", ".gitignore"} <= names_below(path)
    assert not (path / ".github").exists()  # which the signature ignores
    assert user.annotations()["revision"] == head(source)
    (tmp_path / "main.zip").write_bytes(git_archive(source, "Double-main"))
    _shell("unzip -q main.zip -d out; mv out/*/ recipe; rm -r out main.zip")
    user.verify(tmp_path / "recipe")
    (source / "hubconf.py").write_text("import os\n")
    subprocess.run(["git", "-c", "user.name=M", "-c", "user.email=m@x", "commit", "-qam", "x"], cwd=source, check=True)
    hosts.github("acme/Double", "main", git_archive(source, "Double-main"))
    assert "changed: hubconf.py" in user.refused(TORCHHUB)


@pytest.mark.needs("onnx")
def test_onnx(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    model = onnx_model(tmp_path / "made" / "double-11.onnx")
    reference = hosts.put("/models/double-11.onnx", model.read_bytes())
    user.sign(reference)
    path = user.verify(reference)
    assert run_onnx(path) == "[42.0, 42.0]"
    shutil.copy(model, tmp_path / "double-11.onnx")
    user.verify(tmp_path / "double-11.onnx")
    hosts.put("/models/double-11.onnx", _flipped(model.read_bytes(), b"double"))
    assert "changed: double-11.onnx" in user.refused(reference)


@pytest.mark.needs("onnx")
def test_onnx_with_its_data_beside(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    model = onnx_model(tmp_path / "made" / "double.onnx", "double.data")
    reference = hosts.put("/models/double.onnx", model.read_bytes())
    hosts.put("/models/double.data", (tmp_path / "made" / "double.data").read_bytes())
    user.sign(reference, "--with", "double.data")
    path = Path(user.verify(reference))  # the signature names the data files
    assert names_below(path) == {"double.onnx", "double.data"}
    assert run_onnx(str(path / "double.onnx")) == "[42.0, 42.0]"
    assert {file.stat().st_nlink for file in path.iterdir()} == {1}  # `onnx` rejects data files with several names
    alone = user.cli("digest", reference)
    assert "keeps data in files beside it, which are no part of this: ['double.data']" in alone.err
    assert user.verify(reference, "--with", "double.data") == str(path)
    user.verify(tmp_path / "made")
    hosts.put("/models/more.data", b"more")
    assert "added: more.data" in user.refused(reference, "--with", "more.data")
    hosts.put("/models/double.data", b"other")
    assert "changed: double.data" in user.refused(reference)
    hosts.remove("/models/double.data")
    hosts.forget()
    assert "using the copy" in user.refused(reference)  # the last download, which is not the signed one


@pytest.mark.parametrize("top", ["", "double-1.0/"], ids=["files at the top", "one folder at the top"])
@pytest.mark.parametrize("ending", [".tar.gz", ".tgz", ".zip", ".tar", ".tar.xz", ".tar.bz2"])
def test_archive_behind_any_address(hosts: StaticHosts, user: User, tmp_path: Path, top: str, ending: str) -> None:
    root = tmp_path / "made" / top
    (root / "sub").mkdir(parents=True)
    (root / "model.onnx").write_bytes(b"onnx" * 1000)
    (root / "sub" / "data.bin").write_bytes(b"data" * 1000)
    kind = {".tgz": "gztar", ".tar.gz": "gztar", ".tar": "tar", ".tar.xz": "xztar", ".tar.bz2": "bztar", ".zip": "zip"}
    packed = shutil.make_archive(str(tmp_path / "packed"), kind[ending], tmp_path / "made")
    reference = hosts.put(f"/double{ending}", Path(packed).read_bytes())
    user.sign(reference)
    path = Path(user.verify(reference))
    assert path.name == "double"
    assert names_below(path) == {"model.onnx", "sub", "sub/data.bin"}
    user.verify(root)


# Download facts in a signature


def test_pins_of_a_tarball(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    archive = tarball(small_folder(tmp_path))
    hosts.tfhub("acme/small/double/1", archive)
    user.sign(TFHUB)
    pins = user.annotations()
    assert pins["archive_sha256"] == hashlib.sha256(archive).hexdigest()
    assert pins["url"] == f"{hosts.cdn_url}/tfhub-modules/acme/small/double/1.tar.gz"  # and no signed URL of the host
    assert pins["etag"].startswith('"')
    assert pins.keys() == {"url", "etag", "archive_sha256", "signed_at"}
    shown = user.cli("inspect", "s.sig").out
    for label in ("downloaded from:", "ETag:", "archive SHA-256:", "signed at:"):
        assert label in shown
    assert f"uri:             {TFHUB}" in shown


def test_signature_of_one_reference_is_not_for_another(hosts: StaticHosts, user: User, tmp_path: Path) -> None:
    archive = tarball(small_folder(tmp_path))
    for version in (1, 2):
        hosts.tfhub(f"acme/small/double/{version}", archive)
    user.sign(TFHUB)
    hosts.forget()
    refusal = user.refused("tfhub://acme/small/double/2")
    assert f"it was made for '{TFHUB}', and 'tfhub://acme/small/double/2' was asked for" in refusal
    assert not hosts.requests


def test_signature_of_another_key_costs_no_download(
    hosts: StaticHosts, user: User, other_pair: KeyPair, tmp_path: Path
) -> None:
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    user.sign(TFHUB)
    hosts.forget()
    assert "refused" in User(user.cli, other_pair).refused(TFHUB)
    assert not hosts.requests
