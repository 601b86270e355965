"""Episodes of one vehicle that flies somewhere in a room: where they start and end, what is learnt from them.

What a simulator knows and a flight does not is left out, not made up: rotor speeds, disturbance and true parameters. The
reward's cost of the action takes the commanded collective for each of the four rotors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spike_ctrl._files import ranges
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.geofence import Cage, Envelope
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.learn.jump_start import JumpStart
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.px4.link import setpoint
from spike_ctrl.sim import observation
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED
from spike_ctrl.sim.reward import Coefficients, reward

FLOOR, WALL = 0.5, 1.0  # m: lowest height of an episode, and how far from the walls it starts
CATCH_TIME, CATCH_SHARE = 0.3, 0.5  # s until the guide has levelled a falling vehicle; share of the spare thrust it then has


class RoomError(ValueError):
    """A room that cannot be; one line with found and wanted."""


@dataclass(frozen=True)
class Room:
    """A cube in the air (m): its middle is the set-point, at `height` above the origin; an episode ends at its walls."""

    height: float = within(5.0, 1.0, 100.0)
    half: float = within(4.0, 1.5, 50.0)

    def __post_init__(self):
        ranges.check(self, "room", RoomError)
        if self.height < self.half + FLOOR:
            raise RoomError(f"room: height: found {self.height} m, wanted at least {self.half + FLOOR}, half + {FLOOR}")

    @property
    def centre(self) -> SetPoint:
        return SetPoint((0.0, 0.0, self.height))

    @property
    def cage(self) -> Cage:
        h = self.half
        return Cage((-h, -h, self.height - h), (h, h, self.height + h), margin=0.0)


ENVELOPE = Envelope(tilt=math.radians(65), rate=12.0, speed=8.0, error=100.0)  # the cage bounds the error


class RolloutOrder(NamedTuple):
    """How and until which tick the learner lets fly; see JumpStart.msg."""

    epoch: int
    until_tick: int
    horizon: float
    noise: float
    curriculum: float


class RoomState(NamedTuple):
    """One state of an episode: flags uint8 (1,), observation (1, 18), and in words why it ended with it, if it did."""

    flags: np.ndarray
    observation: np.ndarray
    why: str

    @property
    def final(self) -> bool:
        return bool(self.flags[0] & (TERMINATED | TRUNCATED))


class RoomEpisodes:
    """Draws starts, hands over from the guide as the jump start says, judges states and makes the learner's rows."""

    def __init__(self, recipe: Recipe, airframe: Airframe, room: Room, seed: int):
        airframe.require_layout("rates")
        if recipe.task.terms:
            found = ", ".join(recipe.task.terms)
            raise RoomError(f"recipe {recipe.name}: task.terms: found {found}, wanted none for a flight on an autopilot")
        self.task, self.airframe, self.room = recipe.task, airframe, room
        self.jump_start = JumpStart(1, np.random.default_rng([seed, 1]), recipe.jump_start.spread)
        self._starts = np.random.default_rng([seed, 5])
        self._step = -1  # that the last state began
        self._noise = 0.0
        self._coefficients: Coefficients = recipe.task.coefficients(0.0)

    def start(self) -> SetPoint:
        """Where the next episode starts: at rest, its place and yaw drawn as the recipe says, away from the walls."""
        start = self.task.start
        reach = min(start.position, self.room.half - WALL)
        low, high = self._starts.uniform(-reach, reach, 3), self._starts.uniform(-start.yaw, start.yaw)
        if self._starts.random() < start.at_target:
            return self.room.centre
        x, y, z = (float(value) for value in low)
        return SetPoint((x, y, self.room.height + z), yaw=float(high))

    def begin(self, leave: RolloutOrder) -> None:
        self._step, self._noise, self._coefficients = -1, leave.noise, self.task.coefficients(leave.curriculum)
        self.jump_start.begin(np.ones(1, bool), leave.horizon)

    def see(self, sample: Sample, cut: str = "") -> RoomState:
        """The next state as the policy is shown it. cut: why the episode is to end here for reasons that are not its own."""
        self._step += 1
        centre = self.room.centre
        seen = observation.build(
            sample.position, sample.quaternion, sample.velocity, sample.rates, centre.position, centre.yaw
        )
        flags, why = FIRST if self._step == 0 else 0, ""
        crash = self._crash(sample)
        if crash:
            flags, why = flags | TERMINATED, crash
        elif cut:
            flags, why = flags | TRUNCATED, cut
        elif self._step >= self.task.episode_steps:
            flags, why = flags | TRUNCATED, "flown to the end"
        return RoomState(np.array([flags], np.uint8), seen[None], why)

    def _crash(self, sample: Sample) -> str:
        """Why the episode is over for the guide to save the vehicle, in words: room, envelope, or a fall to the ground."""
        found = (*self.room.cage.check(sample.position), *ENVELOPE.check(sample, None))
        if found:
            return str(found[0])
        sinking = max(-sample.velocity[2], 0.0)
        spare = CATCH_SHARE * (self.airframe.thrust_to_weight - 1) * GRAVITY
        caught = sample.position[2] - sinking * CATCH_TIME - sinking**2 / (2 * spare)
        if caught < FLOOR:
            return f"sinks at {sinking:.1f} m/s: would be caught at {caught:.1f} m, wanted {FLOOR} m"
        return ""

    def act(self, policy: np.ndarray, guide: np.ndarray) -> tuple[np.ndarray, bool]:
        """The action (1, 4) that flies, and whether it is the guide's."""
        action, by_guide = self.jump_start.act(np.array([self._step]), policy, guide, self._noise)
        return action, bool(by_guide[0])

    def rows(self, seen: RoomState, action: np.ndarray, by_guide: bool, guide: np.ndarray, after: RoomState | None) -> Rows:
        """What the learner is sent of a step, or of the final state (no `after`), whose action it ignores."""
        flags = seen.flags | np.uint8(GUIDE * by_guide)
        given = np.zeros(1, np.float32)
        if after is not None:
            thrust, _ = setpoint(action[0].tolist(), self.airframe)
            command = np.full((1, 4), thrust, np.float32)
            given = reward(after.observation, command, self.airframe.hover, self._coefficients)
        return Rows(flags, seen.observation, None, None, action, guide, given)
