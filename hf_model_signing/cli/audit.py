"""`hf-sign audit`: which repositories of an organisation are signed, by whom, and which are stale; changes nothing."""

from __future__ import annotations

from typing import Any

import click

from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.organisation import (
    check_reports,
    finish,
    jobs_option,
    organisation_argument,
    report_option,
    run_arguments,
    selection_options,
    terminal,
)
from hf_model_signing.cli.policy_option import policy_option, sigstore_notes
from hf_model_signing.report.statuses import Finding

_FAIL_ON = (Finding.UNSIGNED, Finding.STALE, Finding.UNTRUSTED)


def _run(**values: Any) -> int:  # noqa: ANN401 - what click parsed
    check_reports(values)
    with terminal(values) as observer, sigstore_notes():
        from hf_model_signing.organisation.api import audit

        report = audit(values["org"], policy=values["policy"], observer=observer, **run_arguments(values))
    code = finish(report, values)
    return 1 if values["fail_on"] and values["fail_on"] & report.findings().keys() else code


def _findings(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> frozenset[str]:
    words = [word.strip() for text in value for word in text.split(",")]
    unknown = [word for word in words if word not in _FAIL_ON]
    if unknown:
        raise click.BadParameter(f"'{unknown[0]}' is none of {', '.join(_FAIL_ON)}", ctx, param)
    return frozenset(words)


command = Command(
    name="audit",
    params=[
        policy_option(),
        click.Option(
            ["--fail-on"],
            multiple=True,
            callback=_findings,
            metavar="FINDINGS",
            help="End with 1 when one of these is found: unsigned,stale,untrusted (joined by commas; a signature "
            "that is not valid is untrusted).",
        ),
        *selection_options(),
        jobs_option(),
        report_option(),
        organisation_argument(),
    ],
    callback=_run,
    help="Say of each repository of an organisation on the Hugging Face Hub whether it is signed, by whom, whether the "
    "signature still fits, and with --policy whether it is trusted. Downloads nothing large and changes nothing.",
)
