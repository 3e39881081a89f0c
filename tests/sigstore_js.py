"""A second verifier for Sigstore bundles: @sigstore/verify, which Node runs and scripts/setup-node installs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.needs import NODE_FOLDER

VerifyJs = Callable[[str, bytes, str, str], None]
_TIMEOUT = 60  # seconds


class SigstoreJsRefused(AssertionError):  # noqa: N818 - a verdict
    """The other verifier rejected a bundle; the message starts with its error code."""


@pytest.fixture(scope="session")
def node() -> str:
    """The program `node`, with the verifier installed."""
    program = shutil.which("node")
    assert program, "tests.needs skips the tests where there is no Node"
    return program


@pytest.fixture
def verify_js(node: str, tmp_path_factory: pytest.TempPathFactory) -> VerifyJs:
    """Verify a bundle for an identity and its issuer under the JSON of a trusted root, or raise `SigstoreJsRefused`."""

    def verify(trusted_root_json: str, bundle: bytes, identity: str, issuer: str) -> None:
        folder = tmp_path_factory.mktemp("sigstore-js")
        (folder / "root.json").write_text(trusted_root_json, encoding="utf-8")
        (folder / "bundle.json").write_bytes(bundle)
        verdict = _run(node, folder, identity, issuer)
        if not verdict["verified"]:
            raise SigstoreJsRefused(f"{verdict['code']}: {verdict['message']}")
        assert (verdict["identity"], verdict["issuer"]) == (identity, issuer)

    return verify


def _run(node: str, folder: Path, identity: str, issuer: str) -> dict[str, Any]:
    """Return the verdict; output without one is an error, not a rejection."""
    files = (str(folder / "root.json"), str(folder / "bundle.json"))
    command = [node, str(NODE_FOLDER / "verify.mjs"), *files, identity, issuer]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=_TIMEOUT)
    try:
        verdict: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        pytest.fail(f"verify.mjs came to no verdict (exit code {done.returncode}): {done.stderr}")
    assert done.returncode == (0 if verdict["verified"] else 1)
    return verdict
