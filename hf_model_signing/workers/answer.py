"""What a worker gives back: JSON in bytes, which nothing runs, and which is believed as far as it is checked."""

from __future__ import annotations

import json
from typing import Any

from hf_model_signing._version import __version__
from hf_model_signing.errors import (
    EmptyModelError,
    HfSignError,
    ModelError,
    RefusedError,
    VerificationError,
    WorkerError,
)
from hf_model_signing.oms import strict_json
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.predicate import empty_files, parse_predicate, predicate_of
from hub_adapters.errors import AccessError, HubError, NotFoundError, UnavailableError

_MOST_TEXT = 2_000  # characters of an error

# What is told of an error: the first kind that fits.
_KINDS: tuple[tuple[str, type[Exception]], ...] = (
    ("empty", EmptyModelError),
    ("model", ModelError),
    ("refused", RefusedError),
    ("access", AccessError),
    ("access", NotFoundError),
    ("hub", HubError),
    ("other", Exception),
)
_RAISED: dict[str, type[HfSignError]] = {
    "empty": EmptyModelError,
    "model": ModelError,
    "refused": RefusedError,
    "access": AccessError,
    "hub": UnavailableError,
    "other": WorkerError,
}


def answer(about: dict[str, str], *, manifest: Manifest | None = None, error: Exception | None = None) -> bytes:
    """The answer to the job that `about` tells: a manifest, or an error."""
    values: dict[str, Any] = {"job": about, "version": __version__}
    if manifest is not None:
        values |= {"predicate": predicate_of(manifest), "empty_files": list(manifest.empty_files)}
    if error is not None:
        kind = next(kind for kind, cls in _KINDS if isinstance(error, cls))
        text = str(error) if kind != "other" else f"{type(error).__name__}: {error}"
        values["error"] = {"kind": kind, "text": text[:_MOST_TEXT]}
    return json.dumps(values).encode()


def read_answer(data: object, about: dict[str, str], name: str) -> Manifest:
    """The manifest of the model `name` in an answer, made anew from it; raises the error that the answer tells.

    Raises `WorkerError` for what is no answer to the job that `about` tells, or comes from another version.
    """
    if not isinstance(data, bytes):
        raise WorkerError("a worker gave back something that is no answer")
    try:
        values = strict_json.loads(data)
        version, job = values.get("version"), values.get("job")
        if version != __version__:
            raise WorkerError(
                f"a worker has hf-sign {str(version)[:50]!a}, and this is {__version__}: install the "
                "same version on all machines"
            )
        if job != about:
            raise WorkerError(f"a worker gave back the answer to something else than was asked of '{about['uri']}'")
        if "error" not in values:
            found = parse_predicate(name, values.get("predicate"), empty_files(values.get("empty_files")))
            return Manifest(name, tuple(sorted(found.entries)), found.serialization, tuple(sorted(found.empty_files)))
        kind, text = values["error"]["kind"], values["error"]["text"]
        cls, said = _RAISED[kind], text.encode("ascii", "backslashreplace").decode()[:_MOST_TEXT]
    except (ValueError, KeyError, TypeError, AttributeError, VerificationError) as error:
        raise WorkerError(f"a worker gave back an answer that cannot be read: {error}") from error
    raise cls(f"the workers may not read '{about['uri']}': {said}" if kind == "access" else f"on a worker: {said}")
