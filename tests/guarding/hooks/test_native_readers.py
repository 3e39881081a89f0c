"""Files of a model in a plain directory that libraries read in another language, without an event of Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import hf_model_signing as hms
from tests.guarding.answers.test_plain_models import Machine, machine, sign
from tests.helpers import write_tree

__all__ = ["machine"]

Read = Callable[[Path], object]


def _session(path: object) -> list[float]:
    import numpy as np

    session = import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return [float(number) for number in session.run(None, {"x": np.zeros(2, np.float32)})[0]]


def _hdf5(path: object) -> list[float]:
    with import_module("h5py").File(path) as file:
        return [float(number) for number in file["a"]]


READERS: dict[str, tuple[str, Read]] = {
    "onnxruntime": ("m.onnx", lambda model: _session(str(model / "m.onnx"))),
    "onnxruntime with a path object": ("m.onnx", lambda model: _session(model / "m.onnx")),
    "onnxruntime with data beside the model": ("m.onnx.data", lambda model: _session(model / "m.onnx")),
    "h5py": ("m.h5", lambda model: _hdf5(str(model / "m.h5"))),
    "h5py with a path object": ("m.h5", lambda model: _hdf5(model / "m.h5")),
    "h5py with bytes": ("m.h5", lambda model: _hdf5(bytes(model / "m.h5"))),
}


def _make(folder: Path, value: float) -> None:
    """Write a model that adds `value` to its input, with data in a file beside it, and an HDF5 file."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    added = numpy_helper.from_array(np.full(2, value, np.float32), "b")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "b"], ["y"])], "g", ends[:1], ends[1:], [added])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made.doc_string = str(value)
    onnx.save(made, folder / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    with import_module("h5py").File(folder / "m.h5", "w") as file:
        file["a"] = [value, value]


@pytest.mark.needs("onnx")
@pytest.mark.needs("tensorflow")  # which brings h5py
class TestReaders:
    @pytest.fixture
    def model(self, machine: Machine) -> Path:
        """A signed model."""
        folder = write_tree(machine.models / "adds", {})
        _make(folder, 1)
        return sign(folder, machine.keys)

    @pytest.mark.parametrize("reader", READERS)
    def test_read(self, machine: Machine, model: Path, reader: str, tmp_path: Path) -> None:
        name, read = READERS[reader]
        assert read(model) == [1, 1]
        with machine.guard():
            assert read(model) == [1, 1]
        _make(tmp_path, 2)
        (model / name).write_bytes((tmp_path / name).read_bytes())
        with machine.guard(), pytest.raises(hms.MismatchError):
            read(model)
        assert read(model)

    def test_content(self, machine: Machine, model: Path) -> None:
        """Bytes are the content of a model for `onnxruntime`, and not a path."""
        with machine.guard():
            import onnx

            loaded = onnx.load(model / "m.onnx")
            assert _session(loaded.SerializeToString()) == [1, 1]

    def test_elsewhere(self, machine: Machine, tmp_path: Path) -> None:
        _make(tmp_path, 2)
        with machine.guard():
            assert _session(tmp_path / "m.onnx") == _hdf5(tmp_path / "m.h5") == [2, 2]


LLAMA_CPP = """
class LlamaModel:
    def __init__(self, *, path_model, params=None):
        self.path_model = path_model
"""


def test_llama_cpp(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class like that of `llama_cpp`, which has to be compiled: imported before the second guard is switched on."""
    write_tree(machine.home / "packages", {"llama_cpp/__init__.py": "", "llama_cpp/_internals.py": LLAMA_CPP})
    monkeypatch.syspath_prepend(machine.home / "packages")
    path = str(machine.bert / "model.safetensors")
    for _ in range(2):
        with machine.guard():
            model = import_module("llama_cpp._internals").LlamaModel
            assert model(path_model=path).path_model == path
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[:-1])
        with machine.guard(), pytest.raises(hms.MismatchError):
            model(path_model=path)
        assert model(path_model=path)
        Path(path).write_bytes(content)
    for name in ("llama_cpp._internals", "llama_cpp"):
        monkeypatch.delitem(sys.modules, name)


def test_library_of_cffi(machine: Machine) -> None:
    """`FFI.dlopen` opens a library in C. Another kind of file fails there, unless the guard refuses it before."""
    cffi = import_module("cffi")
    library = machine.bert / "planted.so"
    for _ in range(2):
        with machine.guard():
            assert cffi.FFI().dlopen(None)  # the program itself
            library.write_bytes(b"x")
            with pytest.raises(hms.VerificationError):
                cffi.FFI().dlopen(str(library))
        with pytest.raises(OSError, match="cannot load library"):
            cffi.FFI().dlopen(str(library))
        library.unlink()
