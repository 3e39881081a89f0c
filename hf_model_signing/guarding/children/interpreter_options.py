"""The command line of a Python interpreter: its own options, read as Python reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_WITH_VALUE = "cmWX"  # options that take the rest of the word, or the next one
_ENDING = "cm"  # options after which the program's own arguments start
_EXITING = frozenset("hV?")
_LONG_WITH_VALUE = "check-hash-based-pycs"


class InterpreterOptions(NamedTuple):
    """The options of an interpreter: the letters of those without a value, and whether it only prints and exits.

    `settings` are the values of `-X`.
    """

    letters: frozenset[str]
    exits: bool
    settings: tuple[str, ...] = ()


def read_options(words: Sequence[str]) -> InterpreterOptions:
    """Return the options among the arguments of an interpreter, up to the script, `-c` or `-m`."""
    letters: set[str] = set()
    settings: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        if _read_word(rest.pop(0)[1:], rest, letters, settings):
            break
    return InterpreterOptions(frozenset(letters - _EXITING), bool(letters & _EXITING), tuple(settings))


def _read_word(word: str, rest: list[str], letters: set[str], settings: list[str]) -> bool:
    """Read one word without its dash, and its value in `rest`; return True if the options end with it."""
    for at, letter in enumerate(word):
        if letter == "-":  # a long option, which Python also accepts behind short ones
            _read_long(word[at + 1 :], rest, letters)
            return False
        if letter in _WITH_VALUE:
            value = word[at + 1 :] or (rest.pop(0) if rest else "")
            settings += [value] if letter == "X" else []
            return letter in _ENDING
        letters.add(letter)
    return False


def _read_long(name: str, rest: list[str], letters: set[str]) -> None:
    if name == "version":
        letters.add("V")
    elif name.startswith("help"):
        letters.add("h")
    elif rest and (name == _LONG_WITH_VALUE or not rest[0].startswith("-")):
        rest.pop(0)  # an option of another implementation is expected to have a value, so that nothing is overlooked
