"""`python -m hf_model_signing` is `hf-sign`."""

from __future__ import annotations

from hf_model_signing.cli.main import main

if __name__ == "__main__":
    main()
