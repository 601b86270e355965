"""Settings of a flight: the limits of all checks, the cage, the ladder, and the actions at rest, in one validated tree.

`setting_table` lists all of them for the reference page, and `as_json` writes what a bag holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.actuator_faults import RateResidualLimits, TorqueResidualLimits, Turned
from spike_ctrl.flight.answer_checks import Action, AnswerLimits
from spike_ctrl.flight.autopilot import AutopilotLimits
from spike_ctrl.flight.braking import Braking
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.estimate_quality import EstimateLimits
from spike_ctrl.flight.force_consistency import ForceLimits
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.ladder_state import LadderLimits
from spike_ctrl.flight.rotor_check import RotorLimits
from spike_ctrl.flight.setpoint_limiter import SetPointLimits
from spike_ctrl.flight.state_checks import StateLimits
from spike_ctrl.flight.state_consistency import ConsistencyLimits
from spike_ctrl.flight.steering import SteeringLimits
from spike_ctrl.flight.swap_trial import TrialLimits
from spike_ctrl.flight.wind_estimate import WindLimits
from spike_ctrl.sim.action_mapping import LEAST_COLLECTIVE

LAYOUTS = ("rates", "motors")
TOPIC = "supervisor/settings"
ABSOLUTE = "absolute:"  # before the corners of a cage that does not lie around home


@dataclass(frozen=True)
class BridgeLimits:
    """When the bridge begins a new episode, and whom it obeys."""

    landed_time: float = within(1.0, 0.0, 60.0, "Time landed and armed after which a new episode begins.", "s")
    succession_time: float = within(1.0, 0.1, 60.0, "Time without a command, after which another supervisor is obeyed.", "s")
    guided_periods: float = within(3, 1, 100, "Control periods for which a guide that has commanded still flies.", "")


@dataclass(frozen=True)
class RehearsalLimits:
    """The rehearsal in simulation of a policy before it may fly in shadow."""

    seconds: float = within(4.0, 0.1, 60.0, "Length of the rehearsal.", "s")
    start_position: float = within(0.5, 0.0, 10.0, "Largest distance from the set-point at the start, per axis.", "m")
    start_tilt: float = within(0.3, 0.0, 3.0, "Largest tilt at the start.", "rad")
    start_speed: float = within(0.5, 0.0, 10.0, "Largest speed at the start, per axis.", "m/s")
    end_distance: float = within(0.5, 0.01, 10.0, "Largest distance from the set-point at the end.", "m")


@dataclass(frozen=True)
class VehicleShares:
    """How settings follow from a vehicle, its action layout and its rate of control (`settings_for`)."""

    # PX4 takes a vehicle on the ground for flying from MPC_MANTHR_MIN plus 0.01 on, which is 0.09.
    spool_up_thrust: float = within(0.08, 0.0, 1.0, "Share of the full thrust while the rotors spool up.", "")
    # Until guide and policy have learnt the weight of a vehicle that is a fifth too heavy and too weak, healthy ones differ
    # by up to 1.01 in it, and by less in rates.
    collective_away: float = within(1.2, 0.001, 2.0, "answers.contradiction_first of layout rates.", "")
    # Motors differ together, by the thrust.
    rates_together: float = within(1.35, 0.001, 4.0, "answers.contradiction_together of layout rates.", "")
    adapted_trim: float = within(1.0, 0.0, 1.0, "answers.trim with adaptation; 4 m/s^2 of wind need .96.", "")
    # Old motor commands turn a vehicle over until the loss time is over, and one command may be lost.
    motor_farewell: float = within(0.05, 0.0, 1.0, "farewell of layout motors.", "s")
    motor_rate: float = within(9.0, 0.5, 100.0, "envelope.rate of layout motors.", "rad/s")
    motor_guided: float = within(0.5, 0.0, 100.0, "envelope.guided of layout motors.", "")
    silent_periods: float = within(2.5, 1.0, 3.0, "answers.silent in control periods.", "")
    take_off_spare: float = within(10.0, 0.0, 100.0, "Time that a take-off may take beyond its climb.", "s")


@dataclass(frozen=True)
class FlightSettings:
    """Settings that bridge, supervisor and preflight share. layout: of the actions. course: for a policy that sees one."""

    layout: str = "rates"
    course: str = ""
    hover: float = within(0.0, -1.0, 1.0, "The collective action that carries the weight.", "")
    spooling: float = within(-0.84, -1.0, 0.0, "The collective action while the rotors come up to speed after arming.", "")
    farewell: float = within(0.0, 0.0, 1.0, "Time for which the last command in the air is repeated.", "s")
    stall: float = within(0.1, 0.01, 0.2, "Longest time between two steps of the supervisor.", "s")
    pause: float = within(2.0, 1.1, 60.0, "In a paced flight: time without a state, after which silence counts.", "s")
    stalls: int = within(20, 1, 99, "Most control periods without a step, of the last 100.", "")
    state: StateLimits = StateLimits()
    estimate: EstimateLimits = EstimateLimits()
    force: ForceLimits = ForceLimits()
    answers: AnswerLimits = AnswerLimits()
    steering: SteeringLimits = SteeringLimits()
    cage: Cage = Cage()
    braking: Braking = Braking()
    set_point: SetPointLimits = SetPointLimits()
    consistency: ConsistencyLimits = ConsistencyLimits()
    turn: RateResidualLimits = RateResidualLimits()
    spin: TorqueResidualLimits = TorqueResidualLimits()
    rotors: RotorLimits = RotorLimits()
    envelope: Envelope = Envelope()
    autopilot: AutopilotLimits = AutopilotLimits()
    ladder: LadderLimits = LadderLimits()
    wind: WindLimits = WindLimits()
    trial: TrialLimits = TrialLimits()
    bridge: BridgeLimits = BridgeLimits()
    rehearsal: RehearsalLimits = RehearsalLimits()
    vehicle: VehicleShares = VehicleShares()

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UsageError(f"supervisor: layout: found '{self.layout}', wanted one of {', '.join(LAYOUTS)}")
        ranges.check(self, "supervisor")
        _check_order(self)

    @property
    def idle(self) -> Action:
        """Rotors at their slowest."""
        return self._resting(-1.0)

    @property
    def spool(self) -> Action:
        """Rotors that come up to speed after arming."""
        return self._resting(self.spooling)

    @property
    def level(self) -> Action:
        """No rotation and the weight carried: the last command in the air before silence."""
        return self._resting(self.hover)

    def with_thrust(self, action: Action) -> Action:
        """The action with at least as much thrust as the autopilot's mixer needs for torques; layout `rates` only."""
        if self.layout != "rates" or action[0] >= LEAST_COLLECTIVE:
            return action
        return LEAST_COLLECTIVE, action[1], action[2], action[3]

    def follow(self, state: Any, inputs: Any) -> tuple[Any, Any, FlightSettings]:
        """State, inputs and settings of a step of the supervisor. A plug-in's may change them as the flight goes on."""
        return state, inputs, self

    def _resting(self, collective: float) -> Action:
        return (collective, 0.0, 0.0, 0.0) if self.layout == "rates" else (collective,) * 4


