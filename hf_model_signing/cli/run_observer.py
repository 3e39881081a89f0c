"""Follow a batch or an audit on the terminal: progress bars, notes, and the reports of a run that stops early."""

from __future__ import annotations

from collections.abc import Iterable

from hf_model_signing.cli.output import confirmed, note
from hf_model_signing.cli.progress import RepositoryBar
from hf_model_signing.organisation.options import Observer, Phase
from hf_model_signing.report.interface import Record, Report
from hf_model_signing.report.plan import plan_lines
from hf_model_signing.report.statuses import Status
from hf_model_signing.report.writing import write_report


class TerminalObserver(Observer):
    """Writes to the terminal; `unsigned` is the number of repositories that a batch planned and did not sign."""

    def __init__(self, bar: RepositoryBar, reports: Iterable[str], *, replace_others: bool = False) -> None:
        self._bar, self._reports, self._replace_others = bar, reports, replace_others
        self._phase: Phase | None = None
        self.unsigned: int | None = None

    def begin(self, phase: Phase, count: int) -> None:
        """Show a progress bar."""
        self._phase = phase
        self._bar.begin(phase, count)

    def ended(self, record: Record) -> None:
        """Advance the progress bar."""
        self._bar.ended()

    def planned(self, plan: Report) -> None:
        """Show the plan on stderr."""
        for line in plan_lines(plan, replace_others=self._replace_others):
            note(line)

    def may_replace(self, plan: Report) -> bool:
        """Ask on a terminal; elsewhere the answer is no."""
        count = plan.totals[Status.FOREIGN]
        return confirmed(f"Replace what others signed in {count:,} {'repository' if count == 1 else 'repositories'}?")

    def note(self, message: str) -> None:
        """Show the message on stderr."""
        note(message)

    def stopped(self, report: Report, left: int) -> None:
        """Write the reports."""
        if self._phase == Phase.SIGNING:
            self.unsigned = left
        for path in self._reports:
            write_report(path, report)
