"""Reports of batch and audit; `formats.py` is the table of formats, each of which is one file."""
