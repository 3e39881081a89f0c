"""Zips like those that GitHub makes of repositories."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping


def plain_zip(files: Mapping[str, bytes], comment: bytes = b"") -> bytes:
    """Return a zip of files with the comment in which `git archive` writes the commit."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment
    return data.getvalue()
