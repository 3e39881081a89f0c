"""The paths of a hub: which of them are answered with content of a repository, and of which one.

A path that names a repository counts as content, unless the word behind the name is one that is known to be answered
with metadata or a page. So a route that a hub adds later is content.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hf_model_signing._util.repository_kinds import ANY_PLURAL, BUCKETS
from hf_model_signing.guarding.checks.request import RequestedRevision

CONVERTED = "refs/convert/parquet"  # the branch of what a hub makes of a dataset by itself


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KINDS = frozenset((*ANY_PLURAL.split("|"), BUCKETS.removesuffix("/")))
_FILES = frozenset({"resolve", "raw"})
_COMMIT = re.compile(r"[0-9a-f]{40}")
# The words behind the name of a repository: those of the API that are answered with content, and with metadata.
_API_CONTENT = frozenset({"parquet", "croissant", "compare", "notebook", "safetensors-metadata"})
_API_METADATA = _words(
    "ask-access auth-check batch branch commit commits discussions duplicate events leaderboard lfs-files like likers "
    "paths-info preupload refs resource-group revision scan security-status settings super-squash tag tags tree "
    "treesize user-access-report user-access-request xet-read-token xet-write-token"
)
_OF_SPACES = _words(
    "dev-mode hardware host jwt logs metrics pause restart runtime secrets sleeptime storage variables volumes"
)
# The same for the pages of a hub; `info` is the one of git and of Git LFS.
_PAGE_CONTENT = frozenset({"blob", "blame", "media"})
_PAGES = _words(
    "activity colab commit commits community discussions edit embed files info kaggle logs new settings sql-console "
    "tree upload viewer"
)
_SITE = _words(  # first words of a path that are no owner of a repository
    ".well-known api assets avatars billing blog brand changelog chat collections docs enterprise front inference "
    "inference-endpoints jobs join languages learn login logout mcp metrics new notifications oauth organizations "
    "papers playground posts pricing search settings shop static storage support tasks v1"
)


class FoundContent(NamedTuple):
    """Content of a repository that a path names; with `is_file`, the path can mean nothing else."""

    requested: RequestedRevision
    is_file: bool


def content_at(segments: list[str]) -> FoundContent | None:
    """Return the content that a path below the endpoint of a hub means; None for metadata, pages and other paths."""
    words = [segment.partition(";")[0].strip().lower() for segment in segments]
    is_api = words[:1] == ["api"]
    if is_api:
        segments, words = segments[1:], words[1:]
    if words[:1] == ["resolve-cache"]:  # resolve-cache/KIND/[ORG/]NAME/COMMIT/FILE
        end = 3 if len(segments) > 3 and _COMMIT.fullmatch(words[3]) else 4
        return _found(segments[1:end], segments[end:], is_file=True)
    if words[-1:] == ["git-upload-pack"]:
        return _found(segments[:-1], [], is_file=True)
    if words[:1] == ["v2"] and words[3:4] in (["blobs"], ["manifests"]):  # as a registry of containers
        return _found(segments[1:3], [], is_file=True)
    content, metadata = (_API_CONTENT, _API_METADATA) if is_api else (_PAGE_CONTENT, _PAGES)
    if is_api and words[:1] == ["spaces"]:
        metadata |= _OF_SPACES
    start = 1 if is_api or words[:1] and words[0] in _KINDS else 0
    at = _word_behind(words, start, _FILES | content | metadata)
    if at is None or words[at] in metadata or ".." in words[: at + 1]:
        return None
    if words[at] in _FILES:
        return _found(segments[:at], segments[at + 1 :], is_file=True)
    is_of_repository = words[0] in _KINDS if start else words[0] not in _SITE
    if not is_of_repository or (at == len(words) - 1 and not is_api):
        return None
    revision = [CONVERTED] if is_api else segments[at + 1 :]
    return _found(segments[:at], revision, is_file=False)


def _word_behind(words: list[str], start: int, known: frozenset[str]) -> int | None:
    """Return the place of the word behind the name of a repository, which has one part or two."""
    two, one = start + 2, start + 1
    if two < len(words) and words[two] in known:
        return two
    if one < len(words) - 1 and words[one] in known:
        return one
    if not start and len(words) > 3 and words[3] in _FILES and words[0] not in _SITE:
        return 3  # of a kind that only a later client knows
    return two if two < len(words) else None


def _found(repository: list[str], rest: list[str], *, is_file: bool) -> FoundContent:
    if repository[:1] == ["models"] and len(repository) > 1:
        repository = repository[1:]
    name = "/".join(repository).removesuffix(".git")
    revision = "/".join(rest[: 3 if rest[:1] == ["refs"] else 1])
    return FoundContent(RequestedRevision(f"hf://{name}", revision or "main"), is_file)
