"""Files of a plain directory, each read by its path with the library that it is for, and no other file before it.

Runs in the environment of the libraries. `make` writes them; each reader returns a number that depends on the content.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

Reader = Callable[[Path], float]


def make(folder: Path, seed: int) -> None:
    """Write a file of each kind."""
    import safetensors.torch
    import torch
    from tokenizers import Tokenizer, models

    tensor = torch.full((8,), float(seed + 1))
    safetensors.torch.save_file({"a": tensor}, folder / "model.safetensors")
    torch.save({"a": tensor}, folder / "model.bin")
    module = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(module.weight, float(seed + 1))
    torch.nn.init.zeros_(module.bias)
    torch.jit.script(module).save(str(folder / "model.pt"))
    torch.jit.script(module)._save_for_lite_interpreter(str(folder / "model.ptl"))
    (folder / "raw.bin").write_bytes(struct.pack("<8f", *[float(seed + 1)] * 8))
    words = ["[UNK]", *(["a", "b"] if seed else ["b", "a"])]
    Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]")).save(
        str(folder / "tokenizer.json")
    )
    (folder / "vocab.txt").write_text("\n".join(words))
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch.export
    import torch.package
    from pyarrow import csv, feather, ipc

    table = pa.table({"a": [float(seed + 1)]})
    (folder / "tables").mkdir(exist_ok=True)
    for name in ("table.parquet", "tables/one.parquet"):
        pq.write_table(table, folder / name)
    csv.write_csv(table, folder / "table.csv")
    feather.write_feather(table, folder / "table.feather")
    (folder / "table.json").write_text(json.dumps({"a": float(seed + 1)}))
    with ipc.new_stream(folder / "table.stream", table.schema) as stream:
        stream.write_table(table)
    (folder / "vocab.json").write_text(json.dumps({word: at for at, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "words.txt").write_text("\n".join(words[: 2 + seed]))
    exported = torch.export.export(module, (torch.ones(1, 2),))
    torch.export.save(exported, folder / "model.pt2")
    with torch.package.PackageExporter(folder / "package.pt") as package:
        package.save_pickle("values", "value.pkl", float(seed + 1))
    # The header of GGUF: magic, version, numbers of tensors and of key-value pairs; then one pair with a number.
    pair = struct.pack("<Q1sII", 1, b"a", 4, seed + 1)
    (folder / "model.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair)


def _load_file(folder: Path) -> float:
    from safetensors.torch import load_file

    return float(load_file(folder / "model.safetensors")["a"].sum())


def _safe_open(folder: Path) -> float:
    from safetensors import safe_open

    with safe_open(str(folder / "model.safetensors"), framework="pt") as file:
        return float(file.get_tensor("a").sum())


def _safe_open_by_keyword(folder: Path) -> float:
    from safetensors import safe_open

    with safe_open(filename=folder / "model.safetensors", framework="pt") as file:
        return float(file.get_tensor("a").sum())


def _load_file_of_numpy(folder: Path) -> float:
    from safetensors.numpy import load_file

    return float(load_file(folder / "model.safetensors")["a"].sum())


def _torch_load(folder: Path, **how: Any) -> float:  # noqa: ANN401 - as torch
    import torch

    return float(torch.load(folder / "model.bin", **how)["a"].sum())


def _torch_script(folder: Path) -> float:
    import torch

    return float(torch.jit.load(str(folder / "model.pt")).weight.sum())


def _torch_from_file(folder: Path) -> float:
    import torch

    return float(torch.from_file(str(folder / "raw.bin"), size=8).sum())


def _torch_storage(folder: Path) -> float:
    import torch

    return float(torch.UntypedStorage.from_file(str(folder / "raw.bin"), False, 32)[3])


def _tokenizer(folder: Path) -> float:
    from tokenizers import Tokenizer

    return float(Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("a"))


def _word_piece(folder: Path) -> float:
    from tokenizers.models import WordPiece

    return float(WordPiece.from_file(str(folder / "vocab.txt")).token_to_id("a"))


def _vocabulary(folder: Path) -> float:
    from tokenizers.models import WordPiece

    return float(WordPiece.read_file(str(folder / "vocab.txt"))["a"])


def _pandas(folder: Path) -> float:
    import pandas as pd

    return float(pd.read_parquet(str(folder / "table.parquet"))["a"].sum())


def _parquet_table(folder: Path) -> float:
    import pyarrow.parquet as pq

    return float(pq.read_table(str(folder / "table.parquet"))["a"][0].as_py())


def _parquet_file(folder: Path) -> float:
    import pyarrow.parquet as pq

    return float(pq.ParquetFile(folder / "table.parquet").read()["a"][0].as_py())


def _first(table: Any) -> float:  # noqa: ANN401 - a table of pyarrow
    return float(table["a"][0].as_py())


def _parquet_tables(sources: object, **how: object) -> float:
    import pyarrow.parquet as pq

    return _first(pq.read_table(sources, **how))


def _dataset(source: object, **how: object) -> float:
    from pyarrow.dataset import dataset

    return _first(dataset(source, **how).to_table())


def _below(folder: Path) -> object:
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    return SubTreeFileSystem(str(folder), LocalFileSystem())


def _pandas_directory(folder: Path) -> float:
    import pandas as pd

    return float(pd.read_parquet(folder / "tables")["a"].sum())


def _csv(folder: Path) -> float:
    from pyarrow import csv

    return _first(csv.read_csv(folder / "table.csv"))


def _open_csv(folder: Path) -> float:
    from pyarrow import csv

    return _first(csv.open_csv(str(folder / "table.csv")).read_all())


def _json(folder: Path) -> float:
    import pyarrow.json

    return _first(pyarrow.json.read_json(folder / "table.json"))


def _feather(folder: Path) -> float:
    from pyarrow import feather

    return float(feather.read_feather(folder / "table.feather")["a"].sum())


def _ipc_file(folder: Path) -> float:
    from pyarrow import ipc

    return _first(ipc.open_file(str(folder / "table.feather")).read_all())


def _ipc_stream(folder: Path) -> float:
    from pyarrow import ipc

    return _first(ipc.open_stream(str(folder / "table.stream")).read_all())


def _arrow_mapped(folder: Path) -> float:
    import pyarrow as pa

    return _first(pa.ipc.open_stream(pa.memory_map(str(folder / "table.stream"))).read_all())


def _exported(folder: Path) -> float:
    import torch.export

    return float(torch.export.load(folder / "model.pt2").state_dict["weight"].sum())


def _package(folder: Path) -> float:
    import torch.package

    return float(torch.package.PackageImporter(folder / "package.pt").load_pickle("values", "value.pkl"))


def _torch_file(folder: Path) -> float:
    import torch

    reader = torch._C.PyTorchFileReader(str(folder / "package.pt"))
    return float(sum(reader.get_record("values/value.pkl")))


def _pair_encoding(folder: Path, way: str) -> float:
    from tokenizers.models import BPE

    vocabulary, merges = str(folder / "vocab.json"), str(folder / "merges.txt")
    if way == "read":
        return float(BPE.read_file(vocabulary, merges)[0]["a"])
    made = BPE.from_file(vocabulary, merges) if way == "from" else BPE(vocab=vocabulary, merges=merges)
    return float(made.token_to_id("a"))


def _word_level(folder: Path) -> float:
    from tokenizers.models import WordLevel

    return float(WordLevel(str(folder / "vocab.json"), "[UNK]").token_to_id("a"))


def _trained(folder: Path) -> float:
    from tokenizers import Tokenizer, models, trainers

    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.train([str(folder / "words.txt")], trainers.WordLevelTrainer(show_progress=False))
    return float(made.get_vocab_size())


def _lite(folder: Path) -> float:
    import torch
    from torch.jit.mobile import _load_for_lite_interpreter

    return float(_load_for_lite_interpreter(folder / "model.ptl")(torch.ones(1, 2)).sum())


def _open_json(folder: Path) -> float:
    from pyarrow.json import open_json

    return _first(open_json(folder / "table.json").read_all())


def _input_stream(folder: Path) -> float:
    import pyarrow as pa

    return float(sum(pa.input_stream(folder / "raw.bin").read()))


def _statistics(folder: Path) -> float:
    from pyarrow.parquet import read_metadata

    return float(read_metadata(folder / "table.parquet").row_group(0).column(0).statistics.max)


def import_functions() -> None:
    """Import functions by their names, as a program does before it switches the guard on."""
    import pyarrow as pa
    import torch
    from pyarrow import csv, json

    globals().update(
        read_csv=csv.read_csv, read_json=json.read_json, memory_map=pa.memory_map, from_file=torch.from_file
    )


def _imported(name: str) -> Callable[..., Any]:
    if name not in globals():
        import_functions()
    found: Callable[..., Any] = globals()[name]
    return found


def _gguf(folder: Path) -> float:
    """As the package `gguf` reads it."""
    import numpy as np

    return float(np.memmap(folder / "model.gguf", mode="r")[-4:].view("<u4")[0])


def _gguf_mapped(folder: Path) -> float:
    with (folder / "model.gguf").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return float(struct.unpack("<I", data[-4:])[0])


READERS: dict[str, Reader] = {
    "safetensors.torch.load_file": _load_file,
    "safetensors.numpy.load_file": _load_file_of_numpy,
    "safe_open": _safe_open,
    "safe_open by keyword": _safe_open_by_keyword,
    "torch.load": _torch_load,
    "torch.load mapped": lambda folder: _torch_load(folder, mmap=True),
    "torch.jit.load": _torch_script,
    "torch.from_file": _torch_from_file,
    "torch.UntypedStorage": _torch_storage,
    "Tokenizer.from_file": _tokenizer,
    "WordPiece.from_file": _word_piece,
    "WordPiece.read_file": _vocabulary,
    "pandas.read_parquet": _pandas,
    "pyarrow.parquet.read_table": _parquet_table,
    "pyarrow.parquet.ParquetFile": _parquet_file,
    "pyarrow.parquet.read_table of a list": lambda folder: _parquet_tables([str(folder / "table.parquet")]),
    "pyarrow.parquet.read_table of a directory": lambda folder: _parquet_tables(folder / "tables"),
    "pyarrow.parquet.read_table below a file system": lambda folder: _parquet_tables(
        "table.parquet", filesystem=_below(folder)
    ),
    "pandas.read_parquet of a directory": _pandas_directory,
    "pyarrow.dataset": lambda folder: _dataset(folder / "table.parquet"),
    "pyarrow.dataset of a list": lambda folder: _dataset([str(folder / "table.parquet")]),
    "pyarrow.dataset of a directory": lambda folder: _dataset(str(folder / "tables"), format="parquet"),
    "pyarrow.dataset of a URI": lambda folder: _dataset((folder / "table.parquet").as_uri()),
    "pyarrow.dataset of CSV": lambda folder: _dataset(folder / "table.csv", format="csv"),
    "pyarrow.csv.read_csv": _csv,
    "pyarrow.csv.open_csv": _open_csv,
    "pyarrow.json.read_json": _json,
    "pyarrow.feather": _feather,
    "pyarrow.ipc.open_file": _ipc_file,
    "pyarrow.ipc.open_stream": _ipc_stream,
    "pyarrow.memory_map": _arrow_mapped,
    "torch.export.load": _exported,
    "torch.package": _package,
    "torch._C.PyTorchFileReader": _torch_file,
    "BPE of files": lambda folder: _pair_encoding(folder, "made"),
    "BPE.from_file": lambda folder: _pair_encoding(folder, "from"),
    "BPE.read_file": lambda folder: _pair_encoding(folder, "read"),
    "WordLevel of a file": _word_level,
    "Tokenizer.train": _trained,
    "lite interpreter of torch": _lite,
    "pyarrow.json.open_json": _open_json,
    "pyarrow.input_stream": _input_stream,
    "pyarrow.parquet.read_metadata": _statistics,
    "imported read_csv": lambda folder: _first(_imported("read_csv")(folder / "table.csv")),
    "imported read_json": lambda folder: _first(_imported("read_json")(folder / "table.json")),
    "imported memory_map": lambda folder: float(sum(_imported("memory_map")(str(folder / "raw.bin")).read())),
    "imported from_file": lambda folder: float(_imported("from_file")(str(folder / "raw.bin"), size=8).sum()),
    "gguf": _gguf,
    "gguf mapped": _gguf_mapped,
}
