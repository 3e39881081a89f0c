"""The options that every command takes, before or after its name."""

from __future__ import annotations

from typing import Any

import click

from hf_model_signing._version import __version__

LEVELS = ("debug", "info", "warning", "error", "critical")


class Settings:
    """The global options of one run; the only mutable object that commands share."""

    def __init__(self, *, json: bool = False, debug: bool = False) -> None:
        self.json = json
        self.progress = True
        self.debug = debug
        self.log_level = "warning"
        self.output_matters = True  # False: the work of this command is done, whether or not it is printed


class GlobalOptions:
    """Base class of commands and groups: accepts the global options before and after the name of a command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own arguments
        super().__init__(*args, **kwargs)
        self.params: list[click.Parameter] = [*getattr(self, "params", []), *_global_options()]


class Command(GlobalOptions, click.Command):
    """A command with the global options."""


def settings_of(ctx: click.Context) -> Settings:
    """The settings of this run."""
    settings = ctx.find_root().obj
    if not isinstance(settings, Settings):
        raise TypeError("the program was started without settings")
    return settings


def _global_options() -> list[click.Option]:
    hidden: dict[str, Any] = {"expose_value": False, "is_eager": True, "default": None, "callback": _store}
    return [
        click.Option(
            ["--log-level"],
            type=click.Choice(LEVELS, case_sensitive=False),
            help="How much to log to stderr.",
            **hidden,
        ),
        click.Option(["--json"], is_flag=True, help="Print one JSON document on stdout and nothing else.", **hidden),
        click.Option(["--no-progress"], is_flag=True, help="No progress bars, also on a terminal.", **hidden),
        click.Option(["--debug"], is_flag=True, help="Show the traceback of an error.", **hidden),
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Print the version.",
        ),
    ]


def _store(ctx: click.Context, option: click.Parameter, value: Any) -> None:  # noqa: ANN401 - an option's value
    if not value:
        return
    settings = settings_of(ctx)
    if option.name == "log_level":
        settings.log_level = value
        _start_logging(value)
    elif option.name == "no_progress":
        settings.progress = False
    else:
        setattr(settings, str(option.name), True)


def _start_logging(level: str) -> None:
    import logging  # late: it would slow down every start

    from hf_model_signing._util.text import one_line

    class OneLine(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            """Return one line, also if the message quotes lines of others."""
            return one_line(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(OneLine("%(levelname)s %(name)s: %(message)s"))
    for name in ("hf_model_signing", "hub_adapters"):  # only our logger: the libraries have settings of their own
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]  # replaced for each run: stderr may have changed
        logger.propagate = False
        logger.setLevel(level.upper())


def _print_version(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"hf-sign {__version__}")
        ctx.exit()
