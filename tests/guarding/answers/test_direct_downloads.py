"""Downloads from a hub without its client: by each library, and with each spelling of a URL."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests
import urllib3

import hf_model_signing as hms
from hf_model_signing.guarding.answers import hub_content
from hf_model_signing.guarding.answers.hub_content import content_of
from hf_model_signing.guarding.http_request import HttpRequest
from tests.guarded import REPO, Loader, rule
from tests.helpers import KeyPair
from tests.servers.hub import Hub

CONTENT = b'{"hidden_size": 8}\n'
FILE = f"/{REPO}/resolve/main/config.json"
TOKEN = {"Authorization": "Bearer hf_write"}

Get = Callable[[str], bytes]


def _followed(url: str, response: http.client.HTTPResponse, get: Get) -> bytes:
    target = response.getheader("Location")
    return get(urljoin(url, target)) if target else response.read()


def _http_client(url: str) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2])
    connection.request("GET", url.partition(parts.netloc)[2], headers=TOKEN)
    return _followed(url, connection.getresponse(), _http_client)


def _by_hand(url: str) -> bytes:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.putrequest("GET", parts.path, skip_host=True)
    for name, value in {"host": parts.netloc, **TOKEN}.items():
        connection.putheader(name, value)
    connection.endheaders()
    return _followed(url, connection.getresponse(), _by_hand)


def _urllib(url: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=TOKEN)) as response:
        return bytes(response.read())


def _urllib3(url: str) -> bytes:
    return bytes(urllib3.PoolManager().request("GET", url, headers=TOKEN).data)


def _pool(url: str) -> bytes:
    parts = urlsplit(url)
    return bytes(urllib3.HTTPConnectionPool(parts.netloc).urlopen("GET", parts.path, headers=TOKEN).data)


def _httpx() -> Any:  # noqa: ANN401 - the HTTP library of the client
    from huggingface_hub.utils import get_session

    return __import__(type(get_session()).__module__.partition(".")[0])


def _client_session(url: str) -> bytes:
    from huggingface_hub.utils import get_session

    return bytes(get_session().get(url, headers=TOKEN, follow_redirects=True).content)


def _stream(url: str) -> bytes:
    with _httpx().stream("GET", url, headers=TOKEN, follow_redirects=True) as response:
        return b"".join(response.iter_bytes())


def _core(url: str) -> bytes:
    name = _httpx().__name__.replace("httpx", "httpcore")
    response = __import__(name).request("GET", url, headers=TOKEN)
    target = {key.lower(): value for key, value in response.headers}.get(b"location")
    return _core(urljoin(url, target.decode())) if target else bytes(response.content)


def _asynchronous(url: str) -> bytes:
    async def get() -> bytes:
        async with _httpx().AsyncClient(follow_redirects=True) as client:
            return bytes((await client.get(url, headers=TOKEN)).content)

    return asyncio.run(get())


def _aiohttp(url: str) -> bytes:
    aiohttp = pytest.importorskip("aiohttp")

    async def get() -> bytes:
        async with aiohttp.ClientSession() as session, session.get(url, headers=TOKEN) as response:
            return bytes(await response.read())

    return asyncio.run(get())


def _thread(url: str) -> bytes:
    found: list[Any] = []

    def get() -> None:
        try:
            found.append(requests.get(url, headers=TOKEN, timeout=60).content)
        except Exception as error:  # noqa: BLE001 - raised below
            found.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return bytes(found[0])


# A way to download -> the library that the refusal names, and the function.
WAYS: dict[str, tuple[str, Get]] = {
    "requests": ("requests", lambda url: requests.get(url, headers=TOKEN, timeout=60).content),
    "requests, method in another case": (
        "requests",
        lambda url: requests.request("GeT", url, headers=TOKEN, timeout=60).content,
    ),
    "requests in a thread": ("requests", _thread),
    "urllib3": ("urllib3", _urllib3),
    "urllib3 pool": ("urllib3", _pool),
    "urllib": ("urllib", _urllib),
    "http.client": ("http", _http_client),
    "http.client by hand": ("http", _by_hand),
    "httpx": ("httpx2?", lambda url: bytes(_httpx().get(url, headers=TOKEN, follow_redirects=True).content)),
    "httpx stream": ("httpx2?", _stream),
    "httpx, asynchronous": ("httpx2?", _asynchronous),
    "httpcore": ("httpcore2?", _core),
    "session of the client": ("httpx2?", _client_session),
    "aiohttp": ("aiohttp", _aiohttp),
}


@pytest.mark.parametrize("way", WAYS)
def test_of_a_named_repository(loader: Loader, hub: Hub, signed: str, way: str) -> None:
    library, get = WAYS[way]
    assert get(hub.url + FILE) == CONTENT
    expected = rf"main' was not loaded: {library} downloads '.*config"
    with loader.guard(), pytest.raises(hms.VerificationError, match=expected):
        get(hub.url + FILE)
    assert get(hub.url + FILE) == CONTENT


@pytest.mark.parametrize("way", WAYS)
def test_of_others(loader: Loader, hub: Hub, repo: str, acme: KeyPair, way: str) -> None:
    """The rule of a policy decides as for the client, and a request that is not for content is never refused."""
    get = WAYS[way][1]
    with loader.guard():
        assert b'"sha"' in get(f"{hub.url}/api/models/{REPO}")
    loader.write_policy(rule(acme, '"other/*"'), head='default = "allow"')
    with loader.guard():
        assert get(hub.url + FILE) == CONTENT
    loader.write_policy('[[trust]]\nrepos = ["acme/*"]\nunsigned = true\n')
    with loader.guard():
        assert get(hub.url + FILE) == CONTENT
    loader.write_policy(rule(acme))
    with loader.guard(mode="warn"), pytest.warns(hms.GuardWarning, match="downloads"):
        assert get(hub.url + FILE) == CONTENT


@pytest.fixture
def elsewhere(hub: Hub) -> Iterator[str]:
    """A server that redirects to the hub."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", hub.url + FILE)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/file"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("way", ["requests", "urllib3", "urllib", "httpx", "httpx, asynchronous", "aiohttp"])
