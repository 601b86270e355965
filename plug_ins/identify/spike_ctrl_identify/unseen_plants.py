"""Flies policies in plants that were fitted to different flights of one vehicle: none of them trained on these.

python -m spike_ctrl_identify.unseen_plants bags/* --models crazyflie_real any_quad --subsets 3 --folder plants

The flights are split into subsets, and one airframe is fitted to each (written to --folder, and read from there again). Each
plant flies a hover and figure-eights of .5 and 1 m/s, at four voltages that do not fall, with an angular drag of 0, of 1 1/s
and as fitted. Each vehicle has the trim of one of all the flights and the sensor errors of `real_plants.SENSORS`; with
--joint 1 also a draw of the joint spread. Printed: share kept within 1 m / RMSE of these in cm, over the plants. Vehicles
that full commands do not carry are left out, and "of" tells the share that is left: with the trim, the voltage's sag under
its load and the torque of the mean speed, a rotor needs more than all of its command. The fitted plant decides.
"""

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from spike_ctrl import airframe as airframes
from spike_ctrl._files import output_paths
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import GRAVITY, Airframe, rotor_speed
from spike_ctrl.control.lost_rotor import effect
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.controllers import Controller, PolicyController
from spike_ctrl.evaluation.tracking import errors, hovering
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark.real_plants import SENSORS
from spike_ctrl_identify import flight_choice
from spike_ctrl_identify.flight_fit import fit_flights
from spike_ctrl_identify.observed_flight import ObservedFlight, observed_flights

VOLTAGES = (3.75, 3.6, 3.4, 3.2)
DRAGS = {"none": 0.0, "1 1/s": 1.0, "fitted": math.nan}
SPEEDS = {"hover": 0.0, "figure8 .5 m/s": 0.5, "figure8 1 m/s": 1.0}
LEAD, LOST = 4.0, 1.0  # s, m
FIGURE8 = 6.097  # m in a round of size 1 m


def subsets(flights: Sequence[ObservedFlight], count: int) -> list[list[ObservedFlight]]:
    """The flights dealt into `count` subsets, drawn with seed 0."""
    order = np.random.default_rng(0).permutation(len(flights))
    return [[flights[i] for i in sorted(order[n::count])] for n in range(count)]


def plants(
    folder: Path, flights: Sequence[ObservedFlight], prior: Airframe, count: int
) -> tuple[list[Airframe], np.ndarray]:
    """The airframes fitted to the subsets, and the trims of all flights (F, 3) as shares of `_authority`."""
    folder.mkdir(parents=True, exist_ok=True)
    found, trims = [], []
    for number, part in enumerate(subsets(flights, count)):
        file = folder / f"plant{number}_of_{count}.yaml"
        if not file.exists():
            fit = fit_flights(prior, part)
            about = {"given": [flight.name for flight in part], "flights": dict(fit.trims)}
            about["airframe"] = airframes.to_dict(fit.airframe)
            file.write_text(yaml.safe_dump(about, sort_keys=False))
        data = yaml.safe_load(file.read_text())
        if data["given"] != (names := [flight.name for flight in part]):
            raise SystemExit(
                f"{file}: found a fit to {', '.join(data['given'])}, wanted {', '.join(names)}: use another folder"
            )
        found.append(airframes.from_dict(data["airframe"], str(file)))
        trims += [np.array(trim) / _authority(found[-1]) for trim in data["flights"].values()]
    return found, np.array(trims)


def _authority(craft: Airframe) -> np.ndarray:
    """What a trim torque (3,) is measured by, so that it moves another fit's plant alike: inertia x, y; yaw per thrust."""
    return np.array([*craft.inertia[:2], craft.torque_per_thrust])


def fullest_command(craft: Airframe, torque: np.ndarray, speed: float, volts: float) -> np.ndarray:
    """The command (N,) of the rotor that has most to do in level steady flight, in the worst direction; above 1: impossible.

    torque: steady, on the body (N, 3), N m. speed: m/s. volts: of the battery in a hover without torques.
    """
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    turned = np.stack([np.sin(angles), -np.cos(angles), 0 * angles], -1) * [*craft.velocity_moment, 0.0]
    wanted = np.empty((16, len(torque), 4))
    wanted[..., 0], wanted[..., 1:] = craft.mass * GRAVITY, -torque - speed * turned[:, None]
    rotors = rotor_speed(craft.thrust_curve, wanted @ np.linalg.inv(effect(craft)).T)
    if battery := craft.battery:
        sagged = volts + battery.sag * (craft.hover**3 - (rotors**3).mean(-1, keepdims=True))
        rotors = rotors / battery.factor(sagged)
    return rotors.max((0, 2))


