"""Libraries that read files in another language: Python raises no audit event for the files that they open.

Their entries in Python are replaced on the class or module that has them, where each call looks them up. So a program
that imported the library before the guard was switched on calls the new one as well. The file is looked at like one
that Python opens. Entries that are not listed are not seen; `docs/security.md` says so.
"""

# Why: docs/decisions/011-native-readers.md

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from hf_model_signing.guarding.hooks.open_hook import look_at
from hf_model_signing.guarding.import_hook import after_import


class _Entry(NamedTuple):
    """A function that opens files: its module, its name there, and its arguments that are paths, by their place.

    If they are directories, the file `inside` is looked at. With `accepts_content`, bytes are the content of a file.
    """

    module: str
    name: str
    paths: dict[int, str]
    inside: str = ""
    accepts_content: bool = False


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
    _Entry("torch", "_C.import_ir_module", {1: "filename"}),  # of torch.jit.load
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
    _Entry("pyarrow.parquet.core", "ParquetDataset.__init__", {1: "path_or_paths"}),  # of read_table, and of pandas
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
        for at, name in entry.paths.items():
            path = args[at + skipped] if at + skipped < len(args) else kwargs.get(name)
            if isinstance(path, (str, os.PathLike)) or (isinstance(path, bytes) and not entry.accepts_content):
                look_at(os.path.join(os.fsdecode(path), entry.inside) if entry.inside else path)
        return function(*args, **kwargs)

    return functools.wraps(function)(call) if hasattr(function, "__name__") else call
