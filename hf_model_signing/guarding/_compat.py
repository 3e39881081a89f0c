"""Private parts of the standard library that the guard uses: imports, processes, the fork server, and `http.client`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import _bootstrap
from types import ModuleType
from typing import Any

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
    """Return the processes of `multiprocessing`, and of libraries that build on it, that this process has started."""
    module = sys.modules.get("multiprocessing.process")
    return list(module.active_children()) if module is not None else []


def replace_fork_server() -> None:
    """Let `multiprocessing` start a new fork server for the next worker: a running one has other guards, or none.

    It is not waited for, because each forked process keeps it alive. While workers of it run, it has to stay as well.
    """
    module = sys.modules.get("multiprocessing.forkserver")
    server = getattr(module, "_forkserver", None)
    if server is None:
        return
    with server._lock:
        if server._forkserver_pid is not None:
            has_workers = any(
                getattr(getattr(worker, "_popen", None), "method", None) == "forkserver" for worker in running_workers()
            )
            if not has_workers:
                os.close(server._forkserver_alive_fd)  # it ends when nobody has this pipe open
                _ended.append(server._forkserver_pid)
            server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    for process in list(_ended):
        with suppress(ChildProcessError):
            if not os.waitpid(process, os.WNOHANG)[0]:
                continue
        _ended.remove(process)


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
    return bool(spec._initializing)  # a thread that this one cannot wait for may have ended it meanwhile


def unsent_lines(connection: Any) -> list[bytes]:  # noqa: ANN401 - an HTTPConnection
    """Return the lines of the request that a connection of `http.client` is about to send."""
    lines: list[bytes] = connection._buffer
    return lines
