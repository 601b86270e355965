"""The learner: rows of flight go in, a better policy comes out. Used by the learner node and by `spike-ctrl train`.

It knows neither processes nor clocks. An iteration is a fixed number of vehicle-steps; all schedules follow the steps
flown, so that a run depends on its recipe and seed alone.
"""

import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from spike_ctrl import plug_ins
from spike_ctrl._files import named_object
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.airframe import Airframe
from spike_ctrl.evaluation.benchmark import VALIDATION_SEED, evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.evaluation_result import Evaluation
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import algorithm, device
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.algorithm import Algorithm, Exploring
from spike_ctrl.learn.bptt import BPTT
from spike_ctrl.learn.dagger import Dagger
from spike_ctrl.learn.early_end import EarlyEndWatch
from spike_ctrl.learn.off_policy import OffPolicy
from spike_ctrl.learn.ppo import PPO
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows, finite
from spike_ctrl.policy import checkpoint, voltage_input
from spike_ctrl.policy.checkpoint import Contract
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED
from spike_ctrl.sim.observation import LAYOUT
from spike_ctrl.snn import network as networks
from spike_ctrl.snn import slope_schedule
from spike_ctrl.snn.network import SpikingNetwork

RECENT_EPISODES = 1000
VALIDATION_STARTS = 256
MAX_TICKS = 200  # of an iteration: two of them must fit into the queues of the graph
METHODS: dict[str, Callable[..., Algorithm]] = {"td3bc": OffPolicy, "ppo": PPO, "dagger": Dagger, "bptt": BPTT}


@dataclass(frozen=True)
class RolloutSettings:
    """How the simulator flies the next iteration: guide's steps, exploration noise, progress of the reward curriculum."""

    horizon: float
    noise: float
    curriculum: float


