"""Deadlines of policy and guide: an answer that is overdue, and a policy that answers late too often. Pure."""

from __future__ import annotations

from spike_ctrl.flight.answer_checks import WINDOW, AnswerLimits, AnswerSource
from spike_ctrl.flight.faults import Fault, Finding


def check_deadlines(source: AnswerSource, now: float, limits: AnswerLimits, fault: Fault) -> tuple[Finding, ...]:
    """Faults of a source at `now` (s): its oldest answer is overdue, or too many of its last 100 answers came late.

    fault: POLICY_SILENT or GUIDE_SILENT. It names the source: the guide has a longer deadline, and late answers of it are
    not counted.
    """
    found: tuple[Finding, ...] = ()
    limit = limits.silent if fault is Fault.POLICY_SILENT else limits.guide_silent
    if source.waiting_since is not None and now - source.waiting_since > limit:
        waited = 1e3 * (now - source.waiting_since)
        found = (Finding(fault, f"no answer for {waited:.0f} ms, wanted one within {1e3 * limit:.0f} ms"),)
    if fault is Fault.POLICY_SILENT and (misses := source.misses.bit_count()) > limits.misses:
        detail = f"{misses} of {WINDOW} answers late by more than {1e3 * limits.late:.0f} ms, wanted at most {limits.misses}"
        found += (Finding(Fault.POLICY_MISSES, detail),)
    return found
