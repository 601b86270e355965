"""What the environments share: Gymnasium's spaces, checked arguments, what moves them, late commands, one of a batch."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from spike_ctrl._files import ranges
from spike_ctrl._files.arrays import Flags, Floats, Integers
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import dynamics, episode_kernels
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.randomisation import MAX_DELAY


class VehicleBatch(VectorEnv[Floats, Floats, Any]):
    """N vehicles of one airframe, each in episodes of its own. Raises UsageError where there is no vehicle."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, airframe: Airframe, vehicles: int) -> None:
        if not ranges.whole(vehicles) or vehicles < 1:
            raise UsageError(f"vehicles: found {vehicles!r}, wanted at least 1, a whole number")
        self.airframe, self.num_envs, self._seed = airframe, vehicles, 0
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, vehicles)
        self.buffer = dynamics.allocate(vehicles, airframe)

    def _observe_within(self, farthest: Floats) -> None:
        """The observation space: numbers from -farthest to farthest."""
        self.single_observation_space = gymnasium.spaces.Box(-farthest, farthest, dtype=np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)

    def _beginning(self, seed: Any, options: dict[str, Any] | None) -> Flags:
        """The vehicles (N,) that a reset is about; a seed counts from now on. Raises ValueError."""
        who = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs)), np.bool_)
        if who.shape != (self.num_envs,):
            raise ValueError(f"reset_mask: found shape {who.shape}, wanted ({self.num_envs},)")
        if seed is not None:
            if not ranges.whole(seed) or seed < 0:
                raise ValueError(f"seed: found {seed!r}, wanted one whole number, 0 or more: all starts follow from it")
            self._seed = int(seed)
            dynamics.write(self.buffer, dynamics.EPISODE, np.zeros(self.num_envs))
        return who

    def _checked(self, actions: Floats) -> Floats:
        """The actions as the kernels take them. Raises ValueError for another shape."""
        actions = np.ascontiguousarray(actions, np.float32)
        if actions.shape != (self.num_envs, 4):
            raise ValueError(f"actions: found shape {actions.shape}, wanted ({self.num_envs}, 4)")
        return actions

    def read(self, which: slice | int) -> Floats:
        """Rows of the state, vehicle by vehicle: see the row names in `spike_ctrl.sim.dynamics`."""
        return dynamics.read(self.buffer, which, self.num_envs)

    @property
    def rotor_speed(self) -> Floats:
        """Normalised rotor speeds (N, 4), a read-only copy; privileged."""
        return read_only(self.read(dynamics.ROTOR_ROWS))


def read_only(copy: Floats) -> Floats:
    """The array, in which nobody can try in vain to change the vehicles."""
    copy.flags.writeable = False
    return copy


class Movement(NamedTuple):
    """kernel(buffer, actions, *plant, ...) is `episode_kernels.step_motors` or `step_rates` without its extension."""

    kernel: Callable[..., int]
    plant: tuple[Any, ...]
    extension: BatteryConstants | None


def movement(airframe: Airframe, rate_hz: float, late: bool, fails: bool = False) -> Movement:
    """What moves vehicles of an airframe by one control step. late: some have a dead time. fails: rotors may."""
    k, m = episode_kernels, motion(airframe, 1.0 / rate_hz, fails, late)
    kernels: tuple[Callable[..., int], ...] = k.step_motors, k.step_extended_motors
    plant: tuple[Any, ...] = m.dt, m.arms
    if m.layout == "rates":
        kernels, plant = (k.step_rates, k.step_extended_rates), (m.dt, m.arms, m.loop, m.late)
    if m.extension is None:
        return Movement(partial(kernels[0], extension=None), plant, None)
    *constants, failing = m.extension
    return Movement(partial(kernels[1], np.array(constants, np.float32), failing), plant, m.extension)


class LateCommands:
    """Commands of N vehicles that take effect whole control steps later. Before its first one a vehicle hovers."""

    def __init__(self, airframe: Airframe, vehicles: int) -> None:
        self._hover = np.float32(at_hover(airframe))
        self._earlier = np.full((MAX_DELAY, vehicles, 4), self._hover)

    def begin(self, who: Flags) -> None:
        """Vehicles (N,) begin anew: no commands of theirs are under way."""
        self._earlier = np.where(who[:, None], self._hover, self._earlier)

    def now(self, actions: Floats, steps: Integers) -> Floats:
        """The commands (N, 4) that take effect in this step, where those of now do so `steps` (N,) later."""
        given = np.concatenate([self._earlier, actions[None]])
        self._earlier = given[1:]
        late: Floats = given[MAX_DELAY - steps, np.arange(len(actions))]
        return late


class OneOfBatch(gymnasium.Env[Floats, Floats]):
    """The vehicle of a batch of one, as an ordinary Gymnasium environment."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, batch: Any) -> None:
        self.batch = batch
        self.observation_space = batch.single_observation_space
        self.action_space = batch.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode; with a seed, the first one of that seed's sequence."""
        super().reset(seed=seed)
        observation, _ = self.batch.reset(seed=seed)
        return observation[0], {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """One control step of 10 ms, as of the batch."""
        observation, reward, terminated, truncated, info = self.batch.step(np.asarray(action)[None])
        info = {key: {k: v[0] for k, v in value.items()} for key, value in info.items() if key == "flight"}
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info
