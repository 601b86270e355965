"""Betaflight's own angle mode as the baseline: the same hover and figure-eight, flown by a position loop over it.

    export PYTHONPATH=tests/oracles
    python tests/flight/betaflight_angle_mode.py --firmware FILE

The position loop is PID with the acceleration of the path; it commands roll and pitch angles, a yaw rate and the throttle by
MSP override, as companions do that know no policy. Beside it fly our guide and the policy in rate mode, by the same poses on
the same vehicle. Angle mode has the firmware's own gains. A row for each: RMSE of the truth in the second half.
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
from firmware_loop import ON, PERIOD, CompanionLoop, by

from spike_ctrl.airframe import GRAVITY
from spike_ctrl.control import trajectory
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.flight import attitude
from spike_ctrl.policy import checkpoint
from spike_ctrl_betaflight import msp

LIMIT = math.radians(60)  # angle_limit of the CLI
DAMPING, INTEGRAL, MOST = 0.9, 0.8, 3.0  # ratio; 1/s, as our guide's; m/s^2
YAW_GAIN = 4.0  # 1/s
RISES, HOVERS, FLIES = 6.0, 8.0, 16.0  # s
HOVER = trajectory.SetPoint((0.0, 0.0, 1.0), yaw=0.0)


class PositionLoop:
    """From a state and a set-point to roll and pitch (rad, FLU), yaw rate (rad/s) and motor command."""

    def __init__(self, frequency: float, hover: float):
        self.frequency, self.hover, self.sum = frequency, hover, np.zeros(3)

    def __call__(self, state, point, acceleration) -> tuple[float, float, float, float]:
        off = np.subtract(point.position, state.position)
        self.sum = np.clip(self.sum + INTEGRAL * self.frequency**2 * off * PERIOD, -MOST, MOST)
        drift = np.subtract(point.velocity, state.velocity)
        wanted = self.frequency**2 * off + 2 * DAMPING * self.frequency * drift + self.sum + acceleration
        yaw = attitude.yaw(state.quaternion)
        forward = math.cos(yaw) * wanted[0] + math.sin(yaw) * wanted[1]
        left = math.cos(yaw) * wanted[1] - math.sin(yaw) * wanted[0]
        lift = max(GRAVITY + wanted[2], 1.0)
        pitch, roll = math.atan2(forward, lift), -math.atan2(left, lift)
        thrust = lift / (GRAVITY * math.cos(pitch) * math.cos(roll))
        return roll, pitch, YAW_GAIN * (point.yaw - yaw), min(self.hover * math.sqrt(thrust), 1.0)


def fly_angles(on: CompanionLoop, loop: PositionLoop, seconds: float, point) -> np.ndarray:
    """Rows (T, 7) as of CompanionLoop.fly, in angle mode."""
    on.sticks(throttle=1500, arm=ON, override=ON, angle=ON)
    rows, order = [], tuple(on.companion.known[msp.RX_MAP][:4])
    for number in range(round(seconds / PERIOD)):
        time = number * PERIOD
        if (state := on.step()) is None:
            continue
        ahead, behind = point(time + PERIOD).velocity, point(time - PERIOD).velocity
        roll, pitch, turn, motors = loop(state, point(time), np.subtract(ahead, behind) / (2 * PERIOD))
        curves, pulses = on.companion.curves, [1500] * 4
        for axis, angle in enumerate((roll, pitch)):
            pulses[order[axis]] = curves[axis].pulse(angle / LIMIT * curves[axis].fastest)
        pulses[order[2]], pulses[order[3]] = curves[2].pulse(turn), on.companion.throttle.pulse(motors)
        on.line.send(msp.set_raw_rc(pulses))
        rows.append((time, *on.simulation.sensed.position, *point(time).position))
        on.command(None)
    return np.array(rows)


def rmse(rows: np.ndarray) -> float:
    """Of the second half, cm."""
    off = np.linalg.norm(rows[:, 1:4] - rows[:, 4:7], axis=1)
    return 100 * math.sqrt(np.mean(off[len(off) // 2 :] ** 2))


def fly(name: str, on: CompanionLoop, frequency: float, path: trajectory.Trajectory) -> list[float]:
    """RMSE (cm) of a hover and of the path, after a take-off by the guide."""
    on.given()
    on.fly(RISES, by(GeometricGuide(on.flown), None)(lambda t: HOVER._replace(position=(0.0, 0.0, min(1.0, 0.5 * t)))))
    if name == "angle mode":
        loop = PositionLoop(frequency, on.craft.hover)
        return [rmse(fly_angles(on, loop, HOVERS, lambda t: HOVER)), rmse(fly_angles(on, loop, FLIES, path.at))]
    policy = None if name == "guide" else checkpoint.load(f"models/{name}.safetensors").ordered()
    flown, ahead = by(GeometricGuide(on.flown), policy), trajectory.PREVIEW
    hover = on.fly(HOVERS, flown(lambda t: HOVER))
    return [rmse(hover), rmse(on.fly(FLIES, flown(lambda t: path.at(t)._replace(velocity=path.at(t + ahead).velocity))))]


def main() -> None:
    """Print the table."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--firmware", type=Path, required=True, metavar="FILE", help="the SITL")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frequency", type=float, nargs="+", default=[2.0, 3.0, 4.0], help="of the position loop, rad/s")
    options = parser.parse_args()
    path = trajectory.Trajectory("figure8", (0.0, 0.0, 1.0), 0.0)
    who = [("angle mode", f) for f in options.frequency] + [("guide", 0.0), ("any_rates", 0.0)]
    print(f"{'flown by':24}{'seed':>5}{'hover, cm':>11}{'figure-eight, cm':>18}")
    for (name, frequency), seed in ((one, seed) for one in who for seed in range(options.seeds)):
        with tempfile.TemporaryDirectory() as folder:
            on = CompanionLoop(options.firmware.absolute(), Path(folder), noise=1.0, seed=seed)
            try:
                hover, eight = fly(name, on, frequency, path)
            finally:
                on.close()
        label = f"{name}, {frequency:g} rad/s" if frequency else name
        print(f"{label:24}{seed:5}{hover:11.1f}{eight:18.1f}", flush=True)


if __name__ == "__main__":
    main()
