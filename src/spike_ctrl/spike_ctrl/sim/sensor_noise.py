"""What a state estimate is wrong by: errors that last, biases of an episode, and the age of the samples.

Errors of position, velocity and attitude are Ornstein-Uhlenbeck processes: normal with the deviation s, and correlated over
the time T by exp(-dt / T). From one step to the next, exactly: x' = a x + s sqrt(1 - a^2) n with a = exp(-dt / T).
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within

MAX_AGE = 4  # control steps by which a sample may be late
ERRORS = 12  # position 3, velocity 3, attitude 3, body rates 3


@dataclass(frozen=True)
class SensorSettings:
    """Standard deviations and times of the errors. All 0: the true state, at once."""

    position: float = within(0.0, 0.0, 10.0, "Deviation of the position.", "m")
    position_time: float = within(0.3, 0.0, 100.0, "Correlation time of the position error.", "s")
    velocity: float = within(0.0, 0.0, 10.0, "Deviation of the velocity.", "m/s")
    velocity_time: float = within(0.4, 0.0, 100.0, "Correlation time of the velocity error.", "s")
    vertical: float = within(1.0, 0.0, 10.0, "Share of these deviations that height and climb have.")
    attitude: float = within(0.0, 0.0, 0.5, "Deviation of the attitude: a small turn about the body's axes.", "rad")
    attitude_time: float = within(0.8, 0.0, 100.0, "Correlation time of the attitude error.", "s")
    gyro: float = within(0.0, 0.0, 10.0, "Deviation of the white noise of the rates about x and y.", "rad/s")
    gyro_yaw: float = within(0.0, 0.0, 10.0, "Deviation of the white noise of the rate about z.", "rad/s")
    position_bias: float = within(0.0, 0.0, 10.0, "Deviation of each episode's bias of the position.", "m")
    velocity_bias: float = within(0.0, 0.0, 10.0, "Deviation of each episode's bias of the velocity.", "m/s")
    attitude_bias: float = within(0.0, 0.0, 0.5, "Deviation of each episode's bias of the attitude.", "rad")
    gyro_bias: float = within(0.0, 0.0, 10.0, "Deviation of each episode's bias of the rates.", "rad/s")
    delay: float = within(0.0, 0.0, 0.04, "Each episode's samples are late by 0 to x.", "s")
    jitter: float = within(0.0, 0.0, 0.04, "Each sample is late by 0 to x more.", "s")
    voltage: float = within(0.0, 0.0, 10.0, "Deviation of the white noise of the battery's voltage.", "V")
    by_flight: float = within(0.0, 0.0, 1.0, "Each episode's deviations: factor 1 - x to 1 + x for each of four kinds.")

    @property
    def exact(self) -> bool:
        """Whether what is sensed is the true state."""
        times = ("position_time", "velocity_time", "attitude_time", "vertical", "by_flight")
        return not any(getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in times)

    @property
    def late(self) -> bool:
        """Whether samples may be late."""
        return self.delay + self.jitter > 0

    @property
    def deviation(self) -> Floats:
        """Of each error, without its bias, float32 (ERRORS,)."""
        p, v, a = self.position, self.velocity, self.attitude
        up = self.vertical
        return np.array([p, p, up * p, v, v, up * v, a, a, a, self.gyro, self.gyro, self.gyro_yaw], np.float32)

    @property
    def bias(self) -> Floats:
        """Deviation of the bias of each error, float32 (ERRORS,)."""
        biases = (self.position_bias, self.velocity_bias, self.attitude_bias, self.gyro_bias)
        return np.repeat(np.array(biases, np.float32), 3)


class SensorErrors:
    """The errors of N vehicles' estimates, `rate_hz` samples a second. Raises UsageError for samples that are too late."""

    ARRAYS: tuple[str, ...] = ("walk", "bias", "delay")

    def __init__(self, sensors: SensorSettings, vehicles: int, rate_hz: float):
        oldest = rate_hz * (sensors.delay + sensors.jitter)
        if oldest > MAX_AGE * rate_hz / 100 + 1e-6:
            found = f"found {1e3 * (sensors.delay + sensors.jitter):g} ms in total"
            raise UsageError(f"sensors.delay, sensors.jitter: {found}, wanted at most {10 * MAX_AGE} ms")
        self.sensors, self.rate_hz = sensors, rate_hz
        times = np.repeat([sensors.position_time, sensors.velocity_time, sensors.attitude_time, 0.0], 3)
        kept = [math.exp(-1 / (rate_hz * time)) if time else 0.0 for time in times]
        self._kept = np.array(kept, np.float32)[:, None]
        self._fresh = np.sqrt(1 - self._kept**2)
        self.ARRAYS += ("scale",) * (sensors.by_flight > 0)
        self.scale = np.ones((ERRORS, vehicles), np.float32)
        self.walk = np.zeros((ERRORS, vehicles), np.float32)  # with deviation 1
        self.bias = np.zeros((ERRORS, vehicles), np.float32)
        self.delay = np.zeros(vehicles, np.float32)  # samples

    def begin(self, who: Flags, random: np.random.Generator) -> None:
        """New episodes in the vehicles of the mask `who` (N,): errors as after a long time, biases and delays."""
        count = int(who.sum())
        walk, bias = random.standard_normal((2, ERRORS, count), dtype=np.float32)
        self.walk[:, who], self.bias[:, who] = walk, self.sensors.bias[:, None] * bias
        self.delay[who] = self.rate_hz * self.sensors.delay * random.uniform(0, 1, count)
        if differ := self.sensors.by_flight:
            self.scale[:, who] = np.repeat(random.uniform(1 - differ, 1 + differ, (4, count)), 3, 0)

    def advance(self, steps: int, random: np.random.Generator) -> tuple[Floats, Floats]:
        """The next samples: their errors (steps, ERRORS, N), and their ages (steps, N) in samples."""
        vehicles = len(self.delay)
        errors = random.standard_normal((steps, ERRORS, vehicles), dtype=np.float32)
        for fresh in errors:
            fresh *= self._fresh
            fresh += self._kept * self.walk
            self.walk[:] = fresh
        errors *= self.sensors.deviation[:, None] * self.scale
        errors += self.bias
        age = np.tile(self.delay, (steps, 1))
        if self.sensors.jitter:
            age += self.rate_hz * self.sensors.jitter * random.uniform(0, 1, age.shape).astype(np.float32)
        return errors, age


