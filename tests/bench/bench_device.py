"""Speed by device: `spike-ctrl bench device` for this processor and each graphics card that torch sees.

Wall time. Environment steps: of vehicles under constant actions, with rewards, ends of episodes and new starts. Training
steps: of flight under the model gradient of recipe `default`, with its backward pass, the optimiser and all that the
processor prepares. `cpu` are the kernels that train by default, `warp` those of the plug-in warp on the processor, `cuda:N`
the same on a card. A card is worth its price with thousands of vehicles.
"""

import dataclasses
import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from spike_ctrl import airframe
from spike_ctrl.learn import device, recipe
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.sim.environment import Environment
from spike_ctrl.sim.episode_flags import FIRST

SIZES = {"processor": (1024, 8192), "card": (8192, 131_072, 1_048_576)}  # vehicles of an environment
FLOWN = {"processor": (64, 512), "card": (64, 1024, 8192)}  # vehicles of an update
SECONDS = 2.0  # of each measurement


def measure(seconds: float = SECONDS) -> dict[str, float]:
    """Environment and training steps per second by device and number of vehicles."""
    figures = {}
    with_warp = importlib.util.find_spec("warp") is not None
    if not with_warp:
        print("  only cpu: Warp is not installed; pip install './plug_ins/warp[gpu]'", flush=True)
    cards = [name for name in device.devices() if name.startswith("cuda:")]
    for name in ["cpu", *(["warp", *cards] if with_warp else [])]:
        kind = "card" if name in cards else "processor"
        print(f"  {name}: {device.devices().get(name, 'Warp on this processor')}", flush=True)
        for vehicles in SIZES[kind]:
            rate = _rate(_environment(name, vehicles), vehicles, seconds)
            figures[f"device_{name}_environment_{vehicles}_steps_per_s"] = rate
        for vehicles in FLOWN[kind]:
            student = _student(name, vehicles)
            steps = vehicles * student.recipe.bptt.segment
            figures[f"device_{name}_training_{vehicles}_steps_per_s"] = _rate(student.iterate, steps, seconds)
    return figures


def _rate(run: Callable[[], object], steps: int, seconds: float) -> float:
    """Steps per second of calls with so many steps each."""
    run()  # compiles
    _wait()
    begun, calls = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        for _ in range(4):
            run()
        calls += 4
        _wait()
    return calls * steps / (time.perf_counter() - begun)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _environment(name: str, vehicles: int) -> Callable[[], Any]:
    craft = airframe.load("crazyflie")
    if name == "cpu":
        environment, actions = Environment(craft, vehicles), np.zeros((vehicles, 4), np.float32)
        environment.reset(seed=0)
        return lambda: environment.step(actions)
    from spike_ctrl_warp.device_environment import DeviceEnvironment
    from spike_ctrl_warp.devices import warp_device

    place = warp_device(name)
    flown, still = DeviceEnvironment(craft, vehicles, device=place), torch.zeros(vehicles, 4, device=place)
    flown.reset(seed=0)
    return lambda: flown.step(still)


def _student(name: str, vehicles: int) -> Learner:
    """A learner of one update per iteration that has seen where episodes begin."""
    plan = recipe.find("default").on(name)
    settings = dataclasses.replace(plan.bptt, updates=1, vehicles=vehicles, pool=max(vehicles, 512))
    craft = airframe.load("crazyflie")
    student, environment = Learner(dataclasses.replace(plan, bptt=settings), craft, 64, 0), Environment(craft, 64)
    observation, _ = environment.reset(seed=0)
    still, flags = np.zeros((64, 4), np.float32), np.full(64, FIRST, np.uint8)
    seen = (observation, environment.rotor_speed, environment.disturbance)
    student.receive(Rows(flags, *seen, still, still, np.zeros(64, np.float32)))
    return student


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:<50}{value:>14.5g}")
