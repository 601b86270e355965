"""What tests of flights share: reaction times, whether control was disturbed, and faults at more than one level."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from rehearsal import GUIDE, HOLD, LOITER_MODE
from spike_ctrl_msgs.msg import FlightCommand

PERIOD = 0.01  # s, of the control
GAP = 0.045  # s from one command to the next: a control period of up to 16 ms and less than three of silence
FAILSAFE = 0.2 + 0.065 + 0.06  # s: COM_OF_LOSS_T, what the autopilot takes, and how long the news takes


def hand_over_gap(flight, since: float) -> float:
    """Time (s) from the last command before to the guide's first after it, by the supervisor's stamps."""
    flight.until(lambda: flight.stamps(FlightCommand.GUIDE, since=since), 5, "no command of the guide")
    first = flight.stamps(FlightCommand.GUIDE, since=since)[0]
    return first - [stamp for stamp in flight.stamps(since=since - 5) if stamp < first][-1]


def on_guide_for_good(flight, since: int, words: str, seconds: float = 2.5) -> None:
    """The guide flies with this reason, and the policy does not come back by itself, though it may agree by then."""
    flight.until(lambda: flight.told(words, since), 5, words)
    flight.until(lambda: flight.rung == GUIDE, 5)
    flight.stays(GUIDE, seconds)


def hangs_and_is_refused(flight, reaction, where: str) -> None:
    """Stop the policy's process and wake it: the guide commands in time, and the policy stays in shadow until asked."""
    since, begin = len(flight.status), flight.signal("snn_policy", signal.SIGSTOP)
    flight.until(lambda: flight.told("SNN -> GUIDE: POLICY_SILENT", since), 5)
    reaction(hand_over_gap(flight, begin), GAP, f"{where}from the policy's last command to the guide's first")
    woke = flight.signal("snn_policy", signal.SIGCONT)
    on_guide_for_good(flight, since, "SNN -> GUIDE: POLICY_SILENT")
    assert not flight.stamps(FlightCommand.POLICY, since=woke)
    flight.engage()


def turns(flight, hangar, manner, words, reaction, limit):
    """Make the policy unstable; assert that this fault catches it within the limit (s) and the vehicle comes to rest."""
    since, begin = len(flight.status), time.time()
    hangar.unruly.tell(manner)
    caught = [f"SNN -> GUIDE: {words}", *([] if words else ["SNN -> HOLD: DISAGREEMENT", "SNN -> HOLD: ENVELOPE"])]
    flight.until(lambda: any(flight.told(said, since) for said in caught), 10, f"{manner}: not caught")
    # Also where the autopilot is asked to hold, the guide commands until it does, which may be at once.
    flight.until(lambda: flight.stamps(FlightCommand.GUIDE, since=begin) or flight.station.mode == LOITER_MODE, 5)
    if guided := flight.stamps(FlightCommand.GUIDE, since=begin):
        reaction(guided[0] - begin, limit, f"{manner}: from its first wild answer to the guide's command")
    else:
        last = [begin, *flight.stamps(FlightCommand.POLICY, since=begin)][-1]
        reaction(last - begin, limit, f"{manner}: from its first wild answer to the policy's last command")
    hangar.unruly.tell("model")
    flight.until(lambda: flight.rung in (GUIDE, HOLD) and settled(flight), 10, f"{manner}: not recovered")
    assert not any(np.isnan(command.action).any() for command in flight.commands)


def settled(flight):
    return np.linalg.norm(flight.station.truth[-1].velocity) < 0.5


def intervals(flight, seconds: float) -> np.ndarray:
    """Times (s) between the commands of the next seconds."""
    since = time.time()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        flight.spin()
    moments = flight.stamps(since=since)
    assert len(moments) > 0.8 * seconds / PERIOD, f"{len(moments)} commands in {seconds} s:\n{flight.story()}"
    return np.array([b - a for a, b in pairwise(moments)])


def undisturbed(before: np.ndarray, after: np.ndarray) -> float:
    """The largest gap (s) between commands after an event. It asserts that the rhythm is that from before."""
    late = [1e3 * np.percentile(gaps, 99) for gaps in (before, after)]
    assert late[1] < late[0] + 4.0, f"p99 of the gaps between commands {late[0]:.1f} ms before, {late[1]:.1f} ms after"
    return float(after.max())


def resident(process: int) -> float:
    """Resident memory of a process, MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
