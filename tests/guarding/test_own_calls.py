"""Calls of the guard itself are distinguished from those of a program by their context, as greenlets share a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import copy_context

import pytest

from hf_model_signing._util.hashing_opens import is_hashing, only_hashing
from hf_model_signing.guarding.own_calls import is_adapter_call, is_own_call, own_calls
from hub_adapters.huggingface.response_checks import checked

MARKS: dict[str, tuple[Callable[[], AbstractContextManager[None]], Callable[[], bool]]] = {
    "own call": (own_calls, is_own_call),
    "hashing": (only_hashing, is_hashing),
    "adapter": (lambda: checked("http://127.0.0.1"), is_adapter_call),
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
