"""File names are UTF-8 in the program, whatever the locale (rule 12 of the design)."""

from __future__ import annotations

import os
import sys

from hf_model_signing._util.paths import NAMES_ARE_UTF8
from hf_model_signing.cli.streams import STREAMS_OPTION


def read_names_as_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, if the locale has another encoding; does not return then.

    A name is its bytes, read as UTF-8. In Latin-1, `café` would be signed as `cafÃ©`, and what the hub's client writes
    would have other bytes. What the program prints keeps the encoding that it had. Programs that it starts do not
    inherit the mode.
    """
    if NAMES_ARE_UTF8:
        return
    if getattr(sys, "frozen", False) or not sys.executable:
        return  # not started by an interpreter that takes options; names that are not ASCII are refused
    stream = sys.stdout or sys.stderr
    encoding = getattr(stream, "encoding", None) or "utf-8"
    options = ["-X", "utf8", "-X", f"{STREAMS_OPTION}={encoding}"]
    os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])  # noqa: S606 - this very program
