"""All that a flight is supervised by, in one validated tree of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spike_ctrl._files import ranges
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.answer_checks import Action, AnswerLimits
from spike_ctrl.flight.autopilot import AutopilotLimits
from spike_ctrl.flight.geofence import Cage, CageError, Envelope
from spike_ctrl.flight.ladder import LadderLimits
from spike_ctrl.flight.state_checks import StateLimits

SPOOL = 0.08  # of all thrust: PX4 takes more than MPC_MANTHR_MIN and .01 on the ground, .09, for flying


class SettingsError(ValueError):
    """Settings that are out of range or contradict each other; one line that names the field, found and wanted."""


@dataclass(frozen=True)
class Settings:
    """Limits of all guards. layout: of the actions. hover: the collective action that carries the weight."""

    layout: str = "rates"
    hover: float = within(0.0, -1.0, 1.0)
    spooling: float = within(-0.84, -1.0, 0.0)  # the collective action, while the rotors come up to speed after arming
    state: StateLimits = StateLimits()
    answers: AnswerLimits = AnswerLimits()
    cage: Cage = Cage()
    envelope: Envelope = Envelope()
    autopilot: AutopilotLimits = AutopilotLimits()
    ladder: LadderLimits = LadderLimits()
    stall: float = within(0.1, 0.01, 0.2)  # s between two steps of the supervisor
    stalls: int = within(20, 1, 99)  # control periods without a step, in the last 100 steps

    def __post_init__(self):
        if self.layout not in _RESTING:
            raise SettingsError(f"supervisor: layout: found '{self.layout}', wanted one of {', '.join(_RESTING)}")
        ranges.check(self, "supervisor", SettingsError)
        _check_order(self)

    @property
    def idle(self) -> Action:
        return _RESTING[self.layout](-1.0)

    @property
    def spool(self) -> Action:
        return _RESTING[self.layout](self.spooling)

    @property
    def level(self) -> Action:
        """No rotation and the weight carried: the last command before silence in the air."""
        return _RESTING[self.layout](self.hover)


def for_flight(airframe: Airframe, rate_hz: float, cage: str = "", height: float = 1.0) -> Settings:
    """The limits of a flight at that rate of control. cage: corners x,y,z,x,y,z (m), empty: the default box; height: of the
    take-off (m). Raises SettingsError.
    """
    period, climb = 1 / rate_hz, height / LadderLimits().climb_speed
    ages = {name: max(getattr(StateLimits(), name), 2 * period) for name in ("rates_age", "attitude_age", "state_age")}
    try:
        return Settings(
            layout=airframe.action_layout,
            hover=0.0 if airframe.action_layout == "rates" else 2 * airframe.hover - 1,
            spooling=min(SPOOL / airframe.hover, 1.0) - 1 if airframe.action_layout == "rates" else 2 * SPOOL - 1,
            state=replace(StateLimits(), period=period, **ages),
            answers=replace(AnswerLimits(), late=period, silent=2.5 * period),
            cage=_cage(cage),
            ladder=LadderLimits(take_off_height=height, take_off_timeout=max(15.0, climb + 10.0)),
        )
    except CageError as error:
        raise SettingsError(str(error)) from None


def _cage(text: str) -> Cage:
    if not text:
        return Cage()
    try:
        corners = tuple(float(word) for word in text.split(","))
    except ValueError:
        corners = ()
    if len(corners) != 6:
        raise SettingsError(f"cage: found '{text}', wanted six numbers with commas between them")
    return Cage(corners[:3], corners[3:])


_RESTING = {"rates": lambda thrust: (thrust, 0.0, 0.0, 0.0), "motors": lambda speed: (speed,) * 4}


def _check_order(settings: Settings) -> None:
    """What no single number shows."""
    state, answers, pilot = settings.state, settings.answers, settings.autopilot
    for name in ("position_age", "attitude_age", "rates_age", "state_age", "guide_age"):
        if (age := getattr(state, name)) < 2 * state.period:
            raise SettingsError(f"supervisor: {name}: found {age} s, wanted two control periods, {2 * state.period} s")
    for low, high, of in (
        ("state_age", "guide_age", state),
        ("future", "delay", state),
        ("late", "silent", answers),
        ("spike_low", "spike_high", answers),
        ("battery_critical", "battery_low", pilot),
    ):
        if (small := getattr(of, low)) > (large := getattr(of, high)):
            raise SettingsError(f"supervisor: {low}: found {small}, wanted at most {high}, {large}")
    if answers.silent > 3 * state.period:
        raise SettingsError(f"supervisor: silent: found {answers.silent} s, wanted at most three control periods")
