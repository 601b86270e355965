"""Follows the policy of a recording from state to state: its spiking state, and on which of the states it stepped.

In flight the newest state counts: of two that come together the policy steps on the second alone. The reports in a bag tell
so. A bag of before 0.2 lacks that; there the answers decide. Where one or two states have no answer, the policy may have
stepped on them or not: what led to the next answer, bit by bit, is what it did. So it is with a policy that is told what
others command: where its answer shows that a command came too late for it, it is not told that one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from spike_ctrl.policy.command_telling import Commanded
from spike_ctrl.policy.pilot import SKIP, Flown, Pilot, Reason, same_state
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.recordings.recording import GUIDE_FLEW, POLICY_FLEW, SUPERVISOR_FLEW, PolicyReports, Recording
from spike_ctrl.sim.episode_flags import FIRST

STARTED = Reason.STALE_STATE  # the policy begins from the zero state at this tick


class FollowedStep(NamedTuple):
    """The policy's answer to a state of N vehicles.

    action float32 (N, 4): None where there was no policy or the state was not finite. known (N,): whether the spiking state
    was known.
    """

    action: np.ndarray | None
    known: np.ndarray


class RecordedPolicy:
    """One policy, or the policy of each epoch, at the recorded states. `step` takes their rows in order.

    told: a policy that learns its plant is told what others commanded, where its answer does not show that it came too late.
    """

    def __init__(self, recording: Recording, policies: Policy | Mapping[int, Policy], told: bool = False):
        self.recording, self.policies, self.told = recording, policies, told
        self.pilot = Pilot(warm_up=0, judged=True)
        self._epochs, self._started = flown_epochs(recording), started_ticks(recording)
        self._shadows, self._previous = _shadows(recording.status), _told_previous(recording.status)
        self._first = (recording.states.flags & FIRST) > 0
        self._row = -1  # of the last step
        self._sure, self._shadow_sure = np.zeros(recording.vehicles, bool), False

    def copy(self) -> RecordedPolicy:
        """Another one that goes on from here by itself."""
        other = copy.copy(self)
        other.pilot = copy.copy(self.pilot)
        return other

    def step(self, row: int) -> FollowedStep:
        """Step on the state of a row; every row between the last one and this one was left out."""
        states = self.recording.states
        tick, epoch, first = int(states.tick[row]), int(self._epochs[row]), self._first[row]
        policy, started = self._of_epoch(epoch), tick in self._started
        if policy is None or started or not self._follows(row, tick):
            self.pilot.stop()
            self._sure, self._shadow_sure = np.full(len(first), started), started
        commanded, self._row = self._commanded(self._row), row
        if policy is None:
            return FollowedStep(None, self._sure)
        flown = self.pilot.flown
        if flown is None or (flown.policy, flown.epoch) != (policy, epoch):
            if self.pilot.accept("", epoch):
                self._sure = np.full(len(first), self._shadow_sure)
            else:  # in lockstep the new checkpoint takes over the spiking state
                self._sure = self._sure & (flown is None or (same_state(flown.policy, policy) and states.epoch[row] > 0))
                self.pilot.take(Flown("", policy, epoch))
        if tick in self._shadows and (candidate := self._of_epoch(self._shadows[tick])) not in (None, self.policies):
            self.pilot.warm(Flown("", candidate, self._shadows[tick]))
            self._shadow_sure = True
        self._sure = self._sure | first
        seen, voltage = states.observation[row], None if states.voltage is None else states.voltage[row]
        before = self.pilot if commanded is None else copy.copy(self.pilot)
        found = self.pilot.step(tick, first, seen, lockstep=True, voltage=voltage, commanded=commanded)
        if commanded is not None and not self._is_answer(row, found.action):
            late = before.step(tick, first, seen, lockstep=True, voltage=voltage)
            if self._is_answer(row, late.action):
                self.pilot, found = before, late
        return FollowedStep(found.action, self._sure)

    def _commanded(self, row: int) -> Commanded | None:
        """What was commanded at the last step, of that row, where a policy that learns its plant could have been told it."""
        commands, flown = self.recording.commands, self.pilot.flown
        if not self.told or commands is None or flown is None or not getattr(flown.policy, "learns_plant", False):
            return None
        action, who = commands.action[row : row + 1], commands.commander[row]
        if who not in (POLICY_FLEW, GUIDE_FLEW, SUPERVISOR_FLEW) or not np.isfinite(action).all():
            return None
        by = (flown.name, flown.epoch) if who == POLICY_FLEW else None
        return Commanded(int(self.recording.states.tick[row]), action, by)

    def _is_answer(self, row: int, action: np.ndarray | None) -> bool:
        """Whether this is what the policy answered; True where the bag does not tell."""
        policy = self.recording.policy
        if action is None or policy is None or policy.tick[row] < 0:
            return True
        return np.array_equal(action.view(np.uint32), policy.action[row].view(np.uint32))

    def inferred(self, begin: int, end: int) -> tuple[bool, ...]:
        """On which of the unanswered rows from `begin` to before `end` the policy stepped, by its answer to the row `end`.

        On none of them where no choice leads to that answer.
        """
        wanted = self.recording.answers.action[end].view(np.uint32)
        for choice in itertools.product((False, True), repeat=end - begin):
            follower = self.copy()
            for row in itertools.compress(range(begin, end), choice):
                follower.step(row)
            found = follower.step(end).action
            if found is not None and np.array_equal(found.view(np.uint32), wanted):
                return choice
        return (False,) * (end - begin)

    def _follows(self, row: int, tick: int) -> bool:
        """Whether the policy stepped on the state of this row right after that of the last step."""
        if self._row < 0:
            return False
        last = int(self.recording.states.tick[self._row])
        return self._previous.get(tick, last) == last and (tick in self._previous or tick - last == row - self._row)

    def _of_epoch(self, epoch: int) -> Policy | None:
        return self.policies.get(epoch) if isinstance(self.policies, Mapping) else self.policies


def flown_epochs(recording: Recording) -> np.ndarray:
    """Epoch of the checkpoint in use at each tick, (T,): the epoch that the state asks for, else that of the last answer."""
    states, policy = recording.states, recording.policy
    if policy is None or not (policy.tick >= 0).any():
        return states.epoch
    answered = np.flatnonzero(policy.tick >= 0)
    last = np.searchsorted(answered, np.arange(len(states.tick)), side="right") - 1
    return np.where(states.epoch > 0, states.epoch, policy.epoch[answered[np.maximum(last, 0)]])


def started_ticks(recording: Recording) -> set[int]:
    """Ticks at which the policy reports that it starts from the zero state."""
    if recording.status is None:
        return set()
    return set(recording.status.tick[recording.status.reason == STARTED].tolist())


def told_steps(recording: Recording) -> np.ndarray:
    """Whether the policy stepped on each state, (T,): on all but those that a report says were left out."""
    tick = recording.states.tick
    stepped = np.ones(len(tick), bool)
    for now, previous in _told_previous(recording.status).items():
        stepped[np.searchsorted(tick, previous, side="right") : np.searchsorted(tick, now)] = False
    return stepped


def doubtful_rows(recording: Recording) -> dict[int, int]:
    """{begin: end}: rows of which the bag does not tell whether the policy stepped on them, `end` the answered one behind.

    They lie between two answers, without a lost tick. In lockstep there are none: nobody goes on without the answer.
    """
    if recording.policy is None or _told_previous(recording.status):
        return {}
    tick, answered = recording.states.tick, np.flatnonzero(recording.policy.tick >= 0)
    return {
        before + 1: end
        for before, end in itertools.pairwise(answered.tolist())
        if 1 < end - before <= 1 + SKIP and tick[end] - tick[before] == end - before and recording.states.epoch[end] == 0
    }


def _told_previous(status: PolicyReports | None) -> dict[int, int]:
    """{tick: tick of the state on which the policy stepped before that}, as far as it reports so."""
    if status is None:
        return {}
    told = np.isin(status.reason, (Reason.OK, Reason.WARMING_UP)) & (status.previous > 0) & (status.previous < status.tick)
    return dict(zip(status.tick[told].tolist(), status.previous[told].tolist(), strict=True))


def _shadows(status: PolicyReports | None) -> dict[int, int]:
    """{tick: epoch} of each checkpoint that began to fly in shadow after the first report."""
    if status is None:
        return {}
    began = np.flatnonzero((status.candidate[1:] >= 0) & (status.candidate[1:] != status.candidate[:-1])) + 1
    return dict(zip(status.tick[began].tolist(), status.candidate[began].tolist(), strict=True))
