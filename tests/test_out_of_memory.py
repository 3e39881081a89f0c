"""A `MemoryError` is never turned into a refusal: it says nothing about what was verified."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_model_signing.errors import OUT_OF_MEMORY
from tests.conftest import Cli
from tests.helpers import ROOT, KeyPair

_PACKAGES = ("hf_model_signing", "hub_adapters")
# Handlers that keep the error for another thread, or that have no caller to raise it to.
_KEPT = {
    "hf_model_signing/_util/deadline.py": "raised again where it is waited for",
    "hub_adapters/_util/deadline.py": "raised again where it is waited for",
    "hf_model_signing/hashing/model_hasher.py": "raised after the threads are joined",
    "hf_model_signing/organisation/scheduler.py": "raised below, in the thread that waits",
    "hub_adapters/_util/parallel.py": "raised below, in the thread that waits",
    "hub_adapters/http/exchange.py": "raised again in the thread that waits",
    "hf_model_signing/organisation/run.py": "the repository gets a row of its own, with OUT_OF_MEMORY",
    "hf_model_signing/workers/worker.py": "the answer to the batch",
    "hf_model_signing/cli/main.py": "the sentence and the exit code",
    "hf_model_signing/guarding/bootstrap.py": "the program does not run",
    "hf_model_signing/guarding/children/site/sitecustomize.py": "the program does not run",
    "hf_model_signing/guarding/checks/decider.py": "raised, but in the mode `warn`",
    "hf_model_signing/policy/folders.py": "every file is refused then, until the reader reports the error",
    "hf_model_signing/workers/dask.py": "the worker counts as lost",
}
_ALL = {"Exception", "BaseException"}


def _catches_all(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or bool(_ALL & set(map(_named, ast.walk(handler.type))))


def _named(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _swallows(source: str) -> Iterator[int]:
    """Yield the line of each handler of all errors that neither raises them again nor leaves out `MemoryError`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _named(node.func) == "suppress" and _ALL & set(map(_named, node.args)):
            yield node.lineno
        if not isinstance(node, ast.Try):
            continue
        for number, handler in enumerate(node.handlers):
            earlier = [each for other in node.handlers[:number] if other.type for each in ast.walk(other.type)]
            spared = "MemoryError" in map(_named, earlier)
            last = handler.body[-1]
            raised = isinstance(last, ast.Raise) and last.exc is None
            if _catches_all(handler) and not spared and not raised:
                yield handler.lineno


@pytest.mark.parametrize("package", _PACKAGES)
def test_no_handler_swallows_it(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        lines = [] if name in _KEPT else list(_swallows(path.read_text(encoding="utf-8")))
        assert not lines, f"{name}:{lines}: put `except MemoryError: raise` before it"


@pytest.mark.parametrize(
    "source",
    [
        "try: f()\nexcept Exception as e: raise ValueError from e",
        "try: f()\nexcept BaseException: pass",
        "try: f()\nexcept ValueError: raise\nexcept (OSError, Exception): pass",
        "try: f()\nexcept: pass",
        "with contextlib.suppress(Exception): f()",
    ],
)
def test_handler_that_swallows_it_is_noticed(source: str) -> None:
    assert list(_swallows(source))
    assert not list(
        _swallows(source.replace("Exception", "OSError").replace("Base", "").replace("except:", "except A:"))
    )


@pytest.mark.parametrize(
    "where",
    [
        "hf_model_signing.oms.strict_json.parse_json",
        "hf_model_signing.oms.statement.parse_predicate",
        "hf_model_signing.methods.key.signer.verify_ecdsa",
        "hf_model_signing.verifying.hash_model",
    ],
)
def test_verify(cli: Cli, model: Path, pair: KeyPair, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    cli("sign", "key", "--private-key", pair.private, "--signature", model / "model.sig", model)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(where, fail, raising=True)
    done = cli("verify", "key", "--public-key", pair.public, model)
    assert (done.code, done.err) == (3, f"hf-sign: error: {OUT_OF_MEMORY}\n")
