"""What both nodes of a flight are told alike, and the limits that follow from it."""

from dataclasses import dataclass, replace

from spike_ctrl import airframe
from spike_ctrl.airframe import Airframe, AirframeError
from spike_ctrl.answers import AnswerLimits
from spike_ctrl.envelope import Cage, CageError
from spike_ctrl.guard import Limits
from spike_ctrl.ladder import LadderLimits
from spike_ctrl.preflight import Wanted
from spike_ctrl.settings import Settings, SettingsError
from spike_ctrl_ros.parameters import ParameterError, parameter


@dataclass(frozen=True)
class Options:
    airframe: str = parameter("sih_quadx", "What flies: a name or a path to a YAML file.")
    rate: float = parameter(100.0, "Hz of the control; the autopilot sends ODOMETRY that often.", low=50.0, high=125.0)
    cage: str = parameter("", "Corners of the keep-in box, m: x,y,z,x,y,z (ENU, low then high); empty: the default box.")
    height: float = parameter(1.0, "m, to which a take-off climbs.", low=0.2, high=50.0)
    remote_control: bool = parameter(True, "A pilot has a remote control; else the autopilot must need none.")


def limits(options: Options) -> tuple[Airframe, Settings, Wanted]:
    """Raises ParameterError for what does not fit together."""
    period = 1 / options.rate
    try:
        vehicle = airframe.find(options.airframe)
        state, answers, ladder = Limits(), AnswerLimits(), LadderLimits(take_off_height=options.height)
        ages = {name: max(getattr(state, name), 2 * period) for name in ("rates_age", "attitude_age", "state_age")}
        settings = Settings(
            layout=vehicle.action_layout,
            hover=0.0 if vehicle.action_layout == "rates" else 2 * vehicle.hover - 1,
            state=replace(state, period=period, **ages),
            answers=replace(answers, late=period, silent=2.5 * period),
            cage=_cage(options.cage),
            ladder=ladder,
        )
    except (AirframeError, CageError, SettingsError) as error:
        raise ParameterError(str(error)) from None
    wanted = Wanted(remote_control=options.remote_control, state_rate=0.8 * options.rate)
    return vehicle, settings, wanted


def numbers(text: str, counts: tuple[int, ...], name: str, wanted: str) -> tuple[float, ...]:
    """Numbers with commas between them. Raises ParameterError."""
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in counts:
        raise ParameterError(f"parameter '{name}': found '{text}', wanted {wanted}")
    return found


def _cage(text: str) -> Cage:
    if not text:
        return Cage()
    corners = numbers(text, (6,), "cage", "six numbers with commas between them")
    return Cage(corners[:3], corners[3:])
