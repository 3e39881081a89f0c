"""Hostile inputs, each with the code that reads it; `measure.py` runs them, one process for each."""

from __future__ import annotations

import base64
import gzip
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_COMMIT = "0" * 40
_MIB = 1024 * 1024
_KEYS = 60  # of nested objects


@dataclass(frozen=True)
class Case:
    """An input, and what reads it: `kind` is its row in docs/security.md, and `outcome` the words of the result.

    `make` returns the content of a file that `read` gets the path of, besides the URL of the server.
    """

    kind: str
    outcome: str
    read: Callable[[Path, str], object]
    make: Callable[[], bytes] = lambda: b""
    needs: str = ""


def _nested(size: int) -> bytes:
    """Return objects with one key each, all of them different: what takes the most memory for its size."""
    piece = b"".join(b'{"%04x":' % number for number in range(_KEYS)) + b"0" + b"}" * _KEYS + b","
    return piece * (size // len(piece))


def _bundle(payload: bytes) -> bytes:
    envelope = {"payload": "", "payloadType": "application/vnd.in-toto+json", "signatures": []}
    document = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": {}}
    text = json.dumps({**document, "dsseEnvelope": envelope}).encode()
    return text.replace(b'"payload": ""', b'"payload": "' + base64.b64encode(payload) + b'"')


def _statement(names: bytes, resources: bytes) -> bytes:
    how = b'{"method":"files","hash_type":"sha256","allow_symlinks":false,"ignore_paths":[%b]}' % names
    predicate = b'{"serialization":%b,"resources":[%b]}' % (how, resources.rstrip(b","))
    subject = b'[{"name":"m","digest":{"sha256":"00"}}]'
    kinds = b'"_type":"https://in-toto.io/Statement/v1","predicateType":"https://model_signing/signature/v1.0"'
    return _bundle(b'{%b,"subject":%b,"predicate":%b}' % (kinds, subject, predicate))


def _files(count: int, name: Callable[[int], bytes]) -> bytes:
    entry = b'{"algorithm":"sha256","digest":"' + b"0" * 64 + b'","name":"%b"},'
    return b"".join(entry % name(number) for number in range(count))


def _read_signature(path: Path, _: str) -> object:
    from hf_model_signing.oms.bundle import Bundle
    from hf_model_signing.oms.statement import Statement

    return Statement.parse(Bundle.read(path).payload)


def _read_policy(path: Path, _: str) -> object:
    from hf_model_signing.policy.trust_policy import Policy

    return Policy.read(path)


def _read_pins(path: Path, _: str) -> object:
    from hf_model_signing.policy.pins import TrustLock

    return TrustLock(str(path)).find("hf://acme/model")


def _list_files(name: str) -> Callable[[Path, str], object]:
    def read(_: Path, url: str) -> object:
        from hub_adapters.huggingface.adapter import HuggingFaceAdapter
        from hub_adapters.interface import Reference, Resolved

        reference = Reference("hf", "model", f"acme/{name}")
        return HuggingFaceAdapter(endpoint=url, token=False).remote_manifest(Resolved(reference, name, _COMMIT))

    return read


def _resolve(_: Path, url: str) -> object:
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

    return HuggingFaceAdapter(endpoint=url, token=False).resolve(HuggingFaceAdapter.named("acme/below"))


def _ask_in_program(_: Path, url: str) -> object:
    """Ask as a guarded program does."""
    from huggingface_hub import HfApi

    from hub_adapters.huggingface.response_checks import watch_while

    watch_while(lambda: True)
    return HfApi(endpoint=url, token=False).model_info("acme/program")


def _ask(name: str) -> Callable[[Path, str], object]:
    def read(_: Path, url: str) -> object:
        from hf_model_signing.methods.sigstore.http import ask_service

        return ask_service("the issuer", f"{url}/{name}")

    return read


def _read_metadata(path: Path, _: str) -> object:
    from tuf.api.metadata import Metadata

    return Metadata.from_file(str(path))


def _receive(path: Path, _: str) -> object:
    """Receive a message as from a scheduler, while an answer of 1 MB is waited for."""
    received: Callable[..., Any] = importlib.import_module("tests.workers.test_bounded_comm").received
    return received([path.read_bytes()], _MIB)


def _receive_large_answer(_: Path, __: str) -> object:
    received: Callable[..., Any] = importlib.import_module("tests.workers.test_bounded_comm").received
    head = _message(b"\xc0", b"")
    length = (200 * _MIB).to_bytes(8, "little")
    return received([head[:-9] + length + head[-1:], *([bytes(_MIB)] * 200)], _MIB)


def _message(*frames: bytes) -> bytes:
    prelude = len(frames).to_bytes(8, "little") + b"".join(len(frame).to_bytes(8, "little") for frame in frames)
    return len(prelude).to_bytes(8, "little") + prelude + b"".join(frames)


def _read_answer(path: Path, _: str) -> object:
    from hf_model_signing.oms.manifest import Serialization
    from hf_model_signing.workers.answer import read_answer
    from hf_model_signing.workers.job import Job
    from hub_adapters.interface import Reference, Resolved

    job = Job("http://hub", Resolved(Reference("hf", "model", "acme/m"), "acme/m", _COMMIT), Serialization())
    return read_answer(path.read_bytes(), job, {f"{number:04}": 1 for number in range(1000)})


_TOO_MUCH = "could take more than"
_LISTS = b"\xdd" + (4_000_000).to_bytes(4, "big") + b"\x90" * 4_000_000
_TEXTS = b"\xdd" + (1_300_000).to_bytes(4, "big") + b"\xa2ab" * 1_300_000

CASES = {
    "signature, empty lists": Case(
        "signature", _TOO_MUCH, _read_signature, lambda: b'{"a":[' + b"[]," * (20 * _MIB) + b"[]]}"
    ),
    "signature, below the limit": Case(
        "signature", "unknown field|has no", _read_signature, lambda: b'{"a":[' + _nested(3 * _MIB) + b"0]}"
    ),
    "statement, empty lists": Case(
        "statement", _TOO_MUCH, _read_signature, lambda: _bundle(b'{"a":[' + b"[]," * (15 * _MIB) + b"[]]}")
    ),
    "statement, below the limit": Case(
        "statement", "has no|unknown field", _read_signature, lambda: _bundle(b'{"a":[' + _nested(8_800_000) + b"0]}")
    ),
    "statement, one wide text": Case(
        "statement",
        "has no|unknown field",
        _read_signature,
        lambda: _bundle(b'{"a":"' + b"a" * (43 * _MIB) + b'\xf0\x9f\x98\x80"}'),
    ),
    "statement, deep paths": Case(
        "statement",
        "has more than 100 names",
        _read_signature,
        lambda: _statement(b"", _files(2, lambda number: b"a/" * 2000 + b"%d" % number)),
    ),
    "statement, the deepest paths": Case(
        "statement",
        "root digest",
        _read_signature,
        lambda: _statement(b"", _files(5_000, lambda number: b"%d/" % number + (b"d" * 39 + b"/") * 98 + b"f")),
    ),
    "statement, many ignored paths": Case(
        "statement",
        "root digest",
        _read_signature,
        lambda: _statement(b",".join(b'"%d"' % number for number in range(300_000)), _files(1, lambda _: b"f")),
    ),
    "policy, dots": Case("policy", "more than 32 parts", _read_policy, lambda: b"a." * 50_000 + b"a=1"),
    "policy, many keys": Case(
        "policy",
        "is not known|must be 1",
        _read_policy,
        lambda: b"".join(b"[%x.%b.a]\n" % (number, b"a." * 29 + b"a") for number in range(3_200)),
    ),
    "pins, empty objects": Case("statement", _TOO_MUCH, _read_pins, lambda: b'{"a":[' + b"{}," * (5 * _MIB) + b"{}]}"),
    "hub, compressed lists": Case("hub", _TOO_MUCH, _list_files("gzip")),
    "hub, compressed twice": Case("hub", "which was not asked for", _list_files("twice")),
    "hub, a refusal": Case("hub", _TOO_MUCH, _list_files("refusal")),
    "hub, a redirect": Case("hub", _TOO_MUCH, _list_files("redirect")),
    "hub, long paths": Case("hub", _TOO_MUCH, _list_files("long")),
    "hub, below the limit": Case("hub", "Resolved", _resolve),
    "hub, many pages": Case("hub", "are too long together", _list_files("pages")),
    "guarded program, below the limit": Case("guarded program", "ModelInfo", _ask_in_program),
    "services, compressed lists": Case("services", "sent more than any answer has", _ask("issuer")),
    "services, below the limit": Case("services", "dict", _ask("below")),
    "trust root, nested lists": Case(
        "trust root", "", _read_metadata, lambda: b"[" + (b"[" * 60 + b"]" * 60 + b",") * 41_000 + b"0]"
    ),
    "cluster, lists": Case("cluster", "the cluster sent", _receive, lambda: _message(_LISTS), "dask"),
    "cluster, texts": Case("cluster", "", _receive, lambda: _message(_TEXTS), "dask"),
    "cluster, a large answer": Case("cluster", "NoneType", _receive_large_answer, needs="dask"),
    "answer of a worker, empty entries": Case(
        "answer of a worker",
        "at most|than the repository",
        _read_answer,
        lambda: b"\x2a\xfe\xff\x03" + b"\x12\x00" * 32_767,
        "dask",
    ),
}


@cache
def _bomb(layers: int) -> bytes:
    """Return some KB that decode to empty lists, which take more than 1 GB when they are parsed."""
    data = b"[" + b"[]," * 20_000_000 + b"[]]" if layers == 0 else _bomb(layers - 1)
    return gzip.compress(data, 1) if layers else data


def _page(number: int) -> bytes:
    entry = {"type": "file", "oid": _COMMIT, "size": 1}
    return json.dumps([{**entry, "path": f"{number}-{each}-{'p' * 4_000}"} for each in range(900)]).encode()


def hub_answer(url: str, path: str, page: int) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body with which the hostile server answers."""
    packed = {"Content-Encoding": "gzip"}
    if path.endswith("/issuer") or "/gzip/" in path:
        return 200, packed, _bomb(1)
    if "/twice/" in path:
        return 200, {"Content-Encoding": "gzip, gzip"}, _bomb(2)
    if "/refusal/" in path:
        return 404, packed, _bomb(1)
    if "/redirect/" in path:
        return 302, {**packed, "Location": "/elsewhere"}, _bomb(1)
    if path.endswith("/below"):
        return 200, {}, b'{"id":"acme/below","sha":"%b","a":[%b0]}' % (_COMMIT.encode(), _nested(2_700_000))
    if path.endswith("/program"):
        return 200, {}, b'{"id":"acme/program","sha":"%b","a":[%b0]}' % (_COMMIT.encode(), _nested(9_200_000))
    if "/long/" in path:
        return 200, {}, _page(page).replace(b"p" * 4_000, b"p" * 30_000)
    return 200, {"Link": f'<{url}{path}?page={page + 1}>; rel="next"'}, _page(page)
