"""Edit the text of a policy file in one location, and keep every other byte."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_LINES = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True)
class Tables:
    """A text split into its tables `[[name]]`, and the gaps before, between and after them.

    A comment directly above a table belongs to it. Blank lines and comments after a table belong to the gap.
    """

    gaps: tuple[str, ...]
    tables: tuple[str, ...]

    @classmethod
    def split(cls, text: str, *name: str) -> Tables:
        """Split a text at the headers of the tables with that dotted name."""
        lines = _LINES.findall(text)
        header = _header(name)
        heads = [number for number, line in enumerate(lines) if header.fullmatch(line)]
        starts = [_first_comment(lines, head) for head in heads]
        ends = [_last_content(lines, end) for end in [*starts[1:], len(lines)]] if heads else []
        gaps = zip([0, *ends], [*starts, len(lines)], strict=True)
        return cls(
            tuple("".join(lines[start:end]) for start, end in gaps),
            tuple("".join(lines[start:end]) for start, end in zip(starts, ends, strict=True)),
        )

    def __str__(self) -> str:
        parts = [self.gaps[0]]
        for table, gap in zip(self.tables, self.gaps[1:], strict=True):
            parts += [table, gap]
        return "".join(parts)

    def replaced(self, index: int, table: str) -> Tables:
        """Return the text with one table replaced."""
        return replace(self, tables=(*self.tables[:index], table, *self.tables[index + 1 :]))

    def inserted(self, index: int, table: str) -> Tables:
        """Return the text with one more table, directly before table `index` or at the end."""
        before = self.gaps[index] if index or self.tables else self.gaps[0]
        whole = str(replace(self, gaps=self.gaps[: index + 1], tables=self.tables[:index]))
        if whole and not whole.endswith("\n"):
            before, whole = f"{before}\n", f"{whole}\n"
        if whole and _LINES.findall(whole)[-1].strip():
            before += "\n"
        behind = "\n" if index < len(self.tables) else ""
        gaps = (*self.gaps[:index], before, behind, *self.gaps[index + 1 :])
        return Tables(gaps, (*self.tables[:index], table, *self.tables[index:]))

    def removed(self, index: int) -> Tables:
        """Return the text without one table, the comment directly above it and the blank lines after it."""
        behind = _LINES.findall(self.gaps[index + 1])
        while behind and not behind[0].strip():
            del behind[0]
        lines = [*_LINES.findall(self.gaps[index]), *behind]
        while index == len(self.tables) - 1 and not behind and lines and not lines[-1].strip():
            del lines[-1]
        gaps = (*self.gaps[:index], "".join(lines), *self.gaps[index + 2 :])
        return Tables(gaps, (*self.tables[:index], *self.tables[index + 1 :]))


def rule_text(rule: Mapping[str, Any]) -> str:
    """Return the text of a new rule."""
    lines = ["[[trust]]"]
    lines += [f"{key} = {_value(value)}" for key, value in rule.items() if key != "signers"]
    if "signers" in rule:
        lines += ["signers = [", *(f"  {_value(signer)}," for signer in rule["signers"]), "]"]
    return "".join(f"{line}\n" for line in lines)


def changed_rule(text: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Change the text of the rule `before` into `after`: remove and add items of lists, and set keys."""
    signers = Tables.split(text, "trust", "signers")
    if not signers.tables:
        return _with_keys(text, before, after)
    gone, new = _difference(before["signers"], after["signers"])
    for index in gone:
        signers = signers.removed(index)
    for signer in new:
        lines = [f"{key} = {_value(value)}\n" for key, value in signer.items()]
        signers = signers.inserted(len(signers.tables), f"[[trust.signers]]\n{''.join(lines)}")
    own = {key: value for key, value in after.items() if key != "signers"}
    head = _with_keys(signers.gaps[0], before, own)
    return str(replace(signers, gaps=(head, *signers.gaps[1:])))


def _with_keys(text: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    import tomlkit

    lines = _LINES.findall(text)
    end = _last_content(lines, len(lines))
    document = tomlkit.parse("".join(lines[:end]))
    rule: Any = document["trust"][0]
    for key in [key for key in before if key not in after and key in rule]:
        del rule[key]
    for key, value in after.items():
        if value == before.get(key):
            continue
        if not isinstance(value, list):
            rule[key] = value
            continue
        gone, new = _difference(before[key], value)
        for index in gone:
            del rule[key][index]
        for item in new:
            rule[key].append(tomlkit.parse(f"x = {_value(item)}")["x"])
    return tomlkit.dumps(document) + "".join(lines[end:])


def _difference(before: Sequence[Any], after: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """Return the indexes of removed items, the last first, and the new items."""
    gone = [index for index, item in enumerate(before) if item not in after]
    return gone[::-1], [item for item in after if item not in before]


def _value(value: Any) -> str:  # noqa: ANN401 - TOML
    """Return the text of a value in one line."""
    import tomlkit

    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_value(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(tomlkit.item(value).as_string())


def _header(name: Sequence[str]) -> re.Pattern[str]:
    dotted = r"[ \t]*\.[ \t]*".join(f"(?:{part}|\"{part}\"|'{part}')" for part in name)
    return re.compile(rf"[ \t]*\[\[[ \t]*{dotted}[ \t]*\]\][ \t]*(?:#.*)?\r?\n?")


def _first_comment(lines: Sequence[str], head: int) -> int:
    """Return the first line of the comment directly above a header."""
    while head and lines[head - 1].lstrip().startswith("#"):
        head -= 1
    return head


def _last_content(lines: Sequence[str], end: int) -> int:
    """Return the first line of the blank lines and comments directly before `end`."""
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end
