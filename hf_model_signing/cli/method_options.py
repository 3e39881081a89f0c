"""Turn the options of the signing methods into click options, and ask a person while signing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hf_model_signing.cli.output import note, printable
from hf_model_signing.methods.method import Method, Option, Prompts, Values
from hf_model_signing.methods.registry import METHODS

if TYPE_CHECKING:
    from hf_model_signing.methods.interface import Signer, Verifier

_LONGEST_LINE = 4096  # characters


def click_option(option: Option, *, required: bool = False) -> click.Option:
    """Return a new click option; click changes an option when it is attached to a command."""
    more: dict[str, Any] = {"is_flag": True} if option.flag else {"metavar": option.metavar}
    if option.file:
        more["type"] = click.Path()
    if option.many:
        more["multiple"] = True
    return click.Option(list(option.names), required=required, help=option.help, **more)


def make_signer(method: Method, values: Values) -> Signer:
    """Make the signer that the values of the options describe."""
    _quiet(method)
    return method.signer(_own(method.sign, values), Prompts(_ask_secret, _ask_line, note))


def make_verifier(method: Method, values: Values) -> Verifier:
    """Make the verifier that the values of the options describe; raises `click.UsageError` when there is none."""
    if method.verifier is None:
        raise click.UsageError(f"nothing is verified with this method: {method.instead}")
    _quiet(method)
    return method.verifier(_own(method.verify, values), note)


def quiet_libraries() -> None:
    """Keep log messages of the libraries of all methods off stderr, where Python prints them by default."""
    for method in METHODS.values():
        _quiet(method)


def _quiet(method: Method) -> None:
    if method.loggers:
        import logging  # late: most methods do without it

        for name in method.loggers:
            logging.getLogger(name).addHandler(logging.NullHandler())


def _own(options: tuple[Option, ...], values: Values) -> Values:
    return {option.name: values[option.name] for option in options if option.name in values}


def _ask_secret(what: str) -> str | None:
    """Ask for a secret, which may be empty; None if there is nobody to ask."""
    import sys

    if sys.stdin is None or not sys.stdin.isatty():
        return None
    secret: str = click.prompt(what, hide_input=True, err=True, default="", show_default=False)
    return secret


def _ask_line(text: str) -> str:
    """Ask for a line of the standard input, which may be a pipe."""
    import sys

    click.echo(printable(text), err=True, nl=False)
    answer = sys.stdin.readline(_LONGEST_LINE)
    if not answer.endswith("\n"):
        click.echo(err=True)  # end the line of the prompt
    return answer
