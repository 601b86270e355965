"""Episodes of the position task on a device: the simulator of `sim.environment`, whose tensors stay there."""

from typing import Any, NamedTuple

import numpy as np
import torch
import warp as wp

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import dynamics, randomisation
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl.sim.block_step import SUBSTEPS_OF, motion
from spike_ctrl.sim.environment import RATE_HZ, Task, require_short_delays
from spike_ctrl.sim.observation import NOISE
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.sim.reward import START, Coefficients
from spike_ctrl_warp import episodes
from spike_ctrl_warp import loop_equations as rate_loop
from spike_ctrl_warp import vehicle_equations as vehicle
from spike_ctrl_warp.episodes import Draws
from spike_ctrl_warp.vehicle_equations import Craft, put3, put4, vec3_at, vec4_at

wp.set_module_options({"enable_backward": False})

Rows = wp.array2d(dtype=float)
Each = wp.array(dtype=float)
Flags = wp.array(dtype=wp.uint8)
POSITION, QUATERNION, VELOCITY, RATES, ROTORS = (
    dynamics.POSITION, dynamics.QUATERNION, dynamics.VELOCITY, dynamics.RATES, dynamics.ROTORS
)  # fmt: skip
COMMAND, CHARGE, VOLTAGE, CLOCK = dynamics.COMMAND, dynamics.CHARGE, dynamics.VOLTAGE, dynamics.CLOCK
RATE_SETPOINT, RATE_INTEGRAL, GYRO, GYRO_SLOPE = (
    dynamics.RATE_SETPOINT, dynamics.RATE_INTEGRAL, dynamics.GYRO, dynamics.GYRO_SLOPE
)  # fmt: skip
STEP, ENDED, SUMS, DELAY = dynamics.STEP, dynamics.ENDED, dynamics.SUMS, dynamics.DELAY


@wp.func
def move(rows: Rows, n: int, c: Craft) -> None:
    """A substep under the rotor commands."""
    clock = rows[CLOCK, n]
    voltage = rows[VOLTAGE, n]
    target = vehicle.set_points(vec4_at(rows, COMMAND, n), voltage, clock, rows, n, c)
    p = vehicle.plant_of(rows, n, clock, c)
    x, q, v, w, r = vehicle.advance(
        vec3_at(rows, POSITION, n),
        vec4_at(rows, QUATERNION, n),
        vec3_at(rows, VELOCITY, n),
        vec3_at(rows, RATES, n),
        vec4_at(rows, ROTORS, n),
        target,
        p,
        c,
    )
    put3(rows, POSITION, n, x)
    put4(rows, QUATERNION, n, q)
    put3(rows, VELOCITY, n, v)
    put3(rows, RATES, n, w)
    put4(rows, ROTORS, n, r)
    charge, left = vehicle.drained(rows[CHARGE, n], voltage, vehicle.load_of(r), c)
    rows[CHARGE, n] = charge
    rows[VOLTAGE, n] = left
    rows[CLOCK, n] = clock + c.dt * float(c.fails)


@wp.func
def turn(rows: Rows, n: int, c: Craft) -> None:
    given, integral, gyro, bent = rate_loop.turn(
        vec4_at(rows, RATE_SETPOINT, n),
        vec3_at(rows, RATE_INTEGRAL, n),
        vec3_at(rows, GYRO, n),
        vec3_at(rows, GYRO_SLOPE, n),
        vec3_at(rows, RATES, n),
        rows,
        n,
        c,
    )
    put4(rows, COMMAND, n, given)
    put3(rows, RATE_INTEGRAL, n, integral)
    put3(rows, GYRO, n, gyro)
    put3(rows, GYRO_SLOPE, n, bent)


@wp.kernel
def start(rows: Rows, d: Draws, hover: float, extended: int, c: Craft, seen: Rows) -> None:
    n = wp.tid()
    episodes.begin(rows, n, d, hover, extended, c)
    episodes.observe(rows, n, seen)


