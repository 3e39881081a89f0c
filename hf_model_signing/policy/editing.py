"""Edit a trust policy: add and remove rules and signers, and keep everything else as it was written.

The new text is parsed before it replaces the file, so an edit never leaves an invalid policy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from hf_model_signing._util.atomic_files import write_file
from hf_model_signing._util.file_lock import changing
from hf_model_signing._util.paths import file_name, path_inside
from hf_model_signing._util.text import show
from hf_model_signing.errors import RefusedError, UsageError
from hf_model_signing.policy.folders import FolderPattern
from hf_model_signing.policy.rules import Rule
from hf_model_signing.policy.signer_methods import file_keys, policy_methods
from hf_model_signing.policy.toml_parsing import parse_toml
from hf_model_signing.policy.toml_text import Tables, changed_rule, rule_text
from hf_model_signing.policy.trust_policy import Policy

POLICY_VARIABLE = "HF_SIGN_POLICY"

_NEW = 'version = 1\ndefault = "refuse"\n'
_HUB = re.compile(r"[a-z][a-z0-9+.-]*://")
_WILD = re.compile(r"\*|\?|\[[^]]+\]")

Signer = Mapping[str, Any]


@dataclass(frozen=True)
class Dead:
    """A pattern that never decides, because the pattern `by` of the rule `earlier` matches everything it matches."""

    rule: int
    pattern: str
    earlier: int
    by: str
    whole: bool  # no pattern of the rule decides


@dataclass(frozen=True)
class Draft:
    """A policy file as it was read, and its new text and rules. Rules are numbered from 1."""

    policy: Policy
    text: str
    rules: tuple[dict[str, Any], ...]
    windows: bool = False  # the file ends its lines with CRLF; `text` does not

    @classmethod
    def read(cls, path: str) -> Draft:
        """Read a policy; raises `UsageError`, with the location, for an invalid or missing one."""
        if not os.path.lexists(path):
            raise UsageError(
                f"there is no trust policy '{path}': name one with --policy or {POLICY_VARIABLE}, or make it with "
                "`hf-sign trust add`"
            )
        policy = Policy.read(path)
        text = policy.content.decode("utf-8")
        lines = text.replace("\r\n", "\n")
        windows = lines != text and text.count("\n") == text.count("\r\n")
        rules = tuple(parse_toml(policy.content).get("trust", []))
        return cls(policy, lines if windows else text, rules, windows)

    @classmethod
    def new(cls, path: str) -> Draft:
        """Return a policy without rules, which refuses everything."""
        return cls(Policy(path, ()), _NEW, ())

    @property
    def path(self) -> str:
        """The path of the file."""
        return self.policy.path

    def dead(self) -> tuple[Dead, ...]:
        """Return the patterns that never decide, in the order of the rules."""
        return tuple(found for number in range(1, len(self.rules) + 1) for found in self._dead_of(number))

    def deciding(self, uri: str) -> int | None:
        """Return the number of the rule that decides about a hub reference or the path of a model, or None."""
        numbers = (number for number, rule in enumerate(self.rules, 1) if names(self.patterns(rule), uri))
        return next(numbers, None)

    def patterns(self, rule: Mapping[str, Any]) -> list[str]:
        """Return the patterns of a rule: of repositories as written, of plain directories as absolute paths."""
        return [pattern for _, _, pattern in self.written_patterns(rule)]

    def written_patterns(self, rule: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Return the key, the text and the pattern of each pattern of a rule (see `patterns`)."""
        base = os.path.dirname(os.path.abspath(self.path))
        repos = [("repos", text, text) for text in rule.get("repos", ())]
        return repos + [
            ("paths", text, str(FolderPattern.of(text, base, ValueError))) for text in rule.get("paths", ())
        ]

    def file(self, name: str) -> str:
        """Return the path of a file that the policy names."""
        return os.path.join(os.path.dirname(os.path.abspath(self.path)), name)

    def is_same(self, one: Signer, other: Signer) -> bool:
        """Return true if two entries describe the same signer."""
        return self._meaning(one) == self._meaning(other)

    def with_rule(self, index: int, rule: dict[str, Any] | None) -> Draft:
        """Return the draft with one rule replaced, or removed if `rule` is None."""
        tables = self._tables()
        if rule is None:
            rules = (*self.rules[:index], *self.rules[index + 1 :])
            return replace(self, text=str(tables.removed(index)), rules=rules)
        text = changed_rule(tables.tables[index], self.rules[index], rule)
        rules = (*self.rules[:index], rule, *self.rules[index + 1 :])
        return replace(self, text=str(tables.replaced(index, text)), rules=rules)

    def with_new_rule(self, index: int, rule: dict[str, Any]) -> Draft:
        """Return the draft with one more rule, directly before rule `index` or at the end."""
        tables = self._tables().inserted(index, rule_text(rule))
        return replace(self, text=str(tables), rules=(*self.rules[:index], rule, *self.rules[index:]))

    def _dead_of(self, number: int) -> list[Dead]:
        patterns, found = self.patterns(self.rules[number - 1]), []
        for pattern in patterns:
            for earlier, other in enumerate(self.rules[: number - 1], 1):
                by = next((wide for wide in self.patterns(other) if covers(wide, pattern)), None)
                if by is not None:
                    found.append((pattern, earlier, by))
                    break
        whole = len(found) == len(patterns)
        return [Dead(number, *each, whole) for each in found]

    def _meaning(self, signer: Signer) -> dict[str, Any]:
        meaning = {key: value for key, value in signer.items() if value is not False}
        method = signer["method"]
        meaning["method"] = policy_methods()[method].verified_as or method
        for key in file_keys(many=False):
            if key in meaning:
                meaning[key] = os.path.normpath(self.file(meaning[key]))
        for key in file_keys(many=True):
            if key in meaning:
                meaning[key] = {os.path.normpath(self.file(name)) for name in meaning[key]}
        return meaning

    def _tables(self) -> Tables:
        """Split the text at its rules; raises `UsageError` for a notation that cannot be split."""
        tables = Tables.split(self.text, "trust")
        if [_rules_of(table) for table in tables.tables] != [[rule] for rule in self.rules]:
            raise UsageError(
                f"the rules of the trust policy '{self.path}' are written in a form that is read and not edited: "
                "begin each with a line [[trust]]"
            )
        return tables


