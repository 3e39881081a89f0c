"""The badge in a model card (`README.md`): the signer, and the command that verifies the signature; text in, text out.

The badge is between two lines that are HTML comments. Every other byte of a card stays, and an ambiguous card is
refused.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hf_model_signing._util.text import show
from hf_model_signing.errors import RefusedError, UsageError

CARD_NAME = "README.md"
MAX_CARD = 10 * 1024 * 1024  # bytes; the largest cards in use are below one MB
BEGIN, END = "<!-- hf-sign badge: begin -->", "<!-- hf-sign badge: end -->"

_FORMAT = "https://github.com/ossf/model-signing-spec"
_MARK = "\ufeff"  # the byte order mark that some editors put first
# The line ends of CommonMark; `str.splitlines` knows many more.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t\r\n]|$)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*[\r\n]*")
_NO_TITLE = re.compile(r"[`~<>#*+|=:-]| {4}|\t|\d+[.)]")  # the first characters of a line that is not plain text
_OPENS_CODE = re.compile(r" {0,3}(`{3,}(?!.*`)|~{3,})")
_ODD = re.compile(r"[^\w .,:@/()=+'-]|_")  # every character that may have a meaning in Markdown or HTML


@dataclass(frozen=True)
class ModelCard:
    """A parsed card: its lines with their ends, the length of the YAML block, and the position of the badge."""

    mark: str
    lines: tuple[str, ...]
    top: int
    badge: tuple[int, int] | None

    @classmethod
    def parse(cls, data: bytes) -> ModelCard:
        """Parse a card; raises `RefusedError` when no badge can be added to it."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RefusedError(
                f"{CARD_NAME} is not in UTF-8 (at byte {error.start:,}), so no badge can be put into it: save it in "
                "UTF-8, or push without --badge"
            ) from error
        mark = _MARK if text.startswith(_MARK) else ""
        lines = tuple(_LINE.findall(text[len(mark) :]))
        top = _front_matter(lines)
        return cls(mark, lines, top, _find_badge(lines, top))

    def with_badge(self, badge: str) -> bytes:
        """Return the card with `badge` (several lines) instead of the old one, or else below its first heading."""
        block = self._line_end.join([BEGIN, *badge.split("\n"), END])
        if self.badge:
            first, last = self.badge
            return self._encoded(first, block + _end_of(self.lines[last]), last + 1)
        at = _insertion_line(self.lines, self.top)
        if at and not _end_of(self.lines[at - 1]):  # the card ends without a line end, and the new one does as well
            return self._encoded(at, self._line_end + block, at)
        return self._encoded(at, block + self._line_end, at)

    @cached_property
    def _line_end(self) -> str:
        """The line end of the first line, which is used for new lines."""
        return _end_of(self.lines[0]) or "\n" if self.lines else "\n"

    def _encoded(self, first: int, block: str, rest: int) -> bytes:
        return "".join([self.mark, *self.lines[:first], block, *self.lines[rest:]]).encode("utf-8")


def badge(who: str, command: Sequence[str]) -> str:
    """Return the text of a badge with the signer `who` and the words of the `command` that verifies the signature.

    Names come from certificates and tokens, so they are escaped: nothing in them is Markdown, HTML or shell. Raises
    `UsageError` for control characters.
    """
    line = shlex.join(command)
    if not (line.isprintable() and who.isprintable()):
        raise UsageError(f"no badge can show {show(line)}: it has control characters; push without --badge")
    fence = "`" * (1 + max([2, *map(len, re.findall("`+", line))]))
    return (
        f"\n**Signed** by <code>{_ODD.sub(_entity, who)}</code> in the format of [OpenSSF Model Signing]({_FORMAT}). "
        f"Verify it:\n\n{fence}sh\n{line}\n{fence}\n\n"
        "Anybody can write these lines. What counts is what the command says, given a key or a name that you know from "
        "elsewhere.\n"
    )


def _entity(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


def _front_matter(lines: Sequence[str]) -> int:
    """Return the number of lines up to the end of the YAML block of a card, or 0 without one."""
    first = _first_text(lines, 0)
    if first is None or lines[first].strip() != "---":
        return 0
    for number in range(first + 1, len(lines)):
        if _bare(lines[number]) == "---":
            return number + 1
    raise RefusedError(
        f"{CARD_NAME} begins with a line '---' as a YAML block does, and no other such line ends the block: mend it, "
        "or push without --badge"
    )


def _find_badge(lines: Sequence[str], top: int) -> tuple[int, int] | None:
    """Return the first and the last line of the badge, or None without one."""
    found = list(_markers(lines, top))
    if not found:
        return None
    if [marker for _, marker in found] != [BEGIN, END]:
        where = ", ".join(f"'{marker}' in line {number + 1}" for number, marker in found[:10])
        raise _broken(f"it needs '{BEGIN}' and below it '{END}', each once, and has {where}")
    return found[0][0], found[1][0]


def _markers(lines: Sequence[str], top: int) -> Iterator[tuple[int, str]]:
    """Yield the lines that are markers; those in a fenced code block are examples."""
    fence, opened, hidden = "", 0, False
    for number, line in enumerate(lines[top:], top):
        marked = BEGIN in line or END in line
        opening = _OPENS_CODE.match(_bare(line))
        if fence:
            hidden = hidden or marked
            if _closes(line, fence):
                fence = ""
        elif marked:
            if line.strip() not in (BEGIN, END):
                raise _broken(f"in line {number + 1} there is more than the marker")
            yield number, line.strip()
        elif opening:
            fence, opened, hidden = opening[1], number, False
    if fence and hidden:
        raise _broken(f"a marker is in the code block that begins in line {opened + 1} and never ends")


def _closes(line: str, fence: str) -> bool:
    text = line.strip()
    return len(text) >= len(fence) and set(text) == {fence[0]} and not line.startswith((" " * 4, "\t"))


def _broken(what: str) -> RefusedError:
    return RefusedError(f"the badge in {CARD_NAME} is broken: {what}; mend or remove it, and push again")


def _insertion_line(lines: Sequence[str], top: int) -> int:
    """Return the number of the line before which a new badge is inserted."""
    first = _first_text(lines, top)
    if first is None:
        return top
    if _HEADING.match(lines[first]):
        return first + 1
    underlined = first + 1 < len(lines) and _UNDERLINE.fullmatch(lines[first + 1])
    return first + 2 if underlined and not _NO_TITLE.match(lines[first]) else top


def _first_text(lines: Sequence[str], start: int) -> int | None:
    return next((number for number in range(start, len(lines)) if lines[number].strip()), None)


def _end_of(line: str) -> str:
    found = _LINE_END.search(line)
    return found[0] if found else ""


def _bare(line: str) -> str:
    return line.rstrip("\r\n")
