"""What moves a batch of vehicles by one control step: the kernel of `episode_kernels` for an airframe, and its numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import episode_kernels
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.block_step import motion


class Movement(NamedTuple):
    """kernel(buffer, actions, *plant, ...) is `episode_kernels.step_motors` or `step_rates` without its extension."""

    kernel: Callable[..., int]
    plant: tuple[Any, ...]
    extension: BatteryConstants | None


def movement(airframe: Airframe, rate_hz: float, late: bool, fails: bool = False) -> Movement:
    """That of an airframe at a rate of control. late: some vehicles have a dead time. fails: rotors may."""
    k, m = episode_kernels, motion(airframe, 1.0 / rate_hz, fails, late)
    kernels: tuple[Callable[..., int], ...] = k.step_motors, k.step_extended_motors
    plant: tuple[Any, ...] = m.dt, m.arms
    if m.layout == "rates":
        kernels, plant = (k.step_rates, k.step_extended_rates), (m.dt, m.arms, m.loop, m.late)
    if m.extension is None:
        return Movement(partial(kernels[0], extension=None), plant, None)
    *constants, failing = m.extension
    return Movement(partial(kernels[1], np.array(constants, np.float32), failing), plant, m.extension)
