"""The limit for the depth of paths, wherever they come from: archives, listings of hubs, signatures, directories.

Without one, whatever is kept for each directory above a file takes memory that is quadratic in the depth. This is the
only implementation in the two packages; `hf_model_signing._util.path_depth` re-exports it.
"""

from __future__ import annotations

MAX_DEPTH = 100  # names in a path; programs that walk the tree may use one level of recursion for each


def is_too_deep(path: str) -> bool:
    """Return True for a path, with `/`, of more names than any file of a model may have."""
    return path.count("/") >= MAX_DEPTH
