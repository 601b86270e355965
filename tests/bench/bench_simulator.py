"""Speed of the simulator: `python tests/bench/bench_simulator.py` prints what `measure` returns.

One thread, steps per CPU-second of this process, best of several runs taken in turn. An environment step is all of it:
action in, dynamics, observation, reward, ends of episodes and new starts; for l2f the same from its functions, of which
`step` takes three quarters and `observe`, with 82 numbers to our 18, an eighth.
"""

import dataclasses
import importlib.util
import json
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # before l2f is loaded

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.airframe import Airframe, BatteryModel
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.action_mapping import command
from spike_ctrl.sim.environment import Environment

SIZES = (64, 256, 1024, 8192)
PEER_SIZES = (64, 1024, 8192)


def measure(repeats: int = 7, steps: int = 2_000_000) -> dict[str, float]:
    """Named figures: steps/s of the environment, of the dynamics alone and of l2f by number of vehicles, and the ratios."""
    figures = {}
    if importlib.util.find_spec("l2f") is None:
        print(
            "  no ratio to l2f, which is not installed: make .venv/done/l2f compiles it in some 15 min",
            flush=True,
        )
    for vehicles in SIZES:
        runs = {"environment": _environment(vehicles), "extended": _environment(vehicles, _extended())}
        runs["dynamics"] = _dynamics(vehicles)
        if vehicles in PEER_SIZES and (peer := _l2f(vehicles)):
            runs["l2f"] = peer
        calls = {name: max(steps // vehicles // (20 if name == "l2f" else 1), 10) for name in runs}
        best = dict.fromkeys(runs, 0.0)
        for _ in range(repeats):
            for name, run in runs.items():
                best[name] = max(best[name], vehicles * _rate(run, calls[name]))
        figures |= {f"simulator_{name}_{vehicles}_steps_per_s": rate for name, rate in best.items()}
        figures[f"simulator_extended_{vehicles}_times_plain"] = best["extended"] / best["environment"]
        if "l2f" in best:
            figures[f"simulator_{vehicles}_times_l2f"] = best["environment"] / best["l2f"]
    return figures


def _rate(run: Callable[[], object], calls: int) -> float:
    run()
    start = time.process_time()
    for _ in range(calls):
        run()
    return calls / (time.process_time() - start)


def _actions(vehicles: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (vehicles, 4)).astype(np.float32)


def _extended() -> Airframe:
    """The same airframe with battery, drag, velocity moment, trim and dead time."""
    battery = BatteryModel(full=4.2, empty=3.2, nominal=4.0, sag=0.5, sag_time=0.3, endurance=300.0, exponent=0.9)
    return dataclasses.replace(
        airframe.load("crazyflie_l2f"), body_drag=(0.01, 0.01, 0.008), velocity_moment=(3e-4, 3e-4), dead_time=0.02,
        trim_moment=(1e-5, 1e-5, 0.0), battery=battery,
    )  # fmt: skip


def _environment(vehicles: int, craft: Airframe | None = None) -> Callable[[], object]:
    environment, actions = Environment(craft or airframe.load("crazyflie_l2f"), vehicles), _actions(vehicles)
    environment.reset(seed=0)
    return lambda: environment.step(actions)


def _dynamics(vehicles: int) -> Callable[[], object]:
    craft = airframe.load("crazyflie_l2f")
    buffer, arms, dt = dynamics.allocate(vehicles, craft), dynamics.geometry(craft), np.float32(0.01)
    dynamics.write(buffer, dynamics.COMMAND_ROWS, command(_actions(vehicles)))
    return lambda: dynamics.step(buffer, dt, arms)


def _l2f(vehicles: int) -> Callable[[], object] | None:
    try:
        import l2f
    except ImportError:
        return None
    vector = getattr(l2f, f"vector{vehicles}")
    device, rng, environment = l2f.Device(), vector.VectorRng(), vector.VectorEnvironment()
    parameters, state, following = vector.VectorParameters(), vector.VectorState(), vector.VectorState()
    vector.initialize_rng(device, rng, 0)
    vector.initialize_environment(device, environment)
    vector.initial_parameters(device, environment, parameters)
    vector.sample_initial_state(device, environment, parameters, state, rng)
    actions, observation = _actions(vehicles), np.zeros((vehicles, environment.OBSERVATION_DIM), np.float32)
    reward, ended = np.zeros(vehicles, np.float32), np.zeros(vehicles, bool)

    def run():
        nonlocal state, following
        vector.step(device, environment, parameters, state, actions, following, rng)
        vector.reward(device, environment, parameters, state, actions, following, reward, rng)
        vector.terminated(device, environment, parameters, following, ended, rng)
        vector.sample_initial_state_if_truncated(device, environment, parameters, following, ended, rng)
        vector.observe(device, environment, parameters, following, observation, rng)
        state, following = following, state

    return run


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
