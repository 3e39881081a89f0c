"""The file that is to blame when a directory that was there before is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hf_model_signing.hub.mismatch import Blame
from hf_model_signing.oms.difference import MismatchError


@contextmanager
def naming_rejected(directory: str) -> Iterator[None]:
    """If the block refuses changed files in `directory`, say where the content of one is: it stays until it is deleted.

    The content of a file in a cache is the blob that the file leads to.
    """
    try:
        yield
    except MismatchError as error:
        paths = [os.path.realpath(os.path.join(directory, name)) for name in error.difference.changed]
        blame = Blame(sent=False, path=next((path for path in paths if os.path.exists(path)), directory))
        raise MismatchError(f"{error}\n  ({blame.describe()})", error.difference) from error
