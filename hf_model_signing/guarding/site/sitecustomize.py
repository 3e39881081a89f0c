"""Stops a Python that starts under the guard without `hf-sign`; any other one gets its own `sitecustomize`.

Standard library only: it runs in environments of all kinds. See `docs/decisions/002-pth-file.md`.
"""

import os
import sys

if os.environ.get("HF_SIGN_GUARD") and "hf_model_signing.guarding.bootstrap" not in sys.modules:
    sys.stderr.write(
        f"hf-sign: refused: '{sys.executable}' was to run under the guard, and hf-sign is not installed in it: install "
        "it there with pip\n"
    )
    sys.stderr.flush()
    os._exit(1)

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [_path for _path in sys.path if os.path.abspath(_path or os.curdir) != _here]
_own = sys.modules.pop("sitecustomize")
try:
    import sitecustomize  # type: ignore[import-not-found] # noqa: F401 - the next one on the path
except ImportError as _error:
    if _error.name != "sitecustomize":
        raise
    sys.modules["sitecustomize"] = _own
