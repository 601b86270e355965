"""The Kalman filter of the Crazyflie's firmware, from its own Python bindings, on what the vehicle's sensors show.

It is called as estimator_kalman.c calls it: predictions at 100 Hz from the means of gyro and accelerometer, measurements as
they come, and the state of one tick reaches the controller in the next. Rates and deviations of the measurements are facts
of flowdeck_v1v2.c, zranger2.c and mm_flow.c of bitcraze/crazyflie-firmware, 2026.08; each measurement has the noise that
the filter is told. The board's low-pass of the accelerometer is left out. Position and velocity decks that report sweeps or
anchors are not here: the bindings hold no measurement of a position, nor of a sweep.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.flight.attitude import rotate_back, tilt
from spike_ctrl.sim.sensor_noise import SensorSettings
from spike_ctrl_crazyflie.erring_estimate import ErringEstimate, turned
from spike_ctrl_crazyflie.fine_flight import TICKS, FineVehicle
from spike_ctrl_crazyflie.firmware_bindings import Estimate

ACCELEROMETER = 0.03  # m/s^2, white part of the accelerometer in 18 flights of NanoBench
POSE = 0.01, 4.5e-3  # m, rad: what the firmware takes for the deviation of a pose
UNTOLD = 1e3  # rad, deviation of an attitude that is not measured
PIXELS, OPENING = 35.0, 0.71674  # of the flow deck's camera, and the length of ground that it sees at 1 m
COUNTS, FLOW = 10.0, 2.0  # in a pixel; deviation of the flow, counts
RANGE_TICKS, RANGE, CONE = 25, 2.5e-3, math.radians(7.5)  # of the range finder: period, deviation (m) below 2 m, half angle


class FirmwareKalman:
    """The filter of one vehicle, which hovers level at first and faces east.

    positioning: of POSITIONING. sensors: of these, gyro and voltage err as told, and poses and positions are late. seed: of
    the noise.
    """

    def __init__(self, firmware: Any, positioning: str, sensors: SensorSettings, seed: int) -> None:
        self.firmware, self._measure = firmware, POSITIONING[positioning]
        self.random = np.random.default_rng([seed, 7])
        own = replace(sensors, position=0, velocity=0, attitude=0, attitude_bias=0)
        self._own = ErringEstimate(own, seed)
        self.late = self._own.late
        self._acceleration, self._turning = firmware.Axis3fSubSampler_t(), firmware.Axis3fSubSampler_t()
        firmware.axis3fSubSamplerInit(self._acceleration, GRAVITY)  # from g, and from degrees
        firmware.axis3fSubSamplerInit(self._turning, math.pi / 180)
        self._parameters, self.core = firmware.kalmanCoreParams_t(), firmware.kalmanCoreData_t()
        firmware.kalmanCoreDefaultParams(self._parameters)
        self._state, self._force, self.gyro = firmware.state_t(), firmware.Axis3f(), firmware.Axis3f()

    def look(self, vehicle: FineVehicle) -> tuple[Estimate, float]:
        """What the filter says, and the measured voltage (V)."""
        told, volts = self._own.look(vehicle)
        if vehicle.tick == 0:
            self._begin(vehicle.position)
        state = self._state
        sight = Estimate(
            np.array([state.position.x, state.position.y, state.position.z]),
            np.array([getattr(state.attitudeQuaternion, axis) for axis in "xyzw"]),
            np.array([state.velocity.x, state.velocity.y, state.velocity.z]),
            told.rates,
        )
        self._run(vehicle, told.rates)
        return sight, volts

    def _begin(self, position: Floats) -> None:
        x, y, z = map(float, position)
        self._parameters.initialX, self._parameters.initialY, self._parameters.initialZ = x, y, z
        self.firmware.kalmanCoreInit(self.core, self._parameters, 0)
        self.firmware.kalmanCoreExternalizeState(self.core, self._state, self._force)

    def _run(self, vehicle: FineVehicle, rates: Floats) -> None:
        firmware, now = self.firmware, vehicle.tick + 1  # ms; at 0 nothing has passed
        if now % TICKS == 0:
            firmware.axis3fSubSamplerFinalize(self._acceleration)
            firmware.axis3fSubSamplerFinalize(self._turning)
            means = self._acceleration.subSample, self._turning.subSample
            firmware.kalmanCorePredict(self.core, self._parameters, *means, now, True)
        firmware.kalmanCoreAddProcessNoise(self.core, self._parameters, now)
        self._measure(self, vehicle)
        self.gyro.x, self.gyro.y, self.gyro.z = (math.degrees(rate) for rate in rates)
        shown = (vehicle.specific_force + ACCELEROMETER * self.random.standard_normal(3)) / GRAVITY
        self._force.x, self._force.y, self._force.z = map(float, shown)
        firmware.axis3fSubSamplerAccumulate(self._turning, self.gyro)
        firmware.axis3fSubSamplerAccumulate(self._acceleration, self._force)
        firmware.kalmanCoreFinalize(self.core)
        firmware.kalmanCoreExternalizeState(self.core, self._state, self._force)


def _pose(filter: FirmwareKalman, vehicle: FineVehicle, attitude: float = POSE[1]) -> None:
    """Motion capture that streams poses, 100 Hz. attitude: deviation that the filter is told, rad."""
    if vehicle.tick % TICKS:
        return
    seen, found = vehicle.ago(filter.late), filter.firmware.poseMeasurement_t()
    found.x, found.y, found.z = map(float, seen.position + POSE[0] * filter.random.standard_normal(3))
    turn = turned(seen.quaternion, POSE[1] * filter.random.standard_normal(3))
    found.quat.x, found.quat.y, found.quat.z, found.quat.w = map(float, turn)
    found.stdDevPos, found.stdDevQuat = POSE[0], attitude
    filter.firmware.kalmanCoreUpdateWithPose(filter.core, found)


def _position(filter: FirmwareKalman, vehicle: FineVehicle) -> None:
    """Motion capture that streams positions, 100 Hz: a pose whose attitude tells nothing does the same to the filter."""
    _pose(filter, vehicle, UNTOLD)


def _flow(filter: FirmwareKalman, vehicle: FineVehicle) -> None:
    """Flow deck v2: a camera at 100 Hz and a range finder at 40 Hz, both downward, in whole counts and millimetres."""
    now = vehicle.ago(0)
    x, y, z, w = map(float, now.quaternion)
    lean, height = tilt((x, y, z, w)), float(now.position[2])
    if vehicle.tick % TICKS == 0:
        forward, left, _ = rotate_back((x, y, z, w), tuple(map(float, now.velocity)))
        scale, share = COUNTS * TICKS * 1e-3 * PIXELS / OPENING, math.cos(lean) / max(height, 0.1)
        counts = scale * np.array([forward * share - now.rates[1], left * share + now.rates[0]])
        flow = filter.firmware.flowMeasurement_t()
        flow.dpixelx, flow.dpixely = map(float, np.rint(counts + FLOW * filter.random.standard_normal(2)))
        flow.stdDevX = flow.stdDevY = FLOW
        flow.dt = TICKS * 1e-3
        filter.firmware.kalmanCoreUpdateWithFlow(filter.core, flow, filter.gyro)
    if vehicle.tick % RANGE_TICKS == 0:
        found = filter.firmware.tofMeasurement_t()
        distance = height / math.cos(max(0.0, lean - CONE)) + RANGE * filter.random.standard_normal()
        found.distance, found.stdDev = round(distance, 3), RANGE
        filter.firmware.kalmanCoreUpdateWithTof(filter.core, found)


POSITIONING: dict[str, Callable[[FirmwareKalman, FineVehicle], None]] = {"pose": _pose, "position": _position, "flow": _flow}


def require(firmware: Any, source: Path) -> None:
    """Raises UsageError where the bindings of a checkout hold no Kalman filter."""
    needed = ("kalmanCorePredict", "kalmanCoreUpdateWithPose", "kalmanCoreUpdateWithFlow", "kalmanCoreUpdateWithTof")
    if missing := [name for name in needed if not hasattr(firmware, name)]:
        raise UsageError(f"--firmware: {source}: found bindings without {', '.join(missing)}, wanted them")
