"""How wrong is the yaw of PX4 before and after each of its resets? From a simulation's logs (ULog) with the true attitude.

python tests/flight/yaw_resets.py PX4/build/px4_sitl_default/rootfs/0/log/*/*.ulg
"""

import argparse
from pathlib import Path

import numpy as np
from pyulog import ULog

ESTIMATE, TRUTH, LANDED = "vehicle_attitude", "vehicle_attitude_groundtruth", "vehicle_land_detected"


def yaw(data: dict[str, np.ndarray]) -> np.ndarray:
    """Of a topic with a quaternion q (w, x, y, z): rad, in one piece."""
    w, x, y, z = (data[f"q[{i}]"] for i in range(4))
    return np.unwrap(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y**2 + z**2)))


def resets(log: Path) -> list[tuple[float, float, float]]:
    """Of each reset in the air: s after the take-off, and the yaw's error (rad) before and after it."""
    topics = {found.name: found.data for found in ULog(str(log), [ESTIMATE, TRUTH, LANDED]).data_list}
    if not {ESTIMATE, TRUTH, LANDED} <= topics.keys():
        return []
    estimate, truth, landed = (topics[name] for name in (ESTIMATE, TRUTH, LANDED))
    at = estimate["timestamp"]
    error = yaw(estimate) - np.interp(at, truth["timestamp"], yaw(truth))
    error = (error + np.pi) % (2 * np.pi) - np.pi
    change = np.flatnonzero(np.diff(landed["landed"].astype(int)) < 0) + 1
    offs = landed["timestamp"][change]
    found = []
    for i in np.flatnonzero(np.diff(estimate["quat_reset_counter"])) + 1:
        before = offs[offs <= at[i]]
        if len(before) and not landed["landed"][np.searchsorted(landed["timestamp"], at[i], side="right") - 1]:
            found.append((float(at[i] - before[-1]) * 1e-6, float(error[i - 1]), float(error[i])))
    return found


def main() -> None:
    """Print a line for each reset, and the root mean squares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=Path)
    found = []
    for log in parser.parse_args().logs:
        for after, before, then in resets(log):
            print(f"{log.parent.name}/{log.name}: {after:5.1f} s after the take-off: {before:+.3f}, then {then:+.3f} rad")
            found.append((before, then))
    for name, errors in zip(("before", "after"), np.array(found).reshape(-1, 2).T, strict=True):
        rms, most = np.sqrt(np.mean(errors**2)), np.abs(errors).max(initial=0.0)
        print(f"{name}: root mean square {rms:.3f} rad, largest {most:.3f} rad, of {len(found)} resets")


if __name__ == "__main__":
    main()