@wp.kernel
def postpone(rows: Rows, earlier: wp.array3d(dtype=float), given: Rows, hover: float, action: Rows) -> None:
    """The actions that take effect now, some given in earlier steps; earlier [MAX_DELAY, vehicle, 4]."""
    n = wp.tid()
    late = int(rows[DELAY, n])
    for i in range(4):
        action[n, i] = given[n, i]
        if late > 0:
            action[n, i] = earlier[MAX_DELAY - late, n, i]
        for k in range(MAX_DELAY - 1):
            earlier[k, n, i] = wp.where(rows[ENDED, n] > 0.0, hover, earlier[k + 1, n, i])
        earlier[MAX_DELAY - 1, n, i] = wp.where(rows[ENDED, n] > 0.0, hover, given[n, i])


@wp.kernel
def step(
    rows: Rows, action: Rows, parts: int, extended: int, c: Craft, weights: Each, box: float, limit: float, hover: float,
    d: Draws, seen: Rows, reward: Each, terminated: Flags, truncated: Flags,
) -> None:  # fmt: skip
    """One control step, see `Environment.step`. parts: substeps; 1: `motors`."""
    n = wp.tid()
    if parts == 1:
        for i in range(4):
            rows[COMMAND + i, n] = wp.clamp(0.5 * action[n, i] + 0.5, 0.0, 1.0)
        if extended == 1:
            episodes.delay(rows, n, 1.0 / c.dt)
        move(rows, n, c)
    else:
        for substep in range(parts + 1):
            if substep == c.late:
                for i in range(4):
                    rows[RATE_SETPOINT + i, n] = wp.clamp(action[n, i], -1.0, 1.0)
            if substep < parts:
                turn(rows, n, c)
                move(rows, n, c)
    episodes.observe(rows, n, seen)
    score(rows, n, weights, box, limit, hover, seen, reward, terminated, truncated)
    if rows[ENDED, n] > 0.0:
        episodes.begin(rows, n, d, hover, extended, c)
        episodes.observe(rows, n, seen)
    elif terminated[n] + truncated[n] > wp.uint8(0):
        rows[ENDED, n] = 1.0


@wp.func
def score(
    rows: Rows, n: int, weights: Each, box: float, limit: float, hover: float, seen: Rows, reward: Each,
    terminated: Flags, truncated: Flags,
) -> None:  # fmt: skip
    flying = rows[ENDED, n] == 0.0
    x = wp.vec3(seen[n, 0], seen[n, 1], seen[n, 2])
    v = wp.vec3(seen[n, 12], seen[n, 13], seen[n, 14])
    axis = wp.vec3(seen[n, 10] - seen[n, 8], seen[n, 5] - seen[n, 9], seen[n, 6] - seen[n, 4])
    angle = wp.atan2(0.5 * wp.length(axis), 0.5 * (seen[n, 3] + seen[n, 7] + seen[n, 11] - 1.0))
    u = vec4_at(rows, COMMAND, n) - wp.vec4(hover, hover, hover, hover)
    costs = wp.vec4(wp.dot(x, x), wp.dot(v, v), angle * angle, wp.dot(u, u))
    earned = weights[0]
    for i in range(4):
        earned -= weights[i + 1] * costs[i]
    inside = wp.abs(x[0]) <= box and wp.abs(x[1]) <= box and wp.abs(x[2]) <= box
    reward[n] = 0.0
    if flying:
        reward[n] = earned
        rows[STEP, n] = rows[STEP, n] + 1.0
        rows[SUMS, n] = rows[SUMS, n] + earned
        for i in range(4):
            rows[SUMS + 1 + i, n] = rows[SUMS + 1 + i, n] + costs[i]
    terminated[n] = wp.where(flying and not inside, wp.uint8(1), wp.uint8(0))
    truncated[n] = wp.where(flying and inside and rows[STEP, n] >= limit, wp.uint8(1), wp.uint8(0))


class Stepped(NamedTuple):
    """Results of a step, on the device; the next step overwrites them."""

    observation: torch.Tensor  # [N, 18]
    reward: torch.Tensor  # [N]
    terminated: torch.Tensor  # bool [N]
    truncated: torch.Tensor


