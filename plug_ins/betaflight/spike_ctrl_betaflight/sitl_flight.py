"""The loop of `spike-ctrl betaflight sitl`: the firmware, the vehicle, the poses, the pilot and the cable, step by step.

A flight that says which states it has answered is waited for, as the embedded vehicle waits: after a
pose the vehicle's time stands still until the companion asks for the IMU, goes on until the firmware has answered, and
stands still again until the flight has. A flight that says nothing is flown in real time, or slower on a busy computer.
"""

import math
import select
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from spike_ctrl_betaflight.cable import Cable
from spike_ctrl_betaflight.firmware_simulation import FirmwareSimulation
from spike_ctrl_betaflight.simulated_pilot import SimulatedPilot
from spike_ctrl_betaflight.sitl_packets import SensedMotion

LATE = 0.05  # s by which a step may be late before the vehicle's time falls back for good; 0 where it waits for a flight
ANSWER, LONGEST = 0.0008, 0.2  # s of this computer's time for the firmware's threads in each step: at first, at most
SAME = 1e-6  # s between equal stamps
PATIENCE, MOST = 1.5, 3  # s of this computer's time for the answer to a pose, below a flight's `pause`; times in a row
GONE = 0.5  # s of the vehicle's time after which a flight that asks nothing is none
SAID = 5.0  # s between two lines
FAULTS = ("mocap lost", "mocap frozen", "mocap jump", "mocap back", "cable cut", "cable back", "receiver lost",
          "receiver back", "pilot takes")  # fmt: skip


class Turns:
    """Whose turn it is: the vehicle's, the firmware's, or that of the flight.

    A pose or an answer may be lost: the vehicle goes on after PATIENCE, and no longer waits after MOST such waits in a row.
    waits, waited, missed: how often and how long (s) its time stood still, and how often in vain.
    """

    def __init__(self) -> None:
        self.waits, self.waited, self.missed = 0, 0.0, 0
        self._shown = -math.inf
        self._stepped: float | None = None
        self._patience = ANSWER
        self._since: float | None = None
        self._in_a_row = 0

    def shown(self, stamp: float) -> None:
        """A pose with this stamp (s) goes out."""
        self._shown = stamp

    def holds(self, cable: Cable, wall: float) -> bool:
        """Whether the next step must wait at `wall` (s)."""
        if cable.answered == -math.inf:
            return False
        if cable.asked > cable.given:  # the firmware needs time to answer, and on a busy computer its threads need more
            if self._stepped is None or wall - self._stepped < self._patience:
                self._stepped = wall if self._stepped is None else self._stepped
                return True
            if self._patience >= LONGEST:
                cable.asked = cable.given  # the firmware has dropped the request
            self._stepped, self._patience = wall, min(2 * self._patience, LONGEST)
            return False
        self._stepped, self._patience = None, ANSWER
        since = self._since if self._since is not None else wall
        if cable.answered >= self._shown - SAME:
            if self._shown > -math.inf:  # it was not given up
                self._in_a_row = 0
        elif self._in_a_row < MOST:
            self._since = since
            if wall - since < PATIENCE:
                return True
            self._shown, self.missed, self._in_a_row = -math.inf, self.missed + 1, self._in_a_row + 1
        if self._since is not None:
            self._since, self.waits, self.waited = None, self.waits + 1, self.waited + wall - since
        return False

    def __str__(self) -> str:
        return f"waited for a flight {self.waits} times, {self.waited:.1f} s in all; {self.missed} times in vain"


class SitlFlight:
    """What the loop moves. mocap: publishes the vehicle's motion, gives the stamp; None: nobody does.

    see: is shown the time and the motion after each step. say: takes lines for people.
    """

    def __init__(
        self,
        simulation: FirmwareSimulation,
        cable: Cable,
        pilot: SimulatedPilot,
        mocap: Any,
        see: Callable[[float, SensedMotion], None],
        say: Callable[[str], None],
    ):
        self.simulation, self.cable, self.pilot, self.mocap = simulation, cable, pilot, mocap
        self.see, self.say, self.turns = see, say, Turns()
        self._polled, self._flying, self._looked, self._spoken = 0, -math.inf, -math.inf, 0.0
        self._taken = False

    def run(self, stop: Sequence[int], speed: float) -> None:
        """Fly until `stop` has something. speed: s of the vehicle's time per second, at most."""
        begun, first = time.monotonic(), self.simulation.now
        while not stop:
            wall = time.monotonic()
            due = begun + (self.simulation.now - first) / speed
            if wall < due or self.turns.holds(self.cable, wall):
                self.cable.pass_on(min(max(due - wall, ANSWER / 3), 0.01))
                continue
            begun += max(0.0, wall - due - LATE * (self.cable.answered == -math.inf))
            self.step(wall)

    def step(self, wall: float) -> None:
        """One step of the vehicle, at `wall` (s)."""
        simulation = self.simulation
        sensed = simulation.sensed
        if wall - self._looked > 0.1:
            self._looked = wall
            self._obey()
        if self.cable.polled != self._polled:
            self._polled, self._flying = self.cable.polled, simulation.now
        there = simulation.now - self._flying < GONE
        simulation.channels = self.pilot.channels(simulation.now, there, sensed.position, sensed.velocity)
        if self.pilot.taken and not self._taken:
            self.say(f"{simulation.now:.3f} s: the pilot takes over")
        self._taken = self.pilot.taken
        self.cable.pass_on(0.0)
        simulation.advance()
        self.cable.pass_on(0.0)
        self.see(simulation.now, simulation.sensed)
        if self.mocap is not None and (stamp := self.mocap.moved(simulation.now, simulation.sensed)) is not None:
            self.turns.shown(stamp)
        if simulation.now >= self._spoken:
            self._spoken = simulation.now + SAID
            x, y, z = simulation.sensed.position
            self.say(f"{simulation.now:.0f} s: at {x:.2f}, {y:.2f}, {z:.2f} m")

    def _obey(self) -> None:
        """Take a line of standard input: one of FAULTS."""
        if not sys.stdin or sys.stdin.closed or not select.select([sys.stdin], [], [], 0.0)[0]:
            return
        if line := sys.stdin.readline().strip():
            self.say(line)
            self.say(self.obey(line))

    def obey(self, line: str) -> str:
        """Do what one of FAULTS says; what to print."""
        if line not in FAULTS or (line.startswith("mocap") and self.mocap is None):
            return f"found '{line}', wanted one of {', '.join(FAULTS)}"
        what, _, how = line.partition(" ")
        if what == "mocap":
            self.mocap.fault = how
        elif what == "cable":
            self.cable.cut = how == "cut"
        elif what == "receiver":
            self.simulation.linked = how == "back"
        else:
            self.pilot.taken = True
        return f"{self.simulation.now:.3f} s: {line}"
