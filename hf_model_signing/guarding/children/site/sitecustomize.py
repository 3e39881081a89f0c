"""Stops a Python that starts under the guard without `hf-sign`; any other one gets its own `sitecustomize`.

Standard library only, in a syntax that every release of Python reads: it runs in environments of all kinds. Under a
guard that only warns, the program runs. See `docs/decisions/002-pth-file.md`.
"""

import os
import sys

_BOOTSTRAP = "hf_model_signing.guarding.bootstrap"
_mode = os.environ.get("HF_SIGN_MODE")

_is_guarded = os.environ.get("HF_SIGN_GUARD") and (_mode != "off" or os.environ.get("HF_SIGN_GUARDS"))

if _is_guarded and _BOOTSTRAP not in sys.modules:
    try:
        __import__(_BOOTSTRAP)  # it may be installed in a directory of PYTHONPATH, where no `.pth` file is read
    except BaseException:  # noqa: BLE001 - Python would print any error, and run the program
        _word = "warning" if _mode == "warn" else "refused"
        sys.stderr.write(
            "hf-sign: " + _word + ": '" + sys.executable + "' was to run under the guard, and hf-sign is not installed "
            "in it: install it there with pip\n"
        )
        sys.stderr.flush()
        if _mode != "warn":
            os._exit(1)

_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [_path for _path in sys.path if os.path.abspath(_path or os.curdir) != _here]
_own = sys.modules.pop("sitecustomize")
try:
    import sitecustomize  # type: ignore[import-not-found] # noqa: F401 - the next one on the path
except ImportError:
    _error = sys.exc_info()[1]
    if getattr(_error, "name", "sitecustomize") != "sitecustomize":
        raise
    sys.modules["sitecustomize"] = _own
