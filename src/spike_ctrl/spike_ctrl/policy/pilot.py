"""The policy at the controls: its state from tick to tick, and when it may command.

A policy with a state is worth following only when that state has seen the ticks before. The vehicle's states may fail to
follow each other: at the start, after a lost tick, after a pause, after a state that cannot be used. Then the policy begins
anew from its initial state and flies in shadow for the warm-up, without commanding. It may command at once where all
vehicles start an episode, as in training. In lockstep training a lost tick is an error of the graph and no tick is late;
there it always answers.
"""

import enum
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.command_telling import Commanded
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.policy.voltage_input import complete

FRESH = 3  # periods: a state that waited in a queue for longer does not count in a warm-up
PROBATION = 2000  # steps
SKIP = 2  # ticks in a row that a flight may lose: the supervisor takes a longer silence for a fault


class Reason(enum.IntEnum):
    """How a step went, with the numbers of PolicyStatus.msg.

    Only OK and WARMING_UP may command. WARMING_UP says one of two things: the policy warms up and does not command, or it
    commands while a candidate warms up.
    """

    OK = 0
    NO_CHECKPOINT = 1
    WARMING_UP = 2
    STALE_STATE = 3
    BAD_OBSERVATION = 4
    BAD_ACTION = 5
    INACTIVE = 6


class PilotAnswer(NamedTuple):
    """The policy's answer to one state of N vehicles.

    action: float32 (N, 4) in [-1, 1], None where none was computed. commands: whether it may command. detail: the reason in
    words.
    """

    action: NDArray[Any] | None
    commands: bool
    reason: Reason
    detail: str = ""


class Flown(NamedTuple):
    """A checkpoint in use. epoch: 0 where it came with none. period: seconds between states; 0 where time does not count."""

    name: str
    policy: Policy
    epoch: int
    period: float = 0.0


class CandidateAnswer(NamedTuple):
    """What a candidate in shadow would have answered: action float32 (N, 4), spike rate of each layer."""

    flown: Flown
    action: NDArray[Any]
    spike_rate: tuple[float, ...]


