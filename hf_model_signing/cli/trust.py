"""The command `hf-sign trust`: edit, show and check a trust policy."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli import output
from hf_model_signing.cli.global_options import Command, GlobalOptions
from hf_model_signing.cli.method_inference import POLICY_OPTION, any_options, infer_verifying
from hf_model_signing.cli.output import label, printable
from hf_model_signing.errors import UsageError
from hf_model_signing.policy.signer_methods import policy_methods

if TYPE_CHECKING:
    from hf_model_signing.policy.describe import Named
    from hf_model_signing.policy.editing import Added, Draft, Removed

# The options of each method that a policy may name; a method that is verified as another one is not listed.
_SIGNERS = {name: method.options for name, method in policy_methods().items() if not method.verified_as}

_PATTERN_HELP = (
    "REPO is a pattern, as in 'acme/*', 'hf://datasets/acme/*', 'tfhub://acme/*': without …:// it is of the Hugging "
    "Face Hub, where * stands for one name; elsewhere it stands for any text."
)


def _add(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    from hf_model_signing.policy.editing import add, placed

    path, repos = _policy_path(values), _patterns(values)
    if values["unsigned"]:
        _add_unsigned(path, repos, values)
        return
    signer = _signer(values)
    _load(signer["method"], values)
    is_there = os.path.lexists(path)
    added = add(path, repos, signer, digest=values["digest"], allow_rollback=values["allow_rollback"])
    draft = added.draft
    rule = draft.rules[added.rule - 1]
    who = _named_as(draft, added.rule, placed(path, signer))
    document = {"policy": path, "changed": added.changed, "new_file": not is_there, **_rule(draft, added.rule)}
    output.done(document, printable(_told(added, path, rule, who)))
    _warn(draft, added.rule, others=added.is_new)


def _add_unsigned(path: str, repos: list[str], values: Mapping[str, Any]) -> None:
    from hf_model_signing.policy.describe import patterns
    from hf_model_signing.policy.editing import add_unsigned

    if _names_signer(values) or values["digest"] or values["allow_rollback"]:
        raise UsageError("--unsigned goes with no other option but --policy: a rule verifies a signature, or none")
    if values["paths"]:
        raise UsageError("--unsigned is for repositories: models in a directory that no rule names need no signature")
    is_there = os.path.lexists(path)
    added = add_unsigned(path, repos)
    draft = added.draft
    document = {"policy": path, "changed": added.changed, "new_file": not is_there, **_rule(draft, added.rule)}
    rule = patterns(draft.rules[added.rule - 1])
    done = f"{_added_where(added, path)}: {rule} need no signature"
    nothing = f"Nothing to do: rule {added.rule} of {path} ({rule}) requires no signature already"
    output.done(document, printable(done if added.changed else nothing))
    _warn(draft, added.rule, others=added.is_new)


def _told(added: Added, path: str, rule: Mapping[str, Any], who: str) -> str:
    from hf_model_signing.policy.describe import patterns

    number = added.rule
    if not added.changed:
        return f"Nothing to do: rule {number} of {path} ({patterns(rule)}) accepts {who} already"
    if not added.is_new:
        did = [f"accepts {who} as well"] if added.signer_added else []
        did += [f"has {key} = {str(rule[key]).lower()}" for key in added.keys_set]
        return f"Rule {number} of {path} ({patterns(rule)}) now {' and '.join(did)}"
    return f"{_added_where(added, path)}: {patterns(rule)} must be signed by {who}"


def _added_where(added: Added, path: str) -> str:
    from hf_model_signing.policy.describe import patterns

    number, rules = added.rule, added.draft.rules
    where = f"Added to {path}, as its rule {number}"
    if number < len(rules):
        where += f", before rule {number + 1} ({patterns(rules[number])}), which would have decided"
    return where


def _remove(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    from hf_model_signing.policy.describe import DEFAULTS, patterns
    from hf_model_signing.policy.editing import remove

    path, repos = _policy_path(values), _patterns(values)
    signer = _signer(values) if _names_signer(values) else None
    removed = remove(path, repos, signer)
    draft = removed.draft
    document = {"policy": path, "changed": list(removed.changed), "gone": list(removed.gone), "rules": _rules(draft)}
    output.done(document, printable(_told_removed(removed, only_signer=signer is not None)))
    for pattern in repos if signer is None or removed.gone else ():
        number = draft.deciding(pattern if "://" in pattern or os.path.isabs(pattern) else f"hf://{pattern}")
        if number is not None:
            output.note(f"'{pattern}' is decided by rule {number} ({patterns(draft.rules[number - 1])})")
        elif draft.policy.default != "refuse" and not os.path.isabs(pattern):
            output.note(f"no rule names '{pattern}' now, and by the default it is {DEFAULTS[draft.policy.default]}")


def _told_removed(removed: Removed, *, only_signer: bool) -> str:
    from hf_model_signing.policy.describe import patterns

    before = removed.before
    parts = [f"rule {number} ({patterns(before.rules[number - 1])}) is gone" for number in removed.gone]
    for number in removed.changed:
        rule = before.rules[number - 1]
        what = "accepts that signer no more" if only_signer else "has the pattern no more"
        parts.append(f"rule {number} ({patterns(rule)}) {what}")
    return f"Changed {before.path}: {'; '.join(parts)}"


def _list(**values: Any) -> None:  # noqa: ANN401 - what click parsed
    from hf_model_signing.policy.describe import DEFAULTS, SHARED

    path = _policy_path(values)
    draft = _read(path)
    rules = _rules(draft)
    count = "1 rule" if len(rules) == 1 else f"{len(rules)} rules"
    lines = [f"{path}: {count}; what none of them names is {DEFAULTS[draft.policy.default]}"]
    lines += SHARED.get(draft.policy.shared_cache, [])
    for number in range(1, len(rules) + 1):
        lines += _lines(draft, number)
    document = {
        "policy": path,
        "default": draft.policy.default,
        "always_hash": draft.policy.always_hash,
        "shared_cache": draft.policy.shared_cache,
        "rules": rules,
    }
    output.result(document, printable("\n".join(lines)))


def _lines(draft: Draft, number: int) -> list[str]:
    from hf_model_signing.policy.describe import named, patterns

    rule = draft.rules[number - 1]
    lines = [f"{number}. {patterns(rule)}"]
    if "signature" in rule:
        lines.append(f"   with the signature {rule['signature']}")
    if rule.get("unsigned"):
        return [*lines, "   no signature is required"]
    for index, signer in enumerate(named(draft, number)):
        lines.append(f"   {'or' if index else 'signed by'} {signer.line}{f': {signer.error}' if signer.error else ''}")
    if "digest" in rule:
        lines.append(f"   only with the root digest {rule['digest']}")
    if rule.get("allow_rollback"):
        lines.append("   also what is older than what was verified here before")
    return lines


def _check(**values: Any) -> int:  # noqa: ANN401 - what click parsed
    from hf_model_signing.policy.describe import check_files, warnings

    path = _policy_path(values)
    draft = _read(path)
    if values["references"]:
        return _check_references(draft, values["references"])
    check_files(draft, *range(1, len(draft.rules) + 1))
    found = warnings(draft)
    files = {name for rule in draft.policy.rules for name in rule.files}
    rules = "1 rule" if len(draft.rules) == 1 else f"{len(draft.rules)} rules"
    told = "1 file" if len(files) == 1 else f"{len(files)} files"
    policy = draft.policy
    count = {"rules": len(draft.rules), "files": sorted(files)}
    document = {"policy": path, "default": policy.default, "shared_cache": policy.shared_cache, **count}
    output.result({**document, "warnings": found}, printable(f"{path}: {rules}, {told}; there is no error in it"))
    for warning in found:
        output.note(warning)
    return 0


def _check_references(draft: Draft, references: tuple[str, ...]) -> int:
    from hf_model_signing.policy.describe import check_files

    found = [(text, _uri(draft, text)) for text in references]
    numbers = {uri: draft.deciding(uri) for _, uri in found}
    check_files(draft, *sorted({number for number in numbers.values() if number is not None}))
    answers = [_answer(draft, text, uri, numbers[uri]) for text, uri in found]
    refused = any(answer["decision"] == "refuse" for answer in answers)
    document = {"policy": draft.path, "default": draft.policy.default, "references": answers}
    output.result(document, printable("\n".join(_answer_line(draft, answer) for answer in answers)))
    return int(refused)


def _answer(draft: Draft, text: str, uri: str, number: int | None) -> dict[str, Any]:
    from hf_model_signing.policy.describe import named

    answer: dict[str, Any] = {"reference": label(text), "uri": uri}
    if number is None:
        return {**answer, "decision": draft.policy.default, "rule": None}
    rule = _rule(draft, number)
    return {**answer, "decision": "rule", **rule, "signers": [_entry(signer) for signer in named(draft, number, uri)]}


def _answer_line(draft: Draft, answer: Mapping[str, Any]) -> str:
    from hf_model_signing.policy.describe import DEFAULTS, patterns

    if answer["rule"] is None:
        default = draft.policy.default
        return f'{answer["uri"]}: {DEFAULTS[default]}, for no rule names it, and the default is "{default}"'
    rule = draft.rules[answer["rule"] - 1]
    decides = f"{answer['uri']}: rule {answer['rule']} ({patterns(rule)}) decides"
    if answer["unsigned"]:
        return f"{decides}: it needs no signature"
    signers = " or by ".join(signer["signer"] for signer in answer["signers"])
    more = f", and have the root digest {answer['digest']}" if answer["digest"] else ""
    more += ", and may be older than what was verified here before" if answer["allow_rollback"] else ""
    return f"{decides}: it must be signed by {signers}{more}"


def _rules(draft: Draft) -> list[dict[str, Any]]:
    return [_rule(draft, number) for number in range(1, len(draft.rules) + 1)]


def _rule(draft: Draft, number: int) -> dict[str, Any]:
    """Return a rule for `--json`."""
    from hf_model_signing.policy.describe import named

    rule = draft.rules[number - 1]
    return {
        "rule": number,
        "repos": rule.get("repos", []),
        "paths": rule.get("paths", []),
        "signature": rule.get("signature"),
        "signers": [_entry(signer) for signer in named(draft, number)],
        "digest": rule.get("digest"),
        "allow_rollback": rule.get("allow_rollback", False),
        "unsigned": rule.get("unsigned", False),
    }


def _entry(signer: Named) -> dict[str, Any]:
    return {**signer.written, "signer": signer.line, "error": signer.error or None}


def _named_as(draft: Draft, number: int, signer: Mapping[str, Any]) -> str:
    from hf_model_signing.policy.describe import named

    return next(found.line for found in named(draft, number) if draft.is_same(found.written, signer))


def _warn(draft: Draft, number: int, *, others: bool) -> None:
    """Warn of patterns that never decide because of this rule, and of patterns of it that never decide."""
    from hf_model_signing.policy.describe import why_dead

    for dead in draft.dead():
        if dead.rule == number or (others and dead.earlier == number):
            output.note(why_dead(draft, dead))


def _read(path: str) -> Draft:
    from hf_model_signing.policy.editing import Draft

    return Draft.read(path)


def _policy_path(values: Mapping[str, Any]) -> str:
    from hf_model_signing.policy.editing import POLICY_VARIABLE
    from hf_model_signing.policy.trust_policy import DEFAULT_POLICY

    if values["policy"] == "":
        raise UsageError("--policy names no file")
    return values["policy"] or os.environ.get(POLICY_VARIABLE) or DEFAULT_POLICY


def _patterns(values: Mapping[str, Any]) -> list[str]:
    """Return the patterns of repositories and, as absolute paths, those of models in plain directories."""
    paths = [os.path.abspath(os.path.expanduser(path)) for path in values["paths"]]
    if not values["repos"] and not paths:
        raise UsageError("name what the rule is for: REPO…, or --path for models in plain directories")
    return [*map(_pattern, values["repos"]), *paths]


def _pattern(text: str) -> str:
    """Return a pattern for the policy; the URL of a page on a hub becomes the reference of its repository."""
    if not re.match(r"https?://", text) or set("*?[") & set(text):
        return text
    from hub_adapters import find_adapter
    from hub_adapters.errors import BadReferenceError

    try:
        found = find_adapter(text)
    except BadReferenceError:
        return text
    return text if found is None or found[1].hub == "https" else str(found[1])


def _uri(draft: Draft, text: str) -> str:
    """Return the hub reference, without a revision, or the path of a model in a plain directory, as a user names it."""
    if text.startswith((".", "/", "~")) or os.path.isabs(text):
        path = os.path.abspath(os.path.expanduser(text))
        model = draft.policy.model_at(path) or draft.policy.model_at(os.path.realpath(path))
        if model is None:
            raise UsageError(
                f"'{text}' is a path, and no rule of '{draft.path}' has it in its `paths`: the guard does not look at "
                "it. Give the path of a model that a rule names, ORG/NAME or hf://…"
            )
        return model[1].path
    from hub_adapters import find_adapter

    found = find_adapter(text)
    if found is not None:
        return found[1].uri
    from hub_adapters.huggingface.adapter import HuggingFaceAdapter

    return HuggingFaceAdapter.named(text).uri


def _names_signer(values: Mapping[str, Any]) -> bool:
    names = {option.name for options in _SIGNERS.values() for option in options} | {"method"}
    return any(values[name] not in (None, (), False) for name in names)


def _signer(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the signer as an entry of a policy, with paths relative to the current directory."""
    method = infer_verifying(values, _SIGNERS)
    given = policy_methods()[method].chosen(values)
    return {"method": method} | {
        key: list(value) if isinstance(value, tuple) else value for key, value in given.items()
    }


