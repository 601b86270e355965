"""The clock of a flight: the computer's own, or that of a simulated vehicle whose time waits for commands. Pure.

Such a vehicle (simulated_px4/pace.py) lets its time stand still until its newest state is answered. Ages and silences then
count in its time, so that a busy computer makes the flight slower and causes no fault.

    clock = FlightClock(paced=True, pause=settings.pause)
    clock = clock.seen(stamp, wall)    # for each state
    clock.now(wall)                    # s
"""

from __future__ import annotations

import math
from typing import NamedTuple

from spike_ctrl.flight.answer_checks import AnswerLimits
from spike_ctrl.flight.command_choice import Command
from spike_ctrl.flight.supervisor_state import SupervisorState


class FlightClock(NamedTuple):
    """A clock that never goes back. paced: it moves with the stamps of the states; else it is the computer's.

    pause: s of the computer's clock, longer than the vehicle waits for a command; after so long without a state it runs on.
    time: its time at the newest state, s. stamp: of that state, s on the vehicle's clock; None: before the first state, when
    the clock is the computer's. heard: when that state came, s on the computer's monotonic clock (`wall`).
    """

    paced: bool = False
    pause: float = math.inf
    time: float = 0.0
    stamp: float | None = None
    heard: float = 0.0

    def now(self, wall: float) -> float:
        """The time (s) at `wall` (s)."""
        return wall if self.stamp is None else self.time + max(wall - self.heard - self.pause, 0.0)

    def answered(self, stamp: float, wall: float) -> float:
        """The time (s) of an answer to the state with this stamp: that of its state, where it overtook the state."""
        now = self.now(wall)
        return now if self.stamp is None else max(now, self.time + stamp - self.stamp)

    def seen(self, stamp: float, wall: float) -> FlightClock:
        """The clock after a state with this stamp (s) came at `wall` (s)."""
        if not self.paced:
            return self
        now = self.now(wall)
        if self.stamp is not None:
            now = max(now, self.time + stamp - self.stamp)
        return self._replace(time=now, stamp=stamp, heard=wall)


class HeldBack(NamedTuple):
    """What the supervisor of a paced flight holds back, so that the vehicle waits for policy and guide alike.

    held: a command to whose state one of them still computes its answer. told: tick of the last state that a command
    answered, or of which it was said that none will.
    """

    held: Command | None = None
    told: int = -1

    def released(
        self, command: Command | None, state: SupervisorState, now: float, limits: AnswerLimits
    ) -> tuple[HeldBack, Command | None, int | None]:
        """After a step with this command: the command to send, and a tick to which no command will follow.

        A source that has not answered for longer than `limits.silent` is not waited for.
        """
        newest, tick = command or self.held, -1 if state.sample is None else state.sample.tick
        since = [source.waiting_since for source in (state.policy, state.guide) if source.waiting_since is not None]
        if any(now - begun <= limits.silent for begun in since) and (newest is None or newest.tick == tick):
            return self._replace(held=newest), None, None
        if newest is not None:
            return HeldBack(None, newest.tick), newest, None
        return (self, None, None) if tick in (-1, self.told) else (HeldBack(None, tick), None, tick)
