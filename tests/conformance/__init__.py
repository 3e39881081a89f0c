"""The requirements of the specification, each with a test that fails when it is broken (see docs/conformance.md)."""

from __future__ import annotations

import pytest


def section(*numbers: str) -> pytest.MarkDecorator:
    """Mark a test with the sections of the specification, or of its algorithm registry, that it checks."""
    return pytest.mark.section(*numbers)
