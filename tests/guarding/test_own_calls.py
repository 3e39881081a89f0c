"""Calls of the guard itself are distinguished from those of a program.

They are marked by their context, as greenlets share a thread. What Python runs in the middle of one, in the same
thread and context, is not part of it: signal handlers, and what the garbage collector calls.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
import requests
from tqdm.auto import tqdm

import hf_model_signing as hms
from hf_model_signing._util.hashing_opens import is_hashing, only_hashing
from hf_model_signing.guarding.children import interpreters
from hf_model_signing.guarding.hooks import signal_handlers
from hf_model_signing.guarding.own_calls import is_adapter_call, is_own_call, own_calls
from hub_adapters.huggingface.response_checks import checked
from tests.guarded import REPO, Loader
from tests.servers.hub import Hub

MARKS: dict[str, tuple[Callable[[], AbstractContextManager[None]], Callable[[], bool]]] = {
    "own call": (own_calls, is_own_call),
    "hashing": (only_hashing, is_hashing),
    "adapter": (lambda: checked("http://127.0.0.1"), is_adapter_call),
    "asking": (lambda: interpreters._is_asking.set(True), interpreters.is_asking),
}


@pytest.mark.parametrize("mark", MARKS)
def test_other_contexts_of_the_thread(mark: str) -> None:
    enter, is_marked = MARKS[mark]

    def waits() -> Iterator[bool]:
        with enter(), enter():
            yield is_marked()
            yield is_marked()
        yield is_marked()

    greenlet, call = copy_context(), waits()
    assert greenlet.run(next, call)
    assert not is_marked()
    with enter():
        assert is_marked()
        assert greenlet.run(next, call)
    assert not is_marked()
    assert not greenlet.run(next, call)


Look = Callable[..., object]


class _Cycle:
    """An object that only the garbage collector finds."""

    def __init__(self) -> None:
        self.cycle = self


class _Finalized(_Cycle):
    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def __del__(self) -> None:
        self.look()


class _Callable:
    def __init__(self, look: Look) -> None:
        self.look = look

    def __call__(self, *_: object) -> None:
        self.look()

    def handle(self, *_: object) -> None:
        self.look()


@contextmanager
def _handled(handler: Callable[..., object]) -> Iterator[Callable[[], object]]:
    before = signal.signal(signal.SIGUSR1, handler)
    assert signal.getsignal(signal.SIGUSR1) is handler
    try:
        yield lambda: signal.raise_signal(signal.SIGUSR1)
    finally:
        assert signal.signal(signal.SIGUSR1, before) is handler


@contextmanager
def _handled_before(look: Look) -> Iterator[Callable[[], object]]:
    """A handler that was set before the guard was switched on."""
    _signal: Any = sys.modules["_signal"]

    replaced = _signal.signal, _signal.getsignal
    _signal.signal, _signal.getsignal = (each.__wrapped__ for each in replaced)
    handler = _Callable(look)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        signal_handlers._is_installed.clear()
        signal_handlers.install()
        assert signal.getsignal(signal.SIGUSR1) is handler
        yield lambda: signal.raise_signal(signal.SIGUSR1)
    finally:
        _signal.signal, _signal.getsignal = replaced
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def _collected(make: Callable[[], object]) -> Iterator[Callable[[], object]]:
    """Garbage that is made before the collection, which is quick because it is only of young objects."""
    gc.disable()
    made = [make()]

    def collect() -> None:
        made.clear()
        gc.collect(0)

    yield collect
    gc.enable()


@contextmanager
def _called_back(look: Look, phase: str, at: int) -> Iterator[Callable[[], object]]:
    """A callback of the collector itself, before or behind those of others."""

    def call(now: str, _: object) -> None:
        if now == phase:
            look()

    gc.callbacks.insert(at, call)
    try:
        yield lambda: gc.collect(0)
    finally:
        gc.callbacks.remove(call)


def _with_reference(look: Look) -> object:
    """Garbage with a weak reference that outlives it."""
    made = _Cycle()
    _references.append(weakref.ref(made, look))
    return made


def _with_finalizer(look: Look) -> object:
    made = _Cycle()
    weakref.finalize(made, look)
    return made


def _generator(look: Look) -> Iterator[object]:
    own: list[object] = []
    try:
        yield own
    finally:
        look()


def _suspended(look: Look) -> object:
    """A generator that ends when it is collected."""
    made = _generator(look)
    next(made).append(made)  # type: ignore[attr-defined]
    return None


_references: list[object] = []

# Each way in which Python calls `look` in the middle of something else; what each yields lets it happen.
INTERRUPTIONS: dict[str, Callable[[Look], AbstractContextManager[Callable[[], object]]]] = {
    "finalizer": lambda look: _collected(lambda: _Finalized(look)),
    "weakref callback": lambda look: _collected(lambda: _with_reference(look)),
    "weakref.finalize": lambda look: _collected(lambda: _with_finalizer(look)),
    "generator": lambda look: _collected(lambda: _suspended(look)),
    "callback at the start": lambda look: _called_back(look, "start", len(gc.callbacks)),
    "callback at the end": lambda look: _called_back(look, "stop", 0),
}
if sys.platform != "win32":
    INTERRUPTIONS |= {
        "handler": lambda look: _handled(lambda *_: look()),
        "handler that is a method": lambda look: _handled(_Callable(look).handle),
        "handler that is an object": lambda look: _handled(_Callable(look)),
        "handler that is a partial": lambda look: _handled(functools.partial(lambda *_: look())),
        "handler that was set before": _handled_before,
    }


@pytest.fixture(autouse=True)
def _hook() -> None:
    signal_handlers.install()


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize("mark", MARKS)
def test_interruption(mark: str, interruption: str) -> None:
    enter, is_marked = MARKS[mark]
    found: list[object] = []

    def look(*_: object) -> None:
        found.append(is_marked())
        with enter():
            found.append(is_marked())
        found.append(is_marked())

    if "callback at the" in interruption:
        with enter(), INTERRUPTIONS[interruption](look) as interrupt:
            interrupt()
            assert is_marked()
    else:
        with INTERRUPTIONS[interruption](look) as interrupt, enter():
            interrupt()
            assert is_marked()
    assert found == [False, True, False]
    assert not is_marked()


def test_interruption_of_an_interruption() -> None:
    found: list[bool] = []

    def inner(*_: object) -> None:
        found.append(is_own_call())

    def outer(*_: object) -> None:
        found.append(is_own_call())
        with INTERRUPTIONS["handler"](inner) as interrupt, own_calls():
            interrupt()
            found.append(is_own_call())

    with INTERRUPTIONS["finalizer"](outer) as interrupt, own_calls():
        interrupt()
        found.append(is_own_call())
    assert found == [False, False, True, True]


def test_handler_that_raises() -> None:
    def handle(*_: object) -> None:
        raise LookupError

    with INTERRUPTIONS["handler"](handle) as interrupt, own_calls():
        with pytest.raises(LookupError):
            interrupt()
        assert is_own_call()


def test_collection_in_another_thread() -> None:
    """It does not interrupt this one, also while it goes on."""
    started, ends, found = threading.Event(), threading.Event(), []

    def look() -> None:
        found.append(is_own_call())
        started.set()
        ends.wait(10)

    with own_calls(), INTERRUPTIONS["finalizer"](look) as interrupt:
        thread = threading.Thread(target=copy_context().run, args=(interrupt,))
        thread.start()
        started.wait(10)
        assert is_own_call()
        with own_calls():
            assert is_own_call()
        ends.set()
        thread.join()
        assert is_own_call()
    assert found == [False]


def test_nothing_is_left_in_the_collector() -> None:
    before = list(gc.callbacks)
    with own_calls(), own_calls():
        assert len(gc.callbacks) > len(before)
    assert gc.callbacks == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals of users")
def test_signals_work_as_before() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    assert signal.signal(signal.SIGUSR2, signal.SIG_IGN) is signal.SIG_DFL
    assert signal.signal(signal.SIGUSR2, signal.SIG_DFL) is signal.SIG_IGN
    with pytest.raises(TypeError):
        signal.signal(signal.SIGUSR2, None)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of users")
class TestLoads:
    """A load in an interruption of the guard's own download is verified like any other."""

    @pytest.fixture
    def other(self, hub: Hub) -> str:
        hub.create_repo("acme/other")
        hub.commit("acme/other", {"config.json": b"evil"})
        return "acme/other"

    @pytest.mark.parametrize("interruption", ["handler", "finalizer", "weakref callback"])
    def test_load(self, loader: Loader, hub: Hub, signed: str, other: str, interruption: str) -> None:
        loader.download("config.json", other)
        planted = next(loader.folder(other).glob("snapshots/*/config.json"))
        ways: dict[str, Callable[[], object]] = {
            "download": lambda: loader.download("config.json", other),
            "snapshot": lambda: loader.snapshot(other),
            "open": planted.read_bytes,
            "request": lambda: requests.get(f"{hub.url}/{other}/resolve/main/config.json", timeout=9),
            "honest": lambda: Path(loader.download("README.md", REPO)).read_bytes(),
        }
        found: dict[str, object] = {}

        def load(*_: object) -> None:
            for way in ways:
                try:
                    found[way] = ways[way]()
                except hms.VerificationError:
                    found[way] = "refused"

        interrupt: list[Callable[[], object]] = []

        class Bar(tqdm):  # type: ignore[type-arg]
            """A progress bar, which the client makes in the middle of a download."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as tqdm
                assert is_own_call()
                interrupt.pop()()
                super().__init__(*args, **kwargs)

        with loader.guard(), INTERRUPTIONS[interruption](load) as interrupt_now:
            interrupt.append(interrupt_now)
            assert os.path.getsize(loader.download("model.safetensors", tqdm_class=Bar))
        refused = dict.fromkeys(("download", "snapshot", "open", "request"), "refused")
        assert found == {**refused, "honest": b"# A model\n"}

    def test_signal_in_the_middle_of_a_request(self, loader: Loader, hub: Hub, signed: str, other: str) -> None:
        found: list[object] = []

        def load(*_: object) -> None:
            found.append(is_own_call())
            with pytest.raises(hms.VerificationError):
                loader.download("config.json", other)

        main = threading.main_thread().ident
        assert main is not None
        hub.before("GET", "config.json", lambda _: signal.pthread_kill(main, signal.SIGUSR1), times=1)
        with loader.guard(), INTERRUPTIONS["handler"](load):
            assert loader.download("config.json")
        assert found == [False]
