"""Private parts of other libraries that the guard uses: imports, processes, pools, fork servers, and `http.client`."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import _bootstrap
from types import ModuleType
from typing import Any, NamedTuple

_ended: list[int] = []  # fork servers that will end


def replace_fork_exec(wrap: Callable[[Callable[..., int]], Callable[..., int]]) -> None:
    """Wrap the function that starts the processes of `subprocess` and `multiprocessing`; Windows has none."""
    try:
        import _posixsubprocess
    except ImportError:
        return
    _posixsubprocess.fork_exec = wrapper = wrap(_posixsubprocess.fork_exec)
    loaded = sys.modules.get("subprocess")
    if hasattr(loaded, "_fork_exec"):  # it is taken from the other module when this one is loaded
        loaded._fork_exec = wrapper  # type: ignore[union-attr]


def running_workers() -> list[Any]:
    """Return the processes that this process has started with `multiprocessing`, a library on top or a copy of it."""
    found = [sys.modules[f"{package}.process"].active_children() for package in _packages()]
    return list({id(worker): worker for workers in found for worker in workers}.values())


class PoolFunction(NamedTuple):
    """A function that gives work to a pool of processes, and the attribute of the pool that has its workers."""

    module: ModuleType
    name: str
    workers: str


def pool_functions() -> list[PoolFunction]:
    """Return the functions through which all work for pools goes, in the libraries that are loaded."""
    found = [
        PoolFunction(module, "ProcessPoolExecutor.submit", "_processes")
        for name, module in list(sys.modules.items())
        if name == "concurrent.futures.process" or name.endswith("loky.process_executor")
    ]
    for package in _packages():
        module = sys.modules.get(f"{package}.pool")
        if module is not None:
            is_billiard = not hasattr(module.Pool, "_check_running")
            names = ("apply_async", "_map_async", "imap", "imap_unordered") if is_billiard else ("_check_running",)
            found.extend(PoolFunction(module, f"Pool.{name}", "_pool") for name in names)
    loader = sys.modules.get("torch.utils.data.dataloader")
    if loader is not None:
        found.append(PoolFunction(loader, "_MultiProcessingDataLoaderIter._try_put_index", "_workers"))
    return found


def forget_reusable_executors() -> list[Any]:
    """Let loky make a new reusable executor for the next call of `joblib`; return the workers of those until now.

    An executor that is still used goes on, and another one ends by itself. The lock of loky is not taken, because a
    call holds it while it waits for the end of all work.
    """
    workers: list[Any] = []
    for name, module in list(sys.modules.items()):
        if name.endswith("loky.reusable_executor") and getattr(module, "_executor", None) is not None:
            workers.extend(list(module._executor._processes.values()))
            module._executor = None  # type: ignore[attr-defined]
    return workers


def replace_fork_server() -> None:
    """Let `multiprocessing` start a new fork server for the next worker: a running one has other guards, or none.

    It is not waited for, because each forked process keeps it alive. While workers of it run, it has to stay as well.
    """
    for package in _packages():
        server = getattr(sys.modules.get(f"{package}.forkserver"), "_forkserver", None)
        if server is not None:
            _leave_server(server, sys.modules[f"{package}.process"].active_children())
    for process in list(_ended):
        with suppress(ChildProcessError):
            if not os.waitpid(process, os.WNOHANG)[0]:
                continue
        _ended.remove(process)


def _packages() -> list[str]:
    """Return the loaded packages that have the parts of `multiprocessing`: itself, `multiprocess`, `billiard`."""
    names = [name.removesuffix(".process") for name in list(sys.modules) if name.endswith(".process")]
    return [
        name
        for name in names
        if f"{name}.context" in sys.modules and hasattr(sys.modules[f"{name}.process"], "active_children")
    ]


def _leave_server(server: Any, workers: list[Any]) -> None:  # noqa: ANN401 - a ForkServer
    with server._lock:
        if server._forkserver_alive_fd is not None:
            pid = getattr(server, "_forkserver_pid", None)  # billiard does not keep it
            methods = {getattr(getattr(worker, "_popen", None), "method", None) for worker in workers}
            if "forkserver" not in methods:
                os.close(server._forkserver_alive_fd)  # it ends when nobody has this pipe open
                _ended.extend([pid] if pid is not None else [])
            server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None


def replace_signal_functions(wrap: Callable[[Any], Any], unwrap: Callable[[Any], Any]) -> None:
    """Wrap each handler of a signal that a program sets, or has set; it gets its own one when it asks.

    Those that were set before stay as they are if this is not the main thread. That for the keyboard is Python's own.
    """
    get, put = _signal.getsignal, _signal.signal

    def wrapped(handler: Any) -> Any:  # noqa: ANN401 - a handler or a number
        return wrap(handler) if callable(handler) and handler is not _signal.default_int_handler else handler

    for number in _signal.valid_signals():
        handler = get(number)
        with suppress(ValueError, OSError):
            if wrapped(handler) is not handler:
                put(number, wrapped(handler))
    _signal.getsignal = functools.wraps(get)(lambda number, /: unwrap(get(number)))
    _signal.signal = functools.wraps(put)(lambda number, handler, /: unwrap(put(number, wrapped(handler))))


def wait_for_import(name: str) -> None:
    """Wait until no other thread is loading a module, unless that thread waits for this one."""
    _bootstrap._lock_unlock_module(name)  # type: ignore[attr-defined]


def call_when_loaded(module: ModuleType, callback: Callable[[ModuleType], None]) -> bool:
    """Return False for a module that is loaded; otherwise call `callback` with it when it is.

    The import system marks the end of loading in the `__spec__` of the module, whichever finder has made it.
    """
    spec: Any = getattr(module, "__spec__", None)
    if not getattr(spec, "_initializing", False):
        return False

    class WatchedSpec(type(spec)):  # type: ignore[misc]
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "_initializing" and not value and self.name in sys.modules:  # it is not if loading has failed
                callback(sys.modules[self.name])

    spec.__class__ = WatchedSpec
    return bool(spec._initializing)  # a thread that this one cannot wait for may just have ended it


def unsent_lines(connection: Any) -> list[bytes]:  # noqa: ANN401 - an HTTPConnection
    """Return the lines of the request that a connection of `http.client` is about to send."""
    lines: list[bytes] = connection._buffer
    return lines
