"""Messages for the user, when the caller of a function of the Python API gives no `note` to receive them."""

from __future__ import annotations

import warnings

from hf_model_signing.errors import HubWarning


def ignore(message: str) -> None:
    """Drop a message: it describes what the caller asked for, such as a changed model card."""


def warn(message: str) -> None:
    """Issue a `HubWarning`: the caller must not take an earlier download for the current one without a sign of it."""
    warnings.warn(message, HubWarning, stacklevel=2)
