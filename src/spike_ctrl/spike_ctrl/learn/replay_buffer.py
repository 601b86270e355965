"""Replay of sequences: a packed ring of ticks, each with one row for every vehicle.

A row is what a vehicle saw and did at one tick. The state that an action led to is the next row of the same vehicle; an
episode's last row is its final state, whose action is ignored (Gymnasium's NEXT_STEP). So nothing is stored twice.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE

HISTORY = 32


class Widths(NamedTuple):
    """Numbers of one vehicle in each column of the rows. Something else than a quadrotor has others, or none (0)."""

    observation: int = OBSERVATION_SIZE
    action: int = 4
    rotor_speed: int = 4
    disturbance: int = 6


QUADROTOR = Widths()


def privileged_size(history: int = HISTORY, widths: Widths = QUADROTOR) -> int:
    """Numbers in the privileged observation: observation, the last `history` actions, rotor speeds, disturbance."""
    return widths.observation + widths.action * history + widths.rotor_speed + widths.disturbance


class Rows(NamedTuple):
    """What N vehicles saw and did at one tick, float32 unless said otherwise; widths are those of a quadrotor.

    flags uint8 (N,): FIRST this state starts an episode; TERMINATED or TRUNCATED this state ended one;
    GUIDE the guide flew the action. reward (N,) is that of the action, known one step later.
    """

    flags: np.ndarray
    observation: np.ndarray  # (N, 18)
    rotor_speed: np.ndarray  # (N, 4)
    disturbance: np.ndarray  # (N, 6)
    action: np.ndarray  # (N, 4) as applied
    guide_action: np.ndarray  # (N, 4)
    reward: np.ndarray  # (N,)


class Sequences(NamedTuple):
    """B windows of L steps, time first. Arrays of states have L + 1 entries, arrays of steps L."""

    observation: np.ndarray  # (L + 1, B, 18)
    privileged: np.ndarray  # (L + 1, B, P): observation, last actions oldest first, rotors, disturbance
    action: np.ndarray  # (L, B, 4)
    guide_action: np.ndarray  # (L, B, 4)
    reward: np.ndarray  # (L, B)
    terminated: np.ndarray  # (L, B) bool: the step ended in a crash
    by_guide: np.ndarray  # (L, B) bool: the guide flew the step
    mask: np.ndarray  # (L, B) bool: the step belongs to the window's episode
    age: np.ndarray  # (B,) int: steps of the episode before the window


def complete(rows: Rows) -> Rows:
    """The rows with zeros for what a flight does not know, rotor speeds and disturbance: None there."""
    widths = {name: width for name, width in (("rotor_speed", 4), ("disturbance", 6)) if getattr(rows, name) is None}
    return rows._replace(**{name: np.zeros((len(rows.flags), width), np.float32) for name, width in widths.items()})


def finite(rows: Rows) -> tuple[Rows, int]:
    """The rows with those closed that hold NaN or infinity, and how many these are.

    Each tick has a place for every vehicle, so a bad row cannot be left out, but no window of steps reaches into it. A
    state that is not finite has ended its episode as a crash does. A step whose action or reward is not finite ends the
    sequence before it, as a time limit does: the state it was taken in still counts.
    """
    good = {name: np.isfinite(array).all(tuple(range(1, array.ndim))) for name, array in rows._asdict().items()}
    if all(fine.all() for fine in good.values()):
        return rows, 0
    bad_state = ~(good["observation"] & good["rotor_speed"] & good["disturbance"])
    ended = (rows.flags & (TERMINATED | TRUNCATED)) > 0  # its action is ignored anyway
    bad_step = ~(good["action"] & good["guide_action"] & good["reward"]) & ~ended & ~bad_state
    clean = {
        name: np.where(good[name].reshape(-1, *[1] * (array.ndim - 1)), array, 0) for name, array in rows._asdict().items()
    }
    if clean["observation"].shape[1] == OBSERVATION_SIZE:  # a quadrotor's attitude is a rotation
        clean["observation"][~good["observation"], 3:12] = np.eye(3).ravel()
    flags = rows.flags | np.where(bad_state, TERMINATED, 0) | np.where(bad_step, TRUNCATED, 0)
    return Rows(**clean)._replace(flags=flags.astype(np.uint8)), int((bad_state | bad_step).sum())


class SequenceBuffer:
    """Ring of the last `capacity` vehicle-steps of `vehicles` parallel streams.

    history: how many of the last actions the privileged observation holds, at most HISTORY.
    """

    def __init__(self, capacity: int, vehicles: int, history: int = HISTORY, widths: Widths = QUADROTOR):
        self.ticks, self.history = capacity // vehicles, history
        if self.ticks < 2 * HISTORY:
            raise UsageError(f"capacity: found {capacity}, wanted at least {2 * HISTORY * vehicles} ({vehicles} vehicles)")
        self.vehicles = vehicles
        self.count = 0  # ticks ever added
        shape = (self.ticks, vehicles)
        self.flags = np.zeros(shape, np.uint8)
        self.age = np.zeros(shape, np.int32)
        self.observation = np.zeros((*shape, widths.observation), np.float32)
        self.rotor_speed = np.zeros((*shape, widths.rotor_speed), np.float32)
        self.disturbance = np.zeros((*shape, widths.disturbance), np.float32)
        self.action = np.zeros((*shape, widths.action), np.float32)
        self.guide_action = np.zeros((*shape, widths.action), np.float32)
        self.reward = np.zeros(shape, np.float32)

    @property
    def held(self) -> int:
        """Ticks held."""
        return min(self.count, self.ticks)

    def add(self, rows: Rows) -> None:
        """Append one tick; the oldest is overwritten when the ring is full."""
        if len(rows.flags) != self.vehicles:
            raise ValueError(f"rows: found {len(rows.flags)} vehicles, wanted {self.vehicles}")
        at = self.count % self.ticks
        first = (rows.flags & FIRST) > 0
        before = self.age[(self.count - 1) % self.ticks]
        if self.count == 0:
            first = np.ones_like(first)
        self.age[at] = np.where(first, 0, before + 1)
        for name, value in rows._asdict().items():
            getattr(self, name)[at] = value
        if self.count == 0:
            self.flags[at] |= FIRST
        self.count += 1

    def ready(self, length: int) -> bool:
        """Whether windows of `length` steps can be drawn."""
        return self.held > 2 * length + HISTORY

    def sample(self, batch: int, length: int, burn_in: int, generator: np.random.Generator) -> Sequences:
        """`batch` windows of `length` steps, none crossing an episode's boundary.

        A window that would run over the end of its episode is moved back to end with it; where it would begin less
        than `burn_in` steps into its episode it is moved back to the beginning, so that a network that starts from
        the zero state is exact. Episodes shorter than `length` are padded, with mask False.
        """
        if not self.ready(length):
            raise ValueError(f"buffer holds {self.held} ticks, too few for windows of {length} steps")
        oldest = self.count - self.held
        tick = generator.integers(oldest + length + HISTORY, self.count - length, batch)
        vehicle = generator.integers(0, self.vehicles, batch)
        # The first of the states after `tick` that ended an episode bounds the window.
        ahead_flags = self._at(tick[:, None] + np.arange(length + 1), vehicle[:, None])(self.flags)
        ended = (ahead_flags & (TERMINATED | TRUNCATED)) > 0
        ended[:, :-1] |= (ahead_flags[:, 1:] & FIRST) > 0  # an episode that a restart cut off
        end = np.where(ended.any(1), ended.argmax(1), length)
        age = self.age[tick % self.ticks, vehicle]
        back = np.minimum(length - end, age)
        back += np.where(age - back < burn_in, age - back, 0)
        back = np.minimum(back, tick - oldest - HISTORY)
        tick = tick - back
        age = age - back
        ticks = tick[None] + np.arange(length + 1)[:, None]
        states, steps = self._at(ticks, vehicle), self._at(ticks[:-1], vehicle)
        flags = states(self.flags)
        over = (flags & (TERMINATED | TRUNCATED)) > 0
        over[:-1] |= (flags[1:] & FIRST) > 0
        over = np.logical_or.accumulate(over, axis=0)
        observation = states(self.observation)
        seen = [observation, self._histories(tick, vehicle, age, length), states(self.rotor_speed), states(self.disturbance)]
        return Sequences(
            observation=observation,
            privileged=np.concatenate(seen, axis=2),
            action=steps(self.action),
            guide_action=steps(self.guide_action),
            reward=steps(self.reward),
            terminated=((flags[1:] & TERMINATED) > 0) & ~over[:-1],
            by_guide=(flags[:-1] & GUIDE) > 0,
            mask=~over[:-1],
            age=age,
        )

    def _at(self, tick: np.ndarray, vehicle: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """A function that takes from an array of the ring what is there; `take` is five times as fast as two indices."""
        place = tick % self.ticks * self.vehicles + vehicle
        return lambda array: array.reshape(self.ticks * self.vehicles, *array.shape[2:]).take(place, axis=0)

    def _histories(self, tick: np.ndarray, vehicle: np.ndarray, age: np.ndarray, length: int) -> np.ndarray:
        """The last actions before each state, zero before the episode: (length + 1, B, actions times history)."""
        if not self.history:
            return np.empty((length + 1, len(tick), 0), np.float32)
        back = np.arange(-self.history, length)
        actions = self._at(tick[None] + back[:, None], vehicle)(self.action)
        actions[back[:, None] < -age[None]] = 0.0
        windows = np.lib.stride_tricks.sliding_window_view(actions, self.history, axis=0)
        return windows.transpose(0, 1, 3, 2).reshape(length + 1, len(tick), -1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything held, oldest tick first, for a resumable run."""
        order = np.arange(self.count - self.held, self.count) % self.ticks
        return {name: getattr(self, name)[order] for name in (*Rows._fields, "age")}

    def restore(self, arrays: dict[str, np.ndarray], count: int) -> None:
        """Put back what `arrays` returned from a buffer that had seen `count` ticks."""
        held = len(arrays["flags"])
        if held > self.ticks or arrays["flags"].shape[1] != self.vehicles:
            raise ValueError(f"buffer: found {arrays['flags'].shape} ticks and vehicles, wanted at most {self.flags.shape}")
        self.count = count
        order = np.arange(count - held, count) % self.ticks
        for name, value in arrays.items():
            getattr(self, name)[order] = value
