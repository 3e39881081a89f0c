"""Helpers of several tests: trees of files, key pairs, forged bundles, and the program as a process."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from hf_model_signing.methods.key.signer import KeySigner, KeyVerifier

ROOT = Path(__file__).resolve().parents[1]
OMS = ROOT.parent / "shared" / "oms"
LONG_AGO = 1_600_000_000  # files of a tree are old, so that every write changes their times
COMMIT = "0123456789abcdef0123456789abcdef01234567"

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

FILES = {"config.json": b'{"layers": 2}', "weights/a.bin": b"A" * 4096, "weights/b.bin": b"B" * 4096}


def write_tree(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write the files below `root`, all of them old, and return `root`."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (LONG_AGO, LONG_AGO))
    return root


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class KeyPair:
    """A key and its two PEM files."""

    key: ec.EllipticCurvePrivateKey
    private: Path
    public: Path

    @property
    def signer(self) -> KeySigner:
        return KeySigner(self.private)

    @property
    def verifier(self) -> KeyVerifier:
        return KeyVerifier(self.public)

    @property
    def public_pem(self) -> bytes:
        return self.public.read_bytes()

    @property
    def hint(self) -> str:
        return sha256(self.public_pem)


def private_pem(
    key: Any,  # noqa: ANN401 - any kind of private key
    encryption: KeySerializationEncryption | None = None,
    form: PrivateFormat = PrivateFormat.PKCS8,
) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())
    return pem


def public_pem(key: Any) -> bytes:  # noqa: ANN401 - any kind of private key
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def make_pair(folder: Path, name: str = "key", curve: ec.EllipticCurve | None = None) -> KeyPair:
    """Make a key pair in `folder`: `name.pem` and `name.pub`."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    folder.mkdir(parents=True, exist_ok=True)
    pair = KeyPair(key, folder / f"{name}.pem", folder / f"{name}.pub")
    pair.private.write_bytes(private_pem(key))
    pair.public.write_bytes(public_pem(key))
    return pair


def statement_document(files: Mapping[str, bytes], **serialization: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a valid statement about `files`, made from the specification alone; `serialization` overrides fields."""
    resources = [
        {"name": name, "digest": sha256(content), "algorithm": "sha256"} for name, content in sorted(files.items())
    ]
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model", "digest": {}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "resources": resources,
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, **serialization},
        },
    }
    return with_root(document)


def with_root(document: dict[str, Any]) -> dict[str, Any]:
    """Put the root digest of its own resources into a statement."""
    digests = b"".join(bytes.fromhex(resource["digest"]) for resource in document["predicate"]["resources"])
    document["subject"][0]["digest"]["sha256"] = sha256(digests)
    return document


def encode(document: Any) -> bytes:  # noqa: ANN401 - JSON
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def forge(pair: KeyPair, payload: Any, material: Mapping[str, Any] | None = None) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a bundle, as JSON values, with a valid signature of `pair` over any payload."""
    data = encode(payload)
    message = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(data), data)
    algorithm = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[pair.key.curve.key_size]
    signature = pair.key.sign(message, ec.ECDSA(algorithm))
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": pair.hint}} if material is None else dict(material),
        "dsseEnvelope": {
            "payload": base64.b64encode(data).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }


def write_bundle(path: Path, bundle: Any) -> Path:  # noqa: ANN401 - JSON
    path.write_bytes(encode(bundle))
    return path


def cache_snapshot(cache: Path, files: Mapping[str, bytes], repo: str = "org/name", kind: str = "models") -> Path:
    """Make a repository in the layout of the Hugging Face cache, and return its snapshot directory."""
    folder = cache / f"{kind}--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    for name, content in files.items():
        blob = write_tree(folder / "blobs", {sha256(content): content}) / sha256(content)
        link_to(snapshot / name, blob)
    return snapshot


def link_to(link: Path, target: Path) -> Path:
    """Make a relative link, as the client of the hub does."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))
    return link


class Meddler:
    """A progress observer that calls a function once, when hashing reaches `begin`, `advance` or `end`."""

    def __init__(self, moment: str, act: Callable[[], object]) -> None:
        self._moment, self._act = moment, act
        self._lock = threading.Lock()
        self._done = False

    def _at(self, moment: str) -> None:
        with self._lock:
            if moment == self._moment and not self._done:
                self._done = True
                self._act()

    def total(self, files: int, size: int) -> None:
        self._at("total")

    def begin(self, name: str, size: int) -> None:
        self._at("begin")

    def advance(self, name: str, count: int) -> None:
        self._at("advance")

    def end(self, name: str) -> None:
        self._at("end")


@dataclass(frozen=True)
class Outcome:
    """The result of a run of the program."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Parse the only JSON document on stdout."""
        values: dict[str, Any] = json.loads(self.out)
        return values


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run_program(*arguments: object, cwd: Path | None = None, **env: str) -> Outcome:
    """Run `python -m hf_model_signing` as a process of its own."""
    command = [sys.executable, "-m", "hf_model_signing", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment(**env), capture_output=True, check=False, timeout=60)
    return Outcome(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def run_python(code: str, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
    """Run a few lines of Python in a process of their own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    # Without coverage: such lines change the user, kill themselves or inspect the loaded modules.
    env = {name: value for name, value in environment().items() if not name.startswith("COVERAGE_")}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60, **options)


def stop_logging() -> None:
    """Undo what `--log-level` does, which is meant for a process of its own, after it ran in this one."""
    for name in ("hf_model_signing", "hub_adapters"):
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = [], True
        logger.setLevel(logging.NOTSET)


def complaints(*outputs: str) -> list[str]:
    """Return the lines on stderr of several processes, without notes that one waits for another."""
    return [line for output in outputs for line in output.splitlines() if not line.startswith("waiting for ")]


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def loaded_modules(code: str, among: Iterable[str], *arguments: str | Path) -> set[str]:
    """Return the packages of `among` that are loaded after `code` has run in a fresh interpreter."""
    report = "\nimport sys as _s; print('LOADED', *sorted({m.partition('.')[0] for m in _s.modules}))"
    done = run_python(code + report, *arguments)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:]) & set(among)