class Learner:
    """Actor, averaged actor, method of learning, schedules, account of the episodes; see the module."""

    def __init__(self, recipe: Recipe, airframe: Airframe, vehicles: int, seed: int):
        self.recipe, self.airframe, self.vehicles, self.seed = recipe, airframe, vehicles, seed
        self.ticks_per_iteration = max(1, min(MAX_TICKS, recipe.schedule.iteration_steps // vehicles))
        self.voltage = voltage_input.of_airframe(airframe) if recipe.network.voltage else None
        self.generator = torch.Generator().manual_seed(seed)
        self.device = device.resolve(recipe.device)
        self.actor: Any = actors.make(recipe.network, airframe, self.generator)
        if recipe.weights:
            try:
                networks.load_weights(self.actor, checkpoint.load(recipe.weights).weights)
            except ValueError as error:
                raise UsageError(f"recipe {recipe.name}: weights: {recipe.weights}: {error}") from None
        self._others: Any = None if isinstance(self.actor, SpikingNetwork) else actors.other_networks()
        recipe.task.inserts()  # a wrong name is refused before anything flies
        kernels = self._on_device() if self.device != "cpu" else {}
        methods = {**METHODS, **(self._others.METHODS if self._others else {}), **kernels}
        self.repeats = self.device == "cpu" or bool(kernels)  # else torch's operations there may add in any order
        self.average = AveragedNetwork(self.actor, recipe.schedule.averaging)
        self.method = _method(methods, recipe, airframe, vehicles, seed, self.actor, self.generator)
        self.explorer = self.method if isinstance(self.method, Exploring) else None
        self.slopes = slope_schedule.from_config(recipe.network.slope)
        self.slope_state = self.slopes.initial()
        self.environment_steps = self.iterations = self.dropped_rows = 0
        self.offline_steps = 0  # that recorded flight stood in for
        self._guide: deque[float] = deque(maxlen=self.ticks_per_iteration)
        self._returns, self._lengths = np.zeros(vehicles), np.zeros(vehicles)
        self._episodes: deque[tuple[float, float, bool]] = deque(maxlen=RECENT_EPISODES)
        as_it_is = np.asarray if isinstance(recipe.algorithm, NamedObject) else None  # code of your own that says nothing
        self._step_worth: Callable[[np.ndarray], np.ndarray] | None = getattr(self.method, "step_worth", None) or as_it_is
        self._early_end = EarlyEndWatch(vehicles) if self._step_worth else None

    def _on_device(self) -> Mapping[str, Callable[..., Algorithm]]:
        """The methods that bring kernels of their own for the device; for the others the actor moves there."""
        if self._others is None and self.recipe.algorithm == "bptt":
            kernels: Any = plug_ins.load("devices", self.device.partition(":")[0], "device")
            found: Mapping[str, Callable[..., Algorithm]] = kernels.methods(self.device)
            return found
        if self.device == "warp":
            wanted = "wanted cpu: only bptt of a spiking network has kernels there"
            raise UsageError(f"device: found 'warp' in recipe {self.recipe.name}, {wanted}")
        self.actor.to(self.device)
        return {}

    @property
    def steps(self) -> int:
        """Vehicle-steps flown, or stood in for by recorded flight."""
        return self.environment_steps + self.offline_steps

    @property
    def progress(self) -> float:
        """Share of the recipe's vehicle-steps that are done, 0 to 1."""
        return min(1.0, self.steps / self.recipe.schedule.steps)

    @property
    def actor_updates(self) -> int:
        return self.average.updates

    @property
    def finished(self) -> bool:
        return self.steps >= self.recipe.schedule.steps

    def rollout_settings(self) -> RolloutSettings:
        """How the vehicles are to fly from here on."""
        jump, progress = self.recipe.jump_start, self.progress
        share = min(1.0, progress / jump.until) if jump.until > 0 else 1.0
        horizon = jump.horizon + (jump.rest - jump.horizon) * share
        noise = 0.0 if self.explorer else jump.noise * jump.noise_left**progress
        return RolloutSettings(horizon, noise, self.recipe.task.stage(progress))

    def receive(self, rows: Rows) -> None:
        """Store one tick of all vehicles and keep account of their episodes; what is not finite is dropped and counted."""
        stored, dropped = finite(rows)
        if dropped and not self.dropped_rows:
            warnings.warn(
                f"{dropped} of {self.vehicles} vehicles have NaN or infinity in state, action or reward after "
                f"{self.environment_steps} steps: not learnt from; more are only counted, as dropped_rows",
                RuntimeWarning,
                stacklevel=2,
            )
        self.dropped_rows += dropped
        self.method.receive(stored)
        if self._early_end and self._step_worth:
            self._watch(self._early_end, self._step_worth(stored.reward), stored.flags)
        first = (rows.flags & FIRST) > 0  # also after a restart that cut an episode off
        self._returns[first] = self._lengths[first] = 0.0
        self.environment_steps += self.vehicles
        ended = (rows.flags & (TERMINATED | TRUNCATED)) > 0
        self._guide.append(((rows.flags & GUIDE) > 0).sum() / max((~ended).sum(), 1))
        for vehicle in np.flatnonzero(ended):
            crashed = bool(rows.flags[vehicle] & TERMINATED)
            self._episodes.append((self._returns[vehicle], self._lengths[vehicle], crashed))
        self._returns = np.where(ended, 0.0, self._returns + stored.reward)
        self._lengths = np.where(ended, 0.0, self._lengths + 1)

    def _watch(self, watch: EarlyEndWatch, worth: np.ndarray, flags: np.ndarray) -> None:
        watch.receive(worth, flags)
        if watch.worth is None:
            return
        self._early_end = EarlyEndWatch(self.vehicles)  # later in a curriculum it may pay
        if watch.worth < 0:
            self._early_end = None  # it has told once
            own = isinstance(self.recipe.algorithm, NamedObject)
            wanted = "the reward above a floor (spike_ctrl.sim.reward_shaping)" if own else "td3bc.reward: floored"
            warnings.warn(
                f"recipe {self.recipe.name}: crashing early pays: each further step before a crash has the negative worth "
                f"{watch.worth:.2g} to {self.recipe.algorithm}; wanted {wanted}",
                RuntimeWarning,
                stacklevel=3,
            )

    def study(self) -> dict[str, float]:
        """An iteration on recorded flight: nothing is flown. Needs a method that was given some."""
        self.offline_steps += self.recipe.schedule.iteration_steps
        return self.iterate()

    def iterate(self) -> dict[str, float]:
        """The updates of one iteration; returns what there is to log. Without enough data yet: nothing is updated."""
        self.iterations += 1
        if self._episodes:  # the schedules' scale is that of episodes of 500 steps
            score = 500 * float(np.mean([r for r, _, _ in self._episodes])) / self.recipe.task.episode_steps
            self.slope_state = self.slopes.update(self.slope_state, score, self.progress)
        k, progress = self.slope_state.k, self.progress
        metrics = self.method.update(progress, k, self.average)
        return metrics | self._flight_metrics() | {"slope": k, "progress": progress}

    def _flight_metrics(self) -> dict[str, float]:
        metrics = self.step_counts() | {"guide_share": np.mean(self._guide) if self._guide else 0.0}
        if self.dropped_rows:
            metrics["dropped_rows"] = self.dropped_rows
        if self._episodes:
            returns, lengths, crashed = (np.array(column, float) for column in zip(*self._episodes, strict=True))
            metrics |= {"return": returns.mean(), "length": lengths.mean(), "survival": 1 - crashed.mean()}
        return {name: float(value) for name, value in metrics.items()}

    def step_counts(self) -> dict[str, int]:
        """`environment_steps` that were flown; where recorded flight stood in for more, `offline_steps` beside them."""
        offline = {"offline_steps": self.offline_steps} if self.offline_steps else {}
        return {"environment_steps": self.environment_steps} | offline

    def contract(self) -> Contract:
        """What the policy is for, as its checkpoints say. Who was trained with whole losses of a rotor flies on with one."""
        airframe, losses = self.airframe, self.recipe.task.randomisation.rotor_loss
        more: dict[str, Any] = {"voltage": self.voltage, "lost_rotor": losses.chance > 0 and losses.most == 1}
        layout = LAYOUT if self.voltage is None else voltage_input.LAYOUT
        about = (airframe.name, airframe.hash, layout, airframe.action_layout, RATE_HZ)
        if isinstance(self.actor, SpikingNetwork):
            neuron = replace(self.actor.neuron, detach_reset=False)
            return Contract(*about, self.actor.sizes, neuron, **more)
        network = str(self.recipe.network.code)
        return Contract(*about, (self.recipe.network.inputs, 4), neuron=None, network=network, **more)

    def flying_weights(self) -> dict[str, np.ndarray]:
        """The weights that explore."""
        return networks.weights(self.actor)

    def averaged_weights(self) -> dict[str, np.ndarray]:
        """The averaged weights, which are evaluated and shipped."""
        return networks.weights(self.average.network)

    def flying_policy(self) -> Policy:
        """The policy that explores, as it is now."""
        return self._policy(self.actor)

    def averaged_policy(self) -> Policy:
        """The averaged policy, as it is now."""
        return self._policy(self.average.network)

    @cached_property
    def graph(self) -> bytes | None:
        """The step of a network that is not ours, as its checkpoints hold it beside the weights. Raises ValueError."""
        return None if self._others is None else self._others.graph(self.average.network, self.recipe.network.inputs)

    def _policy(self, network: torch.nn.Module) -> Policy:
        if self._others is None:
            return SpikingPolicy(networks.weights(network), self.actor.neuron, self.voltage)
        policy: Policy = self._others.policy(network, self.recipe.network.inputs, self.voltage)
        return policy

    def validate(self) -> Evaluation:
        """The averaged policy on starts of its own, never those of the frozen evaluation, with the physics it trains for."""
        return evaluate(
            PolicyController(self.averaged_policy()),
            self.airframe,
            seed=VALIDATION_SEED,
            starts=VALIDATION_STARTS,
            randomisation=self.recipe.task.randomisation,
            ranges=self.recipe.task.airframes,
            inserts=self.recipe.task.inserted_physics(),
        )

    def start_from(self, weights: Mapping[str, np.ndarray]) -> None:
        """Begin with these weights instead of random ones. Raises ValueError where they are of another network."""
        for module in self._modules().values():
            if isinstance(module, type(self.actor)):  # the actor, its average, its targets
                networks.load_weights(module, weights)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and plain values from which `restore` goes on; episodes in flight are not kept."""
        arrays, info = self.method.state()
        arrays = {f"method.{name}": value for name, value in arrays.items()}
        for name, module in self._modules().items():
            arrays |= {f"{name}.{key}": value.detach().cpu().numpy() for key, value in module.state_dict().items()}
        for name, optimiser in self.method.optimisers().items():
            for index, moments in optimiser.state_dict()["state"].items():
                arrays |= {f"{name}.{index}.{key}": torch.as_tensor(value).cpu().numpy() for key, value in moments.items()}
        arrays["generator"] = self.generator.get_state().numpy()
        return arrays, {
            "environment_steps": self.environment_steps,
            "iterations": self.iterations,
            "actor_updates": self.actor_updates,
            "method": info,
            "slope": self.slope_state.to_dict(),
            "episodes": [list(map(float, episode)) for episode in self._episodes],
            "vehicles": self.vehicles,
            "seed": self.seed,
        }

    def restore(self, arrays: dict[str, np.ndarray], info: dict[str, Any]) -> None:
        """Put back what `state` returned. Raises ValueError where the run had other vehicles or another seed."""
        for name in ("vehicles", "seed"):
            if info[name] != getattr(self, name):
                raise ValueError(f"{name}: found {getattr(self, name)}, wanted {info[name]} as in the run to resume")
        self.method.restore(_under(arrays, "method."), info["method"])
        for name, module in self._modules().items():
            found = {key: torch.from_numpy(value.copy()) for key, value in _under(arrays, f"{name}.").items()}
            for key, value in module.state_dict().items():
                shape = tuple(found[key].shape) if key in found else "nothing"
                if shape != tuple(value.shape):
                    raise ValueError(f"{name}.{key}: found {shape}, wanted {tuple(value.shape)} as the recipe says")
            module.load_state_dict(found)
        for name, optimiser in self.method.optimisers().items():
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in _under(arrays, f"{name}.").items():
                index, _, moment = key.partition(".")
                moments.setdefault(int(index), {})[moment] = torch.from_numpy(np.array(value))
            optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
        self.generator.set_state(torch.from_numpy(arrays["generator"].copy()))
        self.environment_steps, self.iterations = info["environment_steps"], info["iterations"]
        self.average.updates = info["actor_updates"]
        self.slope_state = slope_schedule.SlopeState.from_dict(info["slope"])
        self._episodes.extend((r, length, bool(crashed)) for r, length, crashed in info["episodes"])

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"actor": self.actor, "average": self.average.network} | self.method.modules()


def _method(methods: Mapping[str, Callable[..., Algorithm]], recipe: Recipe, *given: Any) -> Algorithm:
    if isinstance(recipe.algorithm, NamedObject):
        with actors.seeded(given[-1]):
            method = recipe.algorithm.make("algorithm", recipe, *given)
        named_object.require(method, algorithm.METHODS, "algorithm", recipe.algorithm.name)
        return method  # type: ignore[no-any-return]
    return methods[recipe.algorithm](recipe, *given)


def _under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
