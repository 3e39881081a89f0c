from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_model_signing.errors import RefusedError, UsageError
from hf_model_signing.hub.model_card import BEGIN, END, ModelCard, badge

ONE, TWO = badge("key P-256 00", ["verify", "one"]), "\nanother\n"
BLOCK = f"{BEGIN}\n{ONE}\n{END}"
YAML = "---\nlicense: mit\ntags:\n- x\n---\n"
EXAMPLE = f"```html\n{BEGIN}\n{END}\n```\n"


def _put(text: str | bytes, what: str = ONE) -> bytes:
    return ModelCard.parse(text.encode() if isinstance(text, str) else text).with_badge(what)


def _removed(card: bytes) -> bytes:
    """Return the card without the first block in it, removed by hand."""
    text = card.decode()
    block = re.search(rf"{BEGIN}.*?[\r\n]{END}(\r\n|\r|\n|\Z)", text, re.DOTALL)
    assert block
    before = text[: block.start()]
    return ((before if block[1] else re.sub(r"(\r\n|\r|\n)\Z", "", before)) + text[block.end() :]).encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("", "Text.\n"),
        ("", "\n\nText.\n"),
        ("# A model\n", ""),
        ("# A model\n", "\nText.\n"),
        ("\n\n# A model\n", "Text."),
        ("#\n", "x\n"),
        ("A model\n=======\n", "Text.\n"),
        ("A model\n---\n", "Text.\n"),
        ("", "#no heading\n"),
        ("", "    # code\n"),
        ("", "- item\n---\n"),
        ("", "Text.\n\n# Later\n"),
        ("", EXAMPLE),
        (YAML, ""),
        (YAML, "Text.\n"),
        (YAML, "\nText.\n\n---\n"),
        (f"{YAML}\n# A model\n", "\n## Use\n"),
        (f"\ufeff{YAML}# A model\n", "\n"),
        ("\ufeff", ""),
        ("\ufeff# A model\n", "x"),
        (f"\n {YAML}", "x"),
        ("---\n---\n", "x\n"),
        (f"---\nnote: |\n  {BEGIN}\n---\n", "x\n"),
        ("# A\u2028B\n", "\x0bx\x85y\n"),
    ],
)
def test_badge_stands_below_yaml_and_heading(before: str, after: str) -> None:
    assert _put(before + after).decode() == f"{before}{BLOCK}\n{after}"


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_badge_takes_the_line_ends_of_the_card(end: str) -> None:
    text = f"{YAML}# A model\n\nText.\n"
    assert _put(text.replace("\n", end)) == _put(text).replace(b"\n", end.encode())


@pytest.mark.parametrize("text", ["# A model", YAML.rstrip("\n"), "A model\n==="])
def test_card_without_a_last_line_end_keeps_none(text: str) -> None:
    assert _put(text).decode() == f"{text}\n{BLOCK}"


@pytest.mark.parametrize("text", ["", "# A model", "# A\r\n\r\nText.\r\n", f"{YAML}x", "\ufeff", EXAMPLE])
def test_badge_is_replaced_where_it_is(text: str) -> None:
    once = _put(text)
    other = _put(once, TWO)
    assert (_put(once), other.count(BEGIN.encode())) == (once, once.count(BEGIN.encode()))
    assert b"another" in other
    assert _put(other) == once


