"""RotorPy (Folk, Paulos, Kumar, 2023; MIT licence): its Crazyflie with aerodynamics, batched in torch.

It speaks our language but for speeds in rad/s and the order of its rotors: world z up, body x forward and y left,
quaternions x, y, z, w, body rates.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_benchmark.other_simulators import FlownStates
from spike_ctrl_benchmark.rotor_map import RotorMap


def rotor_map(parameters: Mapping[str, Any]) -> RotorMap:
    """The rotors by RotorPy's own parameters of a vehicle: positions, directions, highest speed and thrust coefficient."""
    places = [np.asarray(place, float) for place in parameters["rotor_pos"].values()]
    x, y = (tuple(float(place[axis]) for place in places) for axis in (0, 1))
    spin = tuple(float(direction) for direction in parameters["rotor_directions"])
    curve = (0.0, 0.0, float(parameters["k_eta"]))
    top, mass = float(parameters["rotor_speed_max"]), float(parameters["mass"])
    return RotorMap(x, y, spin, top, "rad/s", curve, mass)  # type: ignore[arg-type]


class RotorpySimulator:
    """`vehicles` of RotorPy's Crazyflies. Raises ModuleNotFoundError where RotorPy or what it batches with is missing."""

    def __init__(self, vehicles: int) -> None:
        try:
            import roma  # noqa: F401  RotorPy itself is silent where these two are missing
            import torch
            import torchdiffeq  # noqa: F401
            from rotorpy.vehicles import multirotor
            from rotorpy.vehicles.crazyflie_params import quad_params
        except ImportError as error:
            hint = "pip install -r requirements/simulators.txt"
            raise ModuleNotFoundError(f"rotorpy[batched] is missing ({error.name}): {hint}") from None
        self._torch, self._device, self._vehicles = torch, torch.device("cpu"), vehicles
        parameters = multirotor.BatchedMultirotorParams([quad_params] * vehicles, vehicles, self._device)
        start = self._states(FlownStates(*(np.zeros((vehicles, n)) for n in (3, 4, 3, 3))), 0.0)
        self._simulation = multirotor.BatchedMultirotor(parameters, vehicles, start, self._device, integrator="rk4")
        self.name, self.rotors = "rotorpy crazyflie", rotor_map(quad_params)
        self.assumptions = (
            *self.rotors.assumptions,
            "there is no ground and no wind; rotor drag and inflow are as RotorPy has them",
            f"it integrates by Runge-Kutta, {1e3 / RATE_HZ:.0f} ms a step, with the command held",
        )

    def begin(self, states: FlownStates) -> None:
        """Put the vehicles there; their rotors turn as in a hover."""
        self._now = self._states(states, self.rotors.hover * self.rotors.top)

    def step(self, command: NDArray[Any]) -> FlownStates:
        """The states 10 ms later; command u (N, 4) in [0, 1], rotors in our order."""
        speeds = self._torch.tensor(self.rotors.speeds(command), dtype=self._torch.double)
        self._now = self._simulation.step(self._now, {"cmd_motor_speeds": speeds}, 1 / RATE_HZ)
        return FlownStates(*(self._now[name].numpy() for name in ("x", "q", "v", "w")))

    def _states(self, states: FlownStates, speed: float) -> dict[str, Any]:
        named = dict(zip(("x", "q", "v", "w"), states, strict=True))
        named |= {"wind": np.zeros((self._vehicles, 3)), "rotor_speeds": np.full((self._vehicles, 4), speed)}
        return {name: self._torch.tensor(np.asarray(value), dtype=self._torch.double) for name, value in named.items()}
