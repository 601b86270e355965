"""What a spiking state knows of the quadrotor that it flies: a linear read-out, fitted on some airframes, tried on others.

Every PERIOD steps of a flight from the starts of the frozen evaluation, the logarithms of a property are predicted from the
means of all spikes and membranes over the last WINDOW steps, by ridge regression on every second airframe. R^2 is that of
the others: 1 where the state tells the property, 0 where it tells no more than the mean does. The same from what the policy
saw in these steps says what the state adds to it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Sums
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.evaluation.benchmark import EPISODE_STEPS, EVALUATION_SEED
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.sim import airframe_sampler, loop_sampler
from spike_ctrl.sim.airframe_sampler import DrawnVehicle
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl_benchmark.any_airframe import ANY

AIRFRAMES, WINDOW, PERIOD, RIDGE = 4096, 20, 20, 0.03


class StateReadout(NamedTuple):
    """R^2 (T,) of each property, from the state and from what was seen, at `seconds` (T,) after the start."""

    seconds: Sums
    state: dict[str, Sums]
    seen: dict[str, Sums]


def read_state(
    policy: SpikingPolicy,
    carrier: Airframe,
    *,
    airframes: int = AIRFRAMES,
    shown: Callable[[float], None] = lambda share: None,
) -> StateReadout:
    """Fly so many airframes with the policy and read its state."""
    ranges = ANY[carrier.action_layout]
    environment = Environment(carrier, airframes, Task(box=1e6, episode_steps=EPISODE_STEPS + 1, airframes=ranges))
    observation, _ = environment.reset(seed=EVALUATION_SEED)
    drawn = [properties(airframe_sampler.draw_vehicle(ranges, carrier, EVALUATION_SEED, n, 1)) for n in range(airframes)]
    wanted, names = np.log([list(one.values()) for one in drawn]), tuple(drawn[0])
    state, seconds = policy.initial_state(airframes), []
    found: list[tuple[Sums, Sums]] = []
    felt, seen = np.zeros((airframes, 2 * len(policy.theta))), np.zeros((airframes, policy.inputs))
    for step in range(1, EPISODE_STEPS + 1):
        observation = complete_of(policy, observation, environment)
        action, state = policy.step(observation, state)
        into = (step - 1) % PERIOD - (PERIOD - WINDOW)
        if into == 0:
            felt[:], seen[:] = 0, 0
        if into >= 0:
            felt += np.concatenate([state.spike, state.membrane]).T / WINDOW
            seen += np.nan_to_num(observation, nan=0, posinf=0, neginf=0) / WINDOW
        if step % PERIOD == 0:
            found.append((explained(felt, wanted), explained(seen, wanted)))
            seconds.append(step / RATE_HZ)
            shown(step / EPISODE_STEPS)
        observation, *_ = environment.step(action)
    by_state, by_seen = (np.array([pair[index] for pair in found]) for index in range(2))
    return StateReadout(np.array(seconds), *(dict(zip(names, r2.T, strict=True)) for r2 in (by_state, by_seen)))


def properties(vehicle: DrawnVehicle) -> dict[str, float]:
    """What may be known of a vehicle: mass (kg) and thrust/weight.

    Of one that is commanded by its motors also their lag (s) and the largest angular acceleration about the roll axis
    (rad/s^2). Behind an autopilot the thrust over the weight where that expects the hover, and the time (s) from a command
    to its effect: that of its way, of the loop's delay, and the lags of rotors and gyro filter.
    """
    craft = vehicle.airframe
    found = {"mass": craft.mass, "thrust_to_weight": craft.thrust_to_weight}
    if craft.action_layout == "motors":
        authority = 2 * craft.thrust(1.0) * airframe_sampler.sides(craft)[0] / craft.inertia[0]
        return found | {"lag": craft.lag_up, "roll_authority": authority}
    told = 4 * craft.thrust(vehicle.hover) / (craft.mass * GRAVITY)
    late = vehicle.late / RATE_HZ + loop_sampler.loop_of(craft).delay + loop_sampler.loop_lag(craft)
    return found | {"told_thrust": told, "late": late}


def explained(features: Sums, wanted: Sums) -> Sums:
    """R^2 (P,) of ridge regression from features (N, F) to wanted (N, P): fitted on every second row."""
    fit, tried = features[::2], features[1::2]
    mean, scale = fit.mean(0), fit.std(0) + 1e-6
    x, y = (fit - mean) / scale, wanted[::2] - wanted[::2].mean(0)
    weight = np.linalg.solve(x.T @ x + RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
    left = wanted[1::2] - wanted[::2].mean(0) - ((tried - mean) / scale).clip(-10, 10) @ weight
    r2: Sums = 1 - (left**2).sum(0) / ((wanted[1::2] - wanted[1::2].mean(0)) ** 2).sum(0)
    return r2
