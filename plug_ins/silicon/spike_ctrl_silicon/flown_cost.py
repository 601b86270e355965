"""What the core costs over a simulated flight: cycles and time of a step, operations, energy, beside CPU and Cortex-M4."""

import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spike_ctrl.evaluation.benchmark import EPISODE_STEPS, EVALUATION_SEED
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task
from spike_ctrl_export import c_cost, write_files
from spike_ctrl_silicon import core_folder, cycle_count, placed_core, power
from spike_ctrl_silicon.integer_network import IntegerNetwork, IntegerRuntime, NumberWidths
from spike_ctrl_silicon.quantise import quantised

CLOCK_MHZ = power.CLOCK_HZ / 1e6


def flight(found: Checkpoint, network: IntegerNetwork, seconds: float) -> tuple[NDArray[np.float32], frozenset[int]]:
    """Observations [S, in] of flights from the first frozen starts, and the steps that begin one. One lasts 5 s or less."""
    steps = max(1, round(RATE_HZ * seconds))
    vehicles = -(-steps // EPISODE_STEPS)
    craft, runtime = found.airframe(), IntegerRuntime(network)
    environment = Environment(craft, vehicles, Task(box=100.0, episode_steps=EPISODE_STEPS + 1))
    observation, _ = environment.reset(seed=EVALUATION_SEED)
    state, seen = runtime.initial_state(vehicles), []
    for _ in range(min(steps, EPISODE_STEPS)):
        seen.append(complete_of(runtime, observation, environment).astype(np.float32))
        action, state = runtime.step(seen[-1], state)
        observation = environment.step(action)[0]
    flown = np.stack(seen, axis=1)
    return flown.reshape(-1, flown.shape[-1])[:steps], frozenset(range(0, steps, len(seen)))


def tell(found: Checkpoint, name: str, widths: NumberWidths, lanes: int, seconds: float, place: bool) -> int:
    """Print the cost of a checkpoint's core; the exit code. Raises UsageError."""
    network = quantised(found, widths, name)
    print(f"{name}: {widths.words}, {lanes} lanes; {seconds:g} s of flight in Verilator ...", flush=True)
    observations, starts = flight(found, network, seconds)
    cycles = cycle_count.flown(network, lanes, observations, starts)
    longest, rate = cycle_count.longest(network, lanes), found.manifest.contract.rate_hz
    print(f"{len(observations)} steps equal to the integer network bit by bit; spikes per step {_list(cycles.spikes, 1)}")
    print(f"cycles per step: median {cycles.median:.0f}, most {cycles.most}, longest possible {longest}")
    times = _list((cycles.median / CLOCK_MHZ, cycles.most / CLOCK_MHZ, longest / CLOCK_MHZ), 1)
    print(f"at {CLOCK_MHZ:g} MHz: {times} us; highest rate of steps {1e6 * CLOCK_MHZ / longest:.0f} Hz")
    sizes, recurrent = network.sizes, network.neuron.recurrent
    rates = [count / width for count, width in zip(cycles.spikes, sizes[1:-1], strict=True)]
    usual, most = c_cost.operations(sizes, rates, recurrent), c_cost.longest(sizes, recurrent)
    print(
        f"operations per step: {usual.multiplied:.0f} multiplications, {usual.added:.0f} additions, at most {most.added:.0f}"
    )
    for processor, each in c_cost.PROCESSORS.items():
        clock = c_cost.CLOCK_HZ[processor] / 1e6
        took = _list((usual.times(each) / clock, most.times(each) / clock), 0)
        print(f"{processor} at {clock:.0f} MHz, estimated: {took} us")
    print(f"this computer, compiled float32 step: median {_cpu_step(found, observations):.0f} us")
    if place:
        print("placing for an ECP5-25F ...", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), core_folder.files(found, network, lanes, name))
            placed = placed_core.place(Path(folder))
        print(placed.words)
        used = {kind: count for kind, (count, _) in placed.used.items()}
        nets = used["TRELLIS_COMB"] + used["TRELLIS_FF"]
        parts = power.Parts(used["DP16KD"], used["MULT18X18D"], nets, used["TRELLIS_FF"])
        print(f"at {rate:g} Hz: {power.estimate(parts, cycles.median, rate).words}")
    return 0


def _cpu_step(found: Checkpoint, observations: NDArray[np.float32]) -> float:
    policy = found.compiled()
    state, took = policy.initial_state(), []
    for observation in observations:
        begun = time.perf_counter()
        _, state = policy.step(observation, state)
        took.append(time.perf_counter() - begun)
    return 1e6 * float(np.median(took))


def _list(values: tuple[float, ...], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
