"""Lets the vehicle's time keep the pace of who commands it: it stands still until the newest state is answered.

An answer is a command, or word that none will follow (`Link.answered`). Only with commands that come in time is a flight the
same on a busy computer as on an idle one: one control period of delay makes policies that were trained without it shake
(docs/notebook/flight.md). No clock: `wall` is the computer's, s.

    pace = Pace()
    while tick_is_due:
        if not pace.holds(vehicle.shown, vehicle.answered, wall): vehicle.advance(...)
"""

import math

PATIENCE = 1.0  # s, longest wait for the answer to a state


class Pace:
    """Whether the vehicle waits. It begins with the first answer. A state without one ends it until the next answer.

    waits, waited, longest: how often, how long in all and at most (s) its time stood still. alone: how often it went on
    without an answer after PATIENCE.
    """

    def __init__(self) -> None:
        self.waits, self.waited, self.longest, self.alone = 0, 0.0, 0.0, 0
        self._answered = -math.inf
        self._followed = False
        self._since: float | None = None

    def holds(self, shown: float, answered: float, wall: float) -> bool:
        """Whether the next tick, which is due, must wait.

        shown: the vehicle's time at its newest state. answered: its time at the newest state that is answered.
        """
        if answered > self._answered:
            self._answered, self._followed = answered, True
        since = wall if self._since is None else self._since
        if self._followed and answered < shown:
            if wall - since < PATIENCE:
                self._since = since
                return True
            self._followed = False
            self.alone += 1
        if self._since is not None:
            self.waits, self.waited, self.longest = (
                self.waits + 1, self.waited + wall - since, max(self.longest, wall - since)
            )  # fmt: skip
            self._since = None
        return False

    def left(self, wall: float) -> float:
        """Longest time (s) from `wall` on for which it holds the vehicle, once `holds` has said so."""
        return 0.0 if self._since is None else max(self._since + PATIENCE - wall, 0.0)

    def __str__(self) -> str:
        if not self.waits:
            return "waited for no answer"
        alone = f"; went on without an answer {self.alone} times" if self.alone else ""
        waits = f"waited for an answer {self.waits} times, {self.waited:.1f} s in all, longest {self.longest:.2f} s"
        return f"{waits}; its clock stood still meanwhile{alone}"
