"""How soon a controller makes up for a torque that appears in a hover, as when a battery slips aside.

What does so in a policy is its spiking state alone: no weight changes.
"""

import math
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.json_lines import plain
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation

VEHICLES = 64
BEFORE, AFTER = 4.0, 12.0  # s of hover
AVERAGED = 0.5  # s
STEP = 10.0  # rad/s^2 about x: half of the largest trim among 18 real flights of a Crazyflie


class TrimAnswer(NamedTuple):
    """Errors of the mean position over vehicles that differ in direction of the torque, along its effect.

    peak, left: m, the largest error and that of the last second. half: s from the step until the error stays below half of
    its peak; infinite where it never does.
    """

    peak: float
    half: float
    left: float

    def to_dict(self) -> dict[str, float | None]:
        """The figures for machines; null where the error is never halved."""
        return dict(plain({"peak_m": self.peak, "half_s": self.half, "left_m": self.left}))


def answer_trim_step(
    controller: Controller, airframe: Airframe, torque: float, spread: Randomisation = Randomisation()
) -> TrimAnswer:
    """Fly 64 vehicles in a hover; then a torque (N m) acts, about axes in the body's x-y plane all around.

    A vehicle's error counts in the direction into which the torque pushes it, so that noise cancels over the vehicles.
    """
    steps = int(RATE_HZ * (BEFORE + AFTER))
    environment, observation = hovering(airframe, VEHICLES, steps, spread)
    controller.begin(VEHICLES)
    angle = 2 * math.pi * np.arange(VEHICLES) / VEHICLES
    axis = np.stack([np.cos(angle), np.sin(angle), np.zeros(VEHICLES)], 1)
    pushed = np.stack([np.sin(angle), -np.cos(angle)], 1)  # a torque about x, FLU, tilts the thrust to the right, -y
    moment = slice(dynamics.MOMENT, dynamics.MOMENT + 3)
    found = []
    for step in range(steps):
        if step == int(RATE_HZ * BEFORE):
            dynamics.write(environment.buffer, moment, environment.read(moment) + torque * axis)
        observation, *_ = environment.step(controller.act(observation, environment))
        found.append((environment.true_observation[:, :2] * pushed).sum(1).mean())
    error = np.array(found) - np.mean(found[int(RATE_HZ * (BEFORE - 1)) : int(RATE_HZ * BEFORE)])
    window = int(RATE_HZ * AVERAGED)
    after = np.abs(np.convolve(error[int(RATE_HZ * BEFORE) :], np.ones(window) / window, "same"))
    above = np.flatnonzero(after > after.max() / 2)
    left = float(after[-int(RATE_HZ) :].mean())
    ended = above[-1] + 1 < len(after)
    return TrimAnswer(float(after.max()), float((above[-1] + 1) / RATE_HZ) if ended else math.inf, left)


def trim_table(found: dict[str, TrimAnswer]) -> str:
    """One line per controller."""
    rows = [[f"a torque of {STEP:g} rad/s^2", "peak cm", "halved after s", "left cm"]]
    for label, one in found.items():
        half = f"{one.half:.2f}" if math.isfinite(one.half) else "never"
        rows.append([label, f"{100 * one.peak:.1f}", half, f"{100 * one.left:.1f}"])
    return text_table(rows)
