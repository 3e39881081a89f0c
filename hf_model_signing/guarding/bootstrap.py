"""Switches the guard on in a Python that starts under it; `hf_sign_guard.pth` in site-packages sees to that.

Nothing that fails here may end in a program that runs unguarded: Python would go on after an error in a `.pth` file.
"""

from __future__ import annotations

import os
import sys


def _stop(error: BaseException) -> None:
    sys.stderr.write(f"hf-sign: refused: this program was to run under the guard, and cannot: {error}\n")
    sys.stderr.flush()
    os._exit(1)


if os.environ.get("HF_SIGN_GUARD"):
    try:
        from hf_model_signing.guarding.guard import start_by_environment

        start_by_environment()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the program does not run
        _stop(error)
