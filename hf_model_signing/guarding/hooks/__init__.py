"""Hooks in the client, in Python and in other libraries: they see each way to a file."""
