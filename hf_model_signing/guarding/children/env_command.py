"""Reads the command line of `env`: the program that it starts, and with which environment."""

from __future__ import annotations

import os
import re
import shlex
import string
from collections.abc import Mapping, Sequence

_ASSIGNMENT = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_LONG = {"unset": "u", "chdir": "C", "split-string": "S", "argv0": "a", "ignore-environment": "i"}
_WITH_VALUE = "uCSaP"


def read_env_command(
    words: Sequence[str], environment: Mapping[str, str], directory: str
) -> tuple[list[str], dict[str, str], str] | None:
    """Return the command that `env` starts, its environment and its directory; None if it starts none."""
    now, rest = dict(environment), list(words)
    while rest and rest[0].startswith("-") and rest[0] != "--":
        for letter, value in _options(rest.pop(0), rest):
            if letter == "i":
                now.clear()
            elif letter == "u":
                now.pop(value, None)
            elif letter == "C":
                directory = os.path.join(directory, value)
            elif letter == "S":
                try:
                    rest[:0] = shlex.split(string.Template(value).safe_substitute(environment))
                except ValueError:
                    return None
    if rest and rest[0] == "--":
        rest.pop(0)
    while rest and (match := _ASSIGNMENT.fullmatch(rest[0])):
        now[match[1]] = match[2]
        rest.pop(0)
    return (rest, now, directory) if rest else None


def _options(word: str, rest: list[str]) -> list[tuple[str, str]]:
    """Return the options in a word, each with its value, which may be the next word."""
    if word == "-":
        return [("i", "")]
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        letter = next((short for long, short in _LONG.items() if name and long.startswith(name)), "")
        if letter and letter in _WITH_VALUE and not equals:
            value = rest.pop(0) if rest else ""
        return [(letter, value)]
    found: list[tuple[str, str]] = []
    for at, letter in enumerate(word[1:], start=1):
        if letter in _WITH_VALUE:
            return [*found, (letter, word[at + 1 :] or (rest.pop(0) if rest else ""))]
        found.append((letter, ""))
    return found