class Pilot:
    """Flies one checkpoint, and a candidate in shadow beside it.

    warm_up: steps in shadow. max_age: seconds that may pass between two states; infinite in lockstep. skip: ticks in a row
    that may be lost, because a state of so short a time ago is better than none. judged: a candidate takes over when it is
    accepted; otherwise after its warm-up. Where it is judged, its parent flies on in shadow for PROBATION steps, and
    takes over again where that is accepted. All checkpoints of a flight see the same numbers.
    """

    def __init__(self, warm_up: int, max_age: float = np.inf, skip: int = 0, judged: bool = False):
        self.warm_up, self.max_age, self.skip, self.judged = warm_up, max_age, skip, judged
        self.flown: Flown | None = None
        self.candidate: Flown | None = None
        self.parent: Flown | None = None
        self.candidate_answer: CandidateAnswer | None = None  # of the last step
        self.stop()

    def stop(self) -> None:
        """Forget the policy's state, as at activation. The checkpoints stay."""
        self.state: Any = None
        self._vehicles = 0  # of the states
        self.tick: int | None = None
        self._time, self._left, self._cause = 0.0, 0, ""
        self._candidate_state: Any = None
        self._candidate_steps = 0
        self._accepted = self._returns = False
        self._parent_state: Any = None
        self._parent_steps = 0
        self._answers: dict[tuple[str, int], NDArray[Any]] = {}  # of the last step, by name and epoch
        self._shown: tuple[NDArray[Any] | None, NDArray[Any], bool] | None = None  # what the shadows have yet to answer

    def take(self, found: Flown) -> None:
        """Fly this checkpoint from the next step on, with the state as it is where it fits the new network."""
        if self.flown is not None and not same_state(self.flown.policy, found.policy):
            self.state = None
        self.flown = found

    def warm(self, found: Flown) -> None:
        """Let this checkpoint take over after its warm-up in shadow; at once where no other flies."""
        self.fly_shadows()
        if self.flown is None:
            self.take(found)
        else:
            self.candidate, self._candidate_state, self._candidate_steps = found, None, 0
            self._accepted = False

    def accept(self, name: str, epoch: int) -> bool:
        """Let the candidate or the parent of this name and epoch take over at the next tick; whether there is one."""

        def found(shadow: Flown | None) -> bool:
            return shadow is not None and (shadow.name, shadow.epoch) == (name, epoch)

        self._accepted = found(self.candidate)
        self._returns = not self._accepted and found(self.parent)
        return self._accepted or self._returns

    def step(
        self, tick: int, first: NDArray[Any], observation: NDArray[Any], *, lockstep: bool, now: float = 0.0,
        waited: float = 0.0, voltage: Any = None, commanded: Commanded | None = None,
    ) -> PilotAnswer:  # fmt: skip
        """Answer the state of a tick. At least one checkpoint must fly.

        first (N,): the vehicles whose episode starts with this state. observation (N, 18). now: seconds on a monotonic
        clock when it was received. waited: seconds in a queue before that. lockstep: in training, where gaps do not count.
        voltage: of the battery, or (N,), V, for policies that see it; None: unknown. commanded: what was, in answer to the
        last state; a policy that learns its plant is told it where it was not its own; None: it is told nothing.
        """
        assert self.flown is not None
        self.fly_shadows()
        count = np.count_nonzero(first)
        all_first, starting = count == len(first), first if count else None
        cause = "" if lockstep else self._broken(tick, len(first), all_first, now, waited)
        if cause:
            self._cause, self._left = cause, self.warm_up
            self.state, self._candidate_state, self._candidate_steps = None, None, 0
            self._accepted, self._parent_state = False, None
        elif lockstep or all_first:
            self._left = 0
        if self._vehicles != len(first):
            self.state, self._candidate_state, self._vehicles = None, None, len(first)
            self._parent_state = None
        self.candidate_answer = None
        fresh = lockstep or waited <= FRESH * self.flown.period or self.flown.period == 0
        counts = bool(cause) or (fresh and now - self._time >= self.flown.period / 2)
        finite = np.isfinite(observation)
        if np.count_nonzero(finite) < finite.size:
            vehicle, field = np.argwhere(~finite)[0]
            return PilotAnswer(None, False, Reason.BAD_OBSERVATION, f"observation[{vehicle},{field}] is not finite")
        try:
            observation = complete(self.flown.policy, observation, voltage)
        except UsageError as error:
            return PilotAnswer(None, False, Reason.BAD_OBSERVATION, str(error))
        if commanded is not None and commanded.tick == self.tick:
            self._tell(commanded)
        self._answers = {}
        self._take_over()
        self._shown = starting, observation, counts
        action, after = self._stepped(self.flown, observation, starting, self.state)
        if np.count_nonzero(np.isfinite(action)) < action.size:
            return PilotAnswer(None, False, Reason.BAD_ACTION, "the network's answer is not finite")
        self.state, self.tick, self._time = after, tick, now
        if self._left:
            self._left -= counts
            if cause:
                return PilotAnswer(action, False, Reason.STALE_STATE, cause)
            done = self.warm_up - self._left
            return PilotAnswer(action, False, Reason.WARMING_UP, f"step {done} of {self.warm_up} in shadow: {self._cause}")
        if self.candidate is not None:
            return PilotAnswer(action, True, Reason.WARMING_UP, f"{self.candidate.name} flies in shadow")
        return PilotAnswer(action, True, Reason.OK)

    def _broken(self, tick: int, vehicles: int, all_first: bool, now: float, waited: float) -> str:
        """Why the policy's state does not belong to this tick; empty where it does, or where every vehicle starts now."""
        if all_first:
            return self._late(tick, waited)
        if self.tick is None:
            return f"tick {tick} is the first"
        if not 1 <= tick - self.tick <= 1 + self.skip:
            return f"tick {tick} follows tick {self.tick}"
        if now - self._time > self.max_age:
            pause = 1e3 * (now - self._time)
            return f"tick {tick} came {pause:.0f} ms after the last, wanted at most {1e3 * self.max_age:.0f} ms"
        if self.state is None or self._vehicles != vehicles:
            return f"tick {tick} has other vehicles or another network"
        return self._late(tick, waited)

    def _late(self, tick: int, waited: float) -> str:
        """The same of a state that waited, also where an episode began with it: whoever sent it has flown on since."""
        if waited <= self.max_age:
            return ""
        return f"tick {tick} waited {1e3 * waited:.0f} ms in a queue, wanted at most {1e3 * self.max_age:.0f} ms"

    def _take_over(self) -> None:
        """Let the parent fly again, or the candidate from now on, where that may be.

        A candidate may after its warm-up; where candidates are judged, once it has been accepted.
        """
        if self._returns and self.parent is not None:
            self.flown, self.state = self.parent, self._parent_state
            self.parent, self._returns = None, False
        if self.candidate is None or self._candidate_steps < self.warm_up or (self.judged and not self._accepted):
            return
        if self.judged:
            self.parent, self._parent_state, self._parent_steps = self.flown, self.state, 0
        self.flown, self.state, self._left = self.candidate, self._candidate_state, 0
        self.candidate, self._candidate_state, self._accepted = None, None, False

    def fly_shadows(self) -> None:
        """Let candidate and parent answer the last step's state too; it is called once the answer is on its way.

        The next step does it where nobody has, so the arrays of a step have to stay as they are until then. A judged
        candidate that has warmed up gives the `candidate_answer` then. A parent flies on so that its state is there if it
        has to take over again.
        """
        if self._shown is None:
            return
        (starting, observation, counts), self._shown = self._shown, None
        if (flown := self.candidate) is not None:
            warm = self._candidate_steps >= self.warm_up
            action, self._candidate_state = self._stepped(flown, observation, starting, self._candidate_state)
            self._candidate_steps += counts
            if warm and self.judged:
                self.candidate_answer = CandidateAnswer(flown, action, flown.policy.spike_rates(self._candidate_state))
        if self.parent is not None:
            self._parent_steps += 1
            if self._parent_steps > PROBATION:
                self.parent, self._parent_state, self._returns = None, None, False
            else:
                _, self._parent_state = self._stepped(self.parent, observation, starting, self._parent_state)

    def _stepped(
        self, flown: Flown, observation: NDArray[Any], starting: NDArray[Any] | None, state: Any
    ) -> tuple[NDArray[Any], Any]:
        """One step for all vehicles. starting (N,): those whose episode starts; None: of none it does."""
        if state is None:
            state = flown.policy.initial_state(len(observation))
        elif starting is not None:
            state = flown.policy.reset_rows(state, starting)
        action, after = flown.policy.step(observation, state)
        self._answers[flown.name, flown.epoch] = action
        return action, after

    def _tell(self, commanded: Commanded) -> None:
        """Tell those whose last answer was not what was commanded."""

        def told(flown: Flown | None, state: Any) -> Any:
            if flown is None or state is None or (who := (flown.name, flown.epoch)) == commanded.by:
                return state
            policy, own = flown.policy, self._answers.get(who)
            if own is None or own.shape != commanded.action.shape or not isinstance(policy, SpikingPolicy):
                return state
            return policy.told(state, own, commanded.action)

        self.state = told(self.flown, self.state)
        self._candidate_state = told(self.candidate, self._candidate_state)
        self._parent_state = told(self.parent, self._parent_state)


def same_state(one: Policy, other: Policy) -> bool:
    """Whether a state of one policy goes on in the other: layers of the same widths, or arrays of the same shapes."""
    if isinstance(one, SpikingPolicy) and isinstance(other, SpikingPolicy):
        return one.sizes == other.sizes
    found, wanted = ([(a.shape, a.dtype) for a in _arrays(policy.initial_state())] for policy in (one, other))
    return found == wanted and isinstance(one, SpikingPolicy) == isinstance(other, SpikingPolicy)


def _arrays(state: Any) -> Iterator[NDArray[Any]]:
    if isinstance(state, tuple):
        for part in state:
            yield from _arrays(part)
    else:
        yield state
