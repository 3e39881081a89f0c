"""Publishes small models with the library that made them. Runs in the environment of the libraries."""

from __future__ import annotations

from collections.abc import Callable


def _transformers(folder: str, repo: str) -> None:
    from transformers import BertModel, BertTokenizer

    BertModel.from_pretrained(folder).push_to_hub(repo)
    BertTokenizer.from_pretrained(folder).push_to_hub(repo)
    BertModel.from_pretrained(folder).save_pretrained(f"{folder}-again", push_to_hub=True, repo_id=repo)


def _diffusers(folder: str, repo: str) -> None:
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline.from_pretrained(folder)
    pipeline.unet.push_to_hub(repo)
    pipeline.push_to_hub(repo)


def _sentence_transformers(folder: str, repo: str) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(folder).push_to_hub(repo, exist_ok=True)


def _datasets(folder: str, repo: str) -> None:
    from datasets import Dataset, DatasetDict

    table = Dataset.from_dict({"number": [1, 2]})
    table.push_to_hub(repo)
    table.push_to_hub(repo, split="test")
    DatasetDict({"train": table}).push_to_hub(repo, "another")
    table.to_iterable_dataset().push_to_hub(repo, "third")


PUBLISH: dict[str, Callable[[str, str], None]] = {
    "transformers": _transformers,
    "diffusers": _diffusers,
    "sentence-transformers": _sentence_transformers,
    "datasets": _datasets,
}


def missing_functions() -> list[str]:
    """Return the functions that the guard knows to publish and that these libraries lack."""
    from importlib import import_module

    from hf_model_signing.guarding.publishing import PUBLISHING_FUNCTIONS

    missing = []
    for function in PUBLISHING_FUNCTIONS:
        found: object = import_module(function.module)
        for part in function.name.split("."):
            found = getattr(found, part, None)
        if not callable(found):
            missing.append(function.name)
    return missing