def test_redirect_from_elsewhere(loader: Loader, signed: str, elsewhere: str, way: str) -> None:
    with loader.guard(), pytest.raises(hms.VerificationError, match="downloads"):
        WAYS[way][1](elsewhere)


def test_honest_calls_of_the_client(loader: Loader, hub: Hub, signed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, HfFileSystem

    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    api = HfApi(endpoint=hub.url, token="hf_write")
    with loader.guard():
        assert api.whoami()["name"]
        assert api.model_info(REPO).sha
        assert [item.path for item in api.list_repo_tree(REPO)]
        assert api.get_paths_info(REPO, ["config.json"])
        assert HfFileSystem(endpoint=hub.url, token="hf_write", skip_instance_cache=True).ls(REPO)
        assert loader.download("config.json")
        assert loader.snapshot()
        hms.pull(REPO, local_dir=str(loader.home / "pulled"), policy=loader.policy, token="hf_write")
        api.upload_file(path_or_fileobj=b"x" * 10, path_in_repo="new.bin", repo_id=REPO)
        assert api.file_exists(REPO, "new.bin")


HUB, PORT = "huggingface.co", 443
# Spellings of a request for content -> its hosts and its target.
CONTENT_REQUESTS: dict[str, tuple[tuple[str, ...], str]] = {
    "plain": ((HUB,), "/acme/model/resolve/main/x"),
    "raw": ((HUB,), "/acme/model/raw/main/x"),
    "legacy name": ((HUB,), "/acme/resolve/main/x"),
    "case of the host": (("HuggingFace.CO",), "/acme/model/resolve/main/x"),
    "port": ((f"{HUB}:443",), "/acme/model/resolve/main/x"),
    "dot at the end": ((f"{HUB}.",), "/acme/model/resolve/main/x"),
    "dot and port": ((f"{HUB}.:443",), "/acme/model/resolve/main/x"),
    "user": ((f"user:password@{HUB}",), "/acme/model/resolve/main/x"),
    "wide letters": (("\uff48uggingface.co",), "/acme/model/resolve/main/x"),
    "short name": (("hf.co",), "/acme/model/resolve/main/x"),
    "host in a header": (("203.0.113.1", HUB), "/acme/model/resolve/main/x"),
    "percent": ((HUB,), "/acme/model/%72esolve/main/x"),
    "percent twice": ((HUB,), "/acme/model/%2572esolve/main/x"),
    "percent slash": ((HUB,), "/acme/model%2Fresolve%2fmain/x"),
    "two slashes": ((HUB,), "//acme///model//resolve/main/x"),
    "backslash": ((HUB,), "/acme/model\\resolve/main/x"),
    "dots": ((HUB,), "/acme/x/../model/resolve/main/x"),
    "dots that leave it": ((HUB,), "/acme/model/resolve/main/../../../../api"),
    "dots with percent": ((HUB,), "/a/%2e%2e/acme/model/./resolve/main/x"),
    "upper case": ((HUB,), "/acme/model/RESOLVE/main/x"),
    "parameters": ((HUB,), "/acme/model/resolve;a=b/main/x"),
    "query": ((HUB,), "/acme/model/resolve/main/x?download=true"),
    "query that is not one": ((HUB,), "/acme/model/resolve/main/x?/api/"),
    "prefix of models": ((HUB,), "/models/acme/model/resolve/main/x"),
    "datasets": ((HUB,), "/datasets/acme/model/resolve/main/x"),
    "spaces": ((HUB,), "/spaces/acme/model/resolve/main/x"),
    "resolve cache": ((HUB,), "/api/resolve-cache/models/acme/model/0123/x"),
    "resolve cache without api": ((HUB,), "/resolve-cache/datasets/acme/model/0123/x"),
    "api": ((HUB,), "/api/models/acme/model/resolve/main/x"),
    "git": ((HUB,), "/acme/model.git/git-upload-pack"),
    "delivery": (("cdn-lfs-us-1.hf.co",), "/repos/01/23/x"),
    "older delivery": (("cdn-lfs.huggingface.co",), "/acme/model/x"),
    "bridge": (("cas-bridge.xethub.hf.co.",), "/xet-bridge-us/x"),
    "endpoint": (("mirror.test:8443",), "/hub/acme/model/resolve/main/x"),
    "endpoint with another port": (("mirror.test",), "/hub/acme/model/resolve/main/x"),
    "endpoint with dots": (("mirror.test",), "/x/../hub/acme/model/resolve/main/x"),
}
OTHER_REQUESTS: dict[str, tuple[tuple[str, ...], str]] = {
    "info": ((HUB,), "/api/models/acme/model"),
    "directory of that name": ((HUB,), "/api/models/acme/model/tree/main/raw/resolve"),
    "page": ((HUB,), "/acme/model"),
    "documentation": ((HUB,), "/docs/hub/en/a/raw/b"),
    "another host": (("example.org",), "/acme/model/resolve/main/x"),
    "another host that ends with it": (("nothuggingface.co",), "/acme/model/resolve/main/x"),
    "host that starts with it": (("huggingface.co.example.org",), "/acme/model/resolve/main/x"),
    "inference": (("router.huggingface.co",), "/v1/models"),
    "another part of the mirror": (("mirror.test",), "/other/acme/model/resolve/main/x"),
}


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.test:8443/hub/")


@pytest.mark.parametrize("spelling", CONTENT_REQUESTS)
def test_content(mirror: None, spelling: str) -> None:
    for method in ("GET", "get", "POST"):
        found = content_of(HttpRequest(method, *CONTENT_REQUESTS[spelling]))
        assert found
        if not found[0].uri.startswith("https:"):
            assert found[0].uri.removesuffix("/model") in ("hf://acme", "hf://datasets/acme", "hf://spaces/acme")
    assert not content_of(HttpRequest("HEAD", *CONTENT_REQUESTS[spelling]))
    assert not content_of(HttpRequest("PUT", *CONTENT_REQUESTS[spelling]))


@pytest.mark.parametrize("spelling", OTHER_REQUESTS)
def test_no_content(mirror: None, spelling: str) -> None:
    assert not content_of(HttpRequest("GET", *OTHER_REQUESTS[spelling]))


# Paths of a hub that are answered with content and name no file, or that take another repository for it.
GENERATED = {
    "/api/datasets/acme/words/parquet/default/train/0.parquet": "hf://datasets/acme/words",
    "/api/datasets/words/parquet/default/train/0.parquet": "hf://datasets/words",
    "/api/datasets/acme/tree/parquet/default/train/0.parquet": "hf://datasets/acme/tree",
    "/api/datasets/acme/words/croissant": "hf://datasets/acme/words",
    "/api/models/acme/model/compare/main..other": "hf://acme/model",
    "/api/models/acme/model/safetensors-metadata/model.safetensors": "hf://acme/model",
    "/api/models/acme/model/not-known-yet": "hf://acme/model",
    "/api/datasets/acme/words/jwt": "hf://datasets/acme/words",
    "/acme/model/blob/main/a.csv": "hf://acme/model",
    "/acme/model/not-known-yet/main/a.csv": "hf://acme/model",
    "/datasets/acme/words/blob/main/a.csv": "hf://datasets/acme/words",
    "/datasets/acme/words/media/main/a.csv": "hf://datasets/acme/words",
    "/datasets/acme/words/MEDIA/main/a.csv": "hf://datasets/acme/words",
    "/widgets/acme/words/resolve/main/a.csv": "hf://widgets/acme/words",
    "/v2/acme/model/blobs/sha256:0123": "hf://acme/model",
    "/resolve-cache/models/gpt2/0123456789012345678901234567890123456789/config.json": "hf://gpt2",
    "/gpt2/resolve/main/raw/a": "hf://gpt2",
}
METADATA = (
    "/api/models",
    "/api/models/gpt2",
    "/api/models/gpt2/revision/main",
    "/api/models/gpt2/tree/main/onnx/a",
    "/api/models/acme/model/xet-read-token/main",
    "/api/spaces/acme/app/runtime",
    "/api/spaces/zero-gpu/quota",
    "/api/whoami-v2",
    "/api/daily_papers/a/b/c/d",
    "/acme/model/tree/main/a/b",
    "/acme/model/discussions/1/files",
    "/acme/model.git/info/refs",
    "/docs/hub/en/a/b/c",
    "/datasets/acme/words/viewer/default/train",
)


@pytest.mark.parametrize(("path", "uri"), GENERATED.items())
def test_generated_content(path: str, uri: str) -> None:
    assert [each.uri for each in content_of(HttpRequest("GET", (HUB,), path))] == [uri]


@pytest.mark.parametrize("path", METADATA)
def test_metadata(path: str) -> None:
    assert not content_of(HttpRequest("GET", (HUB,), path))


@pytest.mark.parametrize("word", ["raw", "resolve", "tree", "revision", "parquet", "blob", "refs", "v2", "datasets"])
def test_names_that_are_words_of_the_parser(word: str) -> None:
    """A repository, or its owner, has the name of a word that the parser knows."""
    for name in (f"acme/{word}", f"{word}/model") if word not in ("v2", "datasets") else (f"acme/{word}",):
        uri = f"hf://{name}"
        for target in (f"/{name}/resolve/main/a", f"/{name}/raw/refs%2Fpr%2F1/a", f"/api/models/{name}/resolve/main/a"):
            assert [each.uri for each in content_of(HttpRequest("GET", (HUB,), target))] == [uri]
        for rest in ("", "/revision/main", "/tree/main/a", "/preupload/main", "/commit/main", "/paths-info/main"):
            assert not content_of(HttpRequest("GET", (HUB,), f"/api/models/{name}{rest}"))
            assert not content_of(HttpRequest("POST", (HUB,), f"/api/models/{name}{rest}"))
        assert not content_of(HttpRequest("GET", (HUB,), f"/{name}/tree/main"))


def test_each_way_to_understand_a_path() -> None:
    target = "/allowed/x/resolve/../../../acme/model/resolve/main/f"
    found = {each.uri for each in content_of(HttpRequest("GET", (HUB,), target))}
    assert found == {"hf://allowed/x", "hf://acme/model"}


@pytest.mark.parametrize("host", ["datasets-server.huggingface.co", "DATASETS-server.mirror.test:8443"])
def test_dataset_viewer(mirror: None, host: str) -> None:
    for target in ("/rows?dataset=acme%2Fwords&offset=0", "/info?dataset=acme/words", "/assets/acme/words/--/a/b.jpg"):
        found = content_of(HttpRequest("GET", (host,), target))
        assert [each.uri for each in found] == ["hf://datasets/acme/words"]
    both = content_of(HttpRequest("GET", (host,), "/rows?dataset=other/words&dataset=acme/words"))
    assert len(both) == 2
    for target in ("/is-valid?dataset=acme/words", "/splits?dataset=acme/words", "/"):
        assert not content_of(HttpRequest("GET", (host,), target))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "0.0.0.0",
        "[::ffff:7f00:1]",
    ],
)
def test_spellings_of_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:5000")
    assert content_of(HttpRequest("GET", (f"{host}:5000",), "/acme/model/resolve/main/x"))
    assert not content_of(HttpRequest("GET", (f"{host}:5001",), "/acme/model/resolve/main/x"))


