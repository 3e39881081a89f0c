"""Libraries that read files in another language: Python raises no audit event for the files that they open.

Their entries in Python are replaced on the class or module that has them, where each call looks them up. So a program
that imported the library before the guard was switched on calls the new one as well. The file is looked at like one
that Python opens. Entries that are not listed are not seen; `docs/security.md` says so.
"""

# Why: docs/decisions/011-native-readers.md

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from hf_model_signing.guarding.hooks.http_hook import judge_download
from hf_model_signing.guarding.hooks.open_hook import look_at
from hf_model_signing.guarding.import_hook import after_import


class _Entry(NamedTuple):
    """A function that opens files: its module, its name there, and its arguments that are paths, by their place.

    If they are directories, the file `inside` is looked at. With `EVERY_FILE`, an argument may also be a sequence of
    paths, and a directory or a pattern means every file in it. With `accepts_content`, bytes are the content of a file.
    With `downloads`, the library downloads from a URL by itself.
    """

    module: str
    name: str
    paths: dict[int, str]
    inside: str = ""
    accepts_content: bool = False
    downloads: bool = False


EVERY_FILE = "*"
_TAKE_PATHS = ("BPE", "WordPiece", "WordLevel")

# All of polars that reads files ends here; the module has other names in earlier releases, and for other processors.
_POLARS = ("polars.polars", *(f"_polars_runtime_{kind}._polars_runtime" for kind in ("32", "64", "compat")))
_LAZY = ("csv", "expand_paths", "ipc", "ndjson", "parquet", "scan_lines")
_EAGER = ("avro", "csv", "ipc", "ipc_stream", "json", "ndjson", "parquet")

# A class made in Rust is called with the path, and it has no `__init__`: one is added, which looks at the file.
_ENTRIES = (
    _Entry("safetensors", "safe_open.__init__", {1: "filename"}),
    _Entry("tokenizers", "Tokenizer.from_file", {0: "path"}),
    _Entry("tokenizers", "models.BPE.from_file", {0: "vocab", 1: "merges"}),
    _Entry("tokenizers", "models.BPE.read_file", {0: "vocab", 1: "merges"}),
    _Entry("tokenizers", "models.WordPiece.from_file", {0: "vocab"}),
    _Entry("tokenizers", "models.WordPiece.read_file", {0: "vocab"}),
    _Entry("tokenizers", "models.WordLevel.from_file", {0: "vocab"}),
    _Entry("tokenizers", "models.WordLevel.read_file", {0: "vocab"}),
    *(_Entry("tokenizers", f"models.{model}.__init__", {1: "vocab", 2: "merges"}) for model in _TAKE_PATHS),
    _Entry("tokenizers", "Tokenizer.train", {1: "files"}, inside=EVERY_FILE),
    _Entry("torch", "_C.import_ir_module", {1: "filename"}),  # of torch.jit.load
    # Of torch.export.load and torch.package.PackageImporter; torch.load opens the file itself.
    _Entry("torch", "_C.PyTorchFileReader.__init__", {1: "file_name"}),
    _Entry("torch", "from_file", {0: "filename"}),
    _Entry("torch", "UntypedStorage.from_file", {0: "filename"}),
    _Entry(
        "onnxruntime.capi.onnxruntime_inference_collection",
        "InferenceSession.__init__",
        {1: "path_or_bytes"},
        accepts_content=True,
    ),
    _Entry("h5py", "File.__init__", {1: "name"}),
    _Entry("pyarrow.parquet.core", "ParquetFile.__init__", {1: "source"}),
    # Of read_table, and of pandas.
    _Entry("pyarrow.parquet.core", "ParquetDataset.__init__", {1: "path_or_paths"}, inside=EVERY_FILE),
    _Entry("pyarrow.dataset", "_filesystem_dataset", {0: "source"}, inside=EVERY_FILE),  # of pyarrow.dataset.dataset
    _Entry("pyarrow", "memory_map", {0: "path"}),
    _Entry("pyarrow.csv", "read_csv", {0: "input_file"}),
    _Entry("pyarrow.csv", "open_csv", {0: "input_file"}),
    _Entry("pyarrow.json", "read_json", {0: "input_file"}),
    _Entry("pyarrow.feather", "read_table", {0: "source"}),
    _Entry("pyarrow.feather", "_read_table_internal", {0: "source"}),  # of read_feather
    _Entry("pyarrow.ipc", "RecordBatchFileReader.__init__", {1: "source"}),
    _Entry("pyarrow.ipc", "RecordBatchStreamReader.__init__", {1: "source"}),
    *(
        _Entry(module, f"PyLazyFrame.new_from_{kind}", {0: "sources", 1: "sources"}, inside=EVERY_FILE, downloads=True)
        for module in _POLARS
        for kind in _LAZY
    ),
    *(
        _Entry(module, f"PyDataFrame.read_{kind}", {0: "source"}, inside=EVERY_FILE, downloads=True)
        for module in _POLARS
        for kind in _EAGER
    ),
    _Entry("polars.io.parquet.functions", "_read_parquet_metadata", {0: "source"}, accepts_content=True),
    _Entry("polars.io.ipc.functions", "_read_ipc_schema", {0: "source"}, accepts_content=True),
    _Entry("_cffi_backend", "load_library", {0: "filename"}),  # of FFI.dlopen
    _Entry("sentencepiece", "SentencePieceProcessor.LoadFromFile", {1: "filename"}),
    _Entry("llama_cpp._internals", "LlamaModel.__init__", {1: "path_model"}),
    # Of tf.saved_model.load.
    _Entry(
        "tensorflow.python.saved_model.loader_impl", "parse_saved_model", {0: "export_dir"}, inside="saved_model.pb"
    ),
)

