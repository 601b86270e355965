"""The stock controllers of the Crazyflie's firmware, from its own Python bindings, and its way from a thrust to a duty.

The bindings are those that the firmware's own make leaves in its folder build; nothing is built here. What
they lack is the battery compensation, whose numbers are facts of motors.c and platform_defaults_cf2.h of
bitcraze/crazyflie-firmware, 2026.08: a motor's thrust is a cubic of its voltage.
"""

import importlib
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.errors import UsageError

KINDS = ("pid", "mellinger")
FULL = 65535
THRUST_MIN, THRUST_MAX = 0.012817578393224994, 0.12  # N, of a motor
CURVE = (-0.014830744918356092, 0.04724465241828281, -0.01847364358025878, 0.005960923942142)  # N by V, V^2 and V^3
FRESH, SMOOTHING = 4.2, 0.01  # V, supply voltage before the first measurement; share of a new one in a tick


class Estimate(NamedTuple):
    """Input of a controller of the firmware: position (3, m) and velocity (3, m/s) in ENU, quaternion x, y, z, w, body
    rates (3, rad/s, FLU)."""

    position: Floats
    quaternion: Floats
    velocity: Floats
    rates: Floats


def load(firmware: Path) -> Any:
    """The module cffirmware of a checkout. Raises UsageError."""
    place = firmware / "build"
    wanted = (
        "wanted a checkout of bitcraze/crazyflie-firmware in which its Python bindings are built: "
        "make cf2_defconfig && make bindings_python PYTHON=$(which python), in it"
    )
    if not (place / "cffirmware.py").is_file():
        raise UsageError(f"--firmware: {firmware}: found no build/cffirmware.py, {wanted}")
    sys.path.insert(0, str(place.resolve()))
    try:
        found = importlib.import_module("cffirmware")
    except ImportError as error:
        raise UsageError(
            f"--firmware: {firmware}: found bindings that this Python cannot load ({error}), {wanted}"
        ) from None
    finally:
        sys.path.pop(0)
    needed = ("controllerPid", "controllerMellinger", "powerDistribution", "powerDistributionCap")
    if missing := [name for name in needed if not hasattr(found, name)]:
        raise UsageError(f"--firmware: {firmware}: found bindings without {', '.join(missing)}, wanted them")
    return found


class Compensation:
    """The firmware's battery compensation, which is called once a tick of 1 ms."""

    def __init__(self) -> None:
        self.supply = FRESH

    def tick(self, measured: float) -> None:
        """Take in the measured voltage, V."""
        self.supply += SMOOTHING * (measured - self.supply)

    def count(self, thrust: float) -> int:
        """What goes to the motor for a thrust, both in counts where FULL is all; it may be more than that."""
        force = thrust / FULL * THRUST_MAX
        return 0 if self.supply < 2.0 or force < THRUST_MIN else int(FULL * motor_volts(force) / self.supply)


def motor_volts(force: float) -> float:
    """Voltage (V) of a motor that gives a force (N), by Cardano's formula."""
    c0, c1, c2, c3 = CURVE
    p, r = -c2 / (3 * c3), c1 / (3 * c3)
    q = p**3 + (c2 * c1 - 3 * c3 * (c0 - force)) / (6 * c3 * c3)
    root = math.sqrt(q * q + (r - p * p) ** 3)
    return float(np.cbrt(q + root) + np.cbrt(q - root) + p)


def motor_force(volts: float) -> float:
    """Force (N) of a motor at a voltage (V)."""
    return CURVE[0] + volts * (CURVE[1] + volts * (CURVE[2] + volts * CURVE[3]))


def capped(counts: list[int]) -> list[float]:
    """Duties of the motors in 0..1: where one is beyond FULL, all are lowered by as much, as powerDistributionCap does."""
    excess = max(0, max(counts) - FULL)
    return [max(count - excess, 0) / FULL for count in counts]


class StockController:
    """A stock controller with power distribution and battery compensation: from a state to duties, once a tick of 1 ms.

    firmware: what `load` gives. kind: of KINDS. One flies at a time, since the firmware's PID is a single one.
    """

    def __init__(self, firmware: Any, kind: str) -> None:
        self.firmware, self.kind = firmware, kind
        self._control, self._setpoint = firmware.control_t(), firmware.setpoint_t()
        self._state, self._sensors = firmware.state_t(), firmware.sensorData_t()
        self._wanted, self._duty = firmware.motors_thrust_uncapped_t(), firmware.motors_thrust_pwm_t()
        firmware.controllerPidInit()

    def begin(self) -> None:
        """A vehicle that was on the ground: all integrals are empty."""
        self.compensation, self._tick = Compensation(), 0
        self._control = self.firmware.control_t()
        if self.kind == "pid":  # a set-point without modes and thrust resets it, as it does before a take-off
            self._command(self.firmware.setpoint_t())
        else:
            self._mellinger = self.firmware.controllerMellinger_t()
            self.firmware.controllerMellingerInit(self._mellinger)
        mode = self._setpoint.mode
        mode.x = mode.y = mode.z = mode.yaw = self.firmware.modeAbs

    def duty(self, sight: Estimate, position: Floats, velocity: Floats, volts: float) -> list[float]:
        """Duties (4) in 0..1 in this tick. position (3, m), velocity (3, m/s): of the set-point, which faces east."""
        self._see(sight)
        for told, vector in ((self._setpoint.position, position), (self._setpoint.velocity, velocity)):
            told.x, told.y, told.z = map(float, vector)
        self._command(self._setpoint)
        self._tick += 1
        self.compensation.tick(volts)
        self.firmware.powerDistribution(self._control, self._wanted)
        wanted, raised = self._wanted.motors, self.firmware.motors_thrust_uncapped_t()
        for name in ("m1", "m2", "m3", "m4"):
            setattr(raised.motors, name, self.compensation.count(getattr(wanted, name)))
        self.firmware.powerDistributionCap(raised, self._duty)
        return [getattr(self._duty.motors, name) / FULL for name in ("m1", "m2", "m3", "m4")]

    def _see(self, sight: Estimate) -> None:
        state, gyro = self._state, self._sensors.gyro
        x, y, z, w = map(float, sight.quaternion)
        state.position.x, state.position.y, state.position.z = map(float, sight.position)
        state.velocity.x, state.velocity.y, state.velocity.z = map(float, sight.velocity)
        turned = state.attitudeQuaternion
        turned.x, turned.y, turned.z, turned.w = x, y, z, w
        angles = state.attitude
        angles.roll = math.degrees(math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)))
        angles.pitch = -math.degrees(math.asin(max(-1.0, min(1.0, 2 * (w * y - z * x)))))  # the legacy sign
        angles.yaw = math.degrees(math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))
        gyro.x, gyro.y, gyro.z = (math.degrees(rate) for rate in sight.rates)

    def _command(self, setpoint: Any) -> None:
        told = self._control, setpoint, self._sensors, self._state, self._tick
        if self.kind == "pid":
            self.firmware.controllerPid(*told)
        else:
            self.firmware.controllerMellinger(self._mellinger, *told)