def answer_limits(layout: str) -> AnswerLimits:
    """The limits of answers in this layout of actions, at 100 Hz."""
    usual, vehicle = AnswerLimits(), VehicleShares()
    if layout != "rates":
        return usual
    return replace(usual, contradiction_first=vehicle.collective_away, contradiction_together=vehicle.rates_together)


def settings_for(
    airframe: Airframe,
    rate_hz: float,
    cage: str = "",
    height: float = 1.0,
    estimate: EstimateLimits = EstimateLimits(),
    force: ForceLimits = ForceLimits(),
) -> FlightSettings:
    """The settings of a flight of this airframe at this rate of control.

    cage: corners x,y,z,x,y,z (m) relative to home, after "absolute:" in `odom`; empty for the default box. height: of the
    take-off (m). estimate: how sure the autopilot's estimator must be. force: how well its velocity must fit the
    accelerometer. Raises UsageError.
    """
    period, vehicle, ladder = 1 / rate_hz, VehicleShares(), LadderLimits()
    climbed = height / ladder.climb_speed + vehicle.take_off_spare
    default, least = StateLimits(), 2 * period
    rates = airframe.action_layout == "rates"
    envelope = Envelope.of(airframe.thrust_to_weight)
    return FlightSettings(
        layout=airframe.action_layout,
        hover=0.0 if rates else 2 * airframe.hover - 1,
        spooling=min(vehicle.spool_up_thrust / airframe.hover, 1.0) - 1 if rates else 2 * vehicle.spool_up_thrust - 1,
        state=replace(
            default,
            period=period,
            rates_age=max(default.rates_age, least),
            attitude_age=max(default.attitude_age, least),
            state_age=max(default.state_age, least),
            guide_late_states=default.guide_late_states if rates else default.late_states,
        ),
        estimate=estimate,
        force=force,
        answers=replace(answer_limits(airframe.action_layout), late=period, silent=vehicle.silent_periods * period),
        cage=_cage(cage),
        braking=Braking.of(airframe),
        wind=WindLimits(drag=airframe.level_drag),
        set_point=SetPointLimits.of(airframe.thrust_to_weight),
        steering=SteeringLimits.of(airframe.thrust_to_weight),
        turn=RateResidualLimits(fastest=airframe.max_rates if rates else None),
        envelope=envelope if rates else replace(envelope, rate=vehicle.motor_rate, guided=vehicle.motor_guided),
        farewell=0.0 if rates else vehicle.motor_farewell,
        spin=TorqueResidualLimits(None if rates else Turned(airframe)),
        ladder=replace(ladder, take_off_height=height, take_off_timeout=max(ladder.take_off_timeout, climbed)),
    )


