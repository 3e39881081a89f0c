"""Fixtures that tests of several folders share."""

from __future__ import annotations

import signal

# Some runners start their jobs with SIGINT ignored, and what tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.servers.fixtures",
    "tests.servers.sigstore_fixtures",
    "tests.sigstore_js",
    "tests.softhsm",
    "tests.guarded",
]
