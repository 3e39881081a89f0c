"""Opening the browser of this machine at an address that no other user of the machine may see.

Every user sees the command lines of all processes. Who knows the address of a sign-in, with its `state` and its
challenge, can sign in there, and is then the signer. So the browser is handed a private file that leads to it.
"""

from __future__ import annotations

import contextlib
import html
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hf_model_signing._util.child_environment import without_secrets

_PAGE = """<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}"><title>hf-sign</title>
<p><a href="{address}">Go on to sign in</a>
"""
# In a process of its own: the module that knows the browsers hands its own environment on to them.
_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


@contextlib.contextmanager
def private_page(address: str) -> Iterator[str]:
    """Yield the `file:` URL of a page that only this user can read, and that leads to `address` at once."""
    with tempfile.TemporaryDirectory(prefix="hf-sign-", ignore_cleanup_errors=True) as folder:
        page = Path(folder, "sign-in.html")
        with open(page, "x", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(_PAGE.format(address=html.escape(address)))
        yield page.as_uri()


def open_browser(address: str) -> bool:
    """Open the browser, which gets none of the secrets in our environment; return false if there is none.

    Some browsers return at once, others when they are closed.
    """
    try:
        command = [sys.executable, "-I", "-c", _OPEN, address]
        return subprocess.run(command, env=without_secrets(os.environ), check=False).returncode == 0  # noqa: S603 - our own interpreter
    except OSError:
        return False
