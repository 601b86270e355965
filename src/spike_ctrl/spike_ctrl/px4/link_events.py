"""What the companion hears from PX4, as events in ENU, FLU and SI units; quaternions are x, y, z, w.

Times called `now` are receive times of one monotonic clock (s); times called `stamp` are the autopilot's (s).
"""

import math
from typing import NamedTuple

from spike_ctrl.px4.dialect import CommandResult, Landed, PX4Mode
from spike_ctrl.px4.frames import Quaternion, Vector


class Odometry(NamedTuple):
    """The estimated state. `reset_counter` changes where the estimate has jumped: earlier positions are not comparable."""

    now: float
    stamp: float
    position: Vector  # m, ENU
    quaternion: Quaternion
    velocity: Vector  # m/s, ENU
    rates: Vector  # rad/s, FLU
    reset_counter: int
    horizontal: float = math.nan  # m, standard deviation of the position, both axes together; NaN: not told
    vertical: float = math.nan
    failed: bool = False  # the estimator says that this is not to be used
    variances: tuple[float, ...] = ()  # as in flight.estimate_quality


class EstimatorStatus(NamedTuple):
    """The estimator's own word, as in flight.estimate_quality: flags and innovations of ESTIMATOR_STATUS."""

    now: float
    flags: int
    innovations: tuple[float, float, float, float]


class SpecificForce(NamedTuple):
    """What the accelerometer measures: m/s^2, FLU; at rest +9.81 upwards."""

    now: float
    force: Vector


class FlightMode(NamedTuple):
    """The mode from HEARTBEAT, up to 1 s late, with `armed`; or from CURRENT_MODE, which does not tell it (None)."""

    now: float
    mode: PX4Mode | int
    armed: bool | None


class PowerStatus(NamedTuple):
    """ready: all checks before arming pass. voltage (V) and charge (0..1) of the battery are None where unknown.

    remote_control: the autopilot receives one.
    """

    now: float
    ready: bool
    voltage: float | None
    charge: float | None
    remote_control: bool = False


class LandedState(NamedTuple):
    """Ground contact, from EXTENDED_SYS_STATE."""

    now: float
    state: Landed


class Acknowledged(NamedTuple):
    """Answer to a command. Two follow a mode request; the first is always ACCEPTED and not `final`."""

    now: float
    command: int
    result: CommandResult | int
    final: bool


class ParameterReading(NamedTuple):
    """A parameter of the autopilot."""

    now: float
    name: str
    value: int | float


class StatusText(NamedTuple):
    """A message for people (STATUSTEXT)."""

    now: float
    text: str


class ClockOffset(NamedTuple):
    """The autopilot's time minus the receive clock's (s), and the round trip (s) in which it was measured."""

    now: float
    offset: float
    round_trip: float


class Version(NamedTuple):
    """Version of the autopilot's firmware. takes_motors: it is our own vehicle, which takes motor commands over MAVLink."""

    now: float
    major: int
    minor: int
    takes_motors: bool = False


class GroundTruth(NamedTuple):
    """The true state of a simulator, without a time. Latitude and longitude in degrees (steps of 1.1 cm), altitude in m."""

    now: float
    latitude: float
    longitude: float
    altitude: float
    quaternion: Quaternion
    velocity: Vector
    rates: Vector


Event = (
    Odometry | EstimatorStatus | FlightMode | PowerStatus | LandedState | Acknowledged | ParameterReading
    | SpecificForce | StatusText | ClockOffset | Version | GroundTruth
)  # fmt: skip
