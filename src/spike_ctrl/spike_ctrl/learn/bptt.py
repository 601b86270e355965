"""Model gradient: back-propagation through the spiking network and the differentiable dynamics of the airframe.

A pool of simulated vehicles flies on in segments, with its spiking state carried over (truncated back-propagation
through time). They start where the flight that the learner receives was seen, in its first states of episodes, and
with plants of the learner's own model, so the method serves the embedded simulator and the graph alike. Set-points may
move; the policy is told of their velocity as it is in flight, PREVIEW seconds ahead.

    cost = - reward (with `position` times its weight, linear from the distance `far` on)
           + boundary sum_i max(0, |p_i| - boundary_at)^2 + speed max(0, |v| - speed_at)^2
           + tilt max(0, cos tilt_at - cos tilt)^2 + body_rate max(0, |rates| - body_rate_at)^2
           + action_rate |u_t - u_{t-1}|^2

where u = (action + 1) / 2, and with `rates` actions the reward's last term counts |u - 1/2|^2: thrust and rates away
from those of hover.

The spiking network is flown by a kernel of its own, `bptt_kernel`. The plug-in `networks` flies other networks, which
torch differentiates.
"""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import PREVIEW
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import bptt_kernel
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.adam import Adam
from spike_ctrl.learn.algorithm_settings import TILE
from spike_ctrl.learn.bptt_kernel import PRESENT, SegmentConditions, Sight, Tape
from spike_ctrl.learn.moving_setpoints import Courses
from spike_ctrl.learn.objective import Objective
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.learn.shadow_start import PLANT, SHADOW, after_shadow, held
from spike_ctrl.learn.tile_network import NetworkArrays
from spike_ctrl.policy import voltage_input
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim import airframe_sampler, dynamics, rate_loop
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.dynamics import DEAD_TIME, DELAY, EARLIER, HOVER, ROTORS, STATE_ROWS, VOLTAGE
from spike_ctrl.sim.environment import RATE_HZ, require_short_delays
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl.sim.observation import NOISE
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.randomisation import MAX_DELAY, draw_some, nominal
from spike_ctrl.sim.sensor_noise import MAX_AGE, SensorErrors, SensorSettings
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import Reset

STARTS = 8192  # the most recent first states of episodes that are kept


