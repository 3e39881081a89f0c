"""The message for text that names no repository, with what to write instead where that is known."""

from __future__ import annotations

import re

from hub_adapters._util.repository_kinds import ANY_PLURAL, BUCKETS, ORG_NAME, PREFIXED

_ID = rf"(?:{'|'.join(PREFIXED)})?(?!(?:{ANY_PLURAL})/)[\w.-]{{1,96}}/[\w.-]{{1,96}}"
_GIT = re.compile(rf"git@(?:hf\.co|huggingface\.co):({_ID}?)(?:\.git)?", re.ASCII)
_FILE = re.compile(rf"({_ID})/[^@\s]+", re.ASCII)
_LONGEST = 300  # characters of the text that the message quotes


def is_git_address(text: str) -> bool:
    """Return True for an address for git; its colon can be in no revision."""
    return _GIT.fullmatch(text) is not None


def not_a_repository(text: str) -> str:
    """Return the message, on one line."""
    shown = f"'{text}'" if text.isprintable() and len(text) <= _LONGEST else f"{text[:_LONGEST]!a}"
    message = f"{shown} is not the name of a repository; expected {ORG_NAME}"
    git, file = _GIT.fullmatch(text), _FILE.fullmatch(text)
    if git:
        return f"{message}: this is an address for git, so write hf://{git[1]}"
    if text.removeprefix("hf://").startswith(BUCKETS):
        return f"{message}: storage buckets hold no signatures, so put the files into a repository and sign that"
    if file and ".." not in text:
        return f"{message}: a signature is of a whole repository, so write hf://{file[1]} and choose files by a pattern"
    return message
