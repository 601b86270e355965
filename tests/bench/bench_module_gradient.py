"""The model gradient of one segment: `python tests/bench/bench_module_gradient.py` prints what `measure` returns.

The network of the paper, 18-256-128-4, once by the closed-loop kernel and once as a plain torch module through the
differentiable control step: 64 vehicles, 25 steps, forward and backward, one thread. CPU time of this process, best of
several runs taken in turn.
"""

import functools
import json
import math
import time
from collections.abc import Callable

import numpy as np
import torch

from spike_ctrl import airframe
from spike_ctrl.learn import bptt_kernel
from spike_ctrl.learn.bptt import _views
from spike_ctrl.learn.objective import Objective
from spike_ctrl.sim.action_mapping import at_hover, command
from spike_ctrl.sim.block_step import motion
from spike_ctrl.sim.environment import RATE_HZ, Environment
from spike_ctrl.sim.randomisation import MAX_DELAY
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_networks import module_gradient

VEHICLES, STEPS, SLOPE = 64, 25, 2.0
OBJECTIVE = Objective(*map(np.float32, (1.0, 0.1, 0.25, 0.14, 0.5, 2.0, 0.3, 0.5, 0.7, 1.0, 0.8, 0.0, 8.0, 0.3, 0.98, 5.0)))
AIRFRAMES = {"motors": "crazyflie", "rates": "sih_quadx"}


def measure(repeats: int = 15) -> dict[str, float]:
    """Milliseconds of either way and their ratio, for both action layouts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: value for layout in AIRFRAMES for name, value in _figures(layout, repeats).items()}
    finally:
        torch.set_num_threads(threads)


def _figures(layout: str, repeats: int) -> dict[str, float]:
    runs = _runs(layout)
    best = dict.fromkeys(runs, math.inf)
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if repeat:  # the first one compiles
                best[name] = min(best[name], time.process_time() - start)
    figures = {f"model_gradient_{layout}_{name}_ms": 1e3 * seconds for name, seconds in best.items()}
    return figures | {f"model_gradient_{layout}_module_times_kernel": best["module"] / best["kernel"]}


def _runs(layout: str) -> dict[str, Callable[[], None]]:
    craft = airframe.load(AIRFRAMES[layout])
    rest = np.float32(command(at_hover(craft)))
    generator = torch.Generator().manual_seed(0)
    network = SpikingNetwork(generator=generator, output_bias=[math.atanh(at_hover(craft))] * 4)
    environment = Environment(craft, VEHICLES)
    environment.reset(seed=0)
    noise, seen, course = (np.zeros((STEPS, rows, VEHICLES), np.float32) for rows in (4, 18, 3))
    flight = bptt_kernel.SegmentConditions(noise, seen, np.zeros(VEHICLES, np.float32), course)
    moves, commands = motion(craft, 1 / RATE_HZ), np.full((MAX_DELAY, 4, VEHICLES), rest, np.float32)
    sees = bptt_kernel.PRESENT, bptt_kernel.NO_VOLTS
    tape = bptt_kernel.tape(STEPS, network.sizes[1:-1], VEHICLES, layout)
    tape.command[:MAX_DELAY] = commands
    policy = _views(network, lambda parameter: parameter.detach().numpy())
    gradient = _views(network, lambda parameter: np.zeros(tuple(parameter.shape), np.float32))
    model = (moves.arms, moves.extension, moves.dt, rest, moves.loop, moves.late, policy)

    def kernel() -> None:
        buffer = environment.buffer.copy()
        bptt_kernel.fly_segment(buffer, *model, tape, *flight[:4], *sees)
        bptt_kernel.segment_vjp(buffer, *model, tape, *flight[2:4], OBJECTIVE, np.float32(SLOPE), gradient, *sees)

    def module() -> None:
        network.zero_grad()
        step, state = functools.partial(network.step, slope=SLOPE), network.initial_state(VEHICLES)
        buffer = environment.buffer.copy()
        module_gradient.fly_module(step, state, buffer, moves, rest, commands, flight, OBJECTIVE).cost.backward()

    return {"kernel": kernel, "module": module}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
