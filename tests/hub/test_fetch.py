"""`fetch` in Python: a path for any reference, or an error."""

from __future__ import annotations

from pathlib import Path

import pytest

import hf_model_signing as hms
from hub_adapters.errors import ContentError, HubError
from hub_adapters.limits import Limits
from tests.helpers import KeyPair, names_below
from tests.real_models import tarball
from tests.servers.hub import Hub
from tests.servers.static import StaticHosts
from tests.user import User, small_folder

TFHUB = "tfhub://acme/small/double/1"


@pytest.fixture
def signature(hosts: StaticHosts, user: User, tmp_path: Path) -> Path:
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path)))
    user.sign(TFHUB)
    return tmp_path / "s.sig"


def test_fetch_returns_what_is_verified(hosts: StaticHosts, pair: KeyPair, signature: Path) -> None:
    address = hosts.put("/s.sig", signature.read_bytes())
    for given in (signature, str(signature), hms.Bundle.read(signature), address):
        path = hms.fetch(TFHUB, verifier=pair.verifier, signature=given)
        assert names_below(Path(path)) == {"saved_model.pb", "variables", "variables/variables.index"}


def test_fetch_raises_for_anything_else(
    hosts: StaticHosts, pair: KeyPair, other_pair: KeyPair, signature: Path, tmp_path: Path
) -> None:
    with pytest.raises(hms.VerificationError, match="was signed with another key"):
        hms.fetch(TFHUB, verifier=other_pair.verifier, signature=signature)
    with pytest.raises(hms.MissingSignatureError, match=r"there is no model\.sig in"):
        hms.fetch(TFHUB, verifier=pair.verifier)
    large = hosts.put("/large.onnx", bytes(2))
    with pytest.raises(ContentError, match="--max-download"):
        hms.fetch(large, verifier=pair.verifier, limits=Limits(max_download=1))
    with pytest.raises(hms.VerificationError, match="no signed file fits 'x'"):
        hms.fetch(TFHUB, verifier=pair.verifier, signature=signature, coverage=hms.Coverage(only=("x",)))
    with pytest.raises(hms.UsageError, match="names nothing on a hub; `verify` is for what is on this disk"):
        hms.fetch("./model", verifier=pair.verifier, signature=signature)
    hosts.tfhub("acme/small/double/1", tarball(small_folder(tmp_path, "other")))
    with pytest.raises(hms.MismatchError, match=f"'{TFHUB}' is not what was signed") as caught:
        hms.fetch(TFHUB, verifier=pair.verifier, signature=signature)
    assert caught.value.difference.changed == ("saved_model.pb",)
    hosts.remove("/acme/small/double/1?tf-hub-format=compressed")
    with pytest.raises(HubError, match="is a web page, not a model"):
        hms.fetch(TFHUB, verifier=pair.verifier, signature=signature)


def test_fetch_of_a_part(pair: KeyPair, signature: Path) -> None:
    coverage = hms.Coverage(only=("*.pb",))
    assert hms.fetch(TFHUB, verifier=pair.verifier, signature=signature, coverage=coverage)


def test_fetch_with_files_beside(hosts: StaticHosts, user: User, pair: KeyPair, tmp_path: Path) -> None:
    reference = hosts.put("/m/a.onnx", b"model")
    hosts.put("/m/a.data", b"data")
    user.sign(reference, "--with", "a.data")
    told: list[str] = []
    path = hms.fetch(reference, verifier=pair.verifier, signature="s.sig", beside="a.data", note=told.append)
    assert names_below(Path(path)) == {"a.onnx", "a.data"}
    assert told == []
    only = hms.Coverage(only=("*.data",))
    path = hms.fetch(reference, verifier=pair.verifier, signature="s.sig", coverage=only)
    assert names_below(Path(path)) == {"a.data"}


def test_fetch_from_the_hub(
    hub: Hub, signed: str, acme: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_read", "HF_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    assert Path(hms.fetch(f"hf://{signed}", verifier=acme.verifier), "config.json").is_file()


def test_link_in_an_archive_is_refused(hosts: StaticHosts, pair: KeyPair, signature: Path, tmp_path: Path) -> None:
    folder = small_folder(tmp_path)
    (folder / "link").symlink_to("saved_model.pb")
    hosts.tfhub("acme/small/double/1", tarball(folder))
    with pytest.raises(ContentError, match=r"its member '\./link' is a symbolic link"):
        hms.fetch(TFHUB, verifier=pair.verifier, signature=signature)
