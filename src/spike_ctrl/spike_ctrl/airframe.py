"""The airframe: one validated description of a quadrotor, read from YAML with units.

Body frame FLU, SI units. Rotors in the order front-right, back-right, back-left, front-left. A command u in [0, 1]
is a normalised rotor-speed set-point; a rotor at normalised speed r gives the thrust T(r) = c0 + c1 r + c2 r^2.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files import settings, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting

GRAVITY = 9.81
ACTION_LAYOUTS = ("motors", "rates")
AIRMODES = ("disabled", "roll_pitch")  # PX4's MC_AIRMODE 0 and 1
MAX_DEAD_TIME = 0.04  # s
OPTIONAL_TERMS = ("body_drag", "velocity_moment", "trim_moment", "dead_time", "battery", "joint_spread")
JOINT = (  # what `joint_spread` is about, in its order; lag: up and down alike
    "thrust", "lag", "dead_time", "inertia_x", "inertia_y", "torque_per_thrust", "body_drag_x", "body_drag_y", "body_drag_z",
    "velocity_moment_x", "velocity_moment_y", "angular_drag",
)  # fmt: skip


def _quantity(unit: str, count: int, low: float, high: float, description: str, default: Any = dataclasses.MISSING) -> Any:
    """A setting that is written with its unit, as "0.027 kg" or "1 2 3 m"; bounds are those of each number."""

    def read(value: object, source: str, key: str) -> float | tuple[float, ...]:
        shape = "a number" if count == 1 else f"{count} numbers"
        words = str(value).split()
        try:
            numbers = tuple(float(word) for word in words[:count])
        except ValueError:
            numbers = ()
        if len(numbers) != count or len(words) == count:
            raise UsageError(f"{source}: {key}: found '{value}', wanted {shape} and the unit '{unit}'")
        if (found := " ".join(words[count:])) != unit:
            raise UsageError(f"{source}: {key}: found unit '{found}', wanted '{unit}'")
        for number in numbers:
            if not low <= number <= high:
                raise UsageError(f"{source}: {key}: found {number:g} {unit}, wanted {low:g} to {high:g}")
        return numbers[0] if count == 1 else numbers

    def schema() -> dict[str, Any]:
        numbers = r"([-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s+)" + f"{{{count}}}"
        return {"type": "string", "pattern": rf"^\s*{numbers}{re.escape(unit)}\s*$".replace("\\ ", r"\s+")}

    return setting(default, description, unit=unit, low=low, high=high, read=read, schema=schema)


@dataclass(frozen=True)
class RateLoop:
    """PX4's body-rate controller; rows roll, pitch, yaw."""

    proportional: tuple[float, ...] = _quantity("1", 3, 0.0, 100.0, "Gain on normalised torque per rad/s.")
    integral: tuple[float, ...] = _quantity("1/s", 3, 0.0, 100.0, "Gain on the integral of the error.")
    derivative: tuple[float, ...] = _quantity("s", 3, 0.0, 1.0, "Gain on the angular acceleration.")
    integral_limit: tuple[float, ...] = _quantity("1", 3, 0.0, 1.0, "Largest normalised torque of the integral.")
    gyro_cutoff: float = _quantity("Hz", 1, 1.0, 1000.0, "Cutoff of the low-pass filter of the rates.")
    derivative_cutoff: float = _quantity("Hz", 1, 1.0, 1000.0, "Cutoff of the low-pass filter of their derivative.")
    delay: float = _quantity("s", 1, 0.0, 0.01, "Delay of the loop, at most one control step.")
    airmode: str = setting("disabled", "roll_pitch: the mixer adds thrust for torques in roll, pitch.", choices=AIRMODES)


