"""How an episode starts: initial state, true parameters and disturbance of a vehicle, drawn by hashing counters.

Every draw is a hash of (seed, vehicle, episode, index). A start depends on nothing that happened before it: the same seed
gives the same starts for any number of vehicles and in any order.
"""

import math
from dataclasses import astuple, dataclass

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats, Number
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import MAX_DEAD_TIME, Airframe
from spike_ctrl.sim.dynamics import (
    AT,
    BODY_DRAG,
    CHARGE,
    CLOCK,
    DEAD_TIME,
    DELAY,
    EPISODE,
    FAILS_AT,
    FALLS_OVER,
    FORCE,
    LANES,
    LOOP_FACTORS,
    LOST,
    MASS,
    MOMENT,
    PLANT_SIZE,
    POSITION,
    QUATERNION,
    RATES,
    ROTORS,
    ROWS,
    STUCK,
    VELOCITY,
    VELOCITY_MOMENT,
    nominal_extension,
    nominal_plant,
)
from spike_ctrl.sim.rotor_loss import RotorLoss
from spike_ctrl.sim.sensor_noise import SensorSettings

MAX_DELAY = 4  # control steps
THROWN = tuple(np.float32(most) for most in (math.pi, 3.0, 15.0, math.pi))  # tilt, velocity, rates, yaw of a thrown vehicle


@dataclass(frozen=True)
class InitialStates:
    """The paper's start: a share `at_target` level and at rest on the set-point, else uniform within these bounds."""

    at_target: float = within(0.1, 0.0, 1.0, "Share of the episodes that start level and at rest on the set-point.")
    position: float = within(0.5, 0.0, 100.0, "Largest distance from the set-point on each axis.", "m")
    tilt: float = within(math.pi / 2, 0.0, math.pi, "Largest tilt.", "rad")
    velocity: float = within(1.0, 0.0, 100.0, "Largest velocity on each axis.", "m/s")
    rates: float = within(1.0, 0.0, 100.0, "Largest body rate about each axis.", "rad/s")
    rotors_low: float = within(0.0, 0.0, 1.0, "Lowest normalised rotor speed.")
    rotors_high: float = within(1.0, 0.0, 1.0, "Highest normalised rotor speed.")
    yaw: float = within(0.0, 0.0, math.pi, "Largest yaw to both sides, before the tilt.", "rad")
    thrown: float = within(0.0, 0.0, 1.0, "Share of the others that are thrown: any attitude, up to 3 m/s and 15 rad/s.")

    def array(self) -> Floats:
        """What `draw` takes."""
        return np.array(astuple(self), np.float32)


@dataclass(frozen=True)
class Randomisation:
    """What differs from the nominal airframe, drawn for each episode: factors in [1 - x, 1 + x], disturbance, delay.

    `noise` scales the standard deviations of the observations' white noise, which are `observation.NOISE` at 1; `sensors`
    are errors that last, biases and delays.
    """

    mass: float = within(0.0, 0.0, 0.9, "Mass: factor 1 - x to 1 + x.")
    inertia: float = within(0.0, 0.0, 0.9, "Moments of inertia: factors 1 - x to 1 + x.")
    thrust: float = within(0.0, 0.0, 0.9, "Thrust of all rotors: factor 1 - x to 1 + x.")
    torque: float = within(0.0, 0.0, 0.9, "Reaction torque of all rotors: factor 1 - x to 1 + x.")
    lag: float = within(0.0, 0.0, 0.9, "Rotors' time constants: factor 1 - x to 1 + x.")
    force: float = within(0.0, 0.0, 100.0, "Steady force on each axis of the world, -x to x.", "N")
    moment: float = within(0.0, 0.0, 100.0, "Steady torque about each body axis, -x to x.", "N m")
    delay: int = within(0, 0, MAX_DELAY, "Whole control steps by which commands are late, 0 to x.", "steps")
    gains: float = within(0.0, 0.0, 0.9, "P, I and D gains of the rate loop: factors 1 - x to 1 + x each.")
    filters: float = within(0.0, 0.0, 0.9, "Share of a new value in the rate loop's filters: factor 1 - x to 1 + x.")
    noise: float = within(0.0, 0.0, 100.0, "Factor on the standard deviations of the observation's white noise.")
    body_drag: float = within(0.0, 0.0, 0.9, "Drag along each body axis: factors 1 - x to 1 + x.")
    velocity_moment: float = within(0.0, 0.0, 0.9, "Torque of the velocity: factors 1 - x to 1 + x.")
    dead_time: float = within(0.0, 0.0, MAX_DEAD_TIME, "Dead time beyond the airframe's, 0 to x.", "s")
    charge_low: float = within(1.0, 0.0, 1.0, "Lowest charge of the battery at the start.")
    charge_high: float = within(1.0, 0.0, 1.2, "Highest charge of the battery at the start; above 1: just charged.")
    moment_z: float = within(1.0, 0.0, 1.0, "Share of `moment` about z, where a quadrotor has little authority.")
    angular_drag: float = within(0.0, 0.0, 1.0, "Angular drag: factor 1 - x to 1.")
    joint: float = within(0.0, 0.0, 3.0, "Deviations of the airframe's joint_spread, in them: correlated factors.")
    rotor_loss: RotorLoss = RotorLoss()
    sensors: SensorSettings = SensorSettings()

    def array(self, progress: float = 1.0) -> Floats:
        """What `draw` takes; the noise is no property of a plant. progress: of a training, 0 to 1."""
        spread = np.array([getattr(self, name) for name in _DRAWN], np.float32)
        return np.concatenate([spread, self.rotor_loss.array(progress)])

    @property
    def exact(self) -> bool:
        """True where every vehicle has the parameters of the nominal airframe."""
        return not any(
            (self.mass, self.inertia, self.thrust, self.torque, self.lag, self.gains, self.filters, self.rotor_loss.chance)
        )


