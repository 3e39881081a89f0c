"""Results of the Python API: a short text for the console, a dictionary for programs, a table for notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from hf_model_signing._util.text import show, some

_LONGEST = 80  # characters of a value in a `repr`


class Result(ABC):
    """Base class of what the functions of the Python API return."""

    shown: ClassVar[tuple[str, ...]]  # the keys of `_summary` that stand in the `repr`

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values, as `--json` prints it."""

    def _summary(self) -> dict[str, Any]:
        """Return the values that a person sees: `to_dict`, unless that is long or costs something."""
        return self.to_dict()

    def _details(self) -> dict[str, Any]:
        """Return the values of the table, which may take longer than those of the `repr`."""
        return self._summary()

    def __repr__(self) -> str:
        values = self._summary()
        texts = [f"{name}={_brief(values[name])}" for name in self.shown if values[name] not in (None, "")]
        return f"{type(self).__name__}({', '.join(texts)})"

    def _repr_html_(self) -> str:
        """Return a table of the values that are not empty; names and facts in it come from untrusted sources."""
        import html  # late: only a notebook needs it

        rows = [(name, _text(value)) for name, value in self._details().items() if value not in (None, "", [], {})]
        cells = [f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows]
        return f"<table><caption>{type(self).__name__}</caption>{''.join(cells)}</table>"


def json_values(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return a value as `json` prints it and reads it again: members of enumerations are strings, tuples are lists."""
    if isinstance(value, Mapping):
        return {str(name): json_values(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _brief(value: object) -> str:
    """A value in a few characters: of a list or a dictionary its length."""
    if isinstance(value, (list, dict)):
        return str(len(value))
    text = repr(str(value) if isinstance(value, str) else value)  # an enumeration as its value
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _text(value: object) -> str:
    """A value as text for people; of a long list or dictionary the first ten entries."""
    if isinstance(value, Mapping):
        return some([f"{name}: {_text(item)}" for name, item in value.items()])
    if isinstance(value, (list, tuple)):
        return some([_text(item) for item in value])
    return show(str(value))
