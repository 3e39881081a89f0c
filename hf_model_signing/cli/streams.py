"""The standard streams of the program: closed, full or of any encoding, they change no outcome (rule 12 of the design).

While a command runs, a write never fails. What failed is kept, and `main` decides what it means for the exit code.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

STREAMS_OPTION = "hf_sign_streams"  # `python -X hf_sign_streams=ENCODING`: see `utf8_names`


class _Lenient(io.BufferedIOBase):
    """Hands bytes to the buffer of a stream; keeps the first error instead of raising it, and drops what follows."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - a standard stream, or what replaces one
        self._stream, self._inner = stream, stream.buffer
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes, or a view of them
        size = memoryview(data).nbytes
        if self.error is None:
            self._try(lambda: self._inner.write(data))
        return size

    def flush(self) -> None:
        if self.error is None:
            self._try(self._inner.flush)

    def close(self) -> None:
        """Leave the inner buffer open: it belongs to Python."""

    def fileno(self) -> int:
        number: int = self._inner.fileno()
        return number

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def _try(self, act: Any) -> None:  # noqa: ANN401 - a call without arguments
        try:
            act()
        except OSError as error:
            self.error = error
            # What is still in the inner buffer would fail again when Python flushes it at exit, which changes the
            # exit code.
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), self._inner.fileno())


@contextlib.contextmanager
def lenient_streams() -> Iterator[Callable[[], OSError | None]]:
    """Replace `sys.stdin`, `sys.stdout` and `sys.stderr` for a while by ones that are always there and never fail.

    Yields a function that returns why something could not be written to stdout. A closed stdout is no error: nobody
    wanted to read.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    out = _lenient(before[1])

    def output_error() -> OSError | None:
        sys.stdout.flush()
        return getattr(out.buffer, "error", None)

    sys.stdin = before[0] or _nothing()
    sys.stdout, sys.stderr = out, _lenient(before[2])
    try:
        yield output_error
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before


def keep_standard_descriptors() -> None:
    """Open the null device in the place of closed streams: no file of this program gets their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def is_broken_pipe(error: OSError) -> bool:
    """Return True if the reader of a pipe has gone, which is its good right."""
    return error.errno in (errno.EPIPE, errno.ESHUTDOWN)


def _lenient(stream: Any) -> Any:  # noqa: ANN401 - a standard stream, or what replaces one
    if stream is None:
        return _nothing()
    if not hasattr(stream, "buffer"):  # text in memory
        return stream
    stream.flush()
    given = getattr(sys, "_xoptions", {}).get(STREAMS_OPTION)  # not every Python has these options
    encoding = given or stream.encoding or "utf-8"
    # A character that the encoding lacks is printed as its escape.
    return io.TextIOWrapper(_Lenient(stream), str(encoding), "backslashreplace", line_buffering=True)


def _nothing() -> io.TextIOWrapper:
    """Return a stream that takes the place of a closed one: it is empty, and what is written there is lost."""
    return io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
