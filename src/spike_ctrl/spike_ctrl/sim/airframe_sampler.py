"""Random airframes: drawn by scaling laws, and flown in a batch with others.

Size follows from mass, everything else from size and weight (docs/any_quad.md has the sources). With m the mass, l the
distance of a rotor from the centre, and each factor drawn from its range:

    l = reach m^(1/3)        J_x = slenderness m l^2       thrust at full speed = thrust_to_weight m g
    torque per thrust = yaw_reach l                        drag along the body = drag m v

The kernels take the arms of one airframe, the carrier, for all vehicles of a batch. A square X with other arms flies as
one with the carrier's, where all torques and inertias are multiplied by the ratio of the arms: the angular accelerations
are the same, and so is the flight.

With the layout `rates` a rate loop is drawn too, and what its autopilot believes: see `loop_sampler`. Its kernels have no
battery and no drag along the body's axes, so the same drag acts in all directions.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files import settings
from spike_ctrl._files.arrays import Flags, Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.airframe import GRAVITY, MAX_DEAD_TIME, Airframe
from spike_ctrl.sim import dynamics, loop_sampler
from spike_ctrl.sim.randomisation import MAX_DELAY, Randomisation

FASTEST = 1.25  # highest normalised rotor speed: a full battery turns rotors faster than 1


def _from(low: float, high: float, least: float, most: float, description: str, unit: str | None = None) -> Any:
    wanted = f"two numbers, low and high, from {least:g} to {most:g}"
    return setting((low, high), description, low=least, high=most, unit=unit, wanted=wanted)


@dataclass(frozen=True)
class AirframeRanges:
    """Ranges of random airframes; the first group log-uniform, the second uniform.

    The third group are bounds of what an episode adds: steady force and torque on each axis in [-x, x]. `vertical_drag` to
    `charge` count with the layout `motors` alone, the loop's and what follows them with `rates` alone.
    """

    mass: tuple[float, float] = _from(0.02, 5.0, 1e-3, 100.0, "Mass.", "kg")
    thrust_to_weight: tuple[float, float] = _from(1.5, 5.0, 1.1, 20.0, "Thrust at full speed over the weight.")
    reach: tuple[float, float] = _from(
        0.10, 0.22, 0.01, 1.0, "Distance of a rotor from the centre over mass^(1/3).", "m/kg^(1/3)"
    )
    slenderness: tuple[float, float] = _from(0.1, 0.6, 0.01, 1.0, "J_x over mass times that distance squared.")
    pitch_over_roll: tuple[float, float] = _from(0.65, 1.5, 0.1, 10.0, "J_y over J_x.")
    yaw_reach: tuple[float, float] = _from(0.03, 0.2, 1e-3, 1.0, "Torque per thrust over that distance.")
    lag: tuple[float, float] = _from(0.01, 0.15, 1e-3, 1.0, "Time constant of rotors that speed up.", "s")
    lag_down: tuple[float, float] = _from(
        1.0, 2.0, 0.5, 10.0, "Time constant of rotors that slow down over that; at most lag's upper end."
    )
    loop_gain: tuple[float, float] = _from(0.6, 3.0, 0.01, 10.0, "Gain of the rate loop, see `loop_sampler`.")
    loop_damping: tuple[float, float] = _from(0.25, 1.0, 0.0, 10.0, "Damping of the rate loop, see `loop_sampler`.")
    loop_integral: tuple[float, float] = _from(0.5, 4.0, 0.01, 100.0, "Integral gain over the gain.", "1/s")
    told_thrust: tuple[float, float] = _from(0.75, 1.3, 0.1, 10.0, "Thrust over weight where the autopilot expects a hover.")

    yaw_inertia: tuple[float, float] = _from(0.9, 2.0, 0.1, 3.0, "J_z over the mean of J_x and J_y.")
    linear_thrust: tuple[float, float] = _from(-0.12, 0.4, -0.15, 1.0, "Linear share of the thrust above idle.")
    idle_thrust: tuple[float, float] = _from(0.0, 0.33, 0.0, 0.5, "Thrust at command 0 over the weight.")
    drag: tuple[float, float] = _from(0.05, 0.6, 0.0, 10.0, "Drag across the body over the mass.", "1/s")
    vertical_drag: tuple[float, float] = _from(0.3, 1.0, 0.0, 10.0, "Drag along the body over that.")
    drag_height: tuple[float, float] = _from(0.0, 0.8, 0.0, 10.0, "Lever of the drag over the distance of a rotor.")
    angular_drag: tuple[float, float] = _from(0.0, 7.0, 0.0, 100.0, "Drag torque over J_x and the rate.", "1/s")
    dead_time: tuple[float, float] = _from(0.0, 0.02, 0.0, MAX_DEAD_TIME, "Dead time of commands.", "s")
    charge: tuple[float, float] = _from(0.3, 1.0, 0.0, 1.0, "Charge of the battery.")
    loop_filters: tuple[float, float] = _from(
        0.6, 2.0, 0.1, 2.1, "Share of a new value in the loop's filters over those of 40 and 20 Hz."
    )
    late: tuple[float, float] = _from(0.0, 4.0, 0.0, MAX_DELAY, "Control steps before the rate loop's own delay.", "steps")

    force: float = within(0.05, 0.0, 1.0, "Largest steady force on each axis over the weight.")
    weak: float = within(0.0, 0.0, 1.0, "Share of vehicles in the lower third of thrust_to_weight and upper half of lag.")
    trim: float = within(0.04, 0.0, 1.0, "Largest steady torque over weight and arm; about z times yaw_reach.")


LOGARITHMIC = ("mass", "thrust_to_weight", "reach", "slenderness", "pitch_over_roll", "yaw_reach", "lag", "lag_down")
_INERTIA = slice(dynamics.INERTIA - dynamics.MASS, dynamics.THRUST - dynamics.MASS)
UNIFORM = (
    "yaw_inertia", "linear_thrust", "idle_thrust", "drag", "vertical_drag", "drag_height", "angular_drag", "dead_time",
    "charge",
)  # fmt: skip
LOOP_LOGARITHMIC = ("loop_gain", "loop_damping", "loop_integral", "told_thrust")
LOOP_UNIFORM = ("loop_filters", "late")


class DrawnVehicle(NamedTuple):
    """An airframe, the steady force on it (N, world) and the charge of its battery.

    With the layout `rates`: control steps that commands are late, and the throttle at which its autopilot expects a hover.
    """

    airframe: Airframe
    force: Floats
    charge: float
    late: int = 0
    hover: float = 0.0


def draw(ranges: AirframeRanges, random: np.random.Generator, carrier: Airframe) -> DrawnVehicle:
    """One quadrotor with the layout of the carrier."""
    drawn = _draw_body(ranges, random)
    if carrier.action_layout == "motors":
        return drawn
    return _with_loop(drawn, ranges, random, carrier)


def _values(ranges: AirframeRanges, logarithmic: Sequence[str], uniform: Sequence[str], shares: Any) -> dict[str, Any]:
    """The factors of these names that lie at shares (logarithmic, then uniform) of their ranges."""
    value = {}
    for name, share in zip((*logarithmic, *uniform), shares, strict=True):
        low, high = getattr(ranges, name)
        value[name] = low * (high / low) ** share if name in logarithmic else low + (high - low) * share
    return value


def _with_loop(drawn: DrawnVehicle, ranges: AirframeRanges, random: np.random.Generator, carrier: Airframe) -> DrawnVehicle:
    """The quadrotor with a rate loop, its drag the same in all directions, and without dead time."""
    names = LOOP_LOGARITHMIC, LOOP_UNIFORM
    value = _values(ranges, *names, random.random(sum(map(len, names))))
    body = drawn.airframe
    plain = dataclasses.replace(
        body, linear_drag=body.body_drag[0], body_drag=(0.0, 0.0, 0.0), velocity_moment=(0.0, 0.0), dead_time=0.0
    )
    settings = (value[name] for name in ("loop_gain", "loop_damping", "loop_integral", "loop_filters"))
    craft = loop_sampler.tuned(plain, carrier, *settings)
    late = min(int(value["late"] + 0.5), int(ranges.late[1]))
    return drawn._replace(airframe=craft, late=late, hover=loop_sampler.told_hover(craft, value["told_thrust"]))


def _draw_body(ranges: AirframeRanges, random: np.random.Generator) -> DrawnVehicle:
    """One quadrotor with the layout `motors`."""
    logarithms, shares, signs = random.random(len(LOGARITHMIC)), random.random(len(UNIFORM)), random.uniform(-1, 1, 6)
    if ranges.weak and random.random() < ranges.weak:  # those that are lost first
        at = LOGARITHMIC.index("thrust_to_weight"), LOGARITHMIC.index("lag")
        logarithms[at[0]], logarithms[at[1]] = logarithms[at[0]] / 3, (1 + logarithms[at[1]]) / 2
    value = _values(ranges, LOGARITHMIC, UNIFORM, np.concatenate([logarithms, shares]))
    m = value["mass"]
    weight, length = m * GRAVITY, value["reach"] * m ** (1 / 3)
    jx = value["slenderness"] * m * length * length
    jy = value["pitch_over_roll"] * jx
    idle, linear = value["idle_thrust"] * weight / 4, value["linear_thrust"]
    rest = value["thrust_to_weight"] * weight / 4 - idle
    across, side = value["drag"] * m, length / math.sqrt(2)
    lever, torque = value["drag_height"] * length * across, value["yaw_reach"] * length
    trim = ranges.trim * weight * signs[3:]
    airframe = Airframe(
        name="drawn",
        mass=m,
        inertia=(jx, jy, value["yaw_inertia"] * (jx + jy) / 2),
        rotor_x=(side, -side, -side, side),
        rotor_y=(-side, -side, side, side),
        rotor_spin=(-1.0, 1.0, -1.0, 1.0),
        thrust_curve=(idle, rest * linear, rest * (1 - linear)),
        torque_per_thrust=torque,
        lag_up=value["lag"],
        lag_down=min(value["lag"] * value["lag_down"], ranges.lag[1]),
        linear_drag=0.0,
        angular_drag=value["angular_drag"] * jx,
        max_rates=(20.0, 20.0, 10.0),
        action_layout="motors",
        body_drag=(across, across, value["vertical_drag"] * across),
        velocity_moment=(lever, lever),
        trim_moment=(trim[0] * length, trim[1] * length, trim[2] * torque),
        dead_time=value["dead_time"],
    )
    return DrawnVehicle(airframe, ranges.force * weight * signs[:3], value["charge"])


def draw_vehicle(ranges: AirframeRanges, carrier: Airframe, seed: int, vehicle: int, episode: int) -> DrawnVehicle:
    """The quadrotor of that number in that episode: equal numbers give equal quadrotors, in any order."""
    return draw(ranges, np.random.default_rng([seed, vehicle, episode, 22]), carrier)


def sides(airframe: Airframe) -> tuple[float, float]:
    """Distance (m) of the rotors from roll and pitch axis. Raises UsageError for anything but a mirrored X of four."""
    for name in ("rotor_x", "rotor_y"):
        reach = np.abs(getattr(airframe, name))
        if len(reach) != 4:
            raise UsageError(f"airframe {airframe.name}: {name}: found {len(reach)} rotors, wanted four")
        if np.ptp(reach) > 1e-3 * reach.max():
            found = f"found {reach.min():g} to {reach.max():g} m"
            raise UsageError(f"airframe {airframe.name}: {name}: {found}, wanted one distance for all four rotors")
    return float(np.abs(airframe.rotor_y).mean()), float(np.abs(airframe.rotor_x).mean())


def arm(airframe: Airframe) -> float:
    """Distance (m) of a rotor from the centre. Raises UsageError as `sides`."""
    return math.hypot(*sides(airframe))


def require_carrier(airframe: Airframe, differ: Randomisation) -> None:
    """Raise UsageError where an airframe cannot carry those that are drawn, or plants are to differ in another way too."""
    arm(airframe)
    if airframe.action_layout == "rates":
        loop_sampler.loop_of(airframe)
        if airframe.battery or dynamics.nominal_extension(airframe).any():
            found = f"found airframe {airframe.name} with a battery, body_drag or velocity_moment"
            raise UsageError(f"task.airframes: {found}, wanted none of them with the layout 'rates'")
    elif airframe.battery is None:
        found = f"found airframe {airframe.name} without a battery"
        raise UsageError(f"task.airframes: {found}, wanted one with a battery, which carries those that are drawn")
    if not np.array_equal(differ.array(), Randomisation(rotor_loss=differ.rotor_loss).array()):
        raise UsageError(
            "task.randomisation: found factors of the plant, wanted only noise, sensors and rotor_loss beside task.airframes"
        )


class CarriedPlant(NamedTuple):
    """What `dynamics` keeps of a vehicle that flies with the carrier's arms: float32."""

    plant: Floats  # (PLANT_SIZE,), as `dynamics.nominal_plant`
    moment: Floats  # (3,)
    extension: Floats  # (6,), as `dynamics.nominal_extension`
    loop: Floats | None = None  # (4,), as `loop_sampler.carried_loop`; None: `motors`