@dataclass(frozen=True)
class BatteryModel:
    """What the battery does to the rotors; a load of 1 is that of four rotors at normalised speed 1."""

    full: float = _quantity("V", 1, 0.1, 1000.0, "Open-circuit voltage at charge 1.")
    empty: float = _quantity("V", 1, 0.1, 1000.0, "Open-circuit voltage at charge 0.")
    nominal: float = _quantity("V", 1, 0.1, 1000.0, "Voltage at which a command u is the rotor's set-point.")
    sag: float = _quantity("V", 1, 0.0, 1000.0, "Fall of the voltage at load 1.")
    sag_time: float = _quantity("s", 1, 0.0, 100.0, "Time constant with which the voltage falls.")
    endurance: float = _quantity("s", 1, 1.0, 1e5, "Time from charge 1 to 0 at load 1.")
    exponent: float = _quantity("1", 1, 0.0, 3.0, "At voltage V the set-point is u (V / nominal)^exponent.")

    def factor(self, voltage: Any) -> Any:
        """A rotor's set-point over its command at a voltage (V), number or array."""
        return (voltage / self.nominal) ** self.exponent


@dataclass(frozen=True)
class Airframe:
    """Physical parameters of one quadrotor. Immutable; `hover` and `thrust_to_weight` are computed, never given.

    >>> round(Airframe.load("crazyflie").thrust_to_weight, 2)
    1.97
    """

    name: str = setting(description="Name of the airframe.")
    mass: float = _quantity("kg", 1, 1e-3, 100.0, "Mass of the vehicle with its battery.")
    inertia: tuple[float, ...] = _quantity("kg m^2", 3, 1e-8, 100.0, "Moments of inertia about the body's x, y, z.")
    rotor_x: tuple[float, ...] = _quantity("m", 4, -10.0, 10.0, "Forward position of each rotor.")
    rotor_y: tuple[float, ...] = _quantity("m", 4, -10.0, 10.0, "Position of each rotor to the left.")
    rotor_spin: tuple[float, ...] = _quantity("1", 4, -1.0, 1.0, "Sense of each rotor's reaction torque about z, 1 or -1.")
    thrust_curve: tuple[float, ...] = _quantity("N", 3, -1e3, 1e4, "c0, c1, c2 of a rotor's thrust c0 + c1 r + c2 r^2.")
    torque_per_thrust: float = _quantity("m", 1, 0.0, 1.0, "Reaction torque of a rotor over its thrust.")
    lag_up: float = _quantity("s", 1, 1e-3, 2.0, "Time constant of a rotor that speeds up.")
    lag_down: float = _quantity("s", 1, 1e-3, 2.0, "Time constant of a rotor that slows down.")
    linear_drag: float = _quantity("N s/m", 1, 0.0, 100.0, "Drag over velocity, the same in all directions.")
    angular_drag: float = _quantity("N m s/rad", 1, 0.0, 10.0, "Drag torque over body rate.")
    max_rates: tuple[float, ...] = _quantity("rad/s", 3, 0.1, 100.0, "Largest body rates that an action commands.")
    action_layout: str = setting("motors", "Four rotor speeds, or thrust and body rates.", choices=ACTION_LAYOUTS)
    rate_loop: RateLoop | None = setting(None, "PX4's body-rate controller; needed with action_layout rates.")
    body_drag: tuple[float, ...] = _quantity("N s/m", 3, 0.0, 100.0, "Force -d v along each body axis.", (0.0, 0.0, 0.0))
    velocity_moment: tuple[float, ...] = _quantity(
        "N s", 2, -10.0, 10.0, "kx, ky of the torque (kx v_y, -ky v_x, 0) of the velocity in the body.", (0.0, 0.0)
    )
    trim_moment: tuple[float, ...] = _quantity("N m", 3, -100.0, 100.0, "A steady torque.", (0.0, 0.0, 0.0))
    dead_time: float = _quantity("s", 1, 0.0, MAX_DEAD_TIME, "From a command of motors to the rotors' set-points.", 0.0)
    battery: BatteryModel | None = setting(None, "The battery; without one its voltage has no effect.")
    joint_spread: tuple[float, ...] = _quantity(
        "1", 78, -1.0, 1.0, "Rows of the lower Cholesky factor of the covariance of ln(JOINT).", (0.0,) * 78
    )

    @classmethod
    def load(cls, source: str | Path) -> Airframe:
        """The airframe of that name, or in the YAML file at that path: the module's `load`.

        >>> Airframe.load("crazyflie").rotor_x  # m: front-right, back-right, back-left, front-left
        (0.028, -0.028, -0.028, 0.028)
        """
        return load(source)

    def thrust(self, speed: Any) -> Any:
        """Thrust of one rotor (N) at normalised speed `speed` in [0, 1], number or array."""
        c0, c1, c2 = self.thrust_curve
        return c0 + c1 * speed + c2 * speed * speed

    @cached_property
    def hover(self) -> float:
        """Normalised rotor speed at which four rotors carry the weight."""
        return float(rotor_speed(self.thrust_curve, self.mass * GRAVITY / 4))

    @property
    def thrust_to_weight(self) -> float:
        """Thrust of four rotors at full speed over the weight."""
        return float(4 * self.thrust(1.0) / (self.mass * GRAVITY))

    @property
    def level_drag(self) -> float:
        """Deceleration by drag for each m/s of a level motion, at least, 1/s."""
        return (self.linear_drag + min(self.body_drag[:2])) / self.mass

    @property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with any physical parameter."""
        every = dataclasses.asdict(self)
        physics = {field.name: every[field.name] for field, _ in _given(self) if field.name != "name"}
        if physics["rate_loop"] and physics["rate_loop"]["airmode"] == "disabled":
            del physics["rate_loop"]["airmode"]  # hashes are those of before it could be given
        return hashlib.sha256(json.dumps(physics, sort_keys=True).encode()).hexdigest()[:12]

    def require_layout(self, layout: str) -> None:
        """Raise UsageError where the airframe is not commanded by `layout`."""
        if self.action_layout != layout:
            raise UsageError(f"airframe {self.name}: action_layout: found '{self.action_layout}', wanted '{layout}'")


def rotor_speed(curve: Sequence[float], thrust: Any) -> Any:
    """The speed, number or array, at which a rotor gives this thrust: the inverse of c0 + c1 r + c2 r^2, where it grows."""
    c0, c1, c2 = curve
    if c2 == 0:
        return (thrust - c0) / c1
    return (-c1 + np.sqrt(np.maximum(c1 * c1 - 4 * c2 * (c0 - thrust), 0.0))) / (2 * c2)


def load(source: str | Path | Airframe) -> Airframe:
    """The airframe of that name among config/airframes, or the one in the YAML file at that path (.yaml or .yml, or a Path).

    An Airframe is given back as it is. Raises UsageError on an unknown name, a missing file, bad YAML, and on a wrong
    key, unit, type or range.

    >>> load("crazyflie").mass
    0.027
    """
    if isinstance(source, Airframe):
        return source
    if not isinstance(source, (str, Path)):
        raise UsageError(f"airframe: found {source!r}, wanted a name, a path or an Airframe")
    path = source if isinstance(source, Path) else yaml_file.find(source, "airframe")
    return from_dict(yaml_file.read(path, "airframe"), source=f"airframe {path}")


def from_dict(data: object, source: str = "airframe") -> Airframe:
    """Build and validate an Airframe from a mapping as YAML gives it. `source` is named in errors."""
    airframe = settings.convert(Airframe, data, source)
    _validate(airframe, source)
    return airframe


def schema() -> dict[str, Any]:
    """The JSON Schema of an airframe's file."""
    return settings.schema(Airframe)


