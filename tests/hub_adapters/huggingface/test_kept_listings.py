"""Lists of files that the client keeps in its cache."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub_adapters.huggingface import kept_listings
from hub_adapters.huggingface.response_checks import checked
from tests.private_parts import require

_COMMIT = "0" * 40
_USED_BY = "hub_adapters/huggingface/_compat.py"


def test_list_that_could_take_too_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub._tree_cache as cache

    require("huggingface_hub", cache, "json", _USED_BY)
    require("huggingface_hub", cache, "read_tree_cache", _USED_BY)
    kept_listings.bound_kept_listings()
    kept_listings.bound_kept_listings()  # does nothing
    entry = cache.TreeCacheEntry(size=1, blob_id="0" * 40, lfs_sha256=None, lfs_size=None, xet_hash=None)
    cache.write_tree_cache(str(tmp_path), _COMMIT, {"f": entry})
    cache._IN_MEMORY_TREE_CACHE.clear()
    assert cache.read_tree_cache(str(tmp_path), _COMMIT) == {"f": entry}
    (path,) = tmp_path.rglob("*.json")
    kept = json.loads(path.read_text())
    kept["files"] |= {f"f{number}": {"size": 1, "blob_id": "0" * 40} for number in range(100)}
    path.write_text(json.dumps(kept))
    cache._IN_MEMORY_TREE_CACHE.clear()
    monkeypatch.setattr(kept_listings, "LARGEST_LISTING", 50_000)
    assert cache.read_tree_cache(str(tmp_path), _COMMIT) is None


def test_each_request_of_ours_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub._tree_cache as cache

    monkeypatch.setattr(cache, "json", json)
    with checked("http://hub"):
        assert getattr(cache, "json") is not json  # noqa: B009 - mypy knows what it was set to
