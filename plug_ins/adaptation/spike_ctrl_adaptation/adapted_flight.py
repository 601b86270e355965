"""A flight in virtual time whose plant changes, with or without adaptation, scored on the true state.

The error of a hover is how far the true place is from the set-point, less the estimator's error at that moment. The
estimator wanders by centimetres, which no pilot can see. Without noise the error is the true distance.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.control import guide_protocol
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.flight.supervisor_state import SupervisorOutput
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.policy.pilot import Flown
from spike_ctrl_adaptation import fine_tuning
from spike_ctrl_adaptation.adapter import Adapter
from spike_ctrl_adaptation.flown_transitions import LEAST, TransitionMemory
from spike_ctrl_adaptation.plant_estimate import PlantEstimate
from spike_ctrl_benchmark.indi_guide import IndiGuide

# Kind and size as of certification's plant faults, but the moment in rad/s^2.
CHANGES = {"payload": ("heavier", 0.3), "trim": ("moment", 15.0), "weak": ("weaker", 0.3), "wind": ("gust", 3.0)}
SEVERE = {
    "payload60": ("heavier", 0.6), "weak40": ("weaker", 0.4), "wind5": ("gust", 5.0), "trim30": ("moment", 30.0),
}  # fmt: skip
LOOK = 0.25  # s between two looks at the estimate
TAKES = 2.0  # s of flight that tuning and rehearsals take, on a core of their own at the lowest priority
LEARNING_TAKES = 15.0  # s: the same of learning from the transitions
LASTS = 12.0  # s after the change
FALLEN = 0.2  # share of an error that is left when it has fallen by 80 %
WORSE = 0.01  # m of error beyond that of the policy as it is, from which a policy that was kept is worse


class ChangedFlight(NamedTuple):
    """One flight. Errors in m, of the mean place over 1 s; `before` of 3 s, `after` of 2.

    before: in the 3 s before the change. worst, after: the largest, and 8 to 10 s after the change. fell: s after the change
    from which on what the error is beyond `before` is down by 80 %, infinite where it is not within 10 s. swapped, kept,
    rolled_back: how many policies. worse: that were kept although the policy as it is flies the changed vehicle better.
    left: m outside the cage. hit: m/s. lost: why it lost command.
    """

    change: str
    flying: str
    seed: int
    before: float
    worst: float
    after: float
    fell: float
    first_swap: float
    swapped: int
    kept: int
    rolled_back: int
    worse: int
    left: float
    hit: float
    lost: str

    @property
    def down(self) -> bool:
        """Whether the added error has fallen by 80 % 8 to 10 s after the change."""
        return self.after <= fallen(self.before, self.worst) < math.inf

    @property
    def all_down(self) -> bool:
        """Whether the total error has."""
        return self.after <= FALLEN * self.worst < math.inf


def fallen(before: float, worst: float) -> float:
    """The error (m) when the added error, `worst` less `before`, has fallen by 80 %."""
    return before + FALLEN * max(worst - before, 0.0)


class AdaptedFlight(FlightCore):
    """The flight core with an adapter beside it, which is given the bytes of the policy's checkpoint.

    learns: where no model explains what the adapter sees, it learns from the transitions of the flight.
    """

    def __init__(
        self, scenario: Scenario, who: Competitors, settings: FlightSettings, data: bytes, record=None, learns: bool = False
    ):
        super().__init__(scenario, who, settings, record)
        self.learns, self.transitions = learns, TransitionMemory()
        self.adapter = Adapter(who.airframe)
        self.files = {who.name: data}
        self.told: list[tuple[float, str]] = []  # s, and what the adapter did
        self.swaps: list[float] = []  # s, when another policy answered for the first time
        self.clock.at(LOOK, self._look)

    def _publish(self, output: SupervisorOutput, with_point: bool) -> None:
        super()._publish(output, with_point)
        command, sample, point = output.command, self.state.sample, self.state.granted
        if self.state.trial.child is not None and self.state.trial.since not in self.swaps:
            self.swaps.append(self.state.trial.since)
        if command is None or command.commander is not CommandedBy.POLICY or sample is None or point is None:
            return
        if command.identity is not None and command.tick == sample.tick:
            distance = math.dist(sample.position, point.position)
            name = command.identity.checkpoint_id
            self.adapter.see(sample.stamp, sample.quaternion, sample.velocity, sample.rates, command.action, distance, name)
            if self.learns:
                self.transitions.add(sample.tick, observed(sample, point), command.action)

    def _look(self) -> None:
        now = self.clock.now
        self.clock.at(now + LOOK, self._look)
        if self.state.ladder.rung is not Rung.SNN:
            self.adapter.interrupted()
        elif (estimate := self.adapter.decide(now)) is not None:
            self.tune(estimate)

    def tune(self, estimate: PlantEstimate) -> None:
        """Tune the policy in command, and offer the child when that has taken its time."""
        now, parent = self.clock.now, self.files[self.adapter.flying]
        name, yaw = f"{self.who.name}+{len(self.files)}", self.state.granted.yaw
        learns = self.learns and not self.adapter.explained and len(self.transitions) >= LEAST
        takes = LEARNING_TAKES if learns else TAKES
        self.adapter.failed(now + takes)
        self._note(f"{'learns' if learns else 'tunes'} {name} for {estimate}")
        about = (estimate, yaw, self.scenario.seed, name)
        try:
            if learns:
                found = fine_tuning.learn_from_flight(
                    parent, self.who.airframe, self.transitions.rows(self.who.airframe), *about
                )
            else:
                found = fine_tuning.fine_tune(parent, self.who.airframe, *about)
        except UsageError as error:
            self._note(str(error))
            return
        self.files[name] = found.data
        self._note(f"{name}: {found.after:.3f} m off in its rehearsal, its parent {found.before:.3f} m")
        self.clock.at(now + takes, self.offer, found.name, found.data, estimate)

    def offer(self, name: str, data: bytes, estimate: PlantEstimate | None = None) -> None:
        """What the policy's node does with a checkpoint that is offered: check, rehearse, fly in shadow."""
        try:
            found = checkpoint.loads(data, expect={"airframe_hash": self.who.airframe.hash}, name=name)
        except CheckpointError as error:
            self._note(f"refused: {error}")
            return
        policy = found.compiled()
        if why := rehearse(policy, self.who.airframe, found.manifest.contract.rate_hz):
            self._note(f"refused: {name}: {why}")
            return
        if estimate is not None:
            self.adapter.offered(self.clock.now, name, estimate)
        self.controllers.pilot.warm(Flown(name, policy, len(self.files), self.settings.state.period))

    def _note(self, text: str) -> None:
        self.told.append((self.clock.now, text))