def to_dict(airframe: Airframe) -> dict[str, Any]:
    """The airframe as a mapping with units, as `from_dict` takes it; no digit is lost."""

    def plain(part: Airframe | RateLoop | BatteryModel) -> dict[str, Any]:
        return {field.name: value_of(field, value) for field, value in _given(part) if value is not None}

    def value_of(field: dataclasses.Field[Any], value: Any) -> Any:
        if isinstance(value, RateLoop | BatteryModel):
            return plain(value)
        if not isinstance(value, float | tuple):
            return value
        numbers = value if isinstance(value, tuple) else (value,)
        return " ".join([*(repr(float(number)) for number in numbers), field.metadata["unit"]])

    return plain(airframe)


def _given(part: Airframe | RateLoop | BatteryModel) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """The fields with their values. Terms of version 0.2 are left out where they are 0: hashes are those of before."""
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name not in OPTIONAL_TERMS or value != field.default:
            yield field, value


def altered(craft: Airframe, mass: float = 1.0, thrust: float = 1.0, lag: float = 1.0) -> Airframe:
    """The vehicle that is really there, where it is not the one described: factors of the mass, of the rotors' thrust, and
    of the lag between a command and what it does, motors and rate loop alike. Raises UsageError for what cannot fly.
    """
    loop = craft.rate_loop and dataclasses.replace(craft.rate_loop, delay=lag * craft.rate_loop.delay)
    other = dataclasses.replace(
        craft,
        mass=mass * craft.mass,
        thrust_curve=tuple(thrust * c for c in craft.thrust_curve),
        lag_up=lag * craft.lag_up,
        lag_down=lag * craft.lag_down,
        dead_time=lag * craft.dead_time,
        rate_loop=loop,
    )
    _validate(other, f"airframe {craft.name}, mass x {mass:g}, thrust x {thrust:g}, lag x {lag:g}")
    return other


