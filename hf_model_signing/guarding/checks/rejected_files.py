"""The file that is to blame when a directory that was there before is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from hf_model_signing.hub.mismatch import Blame
from hf_model_signing.oms.difference import MismatchError


@contextmanager
def naming_rejected(directory: str, *, local: bool = False) -> Iterator[None]:
    """If the block refuses changed files in `directory`, say where the content of one is: it stays until it is deleted.

    The content of a file in a cache is the blob that the file leads to. What else lies in a directory of the user's own
    may be the user's: the call needs another `local_dir`.
    """
    try:
        yield
    except MismatchError as error:
        if local and error.difference.added and not error.difference.changed:
            raise MismatchError(f"{error}\n  (name a local_dir that holds nothing else)", error.difference) from error
        paths = [os.path.realpath(os.path.join(directory, name)) for name in error.difference.changed]
        blame = Blame(sent=False, path=next((path for path in paths if os.path.exists(path)), directory))
        raise MismatchError(f"{error}\n  ({blame.describe()})", error.difference) from error