class GuidedFlight(FlightCore):
    """The guide flies, and the policy never does."""

    def _engage(self) -> None:
        pass


def draw(change: str, seed: int, noise: float, craft: Airframe) -> Scenario:
    """A hover in which the vehicle changes. noise: factor of the sensors' noise."""
    changes = CHANGES | SEVERE
    dice = np.random.default_rng((seed, list(changes).index(change)))
    x, y, z = dice.uniform((-0.7, -0.7, 1.0), (0.7, 0.7, 1.8))
    at, heading, latency = dice.uniform(5, 7), dice.uniform(-math.pi, math.pi), dice.uniform(0, 0.01)
    kind, size = changes[change]
    if kind == "moment":  # certification's is a share of weight times arm
        size *= craft.inertia[0] / (GRAVITY * craft.mass * max(abs(x) for x in craft.rotor_x))
    direction = (math.cos(heading), math.sin(heading), 0.0)
    fault = InjectedFault("plant", kind, float(at), math.inf, size, direction, 0, seed)
    start = (float(x), float(y), float(z))
    nominal, calm = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    return Scenario(
        seed, "plant", nominal, float(latency), noise, calm, start, "hover", (), (fault,), float(at) + LASTS
    )  # fmt: skip


def fly_change(
    change: str, seed: int, noise: float, who: Competitors, settings: FlightSettings, data: bytes, flying: Sequence[str]
) -> list[ChangedFlight]:
    """The flight of `draw` by each of `flying`, and what became of it. data: the policy's checkpoint.

    flying: adapted, policy, guide, indi, or the name of a guide's class. Raises UsageError.
    """
    scenario = draw(change, seed, noise, who.airframe)
    found = []
    if {"adapted", "policy"} & {*flying}:
        policy = _flown(FlightCore(scenario, who, settings))
        if "adapted" in flying:
            found.append(measure_change(change, "adapted", _flown(AdaptedFlight(scenario, who, settings, data)), policy))
        if "policy" in flying:
            found.append(measure_change(change, "policy", policy, policy))
    for name in flying:
        if name not in ("adapted", "policy"):
            guide = _flown(GuidedFlight(scenario, led_by(name, who, settings), settings))
            found.append(measure_change(change, name, guide, guide))
    return found


