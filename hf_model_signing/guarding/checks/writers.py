"""Files that another process is writing: wait until they are complete.

In a cache without links the client copies a file to its place, and other processes see it grow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from hf_model_signing.hashing.file_tree import state_of

MOST_LOOKS = 600  # at a file that is being written, before a load gives up

_PAUSE = 0.1  # seconds between two looks
_STILL = 5  # looks without a change, after which the file is complete


def wait_for_writers(paths: Sequence[str], looks: int) -> tuple[bool, int]:
    """Wait until files are no longer written to, for at most `looks` looks at them.

    Return True if they were written to and no longer are, and the number of looks that are left.
    """
    first = last = [_state(path) for path in paths]
    still = _STILL if _are_still(last) else 0
    while still < _STILL and looks > 0:
        time.sleep(_PAUSE)
        looks -= 1
        now = [_state(path) for path in paths]
        still = still + 1 if now == last else 0
        last = now
    return last != first and still >= _STILL, looks


def _are_still(states: Sequence[tuple[int, ...] | None]) -> bool:
    """Return True if the times of the files tell that they have not changed for as long as one would wait."""
    now = time.time_ns()
    return all(state is not None and max(state[1:3]) + _STILL * _PAUSE * 1e9 < now for state in states)


def _state(path: str) -> tuple[int, ...] | None:
    """Return the file state of the file that a path leads to; None if it leads to no file."""
    try:
        return state_of(os.stat(path))
    except OSError:
        return None
