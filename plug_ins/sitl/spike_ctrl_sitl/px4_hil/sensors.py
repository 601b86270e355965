"""The sensors of a simulated vehicle: their readings of its motion, with noise. NED and body FRD, as PX4 takes them.

Accelerometer: specific force, -g along z (down) at rest. Magnetometer: the dipole field at the latitude of the place,
without declination. Barometer: ISA. GPS: flat ground around a place.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.px4 import frames
from spike_ctrl.px4.frames import Quaternion, Vector
from spike_ctrl.simulated_px4.estimator import ACC_NOISE, BLOCK, QUIET
from spike_ctrl.simulated_px4.plant import GYRO_NOISE
from spike_ctrl.simulated_px4.telemetry import EARTH_RADIUS, HOME_ALTITUDE, HOME_LATITUDE, HOME_LONGITUDE
from spike_ctrl_sitl.motor_body import BodyMotion

FORCE_RANGE, RATE_RANGE = 16 * 9.80665, math.radians(2000)  # m/s^2, rad/s: beyond it PX4's 16-bit samples would wrap
EQUATOR_FIELD = 0.312  # gauss, of the earth's dipole on the ground
SEA_PRESSURE, SEA_TEMPERATURE, LAPSE, EXPONENT = 1013.25, 288.15, 0.0065, 5.25588  # hPa, K, K/m: ISA below 11 km
CELSIUS = 273.15  # K


class Place(NamedTuple):
    """Where the origin lies on the earth: degrees, and m above the sea."""

    latitude: float = HOME_LATITUDE
    longitude: float = HOME_LONGITUDE
    altitude: float = HOME_ALTITUDE


def parse_place(text: str) -> Place:
    """From LAT,LON,ALT. Raises UsageError."""
    try:
        place = Place(*(float(word) for word in text.split(",")))
        good = text.count(",") == 2 and abs(place.latitude) <= 85 and abs(place.longitude) <= 180
        good = good and -500 <= place.altitude <= 10000
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(f"--home: found '{text}', wanted LAT,LON,ALT: -85 to 85, -180 to 180 degrees, -500 to 10000 m")
    return place


@dataclass(frozen=True)
class Noise:
    """Standard deviations of a sample, as in PX4's own simulation.

    Those of accelerometer and gyro (forward, right, down) hold while the motors turn. While they stand, QUIET times as much.
    """

    accelerometer: Vector = ACC_NOISE  # m/s^2
    gyro: Vector = GYRO_NOISE  # rad/s
    magnetometer: Vector = (0.02, 0.02, 0.03)  # gauss
    pressure: float = 0.01  # hPa
    position: Vector = (0.2, 0.2, 0.5)  # m, GPS: north, east, up
    velocity: float = 0.1  # m/s, GPS


class Reading(NamedTuple):
    """One sample: m/s^2, rad/s and gauss in FRD; hPa; altitude (m above the sea) from the pressure; degrees Celsius."""

    accelerometer: Vector
    gyro: Vector
    magnetometer: Vector
    pressure: float
    altitude: float
    temperature: float


class Fix(NamedTuple):
    """A GPS fix: degrees, m above the sea, velocity (m/s, NED)."""

    latitude: float
    longitude: float
    altitude: float
    velocity: Vector


class Sensors:
    """Sensors at a place. scale: factor of `noise`; 0 gives true values. generator: source of the random numbers."""

    def __init__(self, place: Place, scale: float, generator: np.random.Generator, noise: Noise = Noise()):
        self.place, self.scale, self.noise = place, scale, noise
        self._generator = generator
        self._draws = iter(())
        self._field = magnetic_field(place.latitude)

    def read(self, motion: BodyMotion, running: bool) -> Reading:
        """One reading. running: the motors turn and shake the sensors."""
        draw = self._draw()
        level = self.scale * (1.0 if running else QUIET)
        force = specific_force(motion.acceleration, motion.quaternion)
        field = to_body(self._field, motion.quaternion)
        height = self.place.altitude + motion.position[2]
        found = pressure(height) + self.scale * self.noise.pressure * draw[9]
        return Reading(
            _clip(_noisy(force, self.noise.accelerometer, level, draw[0:3]), FORCE_RANGE),
            _clip(_noisy(frames.frd_from_flu(motion.rates), self.noise.gyro, level, draw[3:6]), RATE_RANGE),
            _noisy(field, self.noise.magnetometer, self.scale, draw[6:9]),
            found,
            pressure_altitude(found),
            temperature(height),
        )

    def fix(self, motion: BodyMotion) -> Fix:
        """One fix of the GPS."""
        draw = self._draw()
        north, east, up = (self.scale * s * n for s, n in zip(self.noise.position, draw[0:3], strict=True))
        x, y, z = motion.position
        latitude, longitude, altitude = geodetic((x + east, y + north, z + up), self.place)
        velocity = _noisy(frames.ned_from_enu(motion.velocity), (self.noise.velocity,) * 3, self.scale, draw[3:6])
        return Fix(latitude, longitude, altitude, velocity)

    def _draw(self) -> list[float]:
        if (draw := next(self._draws, None)) is None:
            self._draws = iter(self._generator.standard_normal((BLOCK, 10)).tolist())
            draw = next(self._draws)
        return draw


def specific_force(acceleration: Vector, quaternion: Quaternion) -> Vector:
    """The specific force (m/s^2, FRD) that an accelerometer measures of an acceleration (ENU): -g along z at rest."""
    body = frames.rotate_back(quaternion, (acceleration[0], acceleration[1], acceleration[2] + GRAVITY))
    return frames.frd_from_flu(body)


def to_body(ned: Vector, quaternion: Quaternion) -> Vector:
    """A vector in the world (NED), turned into the body (FRD)."""
    return frames.frd_from_flu(frames.rotate_back(quaternion, frames.enu_from_ned(ned)))


def magnetic_field(latitude: float) -> Vector:
    """The field of the earth's dipole (gauss, NED) at a latitude (degrees): B cos to the north, 2 B sin down."""
    angle = math.radians(latitude)
    return EQUATOR_FIELD * math.cos(angle), 0.0, 2 * EQUATOR_FIELD * math.sin(angle)


def pressure(altitude: float) -> float:
    """Pressure (hPa) at an altitude (m above the sea)."""
    return SEA_PRESSURE * (1 - LAPSE * altitude / SEA_TEMPERATURE) ** EXPONENT


def pressure_altitude(found: float) -> float:
    """The altitude (m above the sea) at which `pressure` is so large (hPa)."""
    return SEA_TEMPERATURE / LAPSE * (1 - (found / SEA_PRESSURE) ** (1 / EXPONENT))


def temperature(altitude: float) -> float:
    """Temperature (degrees Celsius) at an altitude (m above the sea)."""
    return SEA_TEMPERATURE - LAPSE * altitude - CELSIUS


def geodetic(position: Vector, place: Place) -> tuple[float, float, float]:
    """Latitude, longitude (degrees) and altitude (m above the sea) of a position (m, ENU) around a place."""
    east, north, up = position
    latitude = place.latitude + math.degrees(north / EARTH_RADIUS)
    longitude = place.longitude + math.degrees(east / (EARTH_RADIUS * math.cos(math.radians(place.latitude))))
    return latitude, longitude, place.altitude + up


def _noisy(value: Vector, deviation: Vector, scale: float, draw) -> Vector:
    return tuple(v + scale * s * n for v, s, n in zip(value, deviation, draw, strict=True))


def _clip(value: Vector, limit: float) -> Vector:
    return tuple(min(max(v, -limit), limit) for v in value)
