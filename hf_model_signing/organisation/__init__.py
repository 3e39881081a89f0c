"""Batch and audit of whole organisations.

`batch.py` and `audit.py` are the entry points. A run (`run.py`) applies a task of `tasks/` to each repository. The
scheduler starts tasks in threads, and the recorder writes their results into the journal and makes reports.
"""
