"""The directories in which libraries keep what they make of files: under the guard, one for each set of policies.

`datasets` makes tables once, and reads them from then on without asking the client about the repository; so it does
with what it extracts from archives, and libraries with assets below `HF_ASSETS_CACHE`. What another policy accepted, or
an unguarded program made, must not be found. So what comes from a repository that must be signed, and what only the
library knows the source of, is kept in a directory that is named after the policies of the guards, their keys and the
pinned signers.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hf_model_signing.guarding.dataset_viewer import VIEWER_FUNCTIONS, VIEWER_MODULE, ask_viewer
from hf_model_signing.guarding.environment import Mode

if TYPE_CHECKING:
    from hf_model_signing.guarding.checks.decider import Decider


class TableFunction(NamedTuple):
    """A function of `datasets` or the client that chooses such a directory, or asks the hub what to put there."""

    module: str
    name: str
    is_in_all_releases: bool = False


_BUILDER, _CACHED = "DatasetBuilder.__init__", "CachedDatasetModuleFactory.get_module"
_ASSETS = "cached_assets_path"
TABLE_FUNCTIONS = (
    TableFunction("datasets.builder", _BUILDER, is_in_all_releases=True),
    TableFunction("datasets.packaged_modules.cache.cache", "Cache.__init__"),
    TableFunction("datasets.load", _CACHED),
    TableFunction("huggingface_hub.utils._cache_assets", _ASSETS),
    TableFunction(VIEWER_MODULE, VIEWER_FUNCTIONS[0]),
    TableFunction(VIEWER_MODULE, VIEWER_FUNCTIONS[1]),
)
TABLE_MODULES = tuple(function.module for function in TABLE_FUNCTIONS)
_NAMES = frozenset(function.name for function in TABLE_FUNCTIONS)

_OWN = re.compile(r"verified-[0-9a-f]{32}")
_HUB = "hf://"
_DATASETS = "hf://datasets/"

# Hub references of repositories, and real paths; None if only the library knows where its data comes from.
Sources = frozenset[str] | None


def chooses_tables(name: str) -> bool:
    """Return True for the name of a hooked function that chooses a directory for tables, or asks about them."""
    return name in _NAMES


def with_own_tables(
    name: str,
    original: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    deciders: Iterable[Decider],
) -> Any:  # noqa: ANN401 - as the function
    """Return what such a function returns if it keeps its files in the directory for these guards."""
    bound = inspect.signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    deciders = tuple(deciders)
    if name in VIEWER_FUNCTIONS:
        return ask_viewer(deciders, original, bound.arguments)
    trusts = {decider.policy.shared_cache for decider in deciders} == {"trust"}
    if name == _ASSETS:
        from huggingface_hub import constants

        chosen = bound.arguments["assets_dir"] or constants.HF_ASSETS_CACHE
        bound.arguments["assets_dir"] = _directory(chosen, _key(deciders, None), trusts=trusts)
    elif name == _CACHED:
        factory = bound.arguments["self"]
        key = _key(deciders, frozenset({_DATASETS + factory.name}))
        factory.cache_dir = _directory(factory.cache_dir, key, trusts=trusts)
    else:
        bound.arguments["cache_dir"] = _directory(
            bound.arguments.get("cache_dir"), _key(deciders, sources_of(bound.arguments)), trusts=trusts
        )
    return original(*bound.args, **bound.kwargs)


def sources_of(arguments: dict[str, Any]) -> Sources:
    """Return the repositories that a builder of `datasets` reads, by its arguments."""
    uris: set[str] = set()
    if arguments.get("repo_id"):
        uris.add(_DATASETS + arguments["repo_id"])
    data_files = list(_texts(arguments.get("data_files")))
    for text in (*data_files, arguments.get("base_path"), arguments.get("data_dir")):
        for part in str(text or "").split("::"):
            found = _repositories(part)
            if found is None:
                return None
            uris |= found
    return frozenset(uris) if uris or data_files else None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, (str, os.PathLike)):
        yield os.fspath(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _texts(item)


def _repositories(place: str) -> Sources:
    """Return the repositories that a URL or a path can mean."""
    if place.startswith(_HUB):
        parts = place.removeprefix(_HUB).partition("@")[0].split("/")
        kind = [parts.pop(0)] if parts[0] in ("datasets", "spaces", "kernels", "models") else []
        kind = [] if kind == ["models"] else kind
        # Without a revision, a path of one name may be a repository without an owner.
        return frozenset(_HUB + "/".join((*kind, *parts[:count])) for count in (1, 2) if len(parts) >= count)
    if not place or "://" in place:
        return None if "/resolve/" in place or "/raw/" in place else frozenset()  # a file of a hub by its URL
    from hf_model_signing._util.paths import true_place
    from hf_model_signing.hashing.hf_cache_snapshot import CachedSnapshot

    snapshot = CachedSnapshot.at(true_place(place))
    if snapshot is not None:
        return frozenset({snapshot.uri})
    real = os.path.realpath(place)
    return None if "blobs" in real.split(os.sep) else frozenset({real})


def _key(deciders: Iterable[Decider], sources: Sources) -> str | None:
    """Return what identifies the guards that must accept these sources; None if none of them has to."""
    marks = set()
    for decider in deciders:
        named: Sequence[str] = [] if sources is None else sorted(each for each in sources if _judges(decider, each))
        if decider.mode is Mode.ENFORCE and (named or sources is None):
            marks.add(" ".join((decider.fingerprint, *filter(None, map(decider.policy.pinned, named)))))
    return hashlib.sha256("\n".join(sorted(marks)).encode()).hexdigest()[:32] if marks else None


def _judges(decider: Decider, source: str) -> bool:
    """Return True if a guard must accept a repository, or a path in a plain directory, or refuses it."""
    if os.path.isabs(source):
        return decider.policy.model_at(source) is not None
    return decider.requires_signature(source)


def _directory(chosen: object, key: str | None, *, trusts: bool) -> object:
    """Return the directory for tables in the one that the program chose; without a key, that one itself."""
    if chosen is None and key is None:
        return None
    base = str(chosen or sys.modules["datasets.config"].HF_DATASETS_CACHE)  # a URL, too
    while _OWN.fullmatch(re.split(r"[/\\]", base)[-1]):
        base = base[: -len(re.split(r"[/\\]", base)[-1]) - 1]
    if key is None:
        return chosen if base == str(chosen) else base
    return f"{base.rstrip('/')}/verified-{key}" if "://" in base or trusts else _private(base, f"verified-{key}")


def _private(base: str, name: str) -> str:
    """Return a directory for tables below `base` or, if others can write there, in the cache of this program."""
    from hf_model_signing.errors import VerificationError
    from hf_model_signing.guarding.private_directory import private_directory
    from hf_model_signing.hashing.shared_files import other_writer

    path = f"{base.rstrip('/')}/{name}"
    other = other_writer(os.path.abspath(path))
    if other is None:
        return path
    try:
        return private_directory("tables", hashlib.sha256(os.fsencode(os.path.abspath(base))).hexdigest()[:16], name)
    except OSError as error:
        raise VerificationError(
            f"{other}, so what is made of verified files cannot be kept there: run `{other.remedy}`, or let "
            f"XDG_CACHE_HOME name a directory that only you can write to ({error})"
        ) from error
