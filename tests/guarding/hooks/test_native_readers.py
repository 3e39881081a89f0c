"""Files of a model in a plain directory that libraries read in another language, without an event of Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import hf_model_signing as hms
from tests.guarded import rule
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


def _adapter(model: Path) -> list[float]:
    adapter = import_module("onnxruntime").AdapterFormat.read_adapter(str(model / "m.lora"))
    return [float(number) for number in adapter.get_parameters()["w"].numpy()]


def _opened(open_file: Callable[[Any], object]) -> list[float]:
    """Open a file whose content the library does not show, or that it takes for no library of its own."""
    runtime = import_module("onnxruntime")
    with suppress(runtime.capi.onnxruntime_pybind11_state.Fail):
        open_file(runtime)
    return [1, 1]


READERS: dict[str, tuple[str, Read]] = {
    "adapter of onnxruntime": ("m.lora", _adapter),
    "LoraAdapter": ("m.lora", lambda model: _opened(lambda ort: ort.LoraAdapter().Load(str(model / "m.lora")))),
    "ModelCompiler": (
        "m.onnx",
        lambda model: _opened(lambda ort: ort.ModelCompiler(ort.SessionOptions(), str(model / "m.onnx"))),
    ),
    "register_custom_ops_library": (
        "m.so",
        lambda model: _opened(lambda ort: ort.SessionOptions().register_custom_ops_library(str(model / "m.so"))),
    ),
    "register_execution_provider_library": (
        "m.so",
        lambda model: _opened(lambda ort: ort.register_execution_provider_library("own", str(model / "m.so"))),
    ),
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
    (folder / "m.so").write_text(f"no library {value}")
    runtime = import_module("onnxruntime")
    adapter = runtime.AdapterFormat()
    adapter.set_parameters({"w": runtime.OrtValue.ortvalue_from_numpy(np.full(2, value, np.float32))})
    adapter.export_adapter(str(folder / "m.lora"))


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


POLARS = """
class PyLazyFrame:
    @staticmethod
    def new_from_parquet(sources, **_):
        return sources
    new_from_csv = new_from_parquet

class PyDataFrame:
    @staticmethod
    def read_avro(source, *columns):
        return source
"""


class TestPolars:
    """Classes like those of `polars`, in which all of its functions that read files end: `read_parquet`, `scan_csv`."""

    @pytest.fixture
    def polars(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        write_tree(machine.home / "packages", {"polars/__init__.py": "", "polars/polars.py": POLARS})
        monkeypatch.syspath_prepend(machine.home / "packages")
        yield import_module("polars.polars")
        for name in ("polars.polars", "polars"):
            monkeypatch.delitem(sys.modules, name)

    # Each way to name a file of a model that is alone in a directory.
    WAYS: dict[str, Callable[[Any, Path], object]] = {
        "file": lambda polars, model: polars.PyLazyFrame.new_from_parquet(str(model / "data/a.parquet")),
        "list": lambda polars, model: polars.PyLazyFrame.new_from_parquet(sources=[model / "data/a.parquet"]),
        "directory": lambda polars, model: polars.PyLazyFrame.new_from_parquet(sources=[str(model / "data")]),
        "pattern": lambda polars, model: polars.PyLazyFrame.new_from_csv(sources=[f"{model}/*/*.parquet"]),
        "pattern of any depth": lambda polars, model: polars.PyLazyFrame.new_from_csv(sources=[f"{model}/**"]),
        "URI": lambda polars, model: polars.PyLazyFrame.new_from_csv(sources=[(model / "data/a.parquet").as_uri()]),
        "directory behind a link": lambda polars, model: polars.PyLazyFrame.new_from_csv(
            [str(model.parents[3] / "links")]
        ),
        "eager": lambda polars, model: polars.PyDataFrame.read_avro(str(model / "data/a.parquet"), "a"),
    }

    @pytest.mark.parametrize("way", WAYS)
    def test_of_a_model(self, machine: Machine, polars: Any, way: str) -> None:  # noqa: ANN401
        model = sign(write_tree(machine.models / "tables", {"data/a.parquet": b"a"}), machine.keys)
        (machine.home / "links").mkdir()
        for name in ("a", "above"):
            (machine.home / "links" / name).symlink_to(model / "data" if name == "a" else machine.home / "links")
        with machine.guard():
            assert self.WAYS[way](polars, model)
            (model / "data" / "a.parquet").write_bytes(b"b")
            with pytest.raises(hms.VerificationError):
                self.WAYS[way](polars, model)
        assert self.WAYS[way](polars, model)

    @pytest.mark.parametrize(
        "url",
        [
            "hf://datasets/acme/words/data/*.parquet",
            "hf://datasets/acme/words@~parquet/default/train/0000.parquet",
            "https://huggingface.co/datasets/acme/words/resolve/main/a.parquet",
        ],
    )
    def test_downloads(self, machine: Machine, polars: Any, url: str) -> None:  # noqa: ANN401
        """The library downloads from the hub by itself, and nothing verifies what it gets."""
        machine.write_policy(rule(machine.keys, '"hf://datasets/acme/*"'), head='default = "allow"')
        with machine.guard():
            assert polars.PyLazyFrame.new_from_parquet(sources=[url.replace("acme", "other")])
            with pytest.raises(hms.VerificationError, match="polars downloads 'huggingface.co/datasets/acme/words"):
                polars.PyLazyFrame.new_from_parquet(sources=[url])

    def test_of_content(self, machine: Machine, polars: Any) -> None:  # noqa: ANN401
        with machine.guard():
            assert polars.PyLazyFrame.new_from_parquet(sources=[b"content", object()])


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
