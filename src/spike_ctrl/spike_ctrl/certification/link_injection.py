"""What a fault of the link does to packets, and a fault of a process to whoever should run. Pure but for their dice.

A link that holds packets up keeps their order: it has a queue.
"""

from collections.abc import Sequence

import numpy as np

from spike_ctrl.certification.injected_fault import InjectedFault

PROCESSES = ("policy", "guide", "supervisor", "bridge")
HELD_UP = ("held", "growing", "bursty")
GROWS = (0.25, 0.5, 1.0, 2.0)  # s for which a delay grows, by the fault's axis
BURSTS = 4  # times the longest delay, from one burst to the next
STARVED_PERIOD = (0.04, 0.16)  # s from one pause of a starved computer to the next


class LinkInjection:
    """The faults of the link of one flight."""

    def __init__(self, faults: Sequence[InjectedFault]):
        self.faults = [(fault, np.random.default_rng(fault.seed)) for fault in faults]
        self.held_up = [fault for fault in faults if fault.kind.rpartition("_")[2] in HELD_UP]

    def held(self, direction: str, now: float) -> float:
        """By how much (s) a packet that is sent at `now` (s) is held up. direction: states or commands."""
        ways = (direction, "both")
        return sum(_held_up(f, now - f.at) for f in self.held_up if f.acts(now) and f.kind.partition("_")[0] in ways)

    def period(self, now: float, usual: float) -> float:
        """Time (s) from the state at `now` to the next."""
        rare = [1 / f.size for f, _ in self.faults if f.kind == "states_rare" and f.acts(now)] if self.faults else ()
        return max(rare, default=usual)

    def states(self, now: float) -> list[float]:
        """Delays (s) with which the state that the autopilot sends at `now` (s) arrives; none: it is lost."""
        delays = [0.0]
        for fault, dice in self.faults:
            if not fault.acts(now):
                continue
            if fault.kind in ("states_stop", "cut") or (fault.kind == "states_lost" and dice.random() < fault.size):
                return []
            if fault.kind == "states_late":
                delays = [d + float(dice.uniform(0, fault.size)) for d in delays]
            elif fault.kind == "states_doubled" and dice.random() < fault.size:
                delays.append(float(dice.uniform(0.001, 0.02)))
            elif fault.kind == "states_disordered" and dice.random() < fault.size:
                delays = [d + float(dice.uniform(0.01, 0.025)) for d in delays]
        return [d + self.held("states", now) for d in delays] if self.held_up else delays

    def command(self, now: float) -> float | None:
        """Delay (s) of a command that is sent at `now` (s); None: it is lost."""
        delay = self.held("commands", now)
        for fault, dice in self.faults:
            if not fault.acts(now):
                continue
            if fault.kind == "cut" or (fault.kind == "commands_lost" and dice.random() < fault.size):
                return None
            if fault.kind == "commands_late":
                delay += float(dice.uniform(0, fault.size))
        return delay

    def cut(self, now: float) -> bool:
        """Whether neither status nor TIMESYNC passes at `now` (s)."""
        return any(fault.kind in ("cut", "status_stops") and fault.acts(now) for fault, _ in self.faults)


def _held_up(fault: InjectedFault, since: float) -> float:
    """Delay (s) of a packet that is sent `since` s after the fault's begin."""
    if fault.kind.endswith("held"):
        return fault.size
    if fault.kind.endswith("growing"):
        return fault.size * min(since, GROWS[fault.axis])
    return max(fault.size - since % (BURSTS * fault.size), 0.0)


class ProcessInjection:
    """The faults of processes of one flight."""

    def __init__(self, faults: Sequence[InjectedFault]):
        self.stops: dict[str, list[tuple[float, float]]] = {name: [] for name in PROCESSES}
        self.slow: list[tuple[InjectedFault, np.random.Generator]] = []
        for fault in faults:
            dice, who = np.random.default_rng(fault.seed), fault.kind.partition("_")[0]
            if fault.kind.endswith(("_slow", "_late")):
                self.slow.append((fault, dice))
            elif fault.kind == "starved":
                at = fault.at
                while at < fault.until:
                    self._stop(PROCESSES, at, at + fault.size)
                    at += max(float(dice.uniform(*STARVED_PERIOD)), fault.size)
            else:
                self._stop(PROCESSES if who == "companion" else (who,), fault.at, fault.until)

    def _stop(self, names: Sequence[str], at: float, until: float) -> None:
        for name in names:
            self.stops[name].append((at, until))

    def wakes(self, name: str, now: float) -> float:
        """When (s) a process can do what it should do at `now`: now, at the end of its pause, or never (inf)."""
        for at, until in self.stops[name]:
            if at <= now < until:
                return until
        return now

    def extra(self, name: str, now: float) -> float:
        """By how much (s) policy or guide answers later at `now` (s)."""
        slow = [(f, dice) for f, dice in self.slow if f.acts(now) and f.kind.startswith(name)]
        return sum((float(dice.uniform(0.5, 1.5)) * fault.size for fault, dice in slow), 0.0)
