"""The private parts of `distributed` that we use are there, and do what we use them for."""

from __future__ import annotations

import importlib
import pickle
from typing import Any

import pytest

from hf_model_signing.workers._compat import unpickling_modules
from hf_model_signing.workers.no_pickles import no_pickles
from tests.private_parts import require

pytestmark = pytest.mark.needs("dask")


def test_modules_that_unpickle() -> None:
    for module in unpickling_modules():
        found = require("distributed", module, "pickle", "hf_model_signing/workers/_compat.py")
        assert hasattr(found, "loads")
    assert unpickling_modules()[0].pickle is pickle


def test_nothing_is_unpickled_there() -> None:
    protocol: Any = importlib.import_module("distributed.protocol")
    for value in (1, pytest.approx(1)):
        header, frames = protocol.serialize(value, serializers=("pickle",))
        assert protocol.deserialize(header, frames) == value
        with no_pickles(), pytest.raises(TypeError, match="sent a pickle"):
            protocol.deserialize(header, frames)