@dataclass(frozen=True)
class Added:
    """The result of `add`: the number of the rule, and the new draft.

    `is_new` is true for a new rule; `signer_added` and `keys_set` are the changes to an existing one.
    """

    draft: Draft
    rule: int
    is_new: bool
    signer_added: bool
    keys_set: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """True if the file was changed."""
        return self.is_new or self.signer_added or bool(self.keys_set)


@dataclass(frozen=True)
class Removed:
    """The result of `remove`: the numbers, before the change, of the changed and of the removed rules."""

    before: Draft
    draft: Draft
    changed: tuple[int, ...]
    gone: tuple[int, ...]


def add(
    path: str, repos: Sequence[str], signer: Signer, *, digest: str | None = None, allow_rollback: bool = False
) -> Added:
    """Trust one more signer for `repos`; a missing file is created.

    An absolute path among them is a pattern of models in plain directories. The rule that has exactly these patterns is
    extended. Otherwise a new rule is inserted before the first one that would decide about one of them. Paths of the
    signer's files are relative to the current directory. Raises `UsageError`, and changes nothing, for an invalid rule.
    """
    keys: dict[str, Any] = {} if digest is None else {"digest": digest}
    keys |= {"allow_rollback": True} if allow_rollback else {}
    with _editing(path):
        draft = Draft.read(path) if os.path.lexists(path) else Draft.new(path)
        added = _added(draft, list(dict.fromkeys(repos)), placed(path, signer), keys)
        return replace(added, draft=_written(added.draft)) if added.changed else added


def add_unsigned(path: str, repos: Sequence[str]) -> Added:
    """Let `repos` be unsigned; a missing file is created.

    The new rule is placed as `add` does it. Raises `RefusedError`, and changes nothing, if a rule has exactly these
    patterns and signers for them.
    """
    with _editing(path):
        draft = Draft.read(path) if os.path.lexists(path) else Draft.new(path)
        patterns = list(dict.fromkeys(repos))
        index = _rule_of(draft, patterns)
        if index is None:
            index = _place_for(draft, patterns)
            new = draft.with_new_rule(index, {"repos": patterns, "unsigned": True})
            return Added(_written(new), index + 1, is_new=True, signer_added=False)
        if not draft.rules[index].get("unsigned"):
            raise _other_kind(draft, index, "names signers")
        return Added(draft, index + 1, is_new=False, signer_added=False)


