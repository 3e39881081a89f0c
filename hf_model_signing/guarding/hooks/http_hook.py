"""The hook in HTTP libraries: programs that download from a hub without its client.

Each library has one function that every request goes through, redirects and retries included. Its code is replaced as
that of the client's functions is; no library is loaded for this. `requests`, `urllib3` and `urllib` use `http.client`,
`httpx` uses `httpcore`; their successors have the same functions.
"""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from hf_model_signing.guarding._compat import unsent_lines
from hf_model_signing.guarding.code_swap import copy_function, find_function, replace_code
from hf_model_signing.guarding.http_request import HttpRequest
from hf_model_signing.guarding.import_hook import after_import
from hf_model_signing.guarding.own_calls import is_adapter_call, is_own_call

# By module: the function, and how a request is read from its arguments. All of them take `self` first.
_HOOKED = {
    "http.client": "HTTPConnection.endheaders",
    "httpcore._sync.connection_pool": "ConnectionPool.handle_request",
    "httpcore._async.connection_pool": "AsyncConnectionPool.handle_async_request",
    "httpcore2._sync.connection_pool": "ConnectionPool.handle_request",
    "httpcore2._async.connection_pool": "AsyncConnectionPool.handle_async_request",
    "aiohttp.connector": "BaseConnector.connect",
}
_LIBRARIES = ("requests", "urllib3", "urllib", "http", "httpx", "httpcore", "httpx2", "httpcore2", "aiohttp", "fsspec")
_CLIENT = "huggingface_hub"
_OWN = "hub_adapters.http."  # downloads of other hubs; those of this one are recognized by their thread

# The path of a file behind `hf://`.
_OF_HUB = re.compile(r"(?:models/)?(?P<repository>(?:[a-z]+s/)?[^/]+/[^/@]+)(?:@(?P<revision>[^/]+))?/(?P<name>.+)")

# Called with a request, and a function that returns the name of the library; raises to refuse.
Handler = Callable[[HttpRequest, Callable[[], str]], None]

_handlers: list[Handler] = []  # none or one
_originals: dict[str, Callable[..., Any]] = {}
_hooked: list[FunctionType] = []
_lock = threading.RLock()


def install(handler: Handler) -> None:
    """Call `handler` for every request of a library that is loaded, or is loaded later."""
    _handlers[:] = [handler]
    for name in _HOOKED:
        after_import(name, _hook)


def send(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - as the hooked function
    """Run a hooked function, unless the handler refuses the request that it is about to send."""
    if _handlers and not is_own_call() and not is_adapter_call():
        request = _read(name, args, kwargs)
        if request is not None:
            _handlers[0](request, _library)
    return _originals[name](*args, **kwargs)


def judge_download(url: str, library: str) -> None:
    """Call the handler for what a library in another language is about to download: a URL, or `hf://` as a path."""
    scheme, _, rest = url.partition("://")
    host, _, path = ("huggingface.co", "", rest) if scheme == "hf" else rest.partition("/")
    found = _OF_HUB.fullmatch(path) if scheme == "hf" else None
    if found:
        path = f"{found['repository']}/resolve/{found['revision'] or 'main'}/{found['name']}"
    if _handlers and not is_own_call() and not is_adapter_call():
        _handlers[0](HttpRequest("GET", (host,), f"/{path}"), lambda: library)


def _hook(module: ModuleType) -> None:
    with _lock:
        name = module.__name__
        function = find_function(module, _HOOKED[name])
        if function is not None and not any(function is each for each in _hooked):
            _hooked.append(function)
            _originals[name] = copy_function(function)
            replace_code(name, function, _stand_in)


def _stand_in(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - its code replaces that of any hooked function
    # The code runs with the globals of the library's module, so every name that it uses has to be imported in it.
    from hf_model_signing.guarding.hooks.http_hook import send

    return send("@name", args, kwargs)


def _read(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> HttpRequest | None:
    """Return the request of a call; None if there is none, as when a library asks for a tunnel."""
    if name == "http.client":
        return _of_connection(args[0])
    request: Any = args[1] if len(args) > 1 else kwargs.get("request", kwargs.get("req"))
    if name == "aiohttp.connector":
        url, named = request.url, request.headers.getall("Host", [])
        return HttpRequest(request.method, (url.raw_host or "", *named), url.raw_path_qs)
    named = [value.decode("latin-1") for key, value in request.headers if key.lower() == b"host"]
    host, target = (part.decode("latin-1") for part in (request.url.host, request.url.target))
    return HttpRequest(request.method.decode("ascii"), (host, *named), target)


def _of_connection(connection: Any) -> HttpRequest | None:  # noqa: ANN401 - an HTTPConnection
    lines = [line.decode("latin-1") for line in unsent_lines(connection)]
    method, _, rest = (lines or [""])[0].partition(" ")
    target = rest.rpartition(" ")[0]
    tunnel = getattr(connection, "_tunnel_host", None)
    named = [line.partition(":")[2] for line in lines[1:] if line.partition(":")[0].strip().lower() == "host"]
    hosts = [str(host) for host in (connection.host, tunnel) if host]
    if "://" in target:  # through a proxy
        host, _, path = target.partition("://")[2].partition("/")
        hosts, target = [*hosts, host], f"/{path}"
    return HttpRequest(method, (*hosts, *(name.strip() for name in named)), target) if method else None


def _library() -> str:
    """Return the library that the program has called; "" if an adapter of ours downloads, whose caller verifies."""
    frame = inspect.currentframe()
    found = "a library"
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        package = module.partition(".")[0]
        if module.startswith(_OWN):
            return ""
        if package == _CLIENT:
            return _CLIENT
        if package in _LIBRARIES:
            found = package
        frame = frame.f_back
    return found
