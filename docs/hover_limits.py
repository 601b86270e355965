"""Which losses of a rotor a quadrotor can hover with, and what the guide with a lost rotor makes of them in simulation.

python docs/hover_limits.py                # draw docs/hover_limits.png (30 s)
python docs/hover_limits.py --measure      # 1024 failures of each case in the simulator, as a table (some minutes)
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.lost_rotor import LostRotorGuide, hover
from spike_ctrl.sim import airframe_sampler, dynamics

HERE = Path(__file__).resolve().parent
RATE, STEPS = 100, 5  # control steps a second; steps of the simulator in each
PERIOD = 5.5  # s of the figure-eight
FLOWN = 10.0  # s after the failure


def least_share(craft: Airframe) -> float:
    """The least share of one rotor's thrust with which the airframe still hovers, to .01; 1 where it never does."""
    low, high = 0.0, 1.0
    if hover(craft, [0, 1, 1, 1]) is not None:
        return 0.0
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if hover(craft, [middle, 1, 1, 1]) is not None else (middle, high)
    return high


def drawn_limits(path: Path) -> None:
    """A picture: thrust over weight and least share of a rotor, for torques per thrust and drags of turning."""
    from matplotlib import pyplot

    base = Airframe.load("crazyflie")
    arm, strong = np.hypot(base.rotor_x[0], base.rotor_y[0]), np.linspace(1.15, 4.0, 24)
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), sharey=True)
    for axis, reach in zip(axes, (0.03, 0.12, 0.2), strict=True):
        axis.fill_between(strong, 1 / strong, 1, color="tab:green", alpha=0.15)
        axis.plot(strong, 1 / strong, color="tab:green", label="no spin above")
        for drag, style in ((0.0, "-"), (1.0, "--"), (5.0, ":")):
            crafts = [
                dataclasses.replace(
                    base,
                    thrust_curve=(0.0, 0.0, ratio * base.mass * GRAVITY / 4),
                    torque_per_thrust=reach * arm,
                    angular_drag=drag * base.inertia[0],
                )
                for ratio in strong
            ]
            axis.plot(strong, [least_share(c) for c in crafts], "k", ls=style, label=f"spin above, drag {drag:g} /s")
        axis.set(title=f"torque per thrust {reach:g} arm", xlabel="thrust / weight", ylim=(-0.01, 1), xlim=(1.15, 4))
    axes[0].set_ylabel("thrust left of one rotor")
    axes[2].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def observed(buffer: NDArray, vehicles: int, target: NDArray) -> NDArray:
    """The observation (N, 18) of targets (N, 3) without yaw."""
    state = dynamics.read(buffer, dynamics.STATE_ROWS, vehicles).astype(float)
    x, y, z, w = state[:, 3:7].T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    turned = np.stack([np.stack(row, -1) for row in rows], -2).reshape(-1, 9)
    return np.hstack([state[:, :3] - target, turned, state[:, 7:13]]).astype(np.float32)


