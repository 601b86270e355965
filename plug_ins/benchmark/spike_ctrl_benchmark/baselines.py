"""Controllers that nobody trained here, by the names that `spike-ctrl eval` and `benchmark` give them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation.controllers import Controller, GuideController
from spike_ctrl.sim.environment import Environment
from spike_ctrl_benchmark.firmware_pid import FirmwarePid
from spike_ctrl_benchmark.indi_guide import IndiGuide
from spike_ctrl_benchmark.mellinger import Mellinger

Array = NDArray[Any]


def nominal_guides(airframe: Airframe) -> dict[str, Controller]:
    """Guides that know the nominal plant alone, by what tables call them."""
    return {
        "guide, nominal, integral": GuideController(GeometricGuide(airframe), privileged=False),
        "guide, nominal, INDI": GuideController(IndiGuide(airframe), privileged=False),
    }


def pid(airframe: Airframe) -> Controller:
    """The cascaded PID of the Crazyflie firmware."""
    return GuideController(FirmwarePid(airframe), privileged=False)


def mellinger(airframe: Airframe) -> Controller:
    """The Mellinger controller of the Crazyflie firmware."""
    return GuideController(Mellinger(airframe), privileged=False)


def raptor(airframe: Airframe) -> Controller:
    """RAPTOR, which is told no airframe. Raises ModuleNotFoundError where its package is missing."""
    return RaptorController()


class RaptorController:
    """RAPTOR, the foundation policy of the `foundation-policy` wheel, with position errors clipped to `clip` metres.

    Raises ModuleNotFoundError where the wheel is not installed.
    """

    def __init__(self, clip: float = 0.5) -> None:
        try:
            from foundation_policy import Raptor
        except ImportError:
            raise ModuleNotFoundError("RAPTOR needs the package foundation-policy: pip install foundation-policy") from None
        self.policy, self.clip = Raptor(), clip

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self.policy.reset()
        self._action = np.zeros((vehicles, 4), np.float32)

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """RAPTOR's actions (N, 4)."""
        seen = np.concatenate([observation, self._action], axis=1)
        seen[:, :3] = seen[:, :3].clip(-self.clip, self.clip)
        self._action = self.policy.evaluate_step(seen).clip(-1, 1).astype(np.float32)
        return self._action
