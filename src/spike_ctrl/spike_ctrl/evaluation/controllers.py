"""What flies in an evaluation: controllers of a batch of vehicles, and how anything that gives actions becomes one."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.policy import checkpoint, voltage_input
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.sim.environment import Environment
from spike_ctrl.sim.observation import LAYOUT

Array = NDArray[Any]


@runtime_checkable
class Controller(Protocol):
    """Anything that can fly a batch: `begin` clears its state for N vehicles, `act` gives actions (N, 4).

    `act` may look at all of the environment, which is None where others simulate the vehicle; a policy looks at the
    observation (N, 18) alone.
    """

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """Actions (N, 4) in [-1, 1] for observations (N, 18)."""


class PolicyController:
    """A policy alone, which sees the 18 numbers only, or the measured voltage beside them where it was trained so.

    Keeps the mean spike rate of each layer, where something spikes.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self._state = self.policy.initial_state(vehicles)
        self._rates: list[tuple[float, ...]] = []

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The policy's actions (N, 4). Raises UsageError where it sees the voltage and the vehicle tells none."""
        seen = complete_of(self.policy, observation, environment)
        action, self._state = self.policy.step(seen, self._state)
        self._rates.append(self.policy.spike_rates(self._state))
        return action

    @property
    def spike_rates(self) -> tuple[float, ...]:
        """Of each layer, over all steps; () where nothing spikes."""
        return tuple(float(rate) for rate in np.mean(self._rates, axis=0))


class GuideController:
    """A guide; `privileged` decides whether it sees rotor speeds, true parameters and the disturbance."""

    def __init__(self, guide: Guide, privileged: bool = True) -> None:
        self.guide, self.privileged = guide, privileged

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self._state = self.guide.initial_state(vehicles)

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The guide's actions (N, 4)."""
        seen: tuple[Array, ...] = ()
        if self.privileged:
            if environment is None:
                raise ValueError("a privileged guide: found a vehicle that others simulate, wanted one of ours")
            seen = (environment.rotor_speed, environment.disturbance, environment.plant)
        action, self._state = self.guide.act(observation, self._state, *seen)
        return action


class GuideFirstController:
    """The guide flies the first `steps` steps while the policy runs beside it, as the paper's own tests count returns."""

    def __init__(self, policy: Controller, guide: Controller, steps: int = 50) -> None:
        self.policy, self.guide, self.steps = policy, guide, steps

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self.policy.begin(vehicles)
        self.guide.begin(vehicles)
        self._step = 0

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The actions (N, 4) of the guide first, then those of the policy."""
        by_policy = self.policy.act(observation, environment)
        by_guide = self.guide.act(observation, environment)
        self._step += 1
        return by_guide if self._step <= self.steps else by_policy


class FunctionController:
    """A function of the observations (N, 18) that gives the actions (N, 4) and remembers nothing."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self.function = function

    def begin(self, vehicles: int) -> None:
        """There is nothing to forget."""

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The function's actions (N, 4)."""
        return np.asarray(self.function(observation))


class PredictController:
    """A model with the `predict` of Stable-Baselines3, flown without noise; recurrent models keep their state."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def begin(self, vehicles: int) -> None:
        """Forget what was flown; N vehicles start."""
        self._state, self._start = None, np.ones(vehicles, bool)

    def act(self, observation: Array, environment: Environment | None) -> Array:
        """The model's actions (N, 4)."""
        action, self._state = self.model.predict(
            observation, state=self._state, episode_start=self._start, deterministic=True
        )
        self._start = np.zeros(len(observation), bool)
        return np.asarray(action)


def short_name(model: Path, models: Iterable[Path]) -> str:
    """What to call a model's file: its name, or its path where several of the models have that name."""
    return model.stem if [other.stem for other in models].count(model.stem) == 1 else str(model)


def guides(airframe: Airframe, unknown: bool = False) -> dict[str, Controller]:
    """Guides that know the plant, by what tables call them. unknown: also one that does not."""
    found: dict[str, Controller] = {
        "guide (lead cap 1.5)": GuideController(GeometricGuide(airframe)),
        "guide (lead to 20 ms)": GuideController(GeometricGuide(airframe, Gains(lead_cap=10))),
    }
    if unknown:
        found["guide, nominal, integral"] = GuideController(GeometricGuide(airframe), privileged=False)
    return found


def controller(flown: Any, airframe: Airframe | None = None) -> tuple[Controller, Airframe]:
    """The controller that flies with this, and the airframe that it flies.

    flown: the name or path of a checkpoint, a `Policy`, a `Guide`, a `Controller`, a `SpikingNetwork`, a model with the
    `predict` of Stable-Baselines3, or a function of the observations (N, 18) that gives actions (N, 4). airframe: None for
    that of the checkpoint or of the guide, else crazyflie.

    Raises CheckpointError for a file that cannot be flown or is of another airframe, TypeError for what cannot fly.

    >>> controller("crazyflie")[1].name
    'crazyflie'
    """
    if isinstance(flown, (str, os.PathLike)):
        loaded = checkpoint.load(flown)
        craft = airframe or loaded.airframe()
        require_airframe(loaded, craft, str(flown))
        return PolicyController(loaded.policy), craft
    known = getattr(flown, "airframe", None)
    return _controller(flown), airframe or (known if isinstance(known, Airframe) else Airframe.load("crazyflie"))


def require_airframe(loaded: Checkpoint, airframe: Airframe, name: str) -> None:
    """Raise CheckpointError where the checkpoint was made for another airframe or task. name: what the error calls it."""
    contract = loaded.manifest.contract
    expect = {"airframe_hash": airframe.hash, "action": airframe.action_layout}
    if contract.airframe_hash != airframe.hash:
        expect = {"airframe": airframe.name} | expect  # a name says more than a hash; alone it decides nothing
    checkpoint.require(contract, expect, name)
    require_set_point(loaded, name)


def require_set_point(loaded: Checkpoint, name: str) -> None:
    """Raise CheckpointError where the checkpoint does not see a set-point, as one of a race. name: of `require_airframe`."""
    contract = loaded.manifest.contract
    checkpoint.require(contract, {"observation": voltage_input.LAYOUT if contract.voltage else LAYOUT}, name)


def _controller(flown: Any) -> Controller:
    if isinstance(flown, type):
        raise TypeError(f"flown: found the class {flown.__name__}, wanted an object of it")
    if isinstance(flown, Controller):
        return flown
    if isinstance(flown, Policy):
        return PolicyController(flown)
    if isinstance(flown, Guide):
        return GuideController(flown)
    networks = sys.modules.get("spike_ctrl.snn.network")  # without torch there is no such object
    if networks is not None and isinstance(flown, networks.SpikingNetwork):
        return PolicyController(SpikingPolicy(flown.weights(), flown.neuron))
    if hasattr(flown, "predict"):
        return PredictController(flown)
    if hasattr(flown, "state_dict") and hasattr(flown, "step"):
        wanted = "spike_ctrl_networks.module_policy.ModulePolicy(module, 18, 4)"
        raise TypeError(f"flown: found the torch module {type(flown).__name__}, wanted {wanted}")
    if callable(flown):
        return FunctionController(flown)
    wanted = "a checkpoint's path, a policy, a guide, a controller, a model with predict, or a function"
    raise TypeError(f"flown: found {type(flown).__name__}, wanted {wanted}")
