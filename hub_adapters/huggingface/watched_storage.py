"""Deadlines for transfers from and to the Hub's storage by digests (Xet), which native code makes by itself.

`hf_xet` has timeouts for single steps (`HF_XET_CLIENT_READ_TIMEOUT` and others) and repeats what fails, so a server
that sends a byte now and then holds it up for ever. It reports its progress several times a second, and can be stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from hub_adapters import deadlines
from hub_adapters.errors import TransferError
from hub_adapters.http.patience import current_patience
from hub_adapters.http.urls import host_of


class WatchedSession:
    """A session of `hf_xet` whose transfers have to make progress, if they are part of one of our calls."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - of hf_xet
        self._session = session

    def new_file_download_group(self, **options: Any) -> Any:  # noqa: ANN401 - of hf_xet
        """Begin downloads."""
        host = host_of(str(options.get("endpoint")))
        return self._watched(
            self._session.new_file_download_group, options, f"'{host}' sends", deadlines.DEADLINES.call
        )

    def new_upload_commit(self, **options: Any) -> Any:  # noqa: ANN401 - of hf_xet
        """Begin uploads; the storage checks what it has received before it answers, which takes time."""
        seconds = deadlines.DEADLINES.document
        return self._watched(self._session.new_upload_commit, options, "the storage of the hub (Xet) takes", seconds)

    def _watched(self, begin: Callable[..., Any], options: dict[str, Any], who: str, seconds: float) -> Any:  # noqa: ANN401
        if current_patience() is None:
            return begin(**options)
        watch = _StorageWatch(who, seconds, options.get("progress_callback"))
        transfer = begin(**{**options, "progress_callback": watch.report})
        watch.stop = transfer.abort
        return _WatchedTransfer(transfer, watch)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the session
        return getattr(self._session, name)


class _StorageWatch:
    """Stops a transfer that brings too few bytes in some seconds; `report` is the callback for its progress."""

    def __init__(self, who: str, seconds: float, progress: Callable[..., object] | None) -> None:
        self._who, self._seconds, self._progress = who, seconds, progress
        self._began, self._seen = time.monotonic(), 0
        self._least = deadlines.DEADLINES.slowest
        self.stop: Callable[[], object] | None = None
        self.is_over = False

    def report(self, group: Any, *items: Any) -> None:  # noqa: ANN401 - of hf_xet
        """Take a report, and pass it on."""
        count, now = group.total_bytes_completed + group.total_transfer_bytes_completed, time.monotonic()
        if count - self._seen >= self._least:
            self._began, self._seen = now, count
        elif now - self._began >= self._seconds and not self.is_over and self.stop is not None:
            self.is_over = True
            # In a thread of its own: stopping waits for the thread that reports.
            threading.Thread(target=self.stop, name="stop transfer", daemon=True).start()
        if self._progress is not None:
            self._progress(group, *items)

    def error(self) -> TransferError:
        """Return the error for a transfer that was stopped."""
        return TransferError(f"{self._who} too slowly: fewer than {self._least:,} bytes in {self._seconds:g} seconds")


class _WatchedTransfer:
    """A group of transfers, as a context manager that waits for them at its end."""

    def __init__(self, transfer: Any, watch: _StorageWatch) -> None:  # noqa: ANN401 - of hf_xet
        self._transfer, self._watch = transfer, watch

    def __enter__(self) -> _WatchedTransfer:
        self._transfer.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:  # noqa: ANN401 - of hf_xet
        try:
            return self._transfer.__exit__(*error)
        except Exception:
            if self._watch.is_over:
                raise self._watch.error() from None
            raise

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the group
        return getattr(self._transfer, name)