def remove(path: str, repos: Sequence[str], signer: Signer | None = None) -> Removed:
    """Remove the patterns `repos` from the rules, or only `signer` from the rules that have one of them.

    A rule without patterns or without signers is removed. Raises `RefusedError`, and changes nothing, when no rule has
    one of the patterns, or none of its rules has the signer.
    """
    with _editing(path):
        draft = Draft.read(path)
        wanted = None if signer is None else placed(path, signer)
        _check_there(draft, repos, wanted)
        after = draft
        changed: list[int] = []
        gone: list[int] = []
        for index in reversed(range(len(draft.rules))):
            rule = _without(draft, draft.rules[index], repos, wanted)
            if rule == draft.rules[index]:
                continue
            after = after.with_rule(index, rule)
            (gone if rule is None else changed).append(index + 1)
        return Removed(draft, _written(after), tuple(reversed(changed)), tuple(reversed(gone)))


def signers_of(rule: Mapping[str, Any]) -> list[Signer]:
    """Return the signers of a rule as written; none for a rule whose repositories need no signature."""
    return list(rule.get("signers", ()))


def names(patterns: Sequence[str], uri: str) -> bool:
    """Return true if one of the patterns matches a hub reference, or the path of a model in a plain directory."""
    references = tuple(pattern for pattern in patterns if not os.path.isabs(pattern))
    folders = tuple(_folder(pattern) for pattern in patterns if os.path.isabs(pattern))
    return Rule(repos=references, signers=(), folders=folders).names(uri)


def covers(wide: str, narrow: str) -> bool:
    """Return true if `wide` certainly matches everything that `narrow` matches."""
    if _canonical(wide) == _canonical(narrow):
        return True
    if "[" in wide or os.path.isabs(wide) != os.path.isabs(narrow):
        return False
    if os.path.isabs(wide):
        return _folder(wide).covers(_folder(narrow))
    # Try the shortest and a very long text for each wildcard of the narrow pattern.
    single = _WILD.sub(lambda part: "*" if part[0] == "*" else "\x01", _full(narrow))
    return all(names([wide], single.replace("*", many)) for many in ("", "\x01" * (len(wide) + 1)))


def placed(path: str, signer: Signer) -> dict[str, Any]:
    """Return the signer with its paths, relative to the current directory, as the policy `path` writes them.

    A path below the directory of the policy is relative to that directory, any other is absolute.
    """
    folder = os.path.dirname(os.path.abspath(path))

    def place(name: str) -> str:
        name = file_name(name, "key or certificate")
        return name and (path_inside(folder, name) or os.path.abspath(name))

    values = dict(signer)
    for key in file_keys(many=False):
        if key in values:
            values[key] = place(values[key])
    for key in file_keys(many=True):
        if key in values:
            values[key] = [place(name) for name in values[key]]
    return values


def _added(draft: Draft, repos: list[str], signer: dict[str, Any], keys: dict[str, Any]) -> Added:
    there = _rule_of(draft, repos)
    if there is not None:
        return _extended(draft, there, signer, keys)
    index = _place_for(draft, repos)
    patterns = {
        "repos": [pattern for pattern in repos if not os.path.isabs(pattern)],
        "paths": [pattern for pattern in repos if os.path.isabs(pattern)],
    }
    named = {key: listed for key, listed in patterns.items() if listed}
    new = draft.with_new_rule(index, {**named, **keys, "signers": [signer]})
    return Added(new, index + 1, is_new=True, signer_added=True)


def _rule_of(draft: Draft, repos: Sequence[str]) -> int | None:
    """Return the index of the rule that has exactly these patterns."""
    wanted = set(map(_canonical, repos))
    same = (index for index, rule in enumerate(draft.rules) if set(map(_canonical, draft.patterns(rule))) == wanted)
    return next(same, None)


def _other_kind(draft: Draft, index: int, what: str) -> RefusedError:
    """Return the error for a rule with signers that would become an unsigned one, or the other way round."""
    repos = " ".join(f"'{show(pattern)}'" for pattern in draft.patterns(draft.rules[index]))
    return RefusedError(
        f"rule {index + 1} of the trust policy '{draft.path}' {what} for {repos}: remove it first with `hf-sign trust "
        f"remove {repos}`"
    )


def _extended(draft: Draft, index: int, signer: dict[str, Any], keys: dict[str, Any]) -> Added:
    rule = draft.rules[index]
    if rule.get("unsigned"):
        raise _other_kind(draft, index, "requires no signature")
    known = any(draft.is_same(signer, other) for other in rule["signers"])
    keys_set = {key: value for key, value in keys.items() if rule.get(key) != value}
    if known and not keys_set:
        return Added(draft, index + 1, is_new=False, signer_added=False)
    signers = rule["signers"] if known else [*rule["signers"], signer]
    new = draft.with_rule(index, {**rule, **keys_set, "signers": signers})
    return Added(new, index + 1, is_new=False, signer_added=not known, keys_set=tuple(keys_set))