def carried(airframe: Airframe, carrier: Airframe) -> CarriedPlant:
    """The vehicle with the carrier's arms that flies as this one does. Raises UsageError where there is none.

    Exact for a square X. One whose sides differ has other gyroscopic coupling between its rates. Its battery is not carried
    over: the carrier's counts.
    """
    airframe.require_layout(carrier.action_layout)
    if airframe.rotor_spin != carrier.rotor_spin:
        found = f"found {airframe.rotor_spin}, wanted {carrier.rotor_spin}, as airframe {carrier.name}"
        raise UsageError(f"airframe {airframe.name}: rotor_spin: {found}")
    roll, pitch = (theirs / ours for theirs, ours in zip(sides(carrier), sides(airframe), strict=True))
    ratio = np.array([roll, pitch, math.sqrt(roll * pitch)], np.float32)
    plant, extension = dynamics.nominal_plant(airframe), dynamics.nominal_extension(airframe)
    plant[_INERTIA] *= ratio
    plant[dynamics.TORQUE - dynamics.MASS] *= ratio[2]
    plant[dynamics.ANGULAR_DRAG - dynamics.MASS] *= ratio[2]
    extension[3:5] *= ratio[:2]
    loop = loop_sampler.carried_loop(airframe, carrier) if carrier.action_layout == "rates" else None
    return CarriedPlant(plant, np.array(airframe.trim_moment, np.float32) * ratio, extension, loop)


