"""Episodes of one vehicle in a room: their starts and ends, and the rows of the replay buffer that they give.

Rows leave out what only a simulator knows: rotor speeds, disturbance and true parameters. For the reward's cost of the
action, the commanded collective stands for each of the four rotors.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.learn.jump_start import JumpStart
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.px4.link import thrust_and_rates
from spike_ctrl.sim import observation
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED
from spike_ctrl.sim.reward import Coefficients, reward

FLOOR, WALL = 0.5, 1.0  # m: lowest height of an episode, and how far from the walls it starts
CATCH_TIME, CATCH_SHARE = 0.3, 0.5  # s until the guide has levelled a falling vehicle; share of the spare thrust it then has


@dataclass(frozen=True)
class Room:
    """A cube in the air (m). Its middle is the set-point, `height` above the origin. An episode ends at its walls."""

    height: float = within(5.0, 1.0, 100.0)
    half: float = within(4.0, 1.5, 50.0)

    def __post_init__(self):
        ranges.check(self, "room")
        if self.height < self.half + FLOOR:
            raise UsageError(f"room: height: found {self.height} m, wanted at least {self.half + FLOOR}, half + {FLOOR}")

    @property
    def centre(self) -> SetPoint:
        """The middle of the room, which is the set-point."""
        return SetPoint((0.0, 0.0, self.height))

    @property
    def cage(self) -> Cage:
        """The room as a cage without a margin."""
        h = self.half
        return Cage((-h, -h, self.height - h), (h, h, self.height + h), margin=0.0)


ENVELOPE = Envelope(tilt=math.radians(65), rate=12.0, speed=8.0, error=100.0)  # the cage bounds the error


class RolloutOrder(NamedTuple):
    """The learner's order: which checkpoint flies until which tick, and how. Fields as of JumpStart.msg."""

    epoch: int
    until_tick: int
    horizon: float
    noise: float
    curriculum: float


class RoomState(NamedTuple):
    """One state of an episode. flags: uint8 (1,). observation: (1, 18). why: the reason where the episode ends with it."""

    flags: np.ndarray
    observation: np.ndarray
    why: str

    @property
    def final(self) -> bool:
        """Whether the episode ends with this state."""
        return bool(self.flags[0] & (TERMINATED | TRUNCATED))


class RoomEpisodes:
    """Draws starts, lets guide or policy fly as the jump start says, ends episodes, and makes the learner's rows."""

    def __init__(self, recipe: Recipe, airframe: Airframe, room: Room, seed: int):
        airframe.require_layout("rates")
        if recipe.task.terms:
            found = ", ".join(recipe.task.terms)
            raise UsageError(f"recipe {recipe.name}: task.terms: found {found}, wanted none for a flight on an autopilot")
        recipe.task.require_no_inserts("a flight on an autopilot")
        self.task, self.airframe, self.room = recipe.task, airframe, room
        self.jump_start = JumpStart(1, seed, recipe.jump_start)
        self._starts = np.random.default_rng([seed, 5])
        self._step = -1  # index of the step that the last state began
        self._noise = 0.0
        self._coefficients: Coefficients = recipe.task.coefficients(0.0)

    def start(self) -> SetPoint:
        """The start of the next episode: at rest, away from the walls, place and yaw drawn by the recipe."""
        start = self.task.start
        reach = min(start.position, self.room.half - WALL)
        low, high = self._starts.uniform(-reach, reach, 3), self._starts.uniform(-start.yaw, start.yaw)
        if self._starts.random() < start.at_target:
            return self.room.centre
        x, y, z = (float(value) for value in low)
        return SetPoint((x, y, self.room.height + z), yaw=float(high))

    def begin(self, order: RolloutOrder) -> None:
        """Begin an episode under an order of the learner."""
        self._step, self._noise, self._coefficients = -1, order.noise, self.task.coefficients(order.curriculum)
        self.jump_start.begin(np.ones(1, bool), order.horizon)

    def see(self, sample: Sample, cut: str = "") -> RoomState:
        """The next state as guide and policy see it. cut: a reason from outside the episode to end it here."""
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
        """Why the guide must save the vehicle, in words: it left the room or the envelope, or it falls; empty where not."""
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
        """The row of a step. after: the state after it, None for a final state, whose action the learner ignores."""
        flags = seen.flags | np.uint8(GUIDE * by_guide)
        given = np.zeros(1, np.float32)
        if after is not None:
            thrust, _ = thrust_and_rates(action[0].tolist(), self.airframe)
            command = np.full((1, 4), thrust, np.float32)
            given = reward(after.observation, command, self.airframe.hover, self._coefficients)
        return Rows(flags, seen.observation, None, None, action, guide, given)