def failures(craft: Airframe, eight: bool, thrown: bool, told: float, flights: int, seed: int = 0) -> dict[str, NDArray]:
    """Flights in which a rotor fails at 1 to 3 s, as the guide flies them that is told of it `told` (s) later.

    Of each flight: the share of the thrust that is left, the farthest distance (m) from the set-point in the FLOWN seconds
    after the failure, and the root mean square of it in the last 5 s.
    """
    dice, guide = np.random.default_rng(seed), LostRotorGuide(craft, rate_hz=RATE)
    buffer, dt = dynamics.allocate(flights, craft), 1 / RATE / STEPS
    rotor, left, at = dice.integers(4, size=flights), dice.uniform(size=flights), dice.uniform(1, 3, size=flights)
    shares = np.ones((flights, 4))
    shares[np.arange(flights), rotor] = left
    dynamics.write(buffer, slice(dynamics.LOST, dynamics.STUCK), 1 - shares)
    dynamics.write(buffer, dynamics.FAILS_AT, at)
    start = np.zeros((flights, 17))
    start[:, 6], start[:, 13:] = 1, craft.hover
    if thrown:
        start[:, 3:7] = dice.normal(size=(flights, 4))
        start[:, 3:7] /= np.linalg.norm(start[:, 3:7], axis=-1, keepdims=True)
        pointing = dice.normal(size=(2, flights, 3))
        pointing /= np.linalg.norm(pointing, axis=-1, keepdims=True)
        start[:, 7:10], start[:, 10:13] = (
            pointing * dice.uniform(size=(2, flights, 1)) * np.array([3.0, 15.0])[:, None, None]
        )
        at = np.zeros(flights)
        dynamics.write(buffer, dynamics.FAILS_AT, at)
    dynamics.write(buffer, dynamics.STATE_ROWS, start)
    disturbance = dynamics.read(buffer, dynamics.DISTURBANCE_ROWS, flights)  # the airframe's trim moment
    reach, extension = dynamics.geometry(craft), dynamics.extension(craft, dt, fails=True)
    memory, farthest, squares = guide.initial_state(flights), np.zeros(flights), np.zeros(flights)
    for step in range(round(RATE * (3 + FLOWN))):
        now, turn = step / RATE, 2 * np.pi * step / RATE / PERIOD
        target = np.array([np.sin(turn), np.sin(turn) * np.cos(turn), 0.0]) * eight
        known = np.where(now >= at + told, 1, 0)[:, None] * (shares - 1) + 1
        seen = observed(buffer, flights, target)
        speeds = dynamics.read(buffer, dynamics.ROTOR_ROWS, flights)
        action, memory = guide.act(seen, memory, speeds, disturbance, effectiveness=known)
        dynamics.write(buffer, dynamics.COMMAND_ROWS, (action + 1) / 2)
        dynamics.delay(buffer, RATE)
        for _ in range(STEPS):
            dynamics.step(buffer, np.float32(dt), reach, extension)
        away = np.linalg.norm(dynamics.read(buffer, slice(0, 3), flights) - target, axis=-1)
        flying = (now >= at) & (now < at + FLOWN)
        farthest = np.where(flying, np.fmax(farthest, away), farthest)
        squares += np.where(flying & (now >= at + FLOWN - 5), away**2, 0) / (5 * RATE)
    return {"left": left, "farthest": farthest, "error": np.sqrt(squares)}


def measure(flights: int) -> None:
    """A table of `failures` of the Crazyflie and three drawn airframes."""
    base = Airframe.load("crazyflie")
    drawn = [airframe_sampler.draw_vehicle(airframe_sampler.AirframeRanges(), base, 7, n, 0).airframe for n in range(3)]
    known = [base, Airframe.load("crazyflie_drag"), Airframe.load("crazyflie_brushless")]
    crafts = {craft.name: craft for craft in known} | {f"drawn {n}": craft for n, craft in enumerate(drawn)}
    print("airframe | thrust/weight | flight | told after (s) | can hover | within 3 m: all, can | error | by share")
    for name, craft in crafts.items():
        limit = least_share(craft)
        for words, eight, thrown, told in (
            ("hover", False, False, 0.2),
            ("hover", False, False, 0.05),
            ("eight", True, False, 0.2),
            ("thrown", False, True, 0.2),
        ):
            found = failures(craft, eight, thrown, told, flights)
            can, kept = found["left"] >= limit, found["farthest"] < 3
            bands = ", ".join(
                f"{kept[(found['left'] >= a) & (found['left'] < a + 0.2)].mean():.2f}" for a in (0, 0.2, 0.4, 0.6, 0.8)
            )
            error = np.median(found["error"][kept]) if kept.any() else np.nan
            print(
                f"{name} | {craft.thrust_to_weight:.2f} | {words} | {told:g} | {can.mean():.2f} | "
                f"{kept.mean():.3f}, {kept[can].mean():.3f} | {error:.3f} | {bands}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="fly the failures instead of drawing the picture")
    parser.add_argument("--flights", type=int, default=1024, help="of each case; default: %(default)s")
    options = parser.parse_args()
    if options.measure:
        measure(options.flights)
    else:
        drawn_limits(HERE / "hover_limits.png")
