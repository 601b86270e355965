"""Flies controllers in the simulators of others for `spike-ctrl eval --simulator`: tables, and figures for its JSON."""

import time
from collections.abc import Callable
from typing import Any

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.json_lines import plain
from spike_ctrl.airframe import Airframe
from spike_ctrl.cli._terminal import end_progress, show_progress
from spike_ctrl.evaluation.controllers import Controller
from spike_ctrl_benchmark import other_simulators
from spike_ctrl_benchmark.crazyflow_simulator import DRONES, CrazyflowSimulator
from spike_ctrl_benchmark.other_simulators import OtherSimulator
from spike_ctrl_benchmark.progress import shares
from spike_ctrl_benchmark.rotorpy_simulator import RotorpySimulator

Figures = dict[str, dict[str, Any]]


def crazyflow(controllers: dict[str, Controller], vehicle: Airframe, seed: int) -> Figures:
    """In each of crazyflow's four Crazyflies."""
    return _fly(
        [lambda count, drone=drone: CrazyflowSimulator(drone, count) for drone in DRONES], controllers, vehicle, seed
    )


def rotorpy(controllers: dict[str, Controller], vehicle: Airframe, seed: int) -> Figures:
    """In rotorpy's Crazyflie."""
    return _fly([RotorpySimulator], controllers, vehicle, seed)


def _fly(
    makers: list[Callable[[int], OtherSimulator]], controllers: dict[str, Controller], vehicle: Airframe, seed: int
) -> Figures:
    """Fly all controllers, print what is taken for granted and the tables; the figures by simulator."""
    vehicles = other_simulators.VEHICLES * len(other_simulators.KINDS)
    begun, flights = time.monotonic(), {}
    for index, make in enumerate(makers):
        show_progress("builds and compiles a simulator")
        try:
            simulator = make(vehicles)
        except ModuleNotFoundError as error:
            raise UsageError(f"--simulator: {error}") from None
        simulator.rotors.require_spin(vehicle)
        found = {}
        for label, controller in controllers.items():
            done = index * len(controllers) + len(found)
            shown = shares(f"{simulator.name}, {label}", done, len(makers) * len(controllers), begun)
            found[label] = other_simulators.fly_simulator(controller, simulator, seed, shown)
        ratio = f"thrust/weight {simulator.rotors.thrust_to_weight:.2f}"
        end_progress()
        print(f"{simulator.name}: {ratio}, {other_simulators.VEHICLES} vehicles of each kind of start, seed {seed}")
        print("\n".join(f"  assumed: {line}" for line in simulator.assumptions))
        print(other_simulators.simulator_table(found))
        about = {"thrust_to_weight": simulator.rotors.thrust_to_weight, "assumptions": list(simulator.assumptions)}
        flights[simulator.name] = about | {"flights": plain(found)}
    return flights
