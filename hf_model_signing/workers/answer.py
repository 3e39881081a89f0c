"""The answer of a worker. The batch trusts none of it: what it uses is checked, and errors become errors of its own."""

from __future__ import annotations

from collections.abc import Mapping
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
from hf_model_signing.oms.manifest import Manifest
from hf_model_signing.oms.predicate import empty_files, parse_predicate
from hf_model_signing.workers.job import Job, NewerFormatError, serialization_message
from hf_model_signing.workers.messages import FORMAT, MAX_ANSWER_BYTES, ErrorKind, count_values, message, parse
from hub_adapters.errors import AccessError, HubError, NotFoundError, UnavailableError

_MAX_TEXT = 2_000  # characters of an error
_VALUE_BYTES = 160  # of a value without its name: a digest, the start and end of a shard, and lengths
_OTHER_BYTES = 64 * 1024  # of an answer without its files: the error, and what is repeated of the job

# How a worker reports an error: the first line with a base class of it decides.
_KINDS: tuple[tuple[type[Exception], ErrorKind], ...] = (
    (NewerFormatError, ErrorKind.UNSUPPORTED_FORMAT),
    (EmptyModelError, ErrorKind.EMPTY),
    (ModelError, ErrorKind.MODEL),
    (RefusedError, ErrorKind.REFUSED),
    (AccessError, ErrorKind.ACCESS),
    (NotFoundError, ErrorKind.ACCESS),
    (HubError, ErrorKind.HUB),
    (Exception, ErrorKind.OTHER),
)
_ERRORS: dict[ErrorKind, type[HfSignError]] = {
    ErrorKind.EMPTY: EmptyModelError,
    ErrorKind.MODEL: ModelError,
    ErrorKind.REFUSED: RefusedError,
    ErrorKind.ACCESS: AccessError,
    ErrorKind.HUB: UnavailableError,
    ErrorKind.OTHER: WorkerError,
}


def manifest_answer(job: Job, manifest: Manifest) -> bytes:
    """Return the answer with the manifest that a job asked for."""
    made = message(
        "Manifest",
        serialization=serialization_message(manifest.serialization),
        entries=[message("Entry", name=name, digest=digest) for name, digest in manifest.entries],
        empty_files=manifest.empty_files,
    )
    return _answer(job, manifest=made)


def error_answer(job: Job | None, error: Exception) -> bytes:
    """Return the answer with the error that a job caused; the job is None if it could not be read."""
    kind = next(kind for cls, kind in _KINDS if isinstance(error, cls))
    text = str(error) if kind != ErrorKind.OTHER else f"{type(error).__name__}: {error}"
    printable = text.encode("utf-8", "backslashreplace").decode()[:_MAX_TEXT]
    return _answer(job, error=message("Error", kind=kind, text=printable))


def _answer(job: Job | None, **result: Any) -> bytes:  # noqa: ANN401 - a message
    endpoint, uri, commit = job.subject if job else ("", "", "")
    made = message("Answer", format=FORMAT, endpoint=endpoint, uri=uri, commit=commit, release=__version__, **result)
    data: bytes = made.SerializeToString()
    if len(data) > MAX_ANSWER_BYTES:
        raise ModelError(f"the model has too many files: the answer of the worker has {len(data):,} bytes")
    return data


def read_answer(data: object, job: Job, sizes: Mapping[str, int]) -> Manifest:
    """Return the manifest in the answer to a job, with all values checked, or raise the error that it reports.

    `sizes` has the size of each file that the hub lists; an answer with more values than these files need is not
    parsed. Raises `WorkerError` if it is not an answer to this job, or if one of the two sides has to be updated.
    """
    if not isinstance(data, bytes):
        reason = f": {data}" if isinstance(data, Exception) else ""
        raise WorkerError(f"a worker gave back something that is no answer{reason}")
    try:
        made = _parse_bounded(data, job, sizes)
        _check_format(made)
        if (made.endpoint, made.uri, made.commit) != job.subject:
            raise WorkerError(f"a worker gave back the answer to something else than was asked of '{job.resolved.uri}'")
        if made.HasField("manifest") == made.HasField("error"):
            raise ValueError("it has to be either a manifest or an error")
        if made.HasField("manifest"):
            return _checked(made.manifest, job.resolved.name.rpartition("/")[2])
        cls = _ERRORS[ErrorKind(made.error.kind)]
    except (ValueError, KeyError, VerificationError) as error:
        raise WorkerError(f"a worker gave back an answer that cannot be read: {error}") from error
    text = made.error.text.encode("ascii", "backslashreplace").decode()[:_MAX_TEXT]
    if cls is AccessError:
        raise AccessError(f"the workers may not read '{job.resolved.uri}': {text}")
    raise cls(f"on a worker: {text}")


def answer_limit(job: Job, sizes: Mapping[str, int]) -> int:
    """Return the bytes that an answer about files of these sizes can have."""
    shards = _shards(job, sizes)
    limit = _OTHER_BYTES + sum(len(path.encode()) + _VALUE_BYTES for path in job.serialization.ignore_paths)
    limit += sum(max(1, shards[name]) * (len(name.encode()) + _VALUE_BYTES) for name in sizes)
    return min(limit, MAX_ANSWER_BYTES)


def _shards(job: Job, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the number of shards of each file."""
    size = job.serialization.shard_size
    return {name: -(-length // size) if size else 1 for name, length in sizes.items()}


def _parse_bounded(data: bytes, job: Job, sizes: Mapping[str, int]) -> Any:  # noqa: ANN401 - a message
    """Return the message in `data`, if it can be an answer about files of these sizes; raises `ValueError`."""
    how, limit = job.serialization, answer_limit(job, sizes)
    shards = _shards(job, sizes)
    if len(data) > limit:
        raise ValueError(f"a message of {len(data):,} bytes; at most {limit:,} are allowed")
    limits = {"entries": sum(shards.values()), "empty_files": len(sizes), "ignore_paths": len(how.ignore_paths)}
    count_values("Answer", data, limits)
    return parse("Answer", data, limit)


def _check_format(made: Any) -> None:  # noqa: ANN401 - a message
    """Raise `WorkerError` if one side is too old for the format of the other."""
    release = made.release[:50]
    if made.error.kind == ErrorKind.UNSUPPORTED_FORMAT:
        raise WorkerError(
            f"a worker has hf-sign {release!a}, which is too old to read jobs of this hf-sign ({__version__}): update "
            "hf-sign on the workers"
        )
    if made.format > FORMAT:
        raise WorkerError(
            f"a worker has hf-sign {release!a}, and this hf-sign ({__version__}) is too old to read its answers: "
            "update hf-sign on this machine"
        )
    if made.format < 1:
        raise ValueError("it has no format")


def _checked(made: Any, name: str) -> Manifest:  # noqa: ANN401 - a message
    """Return a new manifest of the model `name` from the values of a message; raises `BundleError`."""
    how = made.serialization
    serialization = {
        "method": how.method,
        "hash_type": how.hash_type,
        "allow_symlinks": how.allow_symlinks,
        "ignore_paths": list(how.ignore_paths),
    }
    if how.shard_size:
        serialization["shard_size"] = how.shard_size
    resources = [
        {"name": entry.name, "digest": entry.digest.hex(), "algorithm": how.hash_type} for entry in made.entries
    ]
    predicate = {"resources": resources, "serialization": serialization}
    found = parse_predicate(name, predicate, empty_files(list(made.empty_files)))
    return Manifest(name, tuple(sorted(found.entries)), found.serialization, tuple(sorted(found.empty_files)))