_DRAWN = (
    "mass", "inertia", "thrust", "torque", "lag", "force", "moment", "delay", "gains", "filters", "body_drag",
    "velocity_moment", "dead_time", "charge_low", "charge_high", "moment_z", "angular_drag", "joint",
)  # fmt: skip
_FIRST = np.array([MASS + 4, MASS + 8, DEAD_TIME, MASS + 1, MASS + 2, MASS + 7, *range(BODY_DRAG, BODY_DRAG + 5), MASS + 11])
_LAST = _FIRST + np.array([3, 2] + [1] * 10)  # from the first to before the last row that each of airframe.JOINT changes


def nominal(airframe: Airframe) -> Floats:
    """The parameters that `draw` varies: plant, extension (6), trim moment (3), joint spread of the airframe, float32."""
    more = np.array([*airframe.trim_moment, *airframe.joint_spread], np.float32)
    return np.concatenate([nominal_plant(airframe), nominal_extension(airframe), more])


@inlined
def mix(z: Number) -> Number:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def _uniform(key: Number, index: Number, low: Number, high: Number) -> Number:
    bits = mix(key + np.uint64(index) * np.uint64(0x9E3779B97F4A7C15))
    return low + (high - low) * np.float32(bits >> np.uint64(40)) * np.float32(1.0 / (1 << 24))