def put(buffer: Floats, vehicle: int, drawn: DrawnVehicle, carrier: Airframe) -> None:
    """Make a vehicle of the buffer the one drawn; its state stays. `dynamics.begin_extension_some` is for the caller."""
    found = carried(drawn.airframe, carrier)
    rows = dynamics.rows(buffer)[vehicle // dynamics.LANES, :, vehicle % dynamics.LANES]
    rows[dynamics.PLANT_ROWS] = found.plant
    rows[dynamics.FORCE : dynamics.MOMENT] = drawn.force
    rows[dynamics.MOMENT : dynamics.TARGET] = found.moment
    rows[dynamics.BODY_DRAG : dynamics.CHARGE] = found.extension
    rows[dynamics.CHARGE] = drawn.charge
    if found.loop is not None:
        rows[dynamics.LOOP_FACTORS : dynamics.LOOP_FACTORS + 4] = found.loop
        rows[dynamics.DELAY], rows[dynamics.HOVER] = drawn.late, drawn.hover


def exchange(buffer: Floats, who: Flags, ranges: AirframeRanges, carrier: Airframe, seed: int, first: int = 0) -> None:
    """`put` the quadrotor of its present episode into each vehicle n with who[n]; draws count vehicles from `first`."""
    numbers = dynamics.read(buffer, dynamics.EPISODE, len(who))
    for n in np.flatnonzero(who).tolist():
        put(buffer, n, draw_vehicle(ranges, carrier, seed, first + n, int(numbers[n])), carrier)


def from_dict(data: object, source: str) -> AirframeRanges:
    """The ranges that a mapping gives, the others as they are by default. Raises UsageError."""
    ranges = settings.convert(AirframeRanges, data, source)
    for known in fields(ranges):
        value = getattr(ranges, known.name)
        if isinstance(value, tuple) and value[0] > value[1]:
            limits = f"{known.metadata['low']:g} to {known.metadata['high']:g}"
            raise UsageError(f"{source}: {known.name}: found {value}, wanted {limits}, the lower first")
    return ranges