def disturbed(observation: Floats, errors: Floats) -> Floats:
    """Observations (N, 18) with errors (N, ERRORS); the turn by the attitude's error is of first order."""
    seen = observation.copy()
    seen[:, :3] += errors[:, :3]
    seen[:, 12:] += errors[:, [3, 4, 5, 9, 10, 11]]
    turn, still = seen[:, 3:12].reshape(-1, 3, 3), observation[:, 3:12].reshape(-1, 3, 3)
    turn += np.cross(still, errors[:, None, 6:9])  # row r of R (1 + [a]x) is r + r x a
    return seen


class LateSight:
    """What N vehicles observed in the last MAX_AGE control steps, relative to set-points that may have moved since."""

    def __init__(self, vehicles: int):
        self._seen = np.zeros((MAX_AGE + 1, vehicles, 18), np.float32)
        self._target = np.zeros((MAX_AGE + 1, vehicles, 3), np.float32)

    def begin(self, who: Flags, observation: Floats, target: Floats) -> None:
        """Before their first observation the vehicles of the mask `who` (N,) were where they are."""
        self._seen[:, who], self._target[:, who] = observation[who], target[who]

    def look(self, observation: Floats, target: Floats, heading: Floats, age: Floats) -> Floats:
        """Add the newest observations (N, 18), and give those of `age` (N,) control steps ago, in between by proportion.

        target (N, 3): of the set-points, m in the world; heading (N, 2): cosine and sine of their yaw.
        """
        self._seen, self._target = np.roll(self._seen, -1, 0), np.roll(self._target, -1, 0)
        self._seen[-1], self._target[-1] = observation, target
        whole = np.minimum(age.astype(np.int64), MAX_AGE)
        part, everyone = (age - whole)[:, None].astype(np.float32), np.arange(len(age))
        at, before = MAX_AGE - whole, np.maximum(MAX_AGE - whole - 1, 0)
        seen: Floats = (1 - part) * self._seen[at, everyone] + part * self._seen[before, everyone]
        moved = (1 - part) * self._target[at, everyone] + part * self._target[before, everyone] - target
        (x, y, z), (c, s) = moved.T, heading.T
        seen[:, :3] += np.stack([c * x + s * y, c * y - s * x, z], 1)
        return seen
