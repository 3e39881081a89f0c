"""The private parts of `distributed` that we use are there, and do what we use them for."""

from __future__ import annotations

import importlib
import pickle
from typing import Any

import pytest

from hf_model_signing.workers._compat import unpickling_modules
from hf_model_signing.workers.restricted_pickle import plain_values_only
from tests.private_parts import require

pytestmark = pytest.mark.needs("dask")


def test_modules_that_unpickle() -> None:
    for module in unpickling_modules():
        found = require("distributed", module, "pickle", "hf_model_signing/workers/_compat.py")
        assert hasattr(found, "loads")
    assert unpickling_modules()[0].pickle is pickle


def test_values_of_messages_are_unpickled_there() -> None:
    protocol: Any = importlib.import_module("distributed.protocol")
    header, frames = protocol.serialize(pytest.approx(1))
    with plain_values_only(), pytest.raises(TypeError, match="plain"):
        protocol.deserialize(header, frames)
