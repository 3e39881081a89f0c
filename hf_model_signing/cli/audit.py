"""`hf-sign audit`: what an organisation has signed, by whom, and what is out of date; changes nothing."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from hf_model_signing.cli.global_options import Command
from hf_model_signing.cli.organisation import (
    check_reports,
    finish,
    jobs_option,
    organisation_argument,
    report_option,
    reported,
    selection_of,
    selection_options,
)
from hf_model_signing.cli.output import note
from hf_model_signing.cli.policy_option import policy_option, sigstore_notes
from hf_model_signing.cli.progress import repository_bar

_FINDINGS = ("unsigned", "stale", "untrusted")


def _run(**values: Any) -> int:  # noqa: ANN401 - what click parsed
    check_reports(values)
    with repository_bar() as bar, sigstore_notes():
        from hf_model_signing.organisation.audit import Audit
        from hf_model_signing.policy.trust_policy import Policy
        from hub_adapters.http.rate_budget import Budget
        from hub_adapters.huggingface.adapter import HuggingFaceAdapter

        adapter = HuggingFaceAdapter(Budget())
        if not adapter.has_token():
            note("nobody is logged in, so private repositories are not listed")
        audit = Audit(
            adapter,
            values["org"],
            policy=Policy.read(values["policy"]) if values["policy"] else None,
            selection=selection_of(values),
            jobs=values["jobs"],
            ended=bar.ended,
        )
        with contextlib.closing(audit):
            bar.begin("Looking", audit.collect())
            with reported(audit.done, values):
                audit.look()
            bar.close()
            code = finish(audit.done(), values)
            return 1 if any(audit.findings[word] for word in values["fail_on"]) else code


def _findings(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> frozenset[str]:
    words = [word.strip() for text in value for word in text.split(",")]
    unknown = [word for word in words if word not in _FINDINGS]
    if unknown:
        raise click.BadParameter(f"'{unknown[0]}' is none of {', '.join(_FINDINGS)}", ctx, param)
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
