"""The environment of programs that this one starts for itself: without secrets, which they do not need."""

from __future__ import annotations

import re
from collections.abc import Mapping

# In the names of variables: of this program, of the client, of CI services and clouds.
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|_PIN$|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables whose names do not say that they are secrets."""
    return {name: value for name, value in environment.items() if not _SECRET.search(name)}
