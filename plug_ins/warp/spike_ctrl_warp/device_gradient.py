"""The model gradient on a device: the method of `learn.bptt`, whose segments fly as one on a `DeviceSegment`.

Vehicles, starts and what disturbs them are drawn as on the processor, tile by tile, so that a run of a seed meets the same
flights on any device, and a run that was begun on one goes on on another.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from spike_ctrl._files.arrays import Floats
from spike_ctrl.learn.bptt import BPTT, Job
from spike_ctrl.learn.bptt_kernel import SegmentConditions, Sight
from spike_ctrl.learn.objective import Objective
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.dynamics import LANES, ROWS
from spike_ctrl.sim.sensor_noise import MAX_AGE
from spike_ctrl_warp import vehicle_equations as vehicle
from spike_ctrl_warp.device_segment import DeviceSegment

Errors: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class DeviceGradient(BPTT):
    """`BPTT` whose vehicles fly on a device, such as "cpu" or "cuda:0"."""

    def __init__(self, *given: Any, device: str) -> None:
        self.device = device
        super().__init__(*given)

    def _prepare(self) -> None:
        """Room for all vehicles of an update on the device."""
        s, task = self.settings, self.recipe.task
        volts = (float(self._volts[0]), float(self._volts[1])) if self.recipe.network.voltage else None
        self._flight = DeviceSegment(
            self.airframe, self._motion, self._rest, self.actor, s.vehicles, s.segment,
            late=not task.randomisation.sensors.exact, volts=volts, device=self.device,
        )  # fmt: skip

    def _fly(self, jobs: list[Job], objective: Objective, k: float) -> Errors:
        tiles = [tile for tile, _ in jobs]
        membrane, spike, command = (
            _joined(getattr(tile, name) for tile in tiles) for name in ("membrane", "spike", "command")
        )
        rows = _joined(dynamics.rows(tile.buffer).transpose(1, 0, 2).reshape(ROWS, -1) for tile in tiles)
        self._flight.put(rows, membrane, spike, command, _at_once([conditions for _, conditions in jobs]))
        errors = self._flight.fly(list(self.actor.parameters()))
        for parameter, gradient in zip(self.actor.parameters(), self._flight.vjp(objective, k), strict=True):
            parameter.grad.copy_(gradient)
        self._take_back(jobs)
        return errors

    def _take_back(self, jobs: list[Job]) -> None:
        """Leave each tile, and what was seen of it, as they are after the segment."""
        moved, *state, recent = self._flight.end()
        motors = self._motion.layout == "motors"  # whose vehicles have no rate loop
        which = [*range(vehicle.SETPOINT), vehicle.CLOCK] if motors else list(range(vehicle.SIZE))
        into = [vehicle.MOVING[row] for row in which]
        for index, (tile, conditions) in enumerate(jobs):
            here = slice(index * self.size, (index + 1) * self.size)
            blocks = moved[which, here].reshape(len(which), -1, LANES)
            dynamics.rows(tile.buffer)[:, into] = blocks.swapaxes(0, 1)
            tile.membrane[:], tile.spike[:], tile.command[:] = (array[..., here] for array in state)
            if len(conditions.sight.age):
                conditions.sight.recent[MAX_AGE:] = recent[MAX_AGE:, :, here]


def _joined(parts: Iterable[Floats]) -> Floats:
    return np.concatenate(list(parts), -1)


def _at_once(flights: list[SegmentConditions]) -> SegmentConditions:
    """What several tiles meet, as one."""

    def joined(name: str) -> Floats:
        return _joined(getattr(conditions, name) for conditions in flights)

    sight = Sight(*(_joined(parts) for parts in zip(*(conditions.sight for conditions in flights), strict=True)))
    return SegmentConditions(joined("noise"), joined("sensor_noise"), joined("delay"), joined("course"), sight)
