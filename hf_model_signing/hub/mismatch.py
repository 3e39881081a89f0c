"""After a mismatch: the files that caused it, and the removal of those that the next call must download again."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

from hf_model_signing._util.text import show
from hf_model_signing.oms.difference import Difference
from hub_adapters.interface import Snapshot


@dataclass(frozen=True)
class Blame:
    """The origin of the rejected content: `sent` by the hub with this call, or already there at `path`."""

    sent: bool
    path: str

    def describe(self) -> str:
        """Return half a sentence for the user."""
        return (
            "that is what the hub sent" if self.sent else f"it was so already in '{show(self.path)}'; delete it there"
        )


def discard_rejected(
    snapshot: Snapshot, difference: Difference | None, discard: Callable[[Snapshot, Collection[str]], None]
) -> Blame:
    """Remove what this call downloaded and is not what was signed, with `discard`, and return what is to blame.

    Without a `difference` it is not known which file is bad, and all that was newly downloaded is removed. Other files
    stay: they are the user's, or other programs may use them.
    """
    bad = snapshot.fresh
    if difference is not None:
        bad = bad & {*difference.changed, *difference.added}
    # Where the content is: for a file that is a link into the cache, the file that it leads to. It may have been there
    # before this call made the link.
    paths = [os.path.realpath(os.path.join(snapshot.path, name)) for name in (difference.changed if difference else ())]
    paths = [path for path in paths if os.path.exists(path)]
    discard(snapshot, bad)
    left = [path for path in paths if os.path.exists(path)]
    return Blame(sent=bool(bad) and not left, path=left[0] if left else snapshot.path)
