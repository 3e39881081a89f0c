"""An adapter in another package."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from hub_adapters import ADAPTERS, ENTRY_POINTS, find_adapter
from hub_adapters.errors import HubError
from tests.helpers import ROOT, KeyPair, Outcome, run_program

SHELF = '''
import os
from hub_adapters.errors import HubError
from hub_adapters.interface import HubAdapter, Reference, Resolved, Snapshot

class ShelfAdapter(HubAdapter):
    """Folders of a shelf; all that a hub has to do."""
    hub, title = "shelf", "the Shelf"

    @classmethod
    def parse(cls, text):
        return Reference(cls.hub, "model", text.removeprefix("shelf://")) if text.startswith("shelf://") else None

    def resolve(self, reference):
        return Resolved(reference, reference.name, "")

    def fetch(self, resolved, files=None, *, to=None, options=None):
        return Snapshot(os.path.join(os.environ["SHELF"], resolved.name), "", pins={"shelf_mark": "B 7"})
'''

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package as pip does; return its directory."""

    def install(code: str, *points: str) -> Path:
        site = tmp_path / "site"
        (site / "shelf_hub-1.0.dist-info").mkdir(parents=True)
        (site / "shelf_hub.py").write_text(code)
        (site / "shelf_hub-1.0.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: shelf-hub\nVersion: 1.0\n"
        )
        lines = "\n".join((f"[{ENTRY_POINTS}]", *points))
        (site / "shelf_hub-1.0.dist-info" / "entry_points.txt").write_text(lines)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, "shelf_hub", raising=False)
        return site

    return install


def _run(site: Path, *arguments: str | Path) -> Outcome:
    shelf = {"SHELF": str(site.parent), "PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))}
    return run_program(*arguments, cwd=site.parent, **shelf)


def test_hub_of_another_package(install: Install, model: Path, pair: KeyPair) -> None:
    site = install(SHELF, "shelf = shelf_hub:ShelfAdapter")
    signed = _run(site, "sign", "key", "--private-key", pair.private, "shelf://model")
    assert signed.code == 0, signed.err
    verified = _run(site, "--json", "verify", "key", "--public-key", pair.public, "shelf://model")
    assert verified.document["path"] == str(model)
    assert verified.document["uri"] == "shelf://model"
    assert verified.document["annotations"]["shelf_mark"] == "B 7"
    (model / "config.json").write_text("{}")
    assert _run(site, "verify", "key", "--public-key", pair.public, "shelf://model").code == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("push", "--private-key"), "the Shelf takes no commits: `hf-sign sign … shelf://model` writes the signature"),
        (("push", "--remote", "--private-key"), "the Shelf takes no commits"),
        (("pull", "--public-key"), "the Shelf has no signatures beside its models: `hf-sign verify METHOD"),
        (
            ("digest", "--with", "a.bin"),
            "the Shelf gives whole models: there is nothing to name beside 'shelf://model'",
        ),
    ],
)
def test_what_a_hub_cannot_do(
    install: Install, model: Path, pair: KeyPair, arguments: tuple[str, ...], sentence: str
) -> None:
    site = install(SHELF, "shelf = shelf_hub:ShelfAdapter")
    keys = {"--private-key": [pair.private], "--public-key": [pair.public]}.get(arguments[-1], [])
    done = _run(site, *arguments, *keys, "shelf://model")
    assert done.code == 2
    assert sentence in done.err