class VehicleTile:
    """Vehicles that fly at once: dynamics, membrane and spike of the network, last commands, segments flown in this episode,
    courses of the set-points."""

    ARRAYS = ("buffer", "membrane", "spike", "command", "flown")

    def __init__(self, airframe: Airframe, size: int, neurons: int, rest: float, sensors: SensorSettings):
        self.buffer = dynamics.allocate(size, airframe)
        self.membrane = np.zeros((neurons, size), np.float32)
        self.spike = np.zeros((neurons, size), np.float32)
        self.command = np.full((MAX_DELAY, 4, size), rest, np.float32)
        self.flown = np.zeros(size, np.int64)
        self.courses = Courses(size)
        self.errors = None if sensors.exact else SensorErrors(sensors, size, RATE_HZ)
        self.seen = np.zeros((MAX_AGE, OBSERVATION_SIZE, size if self.errors else 0), np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that changes."""
        moving = {"swing": self.courses.swing, "time": self.courses.time}
        if self.errors:
            moving |= {"seen": self.seen} | {f"errors.{name}": getattr(self.errors, name) for name in self.errors.ARRAYS}
        return {name: getattr(self, name) for name in self.ARRAYS} | moving

    def flown_on(self, steps: int, sight: Sight) -> None:
        """A segment of so many steps has been flown, and seen so."""
        if len(sight.age):
            self.seen[:] = sight.recent[-MAX_AGE:]
        self.flown += 1
        self.courses.time += steps / RATE_HZ


Job = tuple[VehicleTile, SegmentConditions]


class BPTT:
    """Learns by flying a model of the airframe; the flight it receives only says where to start."""

    fuses = True  # tiles of TILE vehicles fly in `bptt_kernel`; a subclass that flies by itself has one tile of all

    def __init__(self, recipe: Recipe, airframe: Airframe, vehicles: int, seed: int, actor: Any, generator: torch.Generator):
        s = recipe.bptt
        for name, unit in (("vehicles", TILE), ("pool", s.vehicles)):
            if getattr(s, name) % unit:
                raise UsageError(f"bptt.{name}: found {getattr(s, name)}, wanted a multiple of {unit}")
        recipe.require_fit(airframe)
        recipe.task.require_no_inserts("bptt, which differentiates kernels that call no Python")
        if self.fuses and actor.neuron.detach_reset:
            raise UsageError("network.detach_reset: found true, wanted false for bptt")
        hears = self.fuses and actor.neuron.recurrent and not recipe.network.voltage
        if s.shadow and not (hears and airframe.action_layout == "motors"):
            wanted = "wanted 0 but for a recurrent spiking network that commands motors and sees no voltage"
            raise UsageError(f"bptt.shadow: found {s.shadow:g}, {wanted}")
        self.settings, self.recipe, self.airframe, self.actor, self.seed = s, recipe, airframe, actor, seed
        self.optimiser = Adam(actor.parameters(), betas=(0.9, 0.99), foreach=True)
        self.random = np.random.default_rng([seed, 3])
        self.size = TILE if self.fuses else s.vehicles  # of a tile
        layout = airframe.action_layout
        self._rest = airframe.hover if layout == "motors" else 0.5
        self.tiles = [self._tile() for _ in range(s.pool // self.size)]
        self.starts = np.zeros((STARTS, 17), np.float32)
        self.received = self.updates = 0
        for parameter in actor.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self._at_once = s.vehicles // self.size
        require_short_delays(airframe, recipe.task.randomisation)
        if recipe.task.airframes:
            airframe_sampler.require_carrier(airframe, recipe.task.randomisation)
        self._draw = (recipe.task.start.array(), nominal(airframe), recipe.task.randomisation.array())
        self._noise_scale = np.float32(recipe.task.randomisation.noise)
        self._motion = motion(airframe, 1 / RATE_HZ, recipe.task.randomisation.rotor_loss.chance > 0)
        self._volts = bptt_kernel.NO_VOLTS  # else (middle, 1 / span) of what the policy sees of the voltage
        if recipe.network.voltage:
            told = voltage_input.of_airframe(airframe)
            self._volts = np.float32(told.middle), np.float32(1 / told.span)
        if self.fuses:
            self._prepare()

    def _prepare(self) -> None:
        """Room and threads for the kernel that flies."""
        s, m, at_once = self.settings, self._motion, self._at_once
        self._policy = _views(self.actor, lambda parameter: parameter.detach().numpy())
        self._tapes = [
            bptt_kernel.tape(s.segment, self.actor.sizes[1:-1], TILE, m.layout, self.recipe.network.inputs)
            for _ in range(at_once)
        ]
        self._gradients = [_views(self.actor, lambda p: np.zeros(tuple(p.shape), np.float32)) for _ in range(at_once)]
        self._model = (m.arms, m.extension, m.dt, np.float32(self._rest), m.loop, m.late, self._policy)
        self._threads = ThreadPoolExecutor(min(at_once, len(os.sched_getaffinity(0))))

    def _tile(self) -> VehicleTile:
        """Vehicles at rest, which the first `update` starts."""
        sensors = self.recipe.task.randomisation.sensors
        return VehicleTile(self.airframe, self.size, sum(self.actor.sizes[1:-1]), self._rest, sensors)

    def receive(self, rows: Rows) -> None:
        """Keep the first states of episodes; rotors and observation say all that the dynamics need."""
        first = np.flatnonzero((rows.flags & (FIRST | TERMINATED | TRUNCATED)) == FIRST)
        if not len(first):
            return
        seen = rows.observation[first]
        quaternion = Rotation.from_matrix(seen[:, 3:12].reshape(-1, 3, 3)).as_quat()
        at = (self.received + np.arange(len(first))) % STARTS
        self.starts[at] = np.concatenate([seen[:, :3], quaternion, seen[:, 12:18], rows.rotor_speed[first]], axis=1)
        self.received += len(first)

    def update(self, progress: float, k: float, average: AveragedNetwork) -> dict[str, float]:
        """The updates of one iteration; nothing before a start has been received."""
        if not self.received:
            return {}
        s, schedule = self.settings, self.recipe.schedule
        if not self.updates:
            for index, tile in enumerate(self.tiles):  # not all of the same age
                self._restart(tile, np.ones(self.size, bool), index)
                tile.flown[:] = index % s.episode_segments
        rate = schedule.learning_rate_end + (schedule.learning_rate - schedule.learning_rate_end) * cosine(progress)
        self.optimiser.param_groups[0]["lr"] = rate
        found = [self._update(progress, k, average) for _ in range(s.updates)]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]} | {"learning_rate": rate}

    def _update(self, progress: float, k: float, average: AveragedNetwork) -> dict[str, float]:
        s, at_once = self.settings, self._at_once
        first = self.updates * at_once % len(self.tiles)
        objective = self._objective(progress)
        self._draw = (*self._draw[:2], self.recipe.task.randomisation.array(progress))
        jobs = []
        for index in range(at_once):
            tile = self.tiles[first + index]
            self._restart(tile, self._ended(tile), first + index)
            jobs.append((tile, self._conditions(tile)))
        errors = self._fly(jobs, objective, k)
        for tile, flight in jobs:
            tile.flown_on(s.segment, flight.sight)
        self.updates += 1
        norm = torch.nn.utils.clip_grad_norm_(self.actor.parameters(), s.gradient_clip).item()
        finite = math.isfinite(norm)
        if finite:  # a vehicle that tumbles to infinity teaches nothing
            self.optimiser.step()
            actors.project_(self.actor)
            average.follow(self.actor)
        weights = (objective.position, objective.velocity, objective.attitude, objective.action, objective.action_rate)
        cost = float(errors @ np.array(weights)) / (s.segment * s.vehicles)
        return {"actor_loss": cost, "gradient_norm": norm, "skipped_updates": float(not finite)}

    def _fly(self, jobs: list[Job], objective: Objective, k: float) -> np.ndarray:
        """Fly a segment with each tile, on threads of their own, and set the gradients; returns the summed errors."""
        errors = sum(self._threads.map(
            lambda job, tape, gradient: self._segment(job, tape, gradient, objective, np.float32(k)),
            jobs, self._tapes, self._gradients,
        ), np.zeros(5))  # fmt: skip
        for parameter, *parts in zip(self.actor.parameters(), *map(_flat, self._gradients), strict=True):
            torch.sum(torch.from_numpy(np.stack(parts)), 0, out=parameter.grad)
        return errors

    def _segment(self, job: Job, tape: Tape, gradient: NetworkArrays, objective: Objective, k: np.float32) -> np.ndarray:
        """Fly one segment with one tile and write the gradient of its cost; returns the summed errors."""
        tile, (noise, unseen, delay, course, sight, _) = job
        tape.begin(tile.membrane, tile.spike, tile.command)
        for array in _flat(gradient):
            array[:] = 0
        errors = bptt_kernel.fly_segment(tile.buffer, *self._model, tape, noise, unseen, delay, course, sight, self._volts)
        end = tile.buffer.copy()
        bptt_kernel.segment_vjp(tile.buffer, *self._model, tape, delay, course, objective, k, gradient, sight, self._volts)
        tile.buffer[:] = end
        tile.membrane[:], tile.spike[:], tile.command[:] = tape.end()
        return errors

    def _conditions(self, tile: VehicleTile) -> SegmentConditions:
        """What a tile's next segment meets."""
        steps = self.settings.segment
        noise = self.settings.noise * self.random.standard_normal((steps, 4, self.size), dtype=np.float32)
        unseen = self._sensor_noise()
        sight = self._sight(tile, unseen)
        unseen[:, 12:15] -= tile.courses.velocity(steps, 1 / RATE_HZ, PREVIEW)
        late, dead_time = (dynamics.read(tile.buffer, row, self.size) for row in (DELAY, DEAD_TIME))
        course = tile.courses.displacement(steps, 1 / RATE_HZ)
        volts = self._volts if self.recipe.network.voltage else None
        return SegmentConditions(noise, unseen, late + RATE_HZ * dead_time, course, sight, volts)

    def _sensor_noise(self) -> np.ndarray:
        shape = (self.settings.segment, OBSERVATION_SIZE, self.size)
        noise = np.zeros((shape[0], self.recipe.network.inputs, self.size), np.float32)
        if self._noise_scale:
            white = self.random.standard_normal(shape, dtype=np.float32)
            noise[:, :OBSERVATION_SIZE] = self._noise_scale * NOISE[:, None] * white
        if deviation := self._volts[1] * self.recipe.task.randomisation.sensors.voltage:
            noise[:, OBSERVATION_SIZE] = deviation * self.random.standard_normal((shape[0], self.size), dtype=np.float32)
        return noise

    def _sight(self, tile: VehicleTile, unseen: np.ndarray) -> Sight:
        """How the tile is seen in the next segment; adds the sensors' errors to the noise of the observations."""
        if not tile.errors:
            return PRESENT
        errors, age = tile.errors.advance(self.settings.segment, self.random)
        unseen[:, :3] += errors[:, :3] - tile.courses.travelled(self.settings.segment, 1 / RATE_HZ, age)
        unseen[:, 12:18] += errors[:, [3, 4, 5, 9, 10, 11]]
        return bptt_kernel.sight(np.ascontiguousarray(errors[:, 6:9]), age, tile.seen)

    def _ended(self, tile: VehicleTile) -> np.ndarray:
        position = dynamics.read(tile.buffer, slice(0, 3), self.size)
        inside = (np.abs(position) <= self.settings.box).all(1)  # a NaN is outside
        ended: np.ndarray = ~inside | (tile.flown >= self.settings.episode_segments)
        return ended

    def _restart(self, tile: VehicleTile, who: np.ndarray, index: int) -> None:
        """Start new episodes in some vehicles of a tile: plants of their own, states among those received."""
        draw_some(tile.buffer, who, self.seed, index * self.size, *self._draw)
        if ranges := self.recipe.task.airframes:
            airframe_sampler.exchange(tile.buffer, who, ranges, self.airframe, self.seed, index * self.size)
        known = min(self.received, STARTS)
        state = dynamics.read(tile.buffer, STATE_ROWS, self.size)
        state[who] = self.starts[self.random.integers(0, known, int(who.sum()))]
        handed = self.settings.shadow > 0 and who.any() and self.random.random() < self.settings.shadow
        if handed:
            state[who, 3:] = held(dynamics.read(tile.buffer, PLANT, self.size)[who], dynamics.geometry(self.airframe))
        dynamics.write(tile.buffer, STATE_ROWS, state)
        rate_loop.begin_some(tile.buffer, who)
        if (extension := self._motion.extension) is not None:
            dynamics.begin_extension_some(tile.buffer, who, np.float32(self._rest), extension)
        tile.courses.restart(who, self.settings.set_point, self.random)
        if tile.errors:
            tile.errors.begin(who, self.random)
            tile.seen[:, :, who] = _seen(state[who])
        tile.membrane[:, who] = tile.spike[:, who] = 0
        tile.command[:, :, who] = self._rest
        tile.flown[who] = 0
        if handed:
            self._hand_over(tile, who)

    def _hand_over(self, tile: VehicleTile, who: np.ndarray) -> None:
        """Another has held the vehicles `who` in their hover for long, and the policy was in shadow."""
        state = dynamics.read(tile.buffer, STATE_ROWS, self.size)[who]
        command = state[:, ROTORS:]
        if (battery := self.airframe.battery) is not None:
            command = command / battery.factor(dynamics.read(tile.buffer, VOLTAGE, self.size)[who, None])
            command = command.clip(0, 1).astype(np.float32)
        if self._motion.extension is not None:
            earlier = dynamics.read(tile.buffer, slice(EARLIER, HOVER), self.size)
            earlier[who] = np.tile(command, dynamics.HISTORY)
            dynamics.write(tile.buffer, slice(EARLIER, HOVER), earlier)
        seen = _seen(state)
        noise = self._noise_scale * NOISE[:, None] * self.random.standard_normal((SHADOW, *seen.shape), dtype=np.float32)
        policy = SpikingPolicy(self.actor.weights(), self.actor.neuron)
        policy.learns_plant = True
        told = np.broadcast_to(command.T, (SHADOW, *command.T.shape))
        tile.membrane[:, who], tile.spike[:, who] = after_shadow(policy, (seen + noise).astype(np.float32), told)
        tile.command[:, :, who] = command.T

    def _objective(self, progress: float) -> Objective:
        s = self.settings
        task = self.recipe.task
        r = task.coefficients(task.stage(progress))
        reward = {"position": s.position * r.position} | {n: getattr(r, n) for n in ("velocity", "attitude", "action")}
        reward["upright"] = math.cos(s.tilt_at)
        ours = {name: getattr(s, name) for name in Objective._fields if name not in reward}
        weights: dict[str, Any] = {name: np.float32(value) for name, value in (reward | ours).items()}
        return Objective(**weights)

    def modules(self) -> dict[str, torch.nn.Module]:
        return {}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"actor_optimiser": self.optimiser}

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and plain values beside modules and optimisers from which `restore` goes on."""
        arrays = {"starts": self.starts}
        for index, tile in enumerate(self.tiles):
            arrays |= {f"tile{index}.{name}": array for name, array in tile.arrays().items()}
        counters = {"received": self.received, "updates": self.updates}
        return arrays, counters | {"random": self.random.bit_generator.state}

    def restore(self, arrays: dict[str, np.ndarray], info: dict[str, Any]) -> None:
        mine, _ = self.state()
        for name, array in mine.items():
            dynamics.restore(array, arrays[name]) if name.endswith(".buffer") else np.copyto(array, arrays[name])
        self.received, self.updates = info["received"], info["updates"]
        self.random.bit_generator.state = info["random"]


def _seen(state: np.ndarray) -> np.ndarray:
    """The observations [18, N] of states (N, 17) whose set-points are at the origin, with a yaw of 0."""
    rotation = Rotation.from_quat(state[:, 3:7]).as_matrix().reshape(-1, 9)
    return np.concatenate([state[:, :3], rotation, state[:, 7:13]], axis=1).T


def cosine(progress: float) -> float:
    """From 1 to 0 along half a cosine."""
    return 0.5 + 0.5 * math.cos(math.pi * progress)


def _views(network: SpikingNetwork, view: Callable[[torch.Tensor], np.ndarray]) -> NetworkArrays:
    layers, hard = network.layers, network.neuron.reset is Reset.HARD
    weights, biases, betas, thetas = (
        tuple(view(getattr(layer, name)) for layer in layers) for name in ("weight", "bias", "beta", "theta")
    )
    return NetworkArrays(weights, biases, betas, thetas, view(network.output.weight), view(network.output.bias), hard)


def _flat(policy: NetworkArrays) -> list[np.ndarray]:
    """The arrays in the order of the network's parameters."""
    layers = zip(policy.weights, policy.bias, policy.beta, policy.theta, strict=True)
    return [array for layer in layers for array in layer] + [policy.readout, policy.readout_bias]