class PlantOutcome(NamedTuple):
    """Of one plant: share of the vehicles that full commands carry, share of these that was kept, RMSE (m) of the kept."""

    possible: float
    kept: float
    rmse: float


def fly_plants(
    controller: Controller, craft: Airframe, trims: np.ndarray, speed: float, volts: float, drag: float, vehicles: int,
    seconds: float, joint: float,
) -> PlantOutcome:  # fmt: skip
    """What becomes of the vehicles; kept: within LOST. drag: 1/s, NaN for the fitted one."""
    if not math.isnan(drag):
        craft = dataclasses.replace(craft, angular_drag=drag * craft.inertia[0])
    trim = trims[np.arange(vehicles) % len(trims)] * _authority(craft)
    possible = fullest_command(craft, trim, speed, volts) <= 1
    if not possible.any():
        return PlantOutcome(0.0, math.nan, math.nan)
    spread = Randomisation(joint=joint, sensors=dataclasses.replace(SENSORS, by_flight=0.4))
    if battery := craft.battery:
        charge = (volts + battery.sag * craft.hover**3 - battery.empty) / (battery.full - battery.empty)
        craft = dataclasses.replace(craft, battery=dataclasses.replace(battery, endurance=1e5))
        spread = dataclasses.replace(spread, charge_low=charge, charge_high=charge)
    steps = int(RATE_HZ * (LEAD + seconds))
    environment, observation = hovering(craft, vehicles, steps, spread)
    torque = environment.disturbance.copy()
    torque[:, 3:] = trim
    environment.disturbance = torque
    path = Trajectory("figure8", period=FIGURE8 / speed, lead=LEAD) if speed else Trajectory("hover", lead=LEAD)
    distance = errors(controller, environment, observation, path).distance
    kept = (distance <= LOST).all(0) & possible
    rmse = float(np.sqrt((distance[:, kept] ** 2).mean())) if kept.any() else math.nan
    return PlantOutcome(float(possible.mean()), float(kept[possible].mean()), rmse)


def judged(
    models: Sequence[str], crafts: Sequence[Airframe], trims: np.ndarray, vehicles: int, seconds: float, joint: float
) -> dict[tuple, PlantOutcome]:
    """By model, angular drag, reference, voltage and plant."""
    found = {}
    for model in models:
        controller = PolicyController(checkpoint.load(model).policy)  # which was made for another airframe than these
        for word, drag in DRAGS.items():
            for path, speed in SPEEDS.items():
                for volts in VOLTAGES:
                    for number, craft in enumerate(crafts):
                        told = fly_plants(controller, craft, trims, speed, volts, drag, vehicles, seconds, joint)
                        found[model, word, path, volts, number] = told
            print(plant_table(found, model, word), flush=True)
    return found


def plant_table(found: dict[tuple, PlantOutcome], model: str, drag: str) -> str:
    """Mean over the plants: kept / RMSE in cm; a row for each reference, a column for each voltage."""
    rows = [[f"{model}, angular drag {drag}", *(f"{volts:g} V" for volts in VOLTAGES)]]
    for path in SPEEDS:
        told = [[value for key, value in found.items() if key[:4] == (model, drag, path, volts)] for volts in VOLTAGES]
        rows.append([path, *map(_cell, told)])
    return text_table(rows)


def _cell(plants: Sequence[PlantOutcome]) -> str:
    """Plants none of whose vehicles can fly do not count."""
    possible = float(np.mean([plant.possible for plant in plants]))
    if not possible:
        return "impossible"
    words = f"{np.nanmean([plant.kept for plant in plants]):.2f}/{100 * np.nanmean([plant.rmse for plant in plants]):.1f}"
    return words if possible == 1 else f"{words} of {possible:.2f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bags", nargs="+", type=Path)
    parser.add_argument("--models", nargs="+", default=["crazyflie_real", "any_quad"], help="names or paths")
    parser.add_argument("--airframe", default="crazyflie", help="where the fits begin (default: crazyflie)")
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("plants"), help="of the fitted airframes")
    parser.add_argument("--vehicles", type=int, default=64, help="in each flight (default: 64)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each flight (default: 20)")
    parser.add_argument("--joint", type=float, default=0.0, help="deviations of the joint spread (default: 0)")
    parser.add_argument("--json", type=Path, help="write the figures of each plant")
    options = parser.parse_args(arguments)
    prior = airframes.load(options.airframe)
    flights = [flight for flight in observed_flights(options.bags, prior) if flight_choice.usable(flight, print)]
    crafts, trims = plants(options.folder, flights, prior, options.subsets)
    found = judged(options.models, crafts, trims, options.vehicles, options.seconds, options.joint)
    if options.json:
        output_paths.write_json("--json", options.json, [[*key, *value] for key, value in found.items()])


if __name__ == "__main__":
    main()
