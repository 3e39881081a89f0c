"""Commands with a signing method as their first word, and commands that infer it from the options."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli.global_options import GlobalOptions
from hf_model_signing.cli.method_options import click_option, make_signer, make_verifier
from hf_model_signing.methods.method import Method, Option, Values
from hf_model_signing.methods.registry import DEFAULT_METHOD, METHODS

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier

POLICY_OPTION = "--policy"

MakeCommand = Callable[[Method], click.Command]
OwnOptions = Callable[[Method], tuple[Option, ...]]


class MethodGroup(GlobalOptions, click.Group):
    """A command with a method as its first word; without it the options tell which, and the default is `sigstore`.

    `own` returns the options of a method for this command. With `--policy` there is no method, and `make_by_policy`
    builds the command, if there is one. Each command is built on first use, because start-up would pay for the options
    of all of them.
    """

    make_by_policy: Callable[[], click.Command] | None = None

    def __init__(
        self,
        make: MakeCommand,
        has_command: Callable[[Method], bool],
        own: OwnOptions,
        **attributes: Any,  # noqa: ANN401 - of click
    ) -> None:
        super().__init__(**attributes)
        self._make, self._has_command, self._own = make, has_command, own

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the methods."""
        return sorted(self._methods)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a method."""
        return self._command(cmd_name) if cmd_name in self._methods else None

    @cached_property
    def _methods(self) -> list[str]:
        """The methods that have a command; they are listed only if needed, because that loads the records of all."""
        return [name for name, method in METHODS.items() if self._has_command(method)]

    def _command(self, method: str) -> click.Command:
        if method not in self.commands:
            self.add_command(self._make(METHODS[method]), method)
        return self.commands[method]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the method, or explain what is missing."""
        word = args[0].replace("_", "-")
        if self.make_by_policy and _names_policy(args):
            self._check_no_method(ctx, args)
            return f"{POLICY_OPTION} FILE", self.make_by_policy(), args
        if word in METHODS:
            if self._has_command(METHODS[word]):
                return word, self._command(word), args[1:]
            raise click.UsageError(f"nothing is verified with '{word}': {METHODS[word].instead}", ctx)
        self._check_word(ctx, args)
        method = self._inferred(ctx, _option_names(args))
        return method, self._command(method), args

    def _check_no_method(self, ctx: click.Context, args: list[str]) -> None:
        """Refuse a method, or an option of one, beside a policy."""
        first = args[0].replace("_", "-")
        methods = [f"the method '{first}'"] if first in METHODS else []
        own = {name for option in any_verifier() for name in option.opts}
        check_alone(methods or [name for name in _option_names(args) if name in own], ctx)

    def _check_word(self, ctx: click.Context, args: list[str]) -> None:
        """Refuse a misspelled method."""
        word = args[0]
        if word.startswith("-") or "/" in word or os.path.exists(word):
            return
        import difflib  # late: only this error needs it

        alike = difflib.get_close_matches(word.replace("_", "-"), self._methods, cutoff=0.75)
        if alike or (len(args) > 1 and not args[1].startswith("-")):
            hint = f"; did you mean '{alike[0]}'?" if alike else f"; there are: {', '.join(self._methods)}"
            raise click.UsageError(f"there is no method '{word}'{hint}", ctx)

    def _inferred(self, ctx: click.Context, names: list[str]) -> str:
        """Return the method that takes all options with these names, the default if it does.

        Of several methods it is the first one that has all that it needs. A name that no method takes is left to the
        command, which refuses it. Raises `click.UsageError` for options that no method has together.
        """
        if all(_takes(self._command(DEFAULT_METHOD), name) for name in names):
            return DEFAULT_METHOD  # without loading the records of the others
        takers = {name: {each for each in self._methods if _takes(self._command(each), name)} for name in names}
        known = {name: methods for name, methods in takers.items() if methods}
        possible = [method for method in self._methods if all(method in methods for methods in known.values())]
        if not possible:
            own = [name for name, methods in known.items() if len(methods) < len(self._methods)]
            raise click.UsageError(f"{' and '.join(own)} do not go together: no method takes them all", ctx)
        complete = [method for method in possible if known and self._has_needed(method, names)]
        default = [DEFAULT_METHOD] if DEFAULT_METHOD in possible else []
        return [*default, *complete, *possible][0]

    def _has_needed(self, method: str, names: Collection[str]) -> bool:
        needed = (option for option in self._own(METHODS[method]) if option.needed)
        return all(any(name in names for name in option.names) for option in needed)


def check_alone(given: list[str], ctx: click.Context | None = None) -> None:
    """Raise `click.UsageError` if other options beside a policy select a signer."""
    if given:
        raise click.UsageError(
            f"{POLICY_OPTION} says whose signature to accept, and so does {given[0]}: give only one of the two", ctx
        )


