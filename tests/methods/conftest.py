"""Fixtures that record calls of a PKCS #11 module, or let them fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.softhsm import SoftHsm


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, softhsm: SoftHsm) -> Callable[[str], list[Any]]:
    """Record the arguments of each call of a function of the module."""
    from PyKCS11.LowLevel import CPKCS11Lib

    def watch(function: str) -> list[Any]:
        noted: list[Any] = []
        real = getattr(CPKCS11Lib, function)

        def note(self: object, *arguments: object) -> Any:  # noqa: ANN401 - what the module returns
            noted.append(arguments[1:])
            return real(self, *arguments)

        monkeypatch.setattr(CPKCS11Lib, function, note)
        return noted

    return watch


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch, softhsm: SoftHsm) -> Callable[[str, int], None]:
    """Let a function of the module return an error."""
    from PyKCS11.LowLevel import CPKCS11Lib

    return lambda function, code: monkeypatch.setattr(CPKCS11Lib, function, lambda *_: code)