def led_by(name: str, who: Competitors, settings: FlightSettings) -> Competitors:
    """Who flies, with the guide of that name in the guide's place: its own, indi or a class. Raises UsageError."""
    return who if name == "guide" else who._replace(guide=make_guide(name, who.airframe, settings))


def make_guide(name: str, airframe: Airframe, settings: FlightSettings) -> Guide:
    """INDI's guide, or that of the class `module:Name`. Raises UsageError where it cannot be made."""
    if name == "indi":
        return IndiGuide(airframe, rate_hz=1.0 / settings.state.period)
    return guide_protocol.make(NamedObject(name), "--who", airframe)


def _flown(core: FlightCore) -> FlightCore:
    core.fly()
    return core


class _Path:
    """Where a flight was beside its set-point, less the estimator's error."""

    def __init__(self, core: FlightCore):
        self.time = np.array([step.time for step in core.steps])
        self.place = np.array([np.subtract(step.estimated, step.wanted) for step in core.steps])

    def error(self, begin: float, end: float) -> float:
        """Distance (m) of the mean place in a time (s); infinite where the flight was over by then."""
        rows = (self.time >= begin) & (self.time < end)
        return float(np.linalg.norm(self.place[rows].mean(0))) if rows.any() else math.inf


def measure_change(change: str, flying: str, core: FlightCore, policy: FlightCore) -> ChangedFlight:
    """What became of a flight. policy: who flies the same change unadapted."""
    path, plain, at = _Path(core), _Path(policy), core.scenario.begin
    seconds = np.arange(0.0, LASTS - 1.0, 0.1)
    course = np.array([path.error(at + s, at + s + 1) for s in seconds])
    before, worst, after = path.error(at - 3, at), float(course.max()), path.error(at + 8, at + 10)
    high = np.flatnonzero(course > fallen(before, worst))
    fell = float(seconds[high[-1]] + 0.1) if len(high) else math.inf  # infinite: it did not last as long
    swaps, kept, back = _swaps(core)
    end = at + LASTS
    worse = sum(path.error(when, end) > plain.error(when, end) + WORSE for when in kept)
    low, top = core.settings.cage.low, core.settings.cage.high
    left = max(max(max(a - p, p - b) for p, a, b in zip(step.position, low, top, strict=True)) for step in core.steps)
    wanted = Rung.GUIDE if isinstance(core, GuidedFlight) else Rung.SNN
    lost = next((why for when, rung, why in core.moves if rung is not wanted and when > 1.0), "")
    return ChangedFlight(
        change, flying, core.scenario.seed, before, worst, after, fell if fell <= 10.0 else math.inf,
        swaps[0] - at if swaps else math.inf, len(swaps), len(kept), back, worse, left,
        core.vehicle.plant.hardest_touchdown, lost,
    )  # fmt: skip


def _swaps(core: FlightCore) -> tuple[list[float], list[float], int]:
    """When policies took over, when they were kept, and how many were rolled back."""
    kept = [event.time for event in core.events if event.kind is EventKind.KEPT]
    back = sum(event.kind is EventKind.ROLLED_BACK for event in core.events)
    return list(getattr(core, "swaps", [])), kept, back
