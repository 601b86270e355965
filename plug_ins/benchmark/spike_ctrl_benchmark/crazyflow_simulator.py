"""crazyflow (LSY, MIT licence): its Crazyflies, first-principles dynamics with rotors, on the CPU by JAX.

The map of rotors reads the parameters that crazyflow ships; nothing of them is kept here. crazyflow speaks our language but
for speeds in rpm: world z up, body x forward and y left, quaternions x, y, z, w, body rates.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import rotor_speed
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_benchmark.other_simulators import FlownStates
from spike_ctrl_benchmark.rotor_map import RotorMap

DRONES = ("cf2x_L250", "cf2x_P250", "cf21B_500", "cf2x_T350")
FREQUENCY = 500  # Hz of its integrator, its own default


def rotor_map(parameters: Mapping[str, Any]) -> RotorMap:
    """The rotors by crazyflow's own parameters of a drone.

    Its mixing matrix has the signs of each rotor's effect on roll, pitch and yaw; `thrust_max` and `rpm2thrust` give the
    highest speed, beyond which it clips commands itself.
    """
    roll, pitch, yaw = np.asarray(parameters["mixing_matrix"], float)
    arm, curve = float(np.ravel(parameters["L"])[0]), np.ravel(parameters["rpm2thrust"])
    c0, c1, c2 = (float(c) for c in curve)
    top = rotor_speed((c0, c1, c2), float(parameters["thrust_max"]))
    x, y, spin = (tuple(float(v) for v in row) for row in (-arm * pitch, arm * roll, yaw))
    return RotorMap(x, y, spin, float(top), "rpm", (c0, c1, c2), float(np.ravel(parameters["mass"])[0]))  # type: ignore[arg-type]


class CrazyflowSimulator:
    """`vehicles` drones of one kind, each in a world of its own. Raises ModuleNotFoundError where crazyflow is missing."""

    def __init__(self, drone: str, vehicles: int) -> None:
        if "scipy" in sys.modules and os.environ.get("SCIPY_ARRAY_API") != "1":
            raise RuntimeError("crazyflow: found SCIPY_ARRAY_API unset, wanted SCIPY_ARRAY_API=1 before scipy is imported")
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
        # crazyflow builds a MuJoCo scene that is not used here. MuJoCo warns of names, on the screen and in a file.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            try:
                import mujoco
                from crazyflow.control import Control
                from crazyflow.dynamics import Dynamics, load_params
                from crazyflow.sim import Sim
            except ImportError:
                raise ModuleNotFoundError("crazyflow is missing: pip install -r requirements/simulators.txt") from None
            mujoco.set_mju_user_warning(lambda message: None)
            kind = Dynamics.first_principles
            self._simulation = Sim(n_worlds=vehicles, drone=drone, dynamics=kind, control=Control.rotor_vel, freq=FREQUENCY)
        parameters = load_params(kind, drone)
        self.name, self.rotors = f"crazyflow {drone}", rotor_map(parameters)
        lowest = float(parameters["thrust_min"])
        self.assumptions = (
            *self.rotors.assumptions,
            f"crazyflow turns no rotor slower than for {lowest:.3f} N",
            f"it integrates with {FREQUENCY} Hz; a command is held for {1e3 / RATE_HZ:.0f} ms",
        )

    def begin(self, states: FlownStates) -> None:
        """Put the vehicles there; their rotors turn as in a hover."""
        import jax.numpy as jnp

        self._simulation.reset()
        data = self._simulation.data
        given = dict(zip(("pos", "quat", "vel", "ang_vel"), states, strict=True))
        hover = np.full_like(data.states.rotor_vel, self.rotors.hover * self.rotors.top)
        fresh = {name: jnp.asarray(value[:, None], jnp.float32) for name, value in given.items()}
        self._simulation.data = data.replace(states=data.states.replace(**fresh, rotor_vel=jnp.asarray(hover)))

    def step(self, command: NDArray[Any]) -> FlownStates:
        """The states 10 ms later; command u (N, 4) in [0, 1], rotors in our order."""
        self._simulation.rotor_vel_control(self.rotors.speeds(command)[:, None].astype(np.float32))
        self._simulation.step(round(FREQUENCY / RATE_HZ))
        found = self._simulation.data.states
        return FlownStates(*(np.asarray(value)[:, 0] for value in (found.pos, found.quat, found.vel, found.ang_vel)))
