"""The program: runs a command, and turns every error into one sentence and an exit code."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from errno import ENOSPC
from importlib import import_module
from typing import Any

import click

from hf_model_signing._util.text import message_text, one_line, traceback_text
from hf_model_signing.cli.global_options import GlobalOptions, Settings
from hf_model_signing.cli.output import warnings_as_notes
from hf_model_signing.cli.streams import is_broken_pipe, keep_standard_descriptors, lenient_streams
from hf_model_signing.cli.utf8_names import read_names_as_utf8
from hf_model_signing.errors import OUT_OF_MEMORY, FileError, HfSignError, ModelWarning

# Command -> (module, one line for the help). A module is imported when its command runs.
COMMANDS = {
    "keygen": ("hf_model_signing.cli.keygen", "Make a key pair to sign with."),
    "sign": ("hf_model_signing.cli.sign", "Sign a model on this disk or on a hub; writes a signature file."),
    "verify": ("hf_model_signing.cli.verify", "Check that a model is what a trusted signer signed."),
    "digest": ("hf_model_signing.cli.digest", "Print the root digest of a model, without signing."),
    "inspect": ("hf_model_signing.cli.inspect", "Show who signed what, how and when; verifies nothing."),
    "push": ("hf_model_signing.cli.push", "Sign a repository on the Hub and commit model.sig to it."),
    "pull": ("hf_model_signing.cli.pull", "Download a repository; prints its path only when it is verified."),
    "batch": ("hf_model_signing.cli.batch", "Sign every repository of an organisation on the Hub."),
    "audit": ("hf_model_signing.cli.audit", "What an organisation has signed, by whom, and what is out of date."),
    "run": ("hf_model_signing.cli.run", "Run a program that gets from the hub what a trusted signer signed."),
    "trust": ("hf_model_signing.cli.trust", "Edit and try a trust policy: whose signature each repository must carry."),
}
EXIT_UNFINISHED = 3
_INTERRUPTED = 130  # the code that shells report after Ctrl-C


class _Program(GlobalOptions, click.Group):
    """The commands of `COMMANDS`, each imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "help":
            return _help_command()
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in (*COMMANDS, "help") and not args[0].startswith("-"):
            import difflib  # late: only this error needs it

            alike = difflib.get_close_matches(args[0], COMMANDS)
            hint = f"; did you mean '{alike[0]}'?" if alike else f"; there are: {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command '{one_line(args[0])}'{hint}", ctx)
        return super().resolve_command(ctx, args)


def _help_command() -> click.Command:
    """Return the command `help`, as in `hf-sign help verify key`; it is in no list, since there is `--help`."""

    @click.pass_context
    def show(ctx: click.Context, words: tuple[str, ...]) -> None:
        found, at = ctx.find_root().command, ctx.find_root()
        for word in words:
            command = found.get_command(at, word) if isinstance(found, click.Group) else None
            if command is None:
                raise click.UsageError(f"there is no command '{one_line(' '.join(words))}'", ctx)
            found, at = command, click.Context(command, parent=at, info_name=word)
        click.echo(found.get_help(at))

    return click.Command("help", params=[click.Argument(["words"], nargs=-1)], callback=show)


program = _Program(
    name="hf-sign",
    help="Sign the models that hubs serve, and get what the signer signed, or nothing.",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 100,
    },
)


def main() -> None:
    """Run the program and exit."""
    gc.set_threshold(100_000)  # a manifest has many objects and no garbage; collecting takes time
    if "hf_model_signing.guarding.bootstrap" in sys.modules:
        from hf_model_signing.guarding.guard import leave

        leave()
    read_names_as_utf8()
    keep_standard_descriptors()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the program with these arguments and return its exit code."""
    options = list(arguments)[: list(arguments).index("--")] if "--" in arguments else list(arguments)
    settings = Settings(json="--json" in options, debug="--debug" in options)
    with lenient_streams() as output_error:
        code = _run(arguments, settings)
        error = output_error()
        return code if error is None else _without_output(error, code, settings)


def _run(arguments: Sequence[str], settings: Settings) -> int:
    try:
        # Not `program.main`, which answers a broken pipe with the exit code for a refusal.
        notes = warnings_as_notes(ModelWarning, others=settings.debug)
        with notes, program.make_context("hf-sign", list(arguments), obj=settings) as context:
            result: Any = program.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - errors become exit codes here
        if settings.debug and not isinstance(error, click.ClickException):
            import traceback

            click.echo(traceback_text(traceback.format_exc()), err=True, nl=False)
        message, code = explain(error)
        _report(message, code, settings, error)
        return code
    return result if isinstance(result, int) else 0


def _without_output(error: OSError, code: int, settings: Settings) -> int:
    """Return the exit code of a command whose output could not be written; says so, unless its reader has gone."""
    matters = settings.output_matters and code == 0
    if not is_broken_pipe(error):
        word = "error" if matters else "note"
        why = "the disk is full" if error.errno == ENOSPC else error.strerror
        click.echo(f"hf-sign: {word}: the output could not be printed: {why}", err=True)
    return EXIT_UNFINISHED if matters else code


def explain(error: BaseException) -> tuple[str, int]:
    """Return the sentence and the exit code for an error."""
    if isinstance(error, HfSignError):
        return str(error), error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return "interrupted", _INTERRUPTED
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY, EXIT_UNFINISHED
    if isinstance(error, OSError) and error.strerror:
        return str(FileError.of(error)), EXIT_UNFINISHED
    return (
        f"something unforeseen happened ({type(error).__name__}: {one_line(str(error))}); run with --debug and report "
        "it",
        EXIT_UNFINISHED,
    )


def _report(message: str, code: int, settings: Settings, error: BaseException) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(message, err=True)
        return
    if settings.json:
        click.echo(json.dumps({"error": message, "exit_code": code}))
    word = {1: "refused", 2: "usage"}.get(code, "error")
    click.echo(f"hf-sign: {word}: {message_text(message)}", err=True)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