def test_badge_that_was_moved_stays_there() -> None:
    text = f"# A model\r\n\nText\n  {BEGIN} \nold\n{END}\t\r\nEnd"
    assert _put(text, TWO).decode() == f"# A model\r\n\nText\n{BEGIN}\r\n\r\nanother\r\n\r\n{END}\r\nEnd"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (f"{BEGIN}\n", "each once, and has '.*begin -->' in line 1"),
        (f"x\n{END}\n", "has '.*end -->' in line 2"),
        (f"{END}\n{BEGIN}\n", "has '.*end -->' in line 1, '.*begin -->' in line 2"),
        (f"{BEGIN}\n{END}\n" * 2, "in line 1, .* in line 4"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", "in line 1, .* in line 3"),
        (f"{BEGIN}\n{END}\n" * 1000, "each once"),
        (f"{BEGIN}\nx {END}\n", "in line 2 there is more than the marker"),
        (f"Between `{BEGIN}` and the other\n", "more than the marker"),
        (f"{BEGIN}{END}", "more than the marker"),
        (f"{BEGIN}\n```sh\nhf-sign\n{END}\n", "code block that begins in line 2 and never ends"),
        (f"~~~\n{BEGIN}\n```\n", "never ends"),
    ],
)
def test_broken_badge_is_refused(text: str, match: str) -> None:
    with pytest.raises(RefusedError, match=f"(?s)the badge in README.md is broken: .*{match}") as caught:
        _put(text)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("shown", [EXAMPLE, f"~~~~\n```\n{END}\n~~~\n~~~~~\n", f"  ````\n{BEGIN}\n    ````\n````\n"])
def test_marker_in_a_code_block_is_only_shown(shown: str) -> None:
    text = f"# A model\n{BLOCK}\n{shown}"
    assert _put(text, TWO).decode() == f"# A model\n{BEGIN}\n{TWO}\n{END}\n{shown}"


@pytest.mark.parametrize("text", ["---\nlicense: mit\n", "---", "\ufeff\n--- \nx\n--- \n", "---\r\nx\r\n ---"])
def test_yaml_without_an_end_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="begins with a line '---'"):
        _put(text)


@pytest.mark.parametrize("data", [b"# caf\xe9\n", "# A".encode("utf-16"), b"\xed\xa0\x80"])
def test_card_that_is_not_utf8_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedError, match="not in UTF-8"):
        _put(data)


_PIECES = st.sampled_from(["---", "#", " ", "a", "=", "-", "```", "~~~", "\n", "\r\n", "\r", "\ufeff", "\x0b", "é"])
_TEXTS = st.lists(_PIECES | st.text(max_size=3), max_size=30).map("".join)


@given(_TEXTS | _TEXTS.map(YAML.__add__))
def test_removing_the_block_gives_the_card_back(text: str) -> None:
    try:
        data = text.encode()
        card = ModelCard.parse(data)
    except (UnicodeEncodeError, RefusedError):
        return
    once = card.with_badge(ONE)
    assert _removed(once) == data
    assert _put(once) == once
    assert _removed(_put(once, TWO)) == data


_EVIL = [
    "</code><script>alert(1)</script>",
    f"{END}{BEGIN}",
    "a`b``c```d````e",
    "[x](javascript:alert(1))",
    "*_~|$\\&amp;#!{}\"'",
    "'; rm -rf ~; echo '",
    "```",
]


@pytest.mark.parametrize("name", _EVIL)
def test_name_is_data(name: str) -> None:
    text = badge(name, ["hf-sign", "verify", "--identity", name])
    who, rest = text.split("</code>", 1)
    assert not set("<>`*_[]\\$|&#;") & set(re.sub(r"&#\d+;", "", who.split("<code>", 1)[1]))
    fenced = re.search(r"^(`{3,})sh\n(.*)\n\1$", rest, re.MULTILINE)
    assert fenced
    assert fenced[1] not in fenced[2]
    assert shlex.split(fenced[2]) == ["hf-sign", "verify", "--identity", name]
    once = _put("# A\n", text)
    assert _put(once, text) == once
    assert _removed(once) == b"# A\n"


@given(st.text())
def test_any_name_is_refused_or_shown(name: str) -> None:
    try:
        text = badge(name, ["verify", name])
    except UsageError:
        assert not name.isprintable()
        return
    once = _put("x", text)
    assert _put(once, text) == once
    assert _removed(_put(once, TWO)) == b"x"


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "a\x1b[2Jb", "a\u2028b"])
def test_name_with_controls_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no badge can show"):
        badge("somebody", ["verify", "--identity", name])
    with pytest.raises(UsageError, match="no badge can show"):
        badge(name, ["verify"])