def for_adaptation(settings: FlightSettings) -> FlightSettings:
    """The settings of a flight whose policy is tuned for what has become of the vehicle, which the guide does not know."""
    return replace(settings, answers=replace(settings.answers, trim=settings.vehicle.adapted_trim))


def for_lost_rotor(settings: FlightSettings, airframe: Airframe, flown: bool, checked: bool = False) -> FlightSettings:
    """The settings of a flight that looks for a lost rotor: if `checked`, or if its policy flies on with one (`flown`).

    Nobody looks where actions command rates.
    """
    if settings.layout == "rates" or not (flown or checked):
        return settings
    rotors = replace(settings.rotors, turned=Turned(airframe), flown=flown)
    return replace(settings, rotors=rotors, spin=replace(settings.spin, waits=rotors.waits))


def _cage(text: str) -> Cage:
    if not text:
        return Cage()
    absolute, numbers = text.startswith(ABSOLUTE), text.removeprefix(ABSOLUTE)
    try:
        corners = [float(word) for word in numbers.split(",")]
    except ValueError:
        corners = []
    if len(corners) != 6:
        raise UsageError(f"cage: found '{text}', wanted x,y,z,x,y,z or {ABSOLUTE}x,y,z,x,y,z in m")
    a, b, c, d, e, f = corners
    return Cage((a, b, c), (d, e, f), relative=not absolute)


def _check_order(settings: FlightSettings) -> None:
    """Raises UsageError where two settings contradict each other."""
    state, answers, autopilot = settings.state, settings.answers, settings.autopilot
    for name in ("position_age", "attitude_age", "rates_age", "state_age", "guide_age"):
        if (age := getattr(state, name)) < 2 * state.period:
            raise UsageError(f"supervisor: {name}: found {age} s, wanted two control periods, {2 * state.period} s")
    for low, high, limits in (
        ("state_age", "guide_age", state),
        ("future", "delay", state),
        ("late", "silent", answers),
        ("late_states", "guide_late_states", state),
        ("spike_low", "spike_high", answers),
        ("battery_critical", "battery_low", autopilot),
    ):
        if (small := getattr(limits, low)) > (large := getattr(limits, high)):
            raise UsageError(f"supervisor: {low}: found {small}, wanted at most {high}, {large}")
    if answers.silent > 3 * state.period:
        raise UsageError(f"supervisor: silent: found {answers.silent} s, wanted at most three control periods")


class Setting(NamedTuple):
    """A number with its bounds. group: the dataclass that holds it, such as `cage`; empty for FlightSettings itself."""

    group: str
    name: str
    value: float
    unit: str
    low: float
    high: float
    about: str

    @property
    def path(self) -> str:
        """Its name from FlightSettings on."""
        return f"{self.group}.{self.name}" if self.group else self.name


def setting_table(settings: Any, group: str = "") -> Iterator[Setting]:
    """All numbers of a flight, group by group."""
    for one in fields(settings):
        value, about = getattr(settings, one.name), one.metadata
        if is_dataclass(value):
            yield from setting_table(value, f"{group}.{one.name}" if group else one.name)
        elif "low" in about:
            yield Setting(group, one.name, value, about.get("unit", ""), about["low"], about["high"], about["description"])


def as_json(settings: FlightSettings, paced: bool = False) -> str:
    """The settings that a flight was flown with: each number by its path, and what else the user chooses.

    paced: the vehicle waited for commands, so that times by the recorder's clock say nothing of the flight.
    """
    chosen = {"layout": settings.layout, "turn.fastest": settings.turn.fastest} | {
        f"cage.{name}": getattr(settings.cage, name) for name in ("low", "high", "relative")
    }
    chosen |= {"paced": True} if paced else {}
    chosen |= {"course": settings.course} if settings.course else {}
    return json.dumps(chosen | {one.path: one.value for one in setting_table(settings)})


def parsed(found: Sequence[tuple[int, Any]]) -> dict[str, Any]:
    """The settings in a bag, of its first supervisor, from messages with times. What is no JSON of ours says nothing."""
    try:
        settings = json.loads(found[0][1].data)
    except (IndexError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