def _place_for(draft: Draft, repos: Sequence[str]) -> int:
    """Return the index of the first rule that would decide about one of the patterns, or else the end."""
    for index, rule in enumerate(draft.rules):
        if any(covers(wide, pattern) for wide in draft.patterns(rule) for pattern in repos):
            return index
    return len(draft.rules)


def _without(draft: Draft, rule: dict[str, Any], repos: Sequence[str], signer: Signer | None) -> dict[str, Any] | None:
    """Return the rule without the patterns, or without the signer; None if nothing remains."""
    gone = set(map(_canonical, repos))
    written = draft.written_patterns(rule)
    left = [(key, text) for key, text, pattern in written if _canonical(pattern) not in gone]
    if len(left) == len(written):
        return rule
    if signer is None:
        patterns = {key: [text for each, text in left if each == key] for key in ("repos", "paths")}
        others = {key: value for key, value in rule.items() if patterns.get(key, True)}
        if not patterns["paths"]:
            others.pop("signature", None)  # of the models in plain directories
        return {**others, **{key: texts for key, texts in patterns.items() if texts}} if left else None
    there = signers_of(rule)
    signers = [other for other in there if not draft.is_same(signer, other)]
    if len(signers) == len(there):
        return rule
    return {**rule, "signers": signers} if signers else None


def _check_there(draft: Draft, repos: Sequence[str], signer: Signer | None) -> None:
    for pattern in repos:
        having = [rule for rule in draft.rules if _canonical(pattern) in set(map(_canonical, draft.patterns(rule)))]
        if not having:
            there = dict.fromkeys(show(other) for rule in draft.rules for other in draft.patterns(rule))
            which = f"; it has {', '.join(map(repr, there))}" if there else ", which has no rules"
            raise RefusedError(f"no rule has the pattern '{show(pattern)}' in the trust policy '{draft.path}'{which}")
        if signer is not None and not any(
            draft.is_same(signer, other) for rule in having for other in signers_of(rule)
        ):
            raise RefusedError(
                f"no rule for '{show(pattern)}' in the trust policy '{draft.path}' names that signer; `hf-sign trust "
                "list` shows whom they name"
            )


def _editing(path: str) -> AbstractContextManager[None]:
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise UsageError(f"the folder '{folder}', in which the trust policy would be, does not exist")
    return changing(os.path.realpath(path))


def _written(draft: Draft) -> Draft:
    """Write the draft to the file, once it was parsed as a valid policy with exactly the intended rules."""
    try:
        data = (draft.text.replace("\n", "\r\n") if draft.windows else draft.text).encode("utf-8")
    except UnicodeEncodeError as error:
        bad = error.object[error.start : error.end]
        raise UsageError(
            f"the trust policy '{draft.path}' stays as it is: it holds UTF-8, and {bad!a} is none; give the file with "
            "that name another one"
        ) from error
    _check(draft, data)
    write_file(draft.path, data)
    return Draft.read(draft.path)


def _check(draft: Draft, data: bytes) -> None:
    try:
        Policy.parse(draft.path, data)
    except UsageError as error:
        why = error.why or str(error)
        raise UsageError(f"the trust policy '{draft.path}' stays as it is, for with this change {why}") from error
    if tuple(parse_toml(draft.text.encode("utf-8")).get("trust", [])) != draft.rules:
        raise UsageError(
            f"the trust policy '{draft.path}' stays as it is: it is written in a form that is read and not edited; "
            "change it by hand"
        )


def _rules_of(table: str) -> Any:  # noqa: ANN401 - TOML
    try:
        return parse_toml(table.encode("utf-8")).get("trust")
    except ValueError:
        return None


def _folder(pattern: str) -> FolderPattern:
    return FolderPattern.of(pattern, os.sep, ValueError)


def _full(pattern: str) -> str:
    return pattern if _HUB.match(pattern) else f"hf://{pattern}"


def _canonical(pattern: str) -> str:
    if os.path.isabs(pattern):
        return pattern
    full = _full(pattern)
    return full.casefold() if full.casefold().startswith(("hf://", "torchhub://")) else full