def _validate(airframe: Airframe, source: str) -> None:
    for problem in _problems(airframe):
        raise UsageError(f"{source}: {problem}")


def _problems(craft: Airframe) -> Iterator[str]:
    """What no single value shows; each check may count on those before it."""
    if craft.action_layout == "rates" and craft.rate_loop is None:
        yield "rate_loop: missing, wanted because action_layout is 'rates'"
    if craft.action_layout == "rates" and craft.dead_time:
        yield f"dead_time: found {craft.dead_time:g} s, wanted 0 with action_layout 'rates', whose delay is rate_loop.delay"
    if craft.dead_time > MAX_DEAD_TIME:
        yield f"dead_time: found {craft.dead_time:g} s, wanted at most {MAX_DEAD_TIME:g} s"
    if (battery := craft.battery) and battery.full <= battery.empty:
        yield f"battery: found full {battery.full:g} V and empty {battery.empty:g} V, wanted full above empty"
    if battery and 2 * battery.sag >= battery.empty:
        yield f"battery.sag: found {battery.sag:g} V, wanted less than half of battery.empty, {battery.empty:g} V"
    quadrants = [(x > 0, y > 0) for x, y in zip(craft.rotor_x, craft.rotor_y, strict=True)]
    if quadrants != [(True, False), (False, False), (False, True), (True, True)]:
        yield "rotor_x, rotor_y: wanted the order front-right, back-right, back-left, front-left in FLU"
    if any(abs(spin) != 1 for spin in craft.rotor_spin) or sum(craft.rotor_spin) != 0:
        yield f"rotor_spin: found {craft.rotor_spin}, wanted two rotors at 1 and two at -1"
    if craft.rotor_spin[0] != craft.rotor_spin[2]:
        yield f"rotor_spin: found {craft.rotor_spin}, wanted the same spin on each diagonal"
    growing = np.diff([craft.thrust(u) for u in np.linspace(0.1, 1.0, 91)]) > 0
    if not growing.all() or craft.thrust(0.0) < 0:
        yield f"thrust_curve: found {craft.thrust_curve}, wanted a thrust that is >= 0 and grows with u"
    if craft.thrust_to_weight < 1.1:
        yield f"thrust_curve, mass: thrust/weight is {craft.thrust_to_weight:.2f}, wanted at least 1.1"
    if not 0.05 < craft.hover < 0.95:
        yield f"thrust_curve, mass: hover throttle is {craft.hover:.2f}, wanted .05 to .95"
