"""The predicate: a manifest as JSON in a statement (section 5.2 of the specification)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from hf_model_signing.errors import BundleError
from hf_model_signing.oms.folders import Folders
from hf_model_signing.oms.hash_algorithms import HASHES
from hf_model_signing.oms.json_shapes import closed_object
from hf_model_signing.oms.manifest import Entry, Manifest, Serialization
from hf_model_signing.oms.names import PathError, check_ignore_path, check_name, is_plain
from hf_model_signing.oms.shards import ShardError, content_of

_HEX = re.compile(r"[0-9a-f]*")
_SERIALIZATION_FIELDS = {"method", "hash_type", "allow_symlinks"}
_SERIALIZATION_OPTIONAL = {"shard_size", "ignore_paths"}


def predicate_of(manifest: Manifest) -> dict[str, Any]:
    """Return the predicate of `manifest`."""
    how = manifest.serialization
    serialization: dict[str, Any] = {
        "method": how.method,
        "hash_type": how.hash_type,
        "allow_symlinks": how.allow_symlinks,
        "ignore_paths": list(how.ignore_paths),
    }
    if how.shard_size is not None:
        serialization["shard_size"] = how.shard_size
    algorithm = how.hash_type
    resources = [{"name": name, "digest": digest.hex(), "algorithm": algorithm} for name, digest in manifest.entries]
    return {"resources": resources, "serialization": serialization}


def parse_predicate(name: str, value: object, empty: tuple[str, ...] = ()) -> Manifest:
    """Return the manifest of the model `name` from a predicate; `empty` are its files without bytes (section 6.3.2).

    Raises `BundleError` when the predicate is malformed.
    """
    predicate = closed_object(value, "the predicate", {"resources", "serialization"})
    serialization = parse_serialization(predicate["serialization"])
    resources = predicate["resources"]
    if not isinstance(resources, list) or not resources:
        raise BundleError("the signed file list is empty")
    manifest = Manifest(name, _parse_resources(resources, serialization), serialization, empty)
    check_files(manifest)
    return manifest


def check_files(manifest: Manifest) -> None:
    """Raise `BundleError` unless the entries can all exist as files of one model and none is listed twice."""
    try:
        files = manifest.digests
        for path in files:
            if path != "." and not is_plain(path):  # releases of the reference tool call a single file "."
                check_name(path)
    except (ShardError, PathError) as error:
        raise BundleError(f"the signed file list: {error}") from error
    empty = set(manifest.empty_files)
    whole = manifest.serialization.shard_size is None  # a shard listed twice is already rejected as an overlap
    if (whole and len(files) != len(manifest.entries)) or len(empty) != len(manifest.empty_files):
        raise BundleError("the signed file list names a file twice")
    if empty and (whole or any(files[path] != content_of(0, ()) for path in empty)):
        raise BundleError("the statement lists a file as empty that has a digest, or could have one, as well")
    _check_no_file_is_a_folder(files)


def check_writable(manifest: Manifest) -> None:
    """Raise `BundleError` for a manifest that our parser would reject: only what can be verified is signed."""
    if not manifest.entries:
        raise BundleError("the signed file list is empty")
    check_files(manifest)
    predicate = predicate_of(Manifest(manifest.name, manifest.entries[:1], manifest.serialization))
    parse_serialization(predicate["serialization"])


def empty_files(value: object) -> tuple[str, ...]:
    """Parse the annotation that lists the files without bytes; raises `BundleError` unless it is a list of paths."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
        raise BundleError("the statement's list of empty files is not a list of paths")
    return tuple(value)


def parse_serialization(value: object) -> Serialization:
    """Parse the serialization (section 5.2.2); raises `BundleError` when it is malformed or not supported."""
    how = closed_object(value, "the serialization", _SERIALIZATION_FIELDS, _SERIALIZATION_OPTIONAL)
    method, hash_type, links = how["method"], how["hash_type"], how["allow_symlinks"]
    if method not in ("files", "shards"):
        raise BundleError(f"the serialization method {method!a} is not supported by this version of hf-sign")
    if not isinstance(hash_type, str) or hash_type not in HASHES:
        raise BundleError(f"the hash algorithm {hash_type!a} is not supported by this version of hf-sign")
    if not isinstance(links, bool):
        raise BundleError("the serialization's allow_symlinks is neither true nor false")
    ignored = how.get("ignore_paths", [])
    if not isinstance(ignored, list) or not all(isinstance(path, str) for path in ignored):
        raise BundleError("the serialization's ignore_paths is not a list of paths")
    try:
        paths = tuple(check_ignore_path(path) for path in ignored)
    except PathError as error:
        raise BundleError(f"the serialization's ignore_paths: {error}") from error
    return Serialization(method, hash_type, links, paths, _parse_shard_size(method, how))


def _parse_shard_size(method: str, how: dict[str, Any]) -> int | None:
    if method == "files":
        if "shard_size" in how:
            raise BundleError("the serialization has a shard_size, and its method 'files' has none")
        return None
    if "shard_size" not in how:
        raise BundleError("the serialization has no shard_size, and its method 'shards' needs one")
    size = how["shard_size"]
    # Releases of the reference tool write it as 1000.0.
    if isinstance(size, bool) or not isinstance(size, (int, float)) or size != int(size) or size <= 0:
        raise BundleError(f"the serialization's shard_size is {size!a}; it must be a whole number of bytes above zero")
    return int(size)


def _parse_resources(resources: Iterable[object], serialization: Serialization) -> tuple[Entry, ...]:
    hash_type = serialization.hash_type
    digits = 2 * HASHES[hash_type].size
    algorithms = _algorithm_names(serialization)
    entries = []
    for value in resources:
        if not isinstance(value, dict):
            raise BundleError("an entry of the signed file list is not an object")
        name, digest, algorithm = value.get("name"), value.get("digest"), value.get("algorithm")
        if not isinstance(name, str) or not isinstance(digest, str):
            raise BundleError("an entry of the signed file list has no name or no digest")
        if algorithm not in algorithms:
            raise BundleError(f"the entry {name!a} has the algorithm {algorithm!a}, not '{hash_type}'")
        if len(digest) != digits or not _HEX.fullmatch(digest):
            raise BundleError(f"the digest of {name!a} is not a {hash_type} digest in lower-case hex")
        entries.append(Entry(name, bytes.fromhex(digest)))
    return tuple(entries)


def _algorithm_names(serialization: Serialization) -> tuple[str, ...]:
    """Return the accepted values of `algorithm`: for shards also the one that releases of the reference tool write."""
    hash_type, size = serialization.hash_type, serialization.shard_size
    return (hash_type,) if size is None else (hash_type, f"{hash_type}-sharded-{size}")


def _check_no_file_is_a_folder(files: Collection[str]) -> None:
    both = Folders(files).first_file()
    if both is not None:
        raise BundleError(f"the signed file list has {both!a} both as a file and as a folder")
    if "." in files and len(files) > 1:
        raise BundleError("the signed file list mixes a single-file model with others")
