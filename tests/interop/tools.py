"""Both tools with one interface: this one and the reference tool, each called from Python."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import hf_model_signing as hms
from hf_model_signing.errors import HfSignError, VerificationError
from tests.interop.cases import Case
from tests.interop.credentials import Credential
from tests.needs import NEEDS

if NEEDS["reference"].is_here():
    reference: Any = importlib.import_module("model_signing")
    X509StoreContextError: type[Exception] = importlib.import_module("OpenSSL.crypto").X509StoreContextError
else:  # the marker needs("reference") skips the tests
    X509StoreContextError = Exception


class Tool(ABC):
    """A tool that signs and verifies; `refusals` are its messages after each edit of a model."""

    who: ClassVar[str]
    errors: ClassVar[tuple[type[Exception], ...]]
    refusal: ClassVar[tuple[type[Exception], ...]]
    refusals: ClassVar[Mapping[str, str]]

    @abstractmethod
    def sign(self, case: Case, model: Path, signature: Path, credential: Credential) -> None:
        """Sign the model with the options of the case."""

    @abstractmethod
    def verify(self, case: Case, model: Path, signature: Path, credential: Credential) -> None:
        """Return if the model verifies; raise `refusal` if it does not."""


class Ours(Tool):
    """This project."""

    who = "we"
    errors = (HfSignError,)
    refusal = (VerificationError,)
    refusals: ClassVar = {
        "changed": r"is not what was signed: 1 changed",
        "added": r"is not what was signed: 1 added\n  added: added\.bin",
        "removed": r"is not what was signed: 1 missing",
        "renamed": r"is not what was signed: (1 renamed|1 missing, 1 added)",
    }

    def sign(self, case: Case, model: Path, signature: Path, credential: Credential) -> None:
        inside = [] if case.single or signature.parent == model.parent else [signature]
        bundle = hms.sign(
            model,
            signer=credential.signer(),
            ignore_paths=[*case.ignored, *inside],
            ignore_git_paths=case.git,
            allow_symlinks=case.allow_symlinks,
            hash_type=case.hash_type,
            shard_size=case.shard_size,
        )
        bundle.write(signature)

    def verify(self, case: Case, model: Path, signature: Path, credential: Credential) -> None:
        coverage = hms.Coverage(ignore_git_paths=case.git)
        assert hms.verify(model, signature, verifier=credential.verifier(), coverage=coverage)


class Theirs(Tool):
    """The reference tool. Its verifier needs the hash options: it cannot detect shards, BLAKE2b and links."""

    who = "they"
    errors = refusal = (ValueError, X509StoreContextError)
    refusals: ClassVar = {
        "changed": r"Signature mismatch: \[.Hash mismatch for",
        "added": r"Signature mismatch: \[.Extra files found in model '.*': .*added\.bin",
        "removed": r"Signature mismatch: \[.Missing files in model",
        "renamed": r"Signature mismatch: \[.Extra files found in model .*Missing files in model",
    }

    def sign(self, case: Case, model: Path, signature: Path, credential: Credential) -> None:
        config = reference.signing.Config()
        if credential.certificate:
            config.use_certificate_signer(
                private_key=credential.private,
                signing_certificate=credential.certificate,
                certificate_chain=credential.chain,
            )
        else:
            config.use_elliptic_key_signer(private_key=credential.private)
        config.set_hashing_config(self._hashing(case, [*case.ignored, signature])).sign(model, signature)

    def verify(self, case: Case, model: Path, signature: Path, credential: Credential) -> None:
        config = reference.verifying.Config().set_hashing_config(self._hashing(case, [signature]))
        self._trust(config, credential).verify(model, signature)

    def verify_some(self, model: Path, signature: Path, credential: Credential) -> None:
        """Verify only the files that the signature lists, as `--ignore_unsigned_files` does."""
        config = reference.verifying.Config().set_ignore_unsigned_files(True)
        self._trust(config, credential).verify(model, signature)

    @staticmethod
    def _trust(config: Any, credential: Credential) -> Any:  # noqa: ANN401 - a foreign class
        if credential.public:
            return config.use_elliptic_key_verifier(public_key=credential.public)
        return config.use_certificate_verifier(certificate_chain=credential.roots)

    @staticmethod
    def _hashing(case: Case, ignored: list[str | Path]) -> Any:  # noqa: ANN401 - a foreign class
        config = reference.hashing.Config()
        algorithm = {"blake2b": "blake2"}.get(case.hash_type, case.hash_type)
        if case.shard_size is None:
            config.use_file_serialization(hashing_algorithm=algorithm)
        else:
            config.use_shard_serialization(hashing_algorithm=algorithm, shard_size=case.shard_size)
        config.set_allow_symlinks(case.allow_symlinks)
        return config.set_ignored_paths(paths=ignored, ignore_git_paths=case.git)


OURS, THEIRS = Ours(), Theirs()
