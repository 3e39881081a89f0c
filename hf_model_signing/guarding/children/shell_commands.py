"""Reads the simple commands of a shell's command string, as far as their words can be read without running it.

It is an effort, not a shell: arguments of functions, aliases, loops over names, pipes into a shell and substitutions
inside of words are not followed.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "busybox"})
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "command", "builtin", "coproc", "function"}
)
_OPTIONS = frozenset({"-p", "--"})  # of some of them that do not change what is started
_QUOTED = r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|"""
_TOKEN = re.compile(
    r"(?P<blank>(?:[ \t\r]|\\\n)+|\#[^\n]*)"
    r"|(?P<redirection>\d*&?[<>]+[&|]?(?!\())"
    r"|(?P<operator>[;&|()`\n]+|[<>](?=\())"
    rf"|(?P<word>(?:{_QUOTED}[^\s'\"\\;&|()<>`])+)"
    r"|(?P<other>.)",
    re.DOTALL | re.VERBOSE,
)
_PIECE = re.compile(rf"{_QUOTED}[^'\"\\]+|.", re.DOTALL)
_PARAMETER = re.compile(r"\$\{?(\d)\}?")
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")


class ShellCommand(NamedTuple):
    """A simple command: its words, and the environment and directory in which the shell would start it."""

    words: list[str]
    environment: Mapping[str, str]
    directory: str


def read_commands(
    text: str, environment: Mapping[str, str], directory: str, parameters: Sequence[str] = ()
) -> Iterator[ShellCommand]:
    """Yield the simple commands of a command string; `parameters` are `$0` and those after it."""
    now = dict(environment)
    for tokens, texts in _split(text):
        words = [word for token in tokens for word in _words(token, now, parameters)]
        words = _with_input(words, [_unquoted(token) for token in texts])
        for inner in _SUBSTITUTION.findall(" ".join(word for word in words if " " in word)):
            yield from read_commands(inner[0] or inner[1], now, directory)
        own, rest = _assignments(words)
        if not rest:
            now.update(own)
        elif rest[0] == "cd" and len(rest) > 1:
            directory = os.path.join(directory, rest[-1])
        elif rest[0] in ("export", "declare", "readonly", "typeset"):
            now.update(_assignments([word for word in rest[1:] if not word.startswith("-")])[0])
        elif rest[0] == "unset":
            now = {name: value for name, value in now.items() if name not in rest}
        elif rest[0] in ("eval", "trap"):
            yield from read_commands(" ".join(rest[1:] if rest[0] == "eval" else rest[1:2]), now, directory)
        else:
            yield ShellCommand(*_executed(rest, {**now, **own}), directory)


def _split(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the words of each simple command, without keywords and redirections, and its here-strings."""
    words: list[str] = []
    texts: list[str] = []
    redirection = keyword = ""
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match[0]
        if kind == "operator":
            yield words, texts
            words, texts, redirection, keyword = [], [], "", ""
        elif kind == "redirection":
            redirection = token
        elif kind == "word" and redirection:
            texts += [token] if redirection == "<<<" else []
            redirection = ""
        elif kind == "word" and not words and keyword == "function":
            keyword = token  # its name
        elif kind == "word" and not words and (token in _KEYWORDS or (keyword and token in _OPTIONS)):
            keyword = token
        elif kind == "word":
            words.append(token)
    yield words, texts


def _with_input(words: list[str], texts: list[str]) -> list[str]:
    """Return the words of a command, in which a shell has the here-strings as its command string."""
    shell = next((at for at, word in enumerate(words, start=1) if os.path.basename(word) in SHELLS), None)
    if shell is None or not texts:
        return words
    return [*words[:shell], "-c", "--", texts[-1], *words[shell:]]


def _unquoted(token: str) -> str:
    found = ""
    for piece in _PIECE.findall(token):
        if piece[0] == "\\":
            found += piece[1:].replace("\n", "")
        elif piece[0] in "'\"" and len(piece) > 1:
            found += piece[1:-1] if piece[0] == "'" else re.sub(r"\\([\\\"$`])", r"\1", piece[1:-1])
        else:
            found += piece
    return found


def _assignments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the assignments that a command begins with, and its other words."""
    found: dict[str, str] = {}
    for at, word in enumerate(words):
        match = _ASSIGNMENT.fullmatch(word)
        if match is None:
            return found, words[at:]
        found[match[1]] = match[2]
    return found, []


def _executed(words: list[str], environment: dict[str, str]) -> tuple[list[str], Mapping[str, str]]:
    """Return the words behind `exec` and its options; with `-c` its environment is empty."""
    if words[0] != "exec":
        return words, environment
    rest = words[1:]
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if "c" in option:
            environment = {"PATH": environment.get("PATH", "")}
        if option.endswith("a") and rest:
            rest.pop(0)
    return rest or ["exec"], environment


def _words(token: str, environment: Mapping[str, str], parameters: Sequence[str]) -> list[str]:
    """Return the words that a token expands to: several for `$@` and for variables without quotes, otherwise one."""
    if token.strip('"') in ("$@", "$*"):
        return list(parameters[1:])
    word = _unquoted(token)
    if "$" not in word:
        return [word]
    word = _PARAMETER.sub(lambda match: "".join(parameters[int(match[1]) : int(match[1]) + 1]), word)
    word = string.Template(word).safe_substitute(environment)
    return [word] if re.search(r"['\"\\]", token) or _ASSIGNMENT.fullmatch(token) else word.split()