def test_interface_says_what_it_cannot_do(install: Install) -> None:
    install(SHELF, "shelf = shelf_hub:ShelfAdapter")
    found = find_adapter("shelf://model")
    assert found is not None
    adapter, reference = found
    resolved = adapter.resolve(reference)
    with pytest.raises(HubError, match="the Shelf lists no digests: 'shelf://model' has to be downloaded to be hashed"):
        adapter.remote_manifest(resolved)
    with pytest.raises(HubError, match="the Shelf takes no commits"):
        adapter.publish(resolved, {}, message="")
    with pytest.raises(HubError, match="the Shelf takes no commits"):
        adapter.check_writable(resolved, "model.sig")
    assert (adapter.lists_files, adapter.takes_commits, adapter.cached(reference)) == (False, False, None)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "import nothing_of_this_name",
            "the package 'shelf-hub' has an adapter for shelf:// that cannot be loaded: No mod",
        ),
        ("", "has an adapter for shelf:// that cannot be loaded: module 'shelf_hub' has no attribute 'ShelfAdapter'"),
        (SHELF.replace("def fetch", "def fetched"), "the adapter of the package 'shelf-hub' for shelf:// lacks fetch"),
        ("ShelfAdapter = 7", "what the package 'shelf-hub' has for shelf:// is no HubAdapter"),
    ],
)
def test_entry_point_that_is_not_an_adapter(install: Install, code: str, sentence: str) -> None:
    site = install(code, "shelf = shelf_hub:ShelfAdapter")
    with pytest.raises(HubError, match=sentence):
        find_adapter("shelf://model")
    assert find_adapter("tfhub://acme/m/1")
    assert find_adapter("https://host/a.onnx")
    assert _run(site, "digest", "shelf://model").code == 3


def test_typing_error_shows_all_hubs(install: Install) -> None:
    install(SHELF, "shelf = shelf_hub:ShelfAdapter")
    with pytest.raises(HubError, match="known are hf://, tfhub://, torchhub://, https://, shelf://"):
        find_adapter("shlef://model")


def test_no_package_replaces_our_adapters(install: Install) -> None:
    install(SHELF, *(f"{name} = shelf_hub:ShelfAdapter" for name in ADAPTERS))
    for text in ("hf://acme/m", "tfhub://acme/m/1", "torchhub://acme/m", "https://host/a.onnx"):
        found = find_adapter(text)
        assert found is not None
        assert found[0].title != "the Shelf"


def test_package_may_know_web_addresses(install: Install) -> None:
    code = SHELF.replace('text.startswith("shelf://")', 'text.startswith("https://shelf.example/")')
    install(code, "shelf = shelf_hub:ShelfAdapter")
    found = find_adapter("https://shelf.example/model.onnx")
    assert found is not None
    assert found[0].title == "the Shelf"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('return Reference(cls.hub, "model", text', 'return Reference("hf", "model", text'),
        ("    def parse(cls, text):\n", "    def parse(cls, text):\n        raise AttributeError('a mistake')\n"),
        ("    def parse(cls, text):\n", "    def parse(cls, text):\n        raise HubError('a mistake')\n"),
    ],
    ids=["speaks for another hub", "breaks", "fails"],
)
def test_package_cannot_stand_in_the_way(install: Install, old: str, new: str) -> None:
    assert old in SHELF
    code = SHELF.replace('text.startswith("shelf://")', "True").replace(old, new)
    install(code, "shelf = shelf_hub:ShelfAdapter", "http = shelf_hub:Nothing")
    for text in ("https://host/a.onnx", "http://127.0.0.1/a.onnx"):
        found = find_adapter(text)
        assert found is not None
        assert found[0].title == "a web server"
    with pytest.raises(HubError, match="cannot read 'shelf://model': a mistake|names no hub that is known"):
        find_adapter("shelf://model")


def test_no_package_claims_urls_under_our_name(install: Install) -> None:
    code = SHELF.replace('text.startswith("shelf://")', 'text.startswith("https://host/")')
    install(code, *(f"{name} = shelf_hub:ShelfAdapter" for name in ADAPTERS))
    found = find_adapter("https://host/a.onnx")
    assert found is not None
    assert found[0].title == "a web server"


def test_our_own_are_registered_as_well() -> None:
    registered = {point.name: tuple(point.value.split(":")) for point in entry_points(group=ENTRY_POINTS)}
    assert registered.items() >= ADAPTERS.items()