@kernel(cache=True)
def draw(buffer: Floats, lane: Number, seed: int, vehicle: Number, start: Floats, nominal: Floats, spread: Floats) -> None:
    """Put one vehicle, whose rows begin at the flat index `lane`, at the start of its episode number buffer[EPISODE]."""
    at_target, position, tilt, velocity, rates, rotors_low, rotors_high, yaw, thrown = start
    episode = np.uint64(buffer[lane + AT[EPISODE]])
    key = mix(mix(mix(np.uint64(seed)) + np.uint64(vehicle)) + episode)
    zero, one = np.float32(0.0), np.float32(1.0)
    free = zero if _uniform(key, 0, zero, one) < at_target else one
    if _uniform(key, 17, zero, one) < thrown:
        tilt, velocity, rates, yaw = THROWN
    for i in range(3):
        buffer[lane + AT[POSITION + i]] = free * _uniform(key, 1 + i, -position, position)
        buffer[lane + AT[VELOCITY + i]] = free * _uniform(key, 4 + i, -velocity, velocity)
        buffer[lane + AT[RATES + i]] = free * _uniform(key, 7 + i, -rates, rates)
    # The body's z axis is uniform over the cap of directions within `tilt` of straight up; the heading is kept.
    half = np.float32(0.5) * free * math.acos(_uniform(key, 10, math.cos(tilt), one))
    azimuth = _uniform(key, 11, zero, np.float32(2 * math.pi))
    x, y, w = math.sin(half) * math.cos(azimuth), math.sin(half) * math.sin(azimuth), math.cos(half)
    turn = np.float32(0.5) * free * _uniform(key, 12, -yaw, yaw)
    c, s = math.cos(turn), math.sin(turn)
    buffer[lane + AT[QUATERNION]] = x * c + y * s
    buffer[lane + AT[QUATERNION + 1]] = y * c - x * s
    buffer[lane + AT[QUATERNION + 2]] = w * s
    buffer[lane + AT[QUATERNION + 3]] = w * c
    for i in range(4):
        buffer[lane + AT[ROTORS + i]] = _uniform(key, 13 + i, rotors_low, rotors_high)
    for i in range(PLANT_SIZE):
        buffer[lane + AT[MASS + i]] = nominal[i]
    for i in range(6):
        buffer[lane + AT[BODY_DRAG + i]] = nominal[PLANT_SIZE + i]
    mass, inertia, thrust, torque, lag, force, moment, delay, gains, filters = spread[:10]
    body_drag, velocity_moment, dead_time, charge_low, charge_high, moment_z, angular_drag, joint = spread[10:18]
    buffer[lane + AT[MASS]] *= _uniform(key, 20, one - mass, one + mass)
    for i in range(3):
        buffer[lane + AT[MASS + 1 + i]] *= _uniform(key, 21 + i, one - inertia, one + inertia)
        buffer[lane + AT[FORCE + i]] = _uniform(key, 30 + i, -force, force)
        about = moment * moment_z if i == 2 else moment
        buffer[lane + AT[MOMENT + i]] = nominal[PLANT_SIZE + 6 + i] + _uniform(key, 33 + i, -about, about)
        buffer[lane + AT[BODY_DRAG + i]] *= _uniform(key, 50 + i, one - body_drag, one + body_drag)
    thrust_factor = _uniform(key, 24, one - thrust, one + thrust)
    for i in range(3):
        buffer[lane + AT[MASS + 4 + i]] *= thrust_factor
    buffer[lane + AT[MASS + 7]] *= _uniform(key, 25, one - torque, one + torque)
    lag_factor = _uniform(key, 26, one - lag, one + lag)
    buffer[lane + AT[MASS + 8]] *= lag_factor
    buffer[lane + AT[MASS + 9]] *= lag_factor
    buffer[lane + AT[DELAY]] = math.floor(_uniform(key, 40, zero, delay + one))
    for i in range(3):
        buffer[lane + AT[LOOP_FACTORS + i]] = _uniform(key, 41 + i, one - gains, one + gains)
    buffer[lane + AT[LOOP_FACTORS + 3]] = _uniform(key, 44, one - filters, one + filters)
    for i in range(2):
        buffer[lane + AT[VELOCITY_MOMENT + i]] *= _uniform(key, 53 + i, one - velocity_moment, one + velocity_moment)
    buffer[lane + AT[DEAD_TIME]] += _uniform(key, 55, zero, dead_time)
    buffer[lane + AT[CHARGE]] = _uniform(key, 56, charge_low, charge_high)
    buffer[lane + AT[MASS + 11]] *= _uniform(key, 57, one - angular_drag, one)
    chance, least, most, whole, stuck, rotors, earliest, latest, over = spread[18:]
    if chance > zero:
        fails, sticks = _uniform(key, 90, zero, one) < chance, _uniform(key, 91, zero, one) < stuck
        lost = most if _uniform(key, 92, zero, one) < whole else _uniform(key, 93, least, most)
        rotor = int(_uniform(key, 94, zero, rotors))
        for i in range(4):
            buffer[lane + AT[LOST + i]] = lost if fails and not sticks and i == rotor else zero
            buffer[lane + AT[STUCK + i]] = _uniform(key, 95, zero, one) if fails and sticks and i == rotor else -one
        buffer[lane + AT[FAILS_AT]] = _uniform(key, 96, earliest, latest)
        buffer[lane + AT[FALLS_OVER]] = _uniform(key, 97, zero, over)
        buffer[lane + AT[CLOCK]] = zero
    if joint > zero:
        at, most = PLANT_SIZE + 9, np.float32(math.sqrt(1.5))  # a sum of two uniform numbers has a deviation of 1
        for i in range(len(_FIRST)):
            change = zero
            for j in range(i + 1):
                change += nominal[at + j] * (_uniform(key, 60 + 2 * j, -most, most) + _uniform(key, 61 + 2 * j, -most, most))
            at += i + 1
            for row in range(_FIRST[i], _LAST[i]):
                buffer[lane + np.uint64(LANES * row)] *= np.float32(math.exp(joint * change))
        latest = np.float32(MAX_DEAD_TIME) - buffer[lane + AT[DELAY]] * np.float32(0.01)
        buffer[lane + AT[DEAD_TIME]] = min(buffer[lane + AT[DEAD_TIME]], latest)


@kernel(cache=True)
def draw_some(buffer: Floats, who: Flags, seed: int, first: int, start: Floats, nominal: Floats, spread: Floats) -> None:
    """`draw` the next episode of each vehicle n with who[n]; their hashes count vehicles from `first`."""
    for n in range(len(who)):
        if who[n]:
            lane = np.uint64(n // LANES * ROWS * LANES + n % LANES)
            buffer[lane + AT[EPISODE]] += np.float32(1.0)
            draw(buffer, lane, seed, np.uint64(first + n), start, nominal, spread)