_replaced: set[tuple[int, str]] = set()  # owner and name


def install() -> None:
    """Replace the entries of each library that is loaded, and of the others when they are loaded.

    Raises `ImportError` for a release of a library of which an entry cannot be replaced.
    """
    for name in dict.fromkeys(entry.module for entry in _ENTRIES):
        after_import(name, _hook)


def _hook(module: ModuleType) -> None:
    for entry in _ENTRIES:
        if entry.module == module.__name__:
            *way, name = entry.name.split(".")
            owner: Any = module
            for part in way:
                owner = getattr(owner, part, None)
            if owner is not None and hasattr(owner, name) and (id(owner), name) not in _replaced:
                _replace(owner, name, entry)
                _replaced.add((id(owner), name))


def _replace(owner: Any, name: str, entry: _Entry) -> None:  # noqa: ANN401 - a class or a module
    raw = vars(owner).get(name)
    if isinstance(raw, classmethod) or type(raw).__name__ == "classmethod_descriptor":
        new: Any = classmethod(_looking(lambda cls, *args, **kw: raw.__get__(None, cls)(*args, **kw), entry, skipped=1))
    elif name == "__init__":
        own = getattr(owner, name)
        new = _looking((lambda *_, **__: None) if own is object.__init__ else own, entry)
    elif raw is None or isinstance(raw, staticmethod):  # without one of its own, it has that of a class above
        new = staticmethod(_looking(getattr(owner, name), entry))
    else:
        new = _looking(raw, entry)
    try:
        setattr(owner, name, new)
    except TypeError as error:
        raise ImportError(
            f"this release of {entry.module.partition('.')[0]} cannot be guarded: {entry.name} cannot be replaced"
        ) from error


def _looking(function: Any, entry: _Entry, *, skipped: int = 0) -> Callable[..., Any]:  # noqa: ANN401 - any callable
    """Return a function that looks at the files of a call before `function` opens them."""

    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the function
        base = _base_of(*args, *kwargs.values()) if entry.inside == EVERY_FILE else ""
        for at, name in entry.paths.items():
            given = args[at + skipped] if at + skipped < len(args) else kwargs.get(name)
            for path in _paths(given, entry, base):
                if entry.downloads and "://" in path:
                    judge_download(path, entry.module.partition(".")[0])
                else:
                    look_at(path)
        return function(*args, **kwargs)

    return functools.wraps(function)(call) if hasattr(function, "__name__") else call


def _paths(given: object, entry: _Entry, base: str = "") -> Iterator[str]:
    """Yield the path of each file that a function opens for an argument; relative ones are below `base`."""
    if entry.inside == EVERY_FILE and isinstance(given, (list, tuple, set, frozenset)):
        for each in given:
            yield from _paths(each, entry, base)
    is_content = isinstance(given, bytes) and (entry.accepts_content or entry.inside == EVERY_FILE)
    if is_content or not isinstance(given, (str, bytes, os.PathLike)):
        return
    path = os.path.join(base, _without_scheme(os.fsdecode(given)))
    if entry.inside == EVERY_FILE:
        yield from (path,) if os.path.isfile(path) or "://" in path else _files_at(path)
    else:
        yield os.path.join(path, entry.inside) if entry.inside else path


def _files_at(path: str) -> Iterator[str]:
    """Yield every file below a directory, or that matches a pattern, links followed as libraries do."""
    if not os.path.isdir(path):
        from glob import glob, has_magic  # late: a guarded Python loads this module when it starts

        for each in glob(path, recursive=True) if has_magic(path) else ():
            yield from _files_at(each) if os.path.isdir(each) else (each,)
        return
    known = set[str]()
    for directory, subdirectories, names in os.walk(path, followlinks=True):
        yield from (os.path.join(directory, name) for name in names)
        real = {name: os.path.realpath(os.path.join(directory, name)) for name in subdirectories}
        subdirectories[:] = [name for name in subdirectories if real[name] not in known]  # a link may lead above
        known.update(real.values())


def _without_scheme(path: str) -> str:
    if not path.startswith("file:"):
        return path
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(path).path)


def _base_of(*arguments: object) -> str:
    """Return the directory that a file system of `pyarrow` in the arguments is for."""
    return next((str(each.base_path) for each in arguments if hasattr(each, "base_path")), "")
