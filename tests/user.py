"""A user who signs and verifies references with the program and the key of the trusted signer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import KeyPair, Outcome, write_tree


@dataclass(frozen=True)
class User:
    """A user who signs and verifies; the signature is `s.sig` in the current directory."""

    cli: Callable[..., Outcome]
    pair: KeyPair

    def sign(self, reference: str, *options: str) -> None:
        how = ("--private-key", self.pair.private, "--signature", "s.sig", "--force", *options)
        done = self.cli("sign", "key", *how, reference)
        assert done.code == 0, done.err

    def verify(self, reference: str | Path, *options: str) -> str:
        """Verify, and return the path of the model."""
        done = self._verify(reference, *options)
        assert done.code == 0, done.err
        return str(done.document["path"])

    def refused(self, reference: str | Path, *options: str, code: int = 1) -> str:
        """Verify without success, and return the message."""
        done = self._verify(reference, *options)
        assert done.code == code, done.out + done.err
        return done.err

    def annotations(self) -> dict[str, str]:
        return dict(self.cli("--json", "inspect", "s.sig").document["annotations"])

    def _verify(self, reference: str | Path, *options: str) -> Outcome:
        named = () if "--signature" in options else ("--signature", "s.sig")
        return self.cli("--json", "verify", "key", "--public-key", self.pair.public, *named, *options, reference)


def small_folder(folder: Path, text: str = "x") -> Path:
    """Make a small model in the directory `folder`."""
    return write_tree(folder / "small", {"saved_model.pb": text, "variables/variables.index": "v"})
