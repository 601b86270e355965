"""The position task with the dynamics of l2f (learning-to-fly, github.com/rl-tools/l2f) in the place of ours.

Starts, set-points, observation and what a privileged guide is told are those of `Environment`; l2f alone moves the vehicles.
A dead time and a battery act on commands before l2f sees them, as they do before our rotors.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import action_mapping, airframe_sampler, dynamics, episode_kernels
from spike_ctrl.sim.airframe_sampler import DrawnVehicle
from spike_ctrl.sim.environment import RATE_HZ, Environment, Stepped, Task
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.pipeline import InsertFunction
from spike_ctrl_benchmark import l2f_airframes

Draw = Callable[[int, int, int], DrawnVehicle]
"""A vehicle by seed, its number, and the number of its episode."""


class L2fEnvironment(Environment):
    """N vehicles in l2f, drawn anew by each `reset`. No episode ends by itself, and nothing is rewarded.

    carrier, task: as of `Environment`; the task draws airframes, without noise. draw: the vehicles, which have no battery
    (None: by the task's ranges, which may hold no drag, with the carrier's battery). Raises ModuleNotFoundError without l2f,
    UsageError and ValueError for what it cannot fly.
    """

    def __init__(self, carrier: Airframe, vehicles: int, task: Task, draw: Draw | None = None) -> None:
        try:
            import l2f
        except ImportError:
            hint = "pip install -r requirements/l2f.txt compiles it for some 15 minutes"
            raise ModuleNotFoundError(f"the package l2f is missing: {hint}") from None
        carrier.require_layout("motors")
        if task.airframes is None or task.randomisation.noise or not task.randomisation.sensors.exact:
            raise ValueError("l2f: found a task without airframes or with noise, wanted airframes and no noise")
        super().__init__(carrier, vehicles, task)
        self._drawn, self._l2f = draw, l2f
        self._device, self._world, self._random = l2f.Device(), l2f.Environment(), l2f.Rng()
        l2f.initialize_rng(self._device, self._random, 0)
        l2f.initialize_environment(self._device, self._world)
        self._parameters = [l2f.Parameters() for _ in range(vehicles)]
        self._before, self._states = ([l2f.State() for _ in range(vehicles)] for _ in range(2))
        l2f.initial_parameters(self._device, self._world, self._parameters[0])
        told = l2f.parameters_to_json(self._device, self._world, self._parameters[0])
        self._told: dict[str, Any] = json.loads(told)
        for state in self._states:
            l2f.initial_state(self._device, self._world, self._parameters[0], state)

    def insert(self, step: str, function: InsertFunction) -> None:
        """Raises UsageError: l2f moves the vehicles in a step of its own."""
        raise UsageError(f"insert {step}: found with vehicles that l2f moves, wanted none")

    def step(self, actions: Floats) -> Stepped:
        """One control step of 10 ms for every vehicle: see `Environment.step`. Its rewards are 0."""
        command = np.clip(action_mapping.command(np.asarray(actions, np.float32)), 0, 1)
        dynamics.write(self.buffer, dynamics.COMMAND_ROWS, command)
        dynamics.delay(self.buffer, RATE_HZ)
        set_point = self.read(dynamics.COMMAND_ROWS)
        battery = self.airframe.battery if self._drawn is None else None
        if battery is not None:
            set_point = battery.factor(self.read(dynamics.VOLTAGE))[:, None] * set_point
        given = (set_point * (2 / airframe_sampler.FASTEST) - 1).tolist()
        fly, about = self._l2f.step, (self._device, self._world)
        for n, (before, state) in enumerate(zip(self._before, self._states, strict=True)):
            before.assign(state)
            fly(*about, self._parameters[n], before, given[n], state, self._random)
        dynamics.write(self.buffer, dynamics.STATE_ROWS, self._numbers())
        if battery is not None:
            self._drain()
        observation = np.empty((self.num_envs, OBSERVATION_SIZE), np.float32)
        episode_kernels.observe(self.buffer, observation.ravel(), self.num_envs)
        none = np.zeros(self.num_envs, np.bool_)
        self._voltage = None
        return observation, np.zeros(self.num_envs, np.float32), none, none.copy(), {}

    def _exchange(self, begun: Flags) -> None:
        ranges, numbers = self.task.airframes, self.read(dynamics.EPISODE).astype(int)
        assert ranges is not None
        for n in np.flatnonzero(begun).tolist():
            if self._drawn is None:
                vehicle = airframe_sampler.draw_vehicle(ranges, self.airframe, self._seed, n, int(numbers[n]))
            else:
                vehicle = self._drawn(self._seed, n, int(numbers[n]))
            airframe_sampler.put(self.buffer, n, vehicle, self.airframe)
            told = json.dumps(self._told | {"dynamics": l2f_airframes.dynamics(vehicle)})
            self._l2f.parameters_from_json(self._device, self._world, told, self._parameters[n])
        assert self._extension is not None
        dynamics.begin_extension_some(self.buffer, begun, self._rules[2], self._extension)
        if self._drawn is not None:
            assert self.airframe.battery is not None
            dynamics.write(self.buffer, dynamics.VOLTAGE, np.full(self.num_envs, self.airframe.battery.nominal))
        starts = self.read(dynamics.STATE_ROWS)
        for n in np.flatnonzero(begun).tolist():
            state, numbers_of = self._states[n], starts[n]
            state.position, state.linear_velocity, state.angular_velocity = (
                numbers_of[:3],
                numbers_of[7:10],
                numbers_of[10:13],
            )
            state.orientation, state.rpm = numbers_of[[6, 3, 4, 5]], numbers_of[13:17]

    def _numbers(self) -> Floats:
        """The vehicles' states (N, 17) as `dynamics.STATE_ROWS`."""
        names = ("position", "orientation", "linear_velocity", "angular_velocity", "rpm")
        p, q, v, w, r = (np.array([getattr(state, name) for state in self._states], np.float32) for name in names)
        return np.concatenate([p, q[:, [1, 2, 3, 0]], v, w, r], axis=1)

    def _drain(self) -> None:
        """The battery after a step, as `sim.voltage` has it."""
        b, rotors = self.airframe.battery, self.rotor_speed
        assert b is not None
        load = (rotors**3).mean(1)
        charge = np.maximum(self.read(dynamics.CHARGE) - load / (RATE_HZ * b.endurance), 0)
        settled = b.empty + (b.full - b.empty) * charge - b.sag * load
        share = -np.expm1(-1 / (RATE_HZ * b.sag_time)) if b.sag_time else 1.0
        dynamics.write(self.buffer, dynamics.CHARGE, charge)
        voltage = self.read(dynamics.VOLTAGE)
        dynamics.write(self.buffer, dynamics.VOLTAGE, voltage + share * (settled - voltage))
