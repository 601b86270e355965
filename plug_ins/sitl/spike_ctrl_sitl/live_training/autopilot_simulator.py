"""One vehicle on an autopilot as the simulator of the training graph: states out, answers of guide and policy in, rows out.

No sockets and no clock: samples, answers and times go in, commands and rows come out. Times are those of the vehicle's own
clock (s), at any speed of its simulation. Every state passes the state checks. Beyond the envelope, outside the room,
without answers, and between episodes, the guide of this file takes over at once.
"""

import math
from collections import Counter, deque
from typing import NamedTuple

import numpy as np

from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.flight_settings import settings_for
from spike_ctrl.flight.state_checks import Sample, StateLimits, StateTrack, check_state
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.px4.link import Link
from spike_ctrl.sim import observation
from spike_ctrl.sim.action_mapping import LEAST_COLLECTIVE
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_sitl.live_training import return_to_start
from spike_ctrl_sitl.live_training.return_to_start import (
    AutopilotRequest,
    FlownSetPoint,
    ReturnFacts,
    ReturnPhase,
    ReturnState,
)
from spike_ctrl_sitl.live_training.room_episodes import RolloutOrder, RoomEpisodes, RoomState

ANSWERS = {"guide/action": "guide_policy", "policy/action": "snn_policy"}
MISSES, SILENCE = 3, 100  # states in a row without answers, after which the episode is cut, and the flight ends
STATE_LIMITS = StateLimits(max_speed=30.0)


class ShownState(NamedTuple):
    """A state that guide and policy have to answer."""

    tick: int
    epoch: int
    seen: RoomState


class SentRows(NamedTuple):
    """Rows of the replay buffer, for the learner."""

    tick: int
    epoch: int
    rows: Rows


class Step(NamedTuple):
    """What to do now: command the autopilot, ask it for something, show a state, send rows, log news."""

    action: tuple[float, ...] | None = None
    ask: AutopilotRequest | None = None
    shown: ShownState | None = None
    rows: tuple[SentRows, ...] = ()
    news: tuple[str, ...] = ()


class _Open(NamedTuple):
    """A state that waits for its answers, and the action that flies until they come."""

    shown: ShownState
    answers: dict[str, np.ndarray]
    action: np.ndarray
    guide: np.ndarray
    by_guide: bool
    done: bool = False


