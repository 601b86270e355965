"""How long the simulator waits, for whom, and what it says then. Times are those of the wall. Pure."""

from collections.abc import Collection
from typing import NamedTuple

RESEND, PATIENCE, START_PATIENCE = 1.0, 5.0, 120.0  # s; at the start kernels may compile
LONG = 12  # times PATIENCE: to wait for so long is worth a warning


class Answering(NamedTuple):
    """What to do about a state that is not answered by all: send it again, or end with a failure."""

    resend: bool = False
    failure: str = ""


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


def unanswered(tick: int, epoch: int, missing: Collection[str], asked: float, sent: float, now: float) -> Answering:
    """What to do about the state of this tick. missing: topics and nodes whose answers are.

    asked, sent: when (s) the state was published for the first time, and for the last time.
    """
    if not missing:
        return Answering()
    if now - asked > PATIENCE:
        return Answering(failure=f"tick {tick} (epoch {epoch}): no {' and no '.join(missing)} for {PATIENCE:.0f} s")
    return Answering(resend=now - sent > RESEND)


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
