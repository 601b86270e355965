"""Compares the hover thrust that the simulated autopilot would estimate with the one that PX4 did, on PX4's own logs.

    python tests/flight/px4_hover_thrust.py LOG.ulg...

The logged thrust, attitude and vertical acceleration go through `simulated_px4.hover_thrust`. A line each: its difference
from the topic `hover_thrust_estimate` from 3 s after that topic's begin on, as long as PX4 calls it valid, and when each of
the two is used first.
"""

import argparse

import numpy as np
from pyulog import ULog

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.simulated_px4.hover_thrust import HoverThrust, follow

STEP, SETTLED, FLYING = 0.008, 3.0, 2.0  # s, s, m
TOPICS = ["hover_thrust_estimate", "vehicle_thrust_setpoint", "vehicle_attitude", "vehicle_local_position"]


def compare(path: str) -> list[str]:
    """Cells of the log's row."""
    log = ULog(path, TOPICS)
    try:
        told, thrust, attitude, place = (log.get_dataset(name).data for name in TOPICS)
    except (IndexError, KeyError):
        return [path, "no such topic", "", "", ""]
    begin = 1e-6 * told["timestamp"][0]
    time = np.arange(begin, 1e-6 * told["timestamp"][-1], STEP)

    def at(topic, name):
        return np.interp(time, 1e-6 * topic["timestamp"], topic[name])

    w, x, y, z = np.array([at(attitude, f"q[{i}]") for i in range(4)])
    pushed, lifts, climbs = -at(thrust, "xyz[2]"), GRAVITY - at(place, "az"), -at(place, "vz")
    up = np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])  # the vertical, in the body
    prior = log.initial_parameters["MPC_THR_HOVER"]
    h, values, first = HoverThrust(prior), [], np.nan
    for n, now in enumerate(time):
        h = follow(h, prior, pushed[n], (x[n], y[n], z[n], w[n]), up[:, n] * lifts[n], FLYING, climbs[n], now, STEP)
        values.append(h.value)
        first = now - begin if np.isnan(first) and h.used(now) else first
    seen, valid = 1e-6 * told["timestamp"], told["valid"] > 0
    judged = valid & (seen > begin + SETTLED)
    apart = np.interp(seen, time, values)[judged] - told["hover_thrust"][judged]
    px4 = seen[valid][0] - begin if valid.any() else np.nan
    return [path, f"{np.sqrt((apart**2).mean()):.4f}", f"{np.abs(apart).max():.4f}", f"{first:.1f}", f"{px4:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", metavar="LOG")
    rows = [compare(path) for path in parser.parse_args().logs]
    print(text_table([["log", "rms", "most", "used from, s", "PX4's"], *rows]))


if __name__ == "__main__":
    main()
