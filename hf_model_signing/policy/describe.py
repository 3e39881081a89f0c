"""Describe a trust policy in words: its signers, and the errors in the files that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hf_model_signing._util.text import show
from hf_model_signing.errors import RefusedError, UsageError
from hf_model_signing.policy.editing import Dead, Draft, signers_of
from hf_model_signing.policy.rules import LOCK_NAME
from hf_model_signing.policy.shared_cache import SharedCache
from hf_model_signing.policy.signer_methods import policy_methods

FIRST_USE = f"whoever signed it when it was first used here, as {LOCK_NAME} says"

# The effect of each default of a policy on a repository that no rule matches.
DEFAULTS = {
    "refuse": "refused",
    "warn": "let through with a warning, without a signature",
    "allow": "let through without a signature",
}

# The effect of the key `shared_cache`, unless it has its default.
SHARED = {
    SharedCache.REFUSE: ["   files that others can write are refused"],
    SharedCache.TRUST: ["   files that others can write are used"],
}


@dataclass(frozen=True)
class Named:
    """A signer of a rule: as written, its location in the policy, and its description or error."""

    written: Mapping[str, Any]
    where: str
    words: str
    error: str = ""

    @property
    def line(self) -> str:
        """One line about the signer, for people."""
        keys = (key.name for key in policy_methods()[self.written["method"]].keys if key.file)
        names = (self.written[key] for key in keys if key in self.written)
        files = [show(name) for value in names for name in (value if isinstance(value, list) else [value])]
        return f"{self.words} ({', '.join(files)})" if files else self.words


def named(draft: Draft, number: int, uri: str = "") -> list[Named]:
    """Return the signers of a rule, those pinned on first use last; none if it is unsigned.

    With `uri`, describe the pin of that repository.
    """
    written = enumerate(signers_of(draft.rules[number - 1]), 1)
    # The order in which the rule tries them.
    methods = policy_methods()
    ordered = sorted(written, key=lambda each: methods[each[1]["method"]].first_use)
    makers = draft.policy.rules[number - 1].signers
    found = []
    for (place, signer), make in zip(ordered, makers, strict=True):
        where = f"trust[{number}].signers[{place}]"
        try:
            words, error = ", ".join(make(uri).signers()), ""
        except (UsageError, RefusedError) as problem:
            words, error = f"a signer by the method '{signer['method']}' that cannot be used", str(problem)
        if methods[signer["method"]].first_use and not error:
            words = f"{words}, pinned on first use" if words and uri else FIRST_USE
        found.append(Named(signer, where, words, error))
    return found


def problems(draft: Draft, *numbers: int) -> Iterator[str]:
    """Yield the errors in the files that the signers of the given rules need."""
    for number in numbers:
        yield from (f"{signer.where}: {signer.error}" for signer in named(draft, number) if signer.error)


def check_files(draft: Draft, *numbers: int) -> None:
    """Read the files that the given rules name; raises `UsageError`, which lists every error in them."""
    wrong = [f"\n  {problem}" for problem in problems(draft, *numbers)]
    if wrong:
        raise UsageError(f"the trust policy '{draft.path}' names what cannot be used:{''.join(wrong)}")


def warnings(draft: Draft) -> list[str]:
    """Return a warning for each pattern that never decides, and for files of others that are trusted."""
    said: dict[str, None] = {}
    if draft.policy.shared_cache is SharedCache.TRUST:
        said['shared_cache = "trust": what others can write can change after it was verified'] = None
    for dead in draft.dead():
        said[why_dead(draft, dead)] = None
    return list(said)


def why_dead(draft: Draft, dead: Dead) -> str:
    """Explain why a pattern never decides."""
    what = f"rule {dead.rule} can never decide" if dead.whole else f"rule {dead.rule} can never decide in part"
    return (
        f"{what}: rule {dead.earlier} stands before it, and its pattern '{show(dead.by)}' names all that "
        f"'{show(dead.pattern)}' names; put the narrower rule first"
        if dead.by != dead.pattern
        else f"{what}: rule {dead.earlier} stands before it and has the pattern '{show(dead.pattern)}', too; take it "
        "out of one of them"
    )


def patterns(rule: Mapping[str, Any]) -> str:
    """Return the patterns of a rule in one line."""
    return ", ".join(map(show, (*rule.get("repos", ()), *rule.get("paths", ()))))
