"""The Hugging Face Hub, through huggingface_hub."""

from hub_adapters.huggingface.adapter import HuggingFaceAdapter

__all__ = ["HuggingFaceAdapter"]
