"""Tasks: the work on one repository in one phase of a run."""