def _load(method: str, values: Mapping[str, Any]) -> None:
    """Raise `UsageError` for an invalid signer or an unusable file."""
    found = policy_methods()[method]
    found.make("", found.chosen(values), "")


def _check_digest(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
        raise UsageError(f"--digest {value!a} is not sha256: and 64 hex digits, as `hf-sign digest` prints it")
    return value


def _policy_option() -> click.Option:
    return click.Option(
        [POLICY_OPTION], metavar="FILE", help="The trust policy.  [default: HF_SIGN_POLICY, then ./trust.toml]"
    )


def _named() -> list[click.Parameter]:
    path = click.Option(
        ["--path", "paths"],
        multiple=True,
        metavar="DIR",
        help="Models in plain directories of this machine: a path, in which * stands for one name. Repeatable.",
    )
    return [path, click.Argument(["repos"], nargs=-1, metavar="[REPO…]")]


class _Group(GlobalOptions, click.Group):
    """A group that lists its commands in the order given."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def _commands() -> list[click.Command]:
    digest = click.Option(
        ["--digest"], metavar="sha256:…", callback=_check_digest, help="Accept only what has this root digest."
    )
    rollback = click.Option(
        ["--allow-rollback"], is_flag=True, help="Accept what is older than what was verified here before."
    )
    unsigned = click.Option(
        ["--unsigned"], is_flag=True, help="Let them be loaded without a signature under the guard; names no signer."
    )
    return [
        Command(
            name="add",
            params=[*any_options(_SIGNERS), digest, rollback, unsigned, _policy_option(), *_named()],
            callback=_add,
            short_help="Trust a signer for repositories.",
            help="Trust a signer for repositories: in the rule that has exactly these, or in a new one, which is put "
            "before the first that would decide about one of them. The file is made when it is missing. "
            + _PATTERN_HELP,
        ),
        Command(
            name="remove",
            params=[*any_options(_SIGNERS), _policy_option(), *_named()],
            callback=_remove,
            short_help="Take repositories, or one signer of theirs, out of the rules.",
            help="Take patterns out of the rules that have them; a rule without any goes. With the "
            "options of a signer only that one is taken out of these rules; a rule without any goes, and the comment "
            "directly above it.",
        ),
        Command(
            name="list",
            params=[_policy_option()],
            callback=_list,
            short_help="Show the rules, in the order in which they are asked.",
            help="Show the rules, in the order in which they are asked.",
        ),
        Command(
            name="check",
            params=[_policy_option(), click.Argument(["references"], nargs=-1, metavar="[REFERENCE…]")],
            callback=_check,
            short_help="Read the policy and its files, or tell who must have signed a model.",
            help="Without REFERENCE: read the policy and every file that it names, and warn of rules that can never "
            "decide. With some (ORG/NAME, any reference of a hub, or the path of a model): tell which rule decides "
            "about each and who must have signed it; exit code 1 when one of them is refused. Nobody is asked for "
            "anything.",
        ),
    ]


command = _Group(
    name="trust",
    help="Edit and try a trust policy: the file that says whose signature each repository must carry.",
    commands=_commands(),
)
