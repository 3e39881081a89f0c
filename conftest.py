"""Settings of every test run, and the plugins with fixtures that tests of several folders share."""

from __future__ import annotations

import signal

# Some runners start their jobs with SIGINT ignored, and the programs that tests start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "pytester",
    "tests.needs",
    "tests.scheduling",
    "tests.published_messages",
    "tests.servers.fixtures",
    "tests.servers.sigstore_fixtures",
    "tests.sigstore_js",
    "tests.softhsm",
    "tests.guarded",
    "tests.shared_files",
    "tests.two_versions",
]
