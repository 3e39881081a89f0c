"""The last comparison of a pull: the signature, git's own files, and what lies in the snapshot in their place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import hf_model_signing as hms
from hf_model_signing.oms.bundle import Bundle
from tests.helpers import KeyPair
from tests.servers.hub import Hub

LIMIT = 1024 * 1024  # bytes, of git's own files


@pytest.fixture(autouse=True)
def _at_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = {"HF_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name, value in {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_read", **home}.items():
        monkeypatch.setenv(name, value)


class TestSecondSignature:
    """The signature is downloaded first, and again with the files if it is not there any more."""

    @pytest.mark.parametrize("to", [False, True])
    def test_another_one_is_refused(self, hub: Hub, signed: str, acme: KeyPair, tmp_path: Path, to: bool) -> None:
        document = json.loads(hub.read(signed, "model.sig"))
        signature = document["dsseEnvelope"]["signatures"][0]
        signature["sig"] = signature["sig"][:-8] + "AAAAAA" + signature["sig"][-2:]
        other = json.dumps(document, separators=(",", ":")).encode().ljust(hub.files(signed)["model.sig"].size)
        assert len(other) == hub.files(signed)["model.sig"].size

        class Replacing(hms.KeyVerifier):
            """Verifies the first signature; after that, the cache has none, and the hub serves another."""

            def _verify(self, bundle: Bundle) -> hms.Verified:
                for path in (tmp_path / "home").rglob("model.sig"):
                    path.resolve().unlink()
                    path.unlink(missing_ok=True)
                hub.serve_bytes(signed, "model.sig", other)
                return super()._verify(bundle)

        target = tmp_path / "out" if to else None
        with pytest.raises(hms.VerificationError, match=r"gave two different model\.sig for 'hf://acme/model'"):
            hms.pull(signed, verifier=Replacing(acme.public), local_dir=target)
        assert not (tmp_path / "out").exists()
        assert not list((tmp_path / "home").rglob("refs/main"))


class TestGitFiles:
    @pytest.mark.parametrize(("size", "downloaded"), [(LIMIT, True), (LIMIT + 1, False)])
    @pytest.mark.parametrize("to", [False, True])
    def test_only_small_ones_are_downloaded(
        self, hub: Hub, signed: str, acme: KeyPair, tmp_path: Path, size: int, downloaded: bool, to: bool
    ) -> None:
        """No signature lists them."""
        hub.commit(signed, {".gitignore": b"x" * size})
        hub.clear_requests()
        target = tmp_path / "out" if to else None
        path = hms.pull(signed, verifier=acme.verifier, local_dir=target).path
        assert Path(path, ".gitignore").exists() == downloaded
        assert any(record.path.endswith(".gitignore") for record in hub.requests) == downloaded

    @pytest.mark.parametrize("name", [".gitattributes", "model.sig"])
    @pytest.mark.parametrize("kind", ["link", "FIFO"])
    def test_unusual_file_in_the_cache_is_refused(
        self, hub: Hub, signed: str, acme: KeyPair, tmp_path: Path, name: str, kind: str
    ) -> None:
        """A program that opens it would read a file of the user's own, or wait for ever."""
        bundle = Bundle.parse(hub.read(signed, "model.sig"))
        path = Path(hms.pull(signed, verifier=acme.verifier).path, name)
        path.unlink()
        if kind == "link":
            (tmp_path / "secret").write_bytes(hub.read(signed, name))
            path.symlink_to(tmp_path / "secret")
        else:
            os.mkfifo(path)
        for signature in (None, bundle):
            with pytest.raises(
                hms.VerificationError, match=f"{name}.* is a {'symbolic link' if kind == 'link' else kind}"
            ):
                hms.pull(signed, verifier=acme.verifier, signature=signature)
