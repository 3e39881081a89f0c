"""Files of a plain directory, each read by its path with the library that it is for, and no other file before it.

Runs in the environment of the libraries. `make` writes them; each reader returns a number that depends on the content.
"""

from __future__ import annotations

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
    (folder / "raw.bin").write_bytes(struct.pack("<8f", *[float(seed + 1)] * 8))
    words = ["[UNK]", *(["a", "b"] if seed else ["b", "a"])]
    Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="[UNK]")).save(
        str(folder / "tokenizer.json")
    )
    (folder / "vocab.txt").write_text("\n".join(words))
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [float(seed + 1)]}), folder / "table.parquet")
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
    "gguf": _gguf,
    "gguf mapped": _gguf_mapped,
}