def _names_policy(args: list[str]) -> bool:
    return any(argument == POLICY_OPTION or argument.startswith(f"{POLICY_OPTION}=") for argument in _before_end(args))


def _option_names(args: list[str]) -> list[str]:
    """Return the names of the options in arguments, with hyphens; a value that begins like an option is one, too."""
    words = (argument.partition("=")[0].replace("_", "-") for argument in _before_end(args))
    return [word for word in words if word.startswith("-") and word != "-"]


def _before_end(args: list[str]) -> list[str]:
    return args[: args.index("--")] if "--" in args else args


def _takes(command: click.Command, name: str) -> bool:
    return any(name in (*param.opts, *param.secondary_opts) for param in command.params)


def method_group(
    name: str, help_text: str, make: MakeCommand, has_command: Callable[[Method], bool], own: OwnOptions
) -> MethodGroup:
    """Return the command `name` with a subcommand for each method that `has_command`; `make` builds a subcommand."""
    return MethodGroup(
        make,
        has_command,
        own,
        name=name,
        help=help_text,
        subcommand_metavar="[METHOD] [OPTIONS] REFERENCE",
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )


def own_options(method: Method, options: tuple[Option, ...]) -> list[click.Parameter]:
    """Return the options of one method, for a command of that method alone."""
    # The method itself reports a missing option that is repeatable. So does the default method, because the user may
    # have meant another one.
    explained = method.name == DEFAULT_METHOD
    return [click_option(option, required=option.needed and not option.many and not explained) for option in options]


Sides = Mapping[str, tuple[Option, ...]]
_WHOSE = "whose signature to accept"


def _signing() -> Sides:
    return {method: options.sign for method, options in METHODS.items() if options.sign}


def _verifying() -> Sides:
    return {method: options.verify for method, options in METHODS.items() if options.verify}


def any_signer() -> list[click.Parameter]:
    """Return the signing options of all methods, for a command that infers the method."""
    return any_options(_signing())


def any_verifier() -> list[click.Parameter]:
    """Return the verifying options of all methods, for a command that infers the method."""
    return any_options(_verifying())


def infer_signer(values: Values) -> Signer:
    """Return the signer that the given options describe; raises `click.UsageError` if there is none."""
    return make_signer(METHODS[_infer(values, "how to sign", _signing())], values)


def infer_verifier(values: Values) -> Verifier:
    """Return the verifier that the given options describe; raises `click.UsageError` if there is none."""
    return make_verifier(METHODS[infer_verifying(values, _verifying())], values)


def infer_verifying(values: Values, sides: Sides) -> str:
    """Return the method of the signer that the given options describe; raises `click.UsageError` if there is none."""
    return _infer(values, _WHOSE, sides)


def given_verifier(values: Values) -> list[str]:
    """Return the given options that select a signer to accept."""
    method = ["--method"] if values.get("method") else []
    return method + [option.names[0] for option in _given(values, _verifying()).values()]


def any_options(sides: Sides) -> list[click.Parameter]:
    """Return the options of all methods, and `--method`."""
    different = {option.name: option for options in sides.values() for option in options}
    inferred = f"Inferred from the other options; {DEFAULT_METHOD} when there are none."
    method = click.Option(["--method"], type=click.Choice(list(sides)), help=inferred)
    return [method, *map(click_option, different.values())]


def _given(values: Values, sides: Sides) -> dict[str, Option]:
    return {
        option.name: option
        for options in sides.values()
        for option in options
        if values.get(option.name) not in (None, (), False)
    }


def _infer(values: Values, question: str, sides: Sides) -> str:
    """Return the named method, or the one whose needed options are given and which has all given options."""
    wanted = [values["method"]] if values.get("method") else list(sides)
    given = _given(values, sides)
    fitting = [
        method
        for method in wanted
        if given.keys() <= {option.name for option in sides[method]}
        and all(option.name in given for option in sides[method] if option.needed)
    ]
    if fitting:
        return fitting[0]
    ways = " or ".join(_way(sides[method]) for method in wanted)
    raise click.UsageError(f"say {question}: give {ways}{_not_together(given.values(), wanted, sides)}")


def _way(options: tuple[Option, ...]) -> str:
    return " with ".join(option.said or option.names[0] for option in options if option.needed) or "nothing (Sigstore)"


def _not_together(given: Iterable[Option], wanted: Iterable[str], sides: Sides) -> str:
    names = [option.names[0] for option in given]
    together = any(set(names) <= {option.names[0] for option in sides[method]} for method in wanted)
    return "" if together else f"; {' and '.join(names)} do not go together"