def test_endpoint_of_an_earlier_call(loader: Loader, signed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program names a hub of its own in a call of the client, and then downloads from it without the client."""
    with loader.guard():
        loader.download("config.json")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://huggingface.co")
    with loader.guard(), pytest.raises(hms.VerificationError, match="requests downloads"):
        requests.get(loader.hub.url + FILE, headers=TOKEN, timeout=60)


def test_number_of_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [(2, 1, 6, "", ("203.0.113.7", 0))])
    assert content_of(HttpRequest("GET", ("203.0.113.7:443",), "/acme/model/resolve/main/x"))
    assert not content_of(HttpRequest("GET", ("203.0.113.8:443",), "/acme/model/resolve/main/x"))


@pytest.mark.parametrize(
    ("address", "target", "names"),
    [
        ("10.0.0.5:9000", "/metrics", []),
        ("10.0.0.5:9000", "/api/v1/query/a/b", []),
        ("10.0.0.5:9000", "/a/b/c/d/e", []),
        ("10.0.0.5:9000", "/acme/model/resolve/main/x", ["mirror.test"]),
        ("8.8.8.8", "/metrics", []),
        ("8.8.8.8", "/acme/model/resolve/main/x", ["huggingface.co", "hf.co", "mirror.test"]),
    ],
)
def test_names_that_are_looked_up(
    mirror: None, monkeypatch: pytest.MonkeyPatch, address: str, target: str, names: list[str]
) -> None:
    """The names of the hubs are looked up only for a path that names a file, and that may be at this address."""
    hub_content._addresses.cache_clear()
    looked_up: list[str] = []

    def getaddrinfo(host: str, *_: object) -> list[object]:
        looked_up.append(host)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://huggingface.co")
    monkeypatch.setattr(hub_content, "named_endpoints", set())
    assert not content_of(HttpRequest("GET", (address,), f"/hub{target}"))
    assert not content_of(HttpRequest("GET", (address,), target))
    assert looked_up == names
    hub_content._addresses.cache_clear()


def test_revisions() -> None:
    paths = {"main": "main", "refs/pr/1": "refs/pr/1", "refs%2Fpr%2F1": "refs/pr/1"}
    for spelled, revision in paths.items():
        found = content_of(HttpRequest("GET", (HUB,), f"/acme/model/resolve/{spelled}/x"))
        assert found[0].revision == revision
