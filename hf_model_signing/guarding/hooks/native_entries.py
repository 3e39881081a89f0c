"""The entries of libraries that read files in another language: the one table of them."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
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
_ONNXRUNTIME = "onnxruntime.capi"
_TAKE_PATHS = ("BPE", "WordPiece", "WordLevel")
_MOBILE = (
    "_load_for_lite_interpreter",
    "_load_jit_module_from_file",
    "_load_mobile_module_from_file",
    "_get_model_extra_files",
    "_get_model_ops_and_info",
    "_get_model_bytecode_version",
    "_get_mobile_model_contained_types",
)

# All of polars that reads files ends here; the module has other names in earlier releases, and for other processors.
_POLARS = ("polars.polars", *(f"_polars_runtime_{kind}._polars_runtime" for kind in ("32", "64", "compat")))
_LAZY = ("csv", "expand_paths", "ipc", "ndjson", "parquet", "scan_lines")
_EAGER = ("avro", "csv", "ipc", "ipc_stream", "json", "ndjson", "parquet")

# A class made in Rust is called with the path, and it has no `__init__`: one is added, which looks at the file.
ENTRIES = (
    Entry("safetensors", "safe_open.__init__", {1: "filename"}),
    Entry("tokenizers", "Tokenizer.from_file", {0: "path"}),
    Entry("tokenizers", "models.BPE.from_file", {0: "vocab", 1: "merges"}),
    Entry("tokenizers", "models.BPE.read_file", {0: "vocab", 1: "merges"}),
    Entry("tokenizers", "models.WordPiece.from_file", {0: "vocab"}),
    Entry("tokenizers", "models.WordPiece.read_file", {0: "vocab"}),
    Entry("tokenizers", "models.WordLevel.from_file", {0: "vocab"}),
    Entry("tokenizers", "models.WordLevel.read_file", {0: "vocab"}),
    *(Entry("tokenizers", f"models.{model}.__init__", {1: "vocab", 2: "merges"}) for model in _TAKE_PATHS),
    Entry("tokenizers", "Tokenizer.train", {1: "files"}, inside=EVERY_FILE),
    Entry("torch", "_C.import_ir_module", {1: "filename"}),  # of torch.jit.load
    *(Entry("torch", f"_C.{name}", {0: "filename"}) for name in _MOBILE),
    # Of torch.export.load and torch.package.PackageImporter; torch.load opens the file itself.
    Entry("torch", "_C.PyTorchFileReader.__init__", {1: "file_name"}),
    Entry("torch", "from_file", {0: "filename"}),
    Entry("torch", "UntypedStorage.from_file", {0: "filename"}),
    Entry(
        f"{_ONNXRUNTIME}.onnxruntime_inference_collection",
        "InferenceSession.__init__",
        {1: "path_or_bytes"},
        accepts_content=True,
    ),
    Entry(f"{_ONNXRUNTIME}.onnxruntime_inference_collection", "AdapterFormat.read_adapter", {0: "file_path"}),
    Entry(
        f"{_ONNXRUNTIME}.onnxruntime_inference_collection",
        "ModelCompiler.__init__",
        {2: "input_model_path_or_bytes"},
        accepts_content=True,
    ),
    Entry(f"{_ONNXRUNTIME}.onnxruntime_pybind11_state", "LoraAdapter.Load", {1: "arg0"}),
    Entry(f"{_ONNXRUNTIME}.onnxruntime_pybind11_state", "SessionOptions.register_custom_ops_library", {1: "arg0"}),
    Entry(f"{_ONNXRUNTIME}.onnxruntime_pybind11_state", "register_execution_provider_library", {1: "arg1"}),
    Entry("h5py", "File.__init__", {1: "name"}),
    Entry("pyarrow.parquet.core", "ParquetFile.__init__", {1: "source"}),
    # Of read_table, and of pandas.
    Entry("pyarrow.parquet.core", "ParquetDataset.__init__", {1: "path_or_paths"}, inside=EVERY_FILE),
    Entry("pyarrow.parquet.core", "read_metadata", {0: "where"}),
    Entry("pyarrow.parquet.core", "read_schema", {0: "where"}),
    # The file names those of a dataset, which lie beside it.
    Entry("pyarrow.dataset", "parquet_dataset", {0: "metadata_path"}),
    Entry("pyarrow.dataset", "_filesystem_dataset", {0: "source"}, inside=EVERY_FILE),  # of pyarrow.dataset.dataset
    Entry("pyarrow", "memory_map", {0: "path"}),
    Entry("pyarrow", "input_stream", {0: "source"}, accepts_content=True),
    Entry("pyarrow.csv", "read_csv", {0: "input_file"}),
    Entry("pyarrow.csv", "open_csv", {0: "input_file"}),
    Entry("pyarrow.json", "read_json", {0: "input_file"}),
    Entry("pyarrow.json", "open_json", {0: "input_file"}),
    Entry("pyarrow.feather", "read_table", {0: "source"}),
    Entry("pyarrow.feather", "_read_table_internal", {0: "source"}),  # of read_feather
    Entry("pyarrow.ipc", "RecordBatchFileReader.__init__", {1: "source"}),
    Entry("pyarrow.ipc", "RecordBatchStreamReader.__init__", {1: "source"}),
    *(
        Entry(module, f"PyLazyFrame.new_from_{kind}", {0: "sources", 1: "sources"}, inside=EVERY_FILE, downloads=True)
        for module in _POLARS
        for kind in _LAZY
    ),
    *(
        Entry(module, f"PyDataFrame.read_{kind}", {0: "source"}, inside=EVERY_FILE, downloads=True)
        for module in _POLARS
        for kind in _EAGER
    ),
    Entry("polars.io.parquet.functions", "_read_parquet_metadata", {0: "source"}, accepts_content=True),
    Entry("polars.io.ipc.functions", "_read_ipc_schema", {0: "source"}, accepts_content=True),
    Entry("_cffi_backend", "load_library", {0: "filename"}),  # of FFI.dlopen
    Entry("sentencepiece", "SentencePieceProcessor.LoadFromFile", {1: "filename"}),
    Entry("llama_cpp._internals", "LlamaModel.__init__", {1: "path_model"}),
    # Of tf.saved_model.load.
    Entry("tensorflow.python.saved_model.loader_impl", "parse_saved_model", {0: "export_dir"}, inside="saved_model.pb"),
)