class DeviceEnvironment:
    """N vehicles in episodes of their own on a device, as `Environment` flies them from the same seed.

    Autoreset is Gymnasium's NEXT_STEP. Raises UsageError for what only `Environment` has: airframes that are drawn, errors
    of sensors that last. The white noise of observations has the same deviation, but other numbers.
    """

    def __init__(
        self, airframe: Airframe, vehicles: int, task: Task = Task(), coefficients: Coefficients = START, device: str = "cpu"
    ) -> None:
        differ = task.randomisation
        if task.airframes is not None or not differ.sensors.exact:
            found = "airframes" if task.airframes is not None else "randomisation.sensors"
            raise UsageError(f"task.{found}: found some, wanted none on a device; Environment flies them")
        require_short_delays(airframe, differ)
        self.vehicles, self.device = vehicles, device
        fails = differ.rotor_loss.chance > 0
        moved = motion(airframe, 1 / RATE_HZ, fails)
        extension = dynamics.extension(airframe, float(moved.dt), differ.dead_time > 0, fails)
        self._craft = vehicle.craft(airframe, moved._replace(extension=extension))
        self._parts, self._extended, self._noise = SUBSTEPS_OF[moved.layout], int(extension is not None), differ.noise
        self._rules = float(task.box), float(task.episode_steps), float(airframe.hover)
        self._draw = task.start.array(), randomisation.nominal(airframe), differ.array()
        rows = dynamics.rows(dynamics.allocate(vehicles, airframe)).transpose(1, 0, 2).reshape(dynamics.ROWS, -1)
        self.rows = torch.from_numpy(rows[:, :vehicles].copy()).to(device)
        self._hover = float(at_hover(airframe))
        self._earlier = torch.full((MAX_DELAY, vehicles, 4), self._hover, device=device)
        self._delays = differ.delay > 0
        self.action, self._given = (torch.zeros(vehicles, 4, device=device) for _ in range(2))
        self.observation, self._reward = torch.zeros(vehicles, 18, device=device), torch.zeros(vehicles, device=device)
        self._ends = torch.zeros(2, vehicles, dtype=torch.uint8, device=device)
        self._weights = torch.from_numpy(coefficients.array()).to(device)
        self._scale = torch.from_numpy(np.float32(differ.noise) * NOISE).to(device)
        self._random = torch.Generator(device)

    def reset(self, seed: int = 0) -> torch.Tensor:
        """Begin the first episode of the seed's sequence in every vehicle; returns the observations."""
        self._random.manual_seed(seed)
        self.rows[dynamics.EPISODE] = 0
        self._earlier.fill_(self._hover)
        d, hover = episodes.draws(seed, *self._draw, self.device), self._rules[2]
        self._draws = d
        self._launch(start, [self.rows, d, hover, self._extended, self._craft, self.observation])
        arguments = [
            self.rows, self.action, self._parts, self._extended, self._craft, self._weights, *self._rules, d,
            self.observation, self._reward, self._ends[0], self._ends[1],
        ]  # fmt: skip
        self._step = self._launch(step, arguments, record_cmd=True)
        late = [self.rows, self._earlier, self._given, self._hover, self.action]
        self._postpone = self._launch(postpone, late, record_cmd=True)
        return self._sensed()

    def step(self, actions: torch.Tensor) -> Stepped:
        """One control step of 10 ms. actions [N, 4]; beyond -1 to 1 they are clipped."""
        if self._delays:
            self._given.copy_(actions)
            self._postpone.launch()
        else:
            self.action.copy_(actions)
        self._step.launch()
        return Stepped(self._sensed(), self._reward, *self._ends.bool())

    def _sensed(self) -> torch.Tensor:
        if not self._noise:
            return self.observation
        white = torch.randn(self.observation.shape, generator=self._random, device=self.device)
        return self.observation + self._scale * white

    def _launch(self, kernel: Any, inputs: list[Any], **how: Any) -> Any:
        given = [wp.from_torch(value) if isinstance(value, torch.Tensor) else value for value in inputs]
        return wp.launch(kernel, self.vehicles, inputs=given, device=self.device, **how)
