"""The policy at the controls: its spiking state from tick to tick, and when it may command.

A spiking network is worth following only when its state has seen the ticks before. So whenever the states do not follow
each other (at the start, after a lost tick, a pause, a state that cannot be used) the spiking state starts
from zero and the policy flies in shadow for the warm-up, without commanding. It may command at once where all vehicles
start an episode, as in training. In lockstep training a lost tick is an error of the graph and no tick is late; there it
always answers.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import numpy as np

from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy


class Reason(enum.IntEnum):
    """How it went, with the numbers of PolicyStatus.msg. Only OK and WARMING_UP may command: the latter says that the
    policy warms up, and does not command, or that it commands while a successor warms up."""

    OK = 0
    NO_CHECKPOINT = 1
    WARMING_UP = 2
    STALE_STATE = 3
    BAD_OBSERVATION = 4
    BAD_ACTION = 5
    INACTIVE = 6


class PilotAnswer(NamedTuple):
    """What the policy says to one state: actions float32 (N, 4) in [-1, 1], None where none were computed; whether they
    may command; the reason, and the same in words."""

    action: np.ndarray | None
    commands: bool
    reason: Reason
    detail: str = ""


class Flown(NamedTuple):
    """A checkpoint in use. epoch 0: it came with no epoch. period: seconds between states in real time; 0: as they come."""

    name: str
    policy: SpikingPolicy
    epoch: int
    period: float = 0.0


class Candidate(NamedTuple):
    """What a successor in shadow would have answered: action float32 (N, 4), spike rate of each layer."""

    flown: Flown
    action: np.ndarray
    spike_rate: np.ndarray


class Pilot:
    """Flies one checkpoint, and a successor in shadow beside it.

    warm_up: steps in shadow. max_age: seconds that a state may be old and that may pass between two; infinite in lockstep.
    skip: ticks in a row that may be lost: the spiking state of so short a time ago is better than none. judged: the
    successor does not take over by itself after its warm-up, but when it is accepted.
    """

    def __init__(self, warm_up: int, max_age: float = np.inf, skip: int = 0, judged: bool = False):
        self.warm_up, self.max_age, self.skip, self.judged = warm_up, max_age, skip, judged
        self.flown: Flown | None = None
        self.successor: Flown | None = None
        self.candidate: Candidate | None = None  # of the last step
        self.stop()

    def stop(self) -> None:
        """Forget the spiking state, as at activation; the checkpoints stay."""
        self.state: PolicyState | None = None
        self.tick: int | None = None
        self._time, self._left, self._cause = 0.0, 0, ""
        self._successor_state: PolicyState | None = None
        self._successor_steps = 0
        self._accepted = False

    def take(self, found: Flown) -> None:
        """Fly this checkpoint from the next step on, with the spiking state as it is where the sizes allow it."""
        if self.flown is not None and self.flown.policy.sizes != found.policy.sizes:
            self.state = None
        self.flown = found

    def warm(self, found: Flown) -> None:
        """Let this checkpoint take over when it has flown in shadow through its warm-up; at once where none flies."""
        if self.flown is None:
            self.take(found)
        else:
            self.successor, self._successor_state, self._successor_steps = found, None, 0
            self._accepted = False

    def accept(self, name: str, epoch: int) -> bool:
        """Whether it is this successor, which then takes over at the next tick."""
        self._accepted = self.successor is not None and (self.successor.name, self.successor.epoch) == (name, epoch)
        return self._accepted

    def step(
        self, tick: int, first: np.ndarray, observation: np.ndarray, *, lockstep: bool, now: float = 0.0
    ) -> PilotAnswer:
        """Answer the state of a tick.

        first (N,): vehicles whose episode starts with it. observation (N, 18). now: seconds on a monotonic clock at its
        receipt. lockstep: training, where gaps do not count.
        """
        cause = "" if lockstep else self._broken(tick, first, now)
        if cause:
            self._cause, self._left = cause, self.warm_up
            self.state, self._successor_state, self._successor_steps = None, None, 0
            self._accepted = False
        elif lockstep or first.all():
            self._left = 0
        self.candidate = None
        counts = bool(cause) or now - self._time >= self.flown.period / 2
        bad = ~np.isfinite(observation)
        if bad.any():
            vehicle, field = np.argwhere(bad)[0]
            return PilotAnswer(None, False, Reason.BAD_OBSERVATION, f"observation[{vehicle},{field}] is not finite")
        if self.successor is not None:
            self._fly_successor(first, observation, counts)
        action, after = _step(self.flown.policy, observation, first, self.state)
        if not np.isfinite(action).all():
            return PilotAnswer(None, False, Reason.BAD_ACTION, "the network's answer is not finite")
        self.state, self.tick, self._time = after, tick, now
        if self._left:
            self._left -= counts
            if cause:
                return PilotAnswer(action, False, Reason.STALE_STATE, cause)
            done = self.warm_up - self._left
            return PilotAnswer(action, False, Reason.WARMING_UP, f"step {done} of {self.warm_up} in shadow: {self._cause}")
        if self.successor is not None:
            return PilotAnswer(action, True, Reason.WARMING_UP, f"{self.successor.name} flies in shadow")
        return PilotAnswer(action, True, Reason.OK)

    def _broken(self, tick: int, first: np.ndarray, now: float) -> str:
        """Why the spiking state does not belong to this tick; empty where it does, or where every vehicle starts anew."""
        if first.all():
            return ""
        if self.tick is None:
            return f"tick {tick} is the first"
        if not 1 <= tick - self.tick <= 1 + self.skip:
            return f"tick {tick} follows tick {self.tick}"
        if now - self._time > self.max_age:
            pause = 1e3 * (now - self._time)
            return f"tick {tick} came {pause:.0f} ms after the last, wanted at most {1e3 * self.max_age:.0f} ms"
        if self.state is None or self.state.membrane.shape[-1] != len(first):
            return f"tick {tick} has other vehicles or another network"
        return ""

    def _fly_successor(self, first: np.ndarray, observation: np.ndarray, counts: bool) -> None:
        """One step of the checkpoint that is to take over; it does so at this tick with the warm-up behind it, and, where it
        is judged, when it is accepted: until then its answer is the `candidate`."""
        warm = self._successor_steps >= self.warm_up
        if not warm or (self.judged and not self._accepted):
            action, self._successor_state = _step(self.successor.policy, observation, first, self._successor_state)
            self._successor_steps += counts
            if warm and self.judged:
                self.candidate = Candidate(self.successor, action, self.successor.policy.spike_rates(self._successor_state))
            return
        self.flown, self.state, self._left = self.successor, self._successor_state, 0
        self.successor, self._successor_state, self._accepted = None, None, False


def _step(policy: SpikingPolicy, observation: np.ndarray, first: np.ndarray, state: PolicyState | None):
    """One step for all vehicles; spiking states start from zero where an episode does."""
    if state is None or state.membrane.shape[-1] != len(first):
        state = policy.initial_state(len(first))
    elif first.any():
        state = policy.reset_rows(state, first)
    return policy.step(observation, state)