class AutopilotSimulator:
    """The episodes of one vehicle. counts: episodes by their end, and the faults of its states."""

    def __init__(
        self,
        episodes: RoomEpisodes,
        guide: GeometricGuide,
        limits: return_to_start.ReturnLimits = return_to_start.ReturnLimits(),
    ):
        self.episodes, self.guide, self.limits = episodes, guide, limits
        self.reset = ReturnState(start=episodes.start())
        self.counts: Counter[str] = Counter()
        self.tick = 0
        self.sample: Sample | None = None
        self._settings = settings_for(guide.airframe, RATE_HZ)
        self._track = StateTrack()
        self._integral = guide.initial_state(1)
        self._order: RolloutOrder | None = None
        self._orders: deque[RolloutOrder] = deque()
        self._open: _Open | None = None
        self._epoch = self._silent = 0
        self._cut = ""

    def compile(self) -> None:
        """Compile the kernels that are not in the cache, because in the air there is no time for it."""
        seen = observation.build((0, 0, 0), (0, 0, 0, 1), (0, 0, 0), (0, 0, 0))
        self.guide.act(seen[None], self.guide.initial_state(1))

    @property
    def phase(self) -> ReturnPhase:
        """The phase of the return to the start."""
        return self.reset.phase

    @property
    def failure(self) -> str:
        """Why the flight ended, in words; empty while it goes on and after an ordered end."""
        return self.reset.failure if self.phase is ReturnPhase.ENDED else ""

    def take(self, order: RolloutOrder) -> None:
        """Take an order of the learner."""
        self._orders.append(order)

    @property
    def waits(self) -> bool:
        """Whether it waits for the learner's next order."""
        return not self._covered()

    def stop(self, now: float, failure: str = "") -> None:
        """Land and end. failure: in words, where there is one."""
        self.reset = return_to_start.give_up(self.reset, failure, now) if failure else return_to_start.stop(self.reset, now)

    # --- what comes in ----------------------------------------------------------------------------------------------

    def see(self, sample: Sample, status: Autopilot | None, ready: bool) -> Step:
        """Take a state of the vehicle. Its stamp is the time. ready: the autopilot's checks before arming pass."""
        sample = sample._replace(received=sample.stamp)
        if self.sample is None:
            self.reset = self.reset._replace(since=sample.stamp)
        airborne = status is not None and status.airborne
        found = check_state(sample, self._track, STATE_LIMITS, airborne)
        self._track = found.track
        for finding in found.findings:
            self.counts[finding.fault.name.lower()] += 1
            if finding.fault is Fault.CLOCK_JUMP:  # it has restarted
                self.reset = self.reset._replace(since=sample.stamp, asked=-math.inf)
        if found.accepted is None:
            return self.wait(sample.received, status, ready)
        self.sample = found.accepted
        if found.shift is not None:
            self._cut = "the estimator moved its origin"
        before, rows, news, action = self.phase, (), (), None
        state, order = return_to_start.advance(
            self.reset, ReturnFacts(sample.received, status, self.sample, ready), self.limits
        )
        self.reset = state
        if before is ReturnPhase.EPISODE:
            rows, news, action = self._go_on(sample.received)
        elif self.phase is ReturnPhase.READY and self._covered():
            action = self._begin(sample.received)
        news = (*news, order.news) if order.news else news
        if self.phase is ReturnPhase.EPISODE:
            return Step(action, order.ask, self._open.shown, rows, news)
        if self.phase is not order.phase:  # an episode has just ended, and the guide takes over
            return Step(self._guided(self.reset.start), None, None, rows, news)
        return Step(self._command(order), order.ask, None, rows, news)

    def wait(self, now: float, status: Autopilot | None, ready: bool) -> Step:
        """Call it some ten times a second while no state comes that can be flown on.

        now: the vehicle's time (s) of the last state, plus the time since then on any clock.
        """
        engaged = self.phase in (ReturnPhase.ARM, *return_to_start.IN_THE_AIR, ReturnPhase.LAND, ReturnPhase.DISARM)
        if self.sample is not None and now - self.sample.received > self.limits.lost and engaged:
            gone = f"no state from the autopilot for {self.limits.lost:g} s ({self.phase.value})"
            ending = self.reset.ending  # at the end the simulation may stop first
            failure = self.reset.failure or ("" if ending else gone)
            self.reset = self.reset._replace(phase=ReturnPhase.ENDED, failure=failure)
            return Step(news=() if ending else (gone,))
        if self.phase is ReturnPhase.EPISODE:
            return Step()
        self.reset, order = return_to_start.advance(self.reset, ReturnFacts(now, status, self.sample, ready), self.limits)
        return Step(None, order.ask, None, (), (order.news,) if order.news else ())

    def answer(self, topic: str, tick: int, action: np.ndarray | None) -> Step:
        """Take an answer to the state of a tick. After the second answer the action is commanded."""
        now_open = self._open
        if now_open is None or tick != now_open.shown.tick or topic in now_open.answers or now_open.done:
            return Step()
        if action is None or action.shape != (1, 4) or not np.isfinite(action).all():
            self.counts["bad_answers"] += 1
            self._cut = f"{topic}: wanted four finite numbers"
            self._open = now_open._replace(done=True)
            return Step(self._guided(self.episodes.room.centre))  # at once; the episode ends with the next state
        now_open.answers[topic] = action
        if len(now_open.answers) < len(ANSWERS):
            return Step()
        guide = np.clip(now_open.answers["guide/action"], -1, 1)
        chosen, by_guide = self.episodes.act(now_open.answers["policy/action"], guide)
        chosen[:, 0] = np.maximum(chosen[:, 0], LEAST_COLLECTIVE)
        self._open = now_open._replace(action=chosen, guide=guide, by_guide=by_guide, done=True)
        self._silent = 0
        return Step(tuple(chosen[0].tolist()))

    # --- episodes ---------------------------------------------------------------------------------------------------

    def _covered(self, ahead: int = 1) -> bool:
        """Whether the learner's orders cover the row `ahead` of the next. They must also cover the row of a final state."""
        while self._orders and (self._order is None or self.tick + ahead >= self._order.until_tick):
            self._order = self._orders.popleft()
        return self._order is not None and self.tick + ahead < self._order.until_tick

    def _begin(self, now: float) -> tuple[float, ...] | None:
        while self._orders:  # the newest policy flies the whole episode
            self._order = self._orders.popleft()
        self.episodes.begin(self._order)
        self._epoch, self._cut = self._order.epoch, ""
        self.reset = return_to_start.begun(self.reset, now)
        return self._show(self.episodes.see(self.sample))

    def _show(self, seen: RoomState) -> tuple[float, ...] | None:
        """Show a state. Until it is answered the last command flies on; after an unanswered one the guide's, given here."""
        was, own = self._open, self._guided(self.episodes.room.centre)
        guide = np.array([own], np.float32)
        takes_over = was is None or not was.done
        held, by_guide = (guide, True) if takes_over else (was.action, was.by_guide)
        self._open = _Open(ShownState(self.tick, self._epoch, seen), {}, held, guide, by_guide)
        return own if takes_over else None

    def _go_on(self, now: float) -> tuple[tuple[SentRows, ...], tuple[str, ...], tuple[float, ...] | None]:
        """End the step with this state and begin the next, unless the episode is over. Gives rows, news and the command."""
        was = self._open
        if not was.done:
            self._missed(was, now)
        if self.phase is not ReturnPhase.EPISODE:
            self._cut = self._cut or self.reset.reason or "the flight ends"
        elif not self._covered(2):
            self._cut = self._cut or "the learner has not permitted it"
        seen = self.episodes.see(self.sample, self._cut)
        sent = [self._row(was.shown.seen, was, seen)]
        if not seen.final:
            return tuple(sent), (), self._show(seen)
        sent.append(self._row(seen, was, None))
        self._open = None
        self.counts["crashed" if seen.flags[0] & 2 else "flown" if not self._cut else "cut"] += 1
        if self.phase is ReturnPhase.EPISODE:
            self.reset = return_to_start.ended(self.reset, self.episodes.start(), now)
        return tuple(sent), () if seen.why == "flown to the end" else (f"episode ended: {seen.why}",), None

    def _row(self, seen: RoomState, was: _Open, after: RoomState | None) -> SentRows:
        sent = SentRows(self.tick, self._epoch, self.episodes.rows(seen, was.action, was.by_guide, was.guide, after))
        self.tick += 1
        return sent

    def _missed(self, was: _Open, now: float) -> None:
        """A state was not answered. MISSES of them in a row end the episode, SILENCE of them the flight."""
        self._silent += 1
        self.counts["late_answers"] += 1
        missing = " and ".join(f"{topic} from {node}" for topic, node in ANSWERS.items() if topic not in was.answers)
        if self._silent % MISSES == 0:
            self._cut = f"no {missing} to {MISSES} states in a row (priority:=50, or a lower speed, gives them time)"
        if self._silent >= SILENCE:
            self.reset = return_to_start.give_up(self.reset, f"no {missing} to {SILENCE} states in a row", now)

    # --- commands ---------------------------------------------------------------------------------------------------

    def _command(self, order: return_to_start.ReturnOrder) -> tuple[float, ...] | None:
        if order.fly is FlownSetPoint.GUIDE:
            return self._guided(order.target)
        self._integral = self.guide.initial_state(1)
        return {FlownSetPoint.REST: self._settings.idle, FlownSetPoint.SPOOL: self._settings.spool}.get(order.fly)

    def _guided(self, target: SetPoint) -> tuple[float, ...]:
        """The guide's action towards a set-point. The observed velocity is relative to that of the set-point."""
        action, self._integral = self.guide.act(observed(self.sample, target)[None], self._integral)
        return tuple(min(max(float(a), -1.0), 1.0) for a in np.nan_to_num(action[0]))


def packet(ask: AutopilotRequest, link: Link, now: float) -> bytes:
    """The packet that asks the autopilot, for sending at `now` (s, clock of the link)."""
    if ask is AutopilotRequest.ARM:
        return link.arm(now)
    if ask in (AutopilotRequest.DISARM, AutopilotRequest.FORCED_DISARM):
        return link.disarm(now, force=ask is AutopilotRequest.FORCED_DISARM)
    if ask is AutopilotRequest.RESTART:
        return link.end_simulation(now)
    return link.set_mode(PX4Mode.OFFBOARD if ask is AutopilotRequest.OFFBOARD else PX4Mode.AUTO_LAND, now)
