"""The end of a program under `hf-sign run` that a refusal ends: one sentence, and not the traceback of a library.

Libraries raise an error of their own from the refusal, and Python prints the refusal first and their traceback, which
can have 60 lines, below it. With `hf-sign --debug run`, and if the refusal is only the context of another error, the
traceback is printed as well, above the sentence.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

DEBUG_VARIABLE = "HF_SIGN_DEBUG"


def install() -> None:
    """Report a refusal that ends the program in one sentence, from now on; a program may replace the hook."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _report


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    refusal, is_cause = _refusal_in(error)
    if refusal is None or not is_cause or os.environ.get(DEBUG_VARIABLE):
        sys.__excepthook__(kind, error, trace)
    if refusal is None:
        return
    from hf_model_signing._util.text import message_text

    sys.stderr.write(f"hf-sign: refused: {message_text(str(refusal))}\n")
    frames = traceback.extract_tb(trace, limit=1)  # the program itself; the frames of libraries are below it
    if is_cause and frames:
        where = f"{frames[0].filename}:{frames[0].lineno}"
        sys.stderr.write(f"  (at {message_text(where)}; `hf-sign --debug run` shows the traceback)\n")


def _refusal_in(error: BaseException) -> tuple[BaseException | None, bool]:
    """Return the refusal that led to an error, and True if the error is it or was raised explicitly from it."""
    from hf_model_signing.errors import RefusedError

    seen: set[int] = set()
    is_cause, each = True, error
    while id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, RefusedError):
            return each, is_cause
        following = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        if following is None:
            break
        is_cause, each = is_cause and each.__cause__ is not None, following
    return None, False
