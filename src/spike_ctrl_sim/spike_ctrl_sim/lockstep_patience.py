"""How long the simulator waits for answers, for whom, and what it says then; what came of them. Times of the wall. Pure."""

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

RESEND, PATIENCE, START_PATIENCE = 1.0, 5.0, 120.0  # s; at the start kernels may compile
LONG = 12  # times PATIENCE: to wait for so long is worth a warning


class Waiting(NamedTuple):
    """State while there is nothing to fly. waits: how often PATIENCE has passed. awaited: whom it said it waits for.

    alone: whether the learner was gone already the last time.
    """

    waits: int = 0
    awaited: str = ""
    alone: bool = False


class WaitVerdict(NamedTuple):
    """After a wait: what to log, as information or as a warning; whether the learner is gone; why to end, "" to go on."""

    info: str = ""
    warning: str = ""
    learner_gone: bool = False
    failure: str = ""


def unanswered(
    tick: int, epoch: int, missing: Collection[str], asked: float, sent: float, now: float
) -> tuple[bool, str | None]:
    """Whether to send the state of this tick again, and why to end, None to go on. missing: topics and nodes that are.

    asked, sent: when (s) the state was published for the first time, and for the last time.
    """
    if missing and now - asked > PATIENCE:
        return False, f"tick {tick} (epoch {epoch}): no {' and no '.join(missing)} for {PATIENCE:.0f} s"
    return bool(missing) and now - sent > RESEND, None


def waited(before: Waiting, tick: int, absent: Collection[str]) -> tuple[Waiting, WaitVerdict]:
    """Nothing was there to fly for PATIENCE s. The learner may be slow or gone; absent: nodes that are not connected."""
    now = before._replace(waits=before.waits + 1)
    seconds = PATIENCE * now.waits
    others = [node for node in absent if node != "learner"]
    if others and (tick > 0 or seconds > START_PATIENCE):
        return now, WaitVerdict(failure=f"tick {tick}: {' and '.join(others)} not connected for {seconds:.0f} s")
    if tick > 0 and "learner" in absent:  # at the end of a training it goes first, and the launch ends the others
        return now._replace(alone=True), WaitVerdict(learner_gone=before.alone)
    who = ", ".join(absent) or "the learner's permission"
    text = f"tick {tick}: waiting for {who} for {seconds:.0f} s"
    if now.waits % LONG == 0:
        return now._replace(awaited=who), WaitVerdict(warning=text)
    # A learner that starts, compiles or learns is told of once.
    return now._replace(awaited=who), WaitVerdict(info=text if who != before.awaited else "")


class AnswerCounts:
    """latencies: s from a state to the answers of all, in real time those of 10 s. missed: ticks without all in time.

    stood_in: ticks that the guide flew in the place of a silent policy. malformed: answers that were dropped.
    """

    def __init__(self) -> None:
        self.latencies: deque[float] = deque(maxlen=1000)
        self.missed = self.stood_in = self.malformed = 0
        self._tick = 0

    def figures(self, tick: int) -> dict[str, object]:
        """After this tick. It is asked once a second."""
        median, late = np.percentile(self.latencies, [50, 99]) * 1e3 if self.latencies else (np.nan, np.nan)
        before, self._tick = self._tick, tick
        return {
            "tick": tick,
            "ticks_per_second": tick - before,
            "latency_median_ms": f"{median:.3f}",
            "latency_p99_ms": f"{late:.3f}",
            "deadlines_missed": self.missed,
            "flown_by_guide": self.stood_in,
            "answers_malformed": self.malformed,
        }
