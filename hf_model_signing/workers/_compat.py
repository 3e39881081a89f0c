"""Private parts of Dask's `distributed`: the only module of ours that touches them.

Seen in `distributed` 2026.8.0. `tests/workers/test_compat.py` fails with the name of a part that a release no longer
has.
"""

from __future__ import annotations

from typing import Any


def unpickling_modules() -> tuple[Any, ...]:
    """Return the modules in which `distributed` unpickles what a scheduler sends, each by its global name `pickle`.

    Unpickling runs programs, and there is no setting that would restrict it.
    """
    import distributed.client
    import distributed.protocol.pickle

    return distributed.protocol.pickle, distributed.client
