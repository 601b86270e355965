"""Whether the intervals of a fit hold: fits to two halves of the flights, whose estimates must agree within them.

python -m spike_ctrl_identify.interval_halves bags/* --splits 4

z: difference of two halves over its deviation by their intervals. Nine of ten are to be below 2.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spike_ctrl import airframe as airframes
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl_identify import flight_choice
from spike_ctrl_identify.fit import Identification
from spike_ctrl_identify.flight_fit import fit_flights
from spike_ctrl_identify.observed_flight import ObservedFlight, observed_flights


def scores(one: Identification, other: Identification) -> dict[str, float]:
    """z of each parameter that both identified."""
    found = {}
    for estimate in one.estimates:
        twin = other.estimate(estimate.name)
        if estimate.identified and twin.identified:
            deviation = np.hypot(estimate.half_width, twin.half_width) / 1.96
            found[estimate.name] = float((estimate.value - twin.value) / deviation)
    return found


def halves(flights: Sequence[ObservedFlight], splits: int) -> list[tuple[list[ObservedFlight], list[ObservedFlight]]]:
    """Random halves of the flights, drawn with seed 0."""
    random, found = np.random.default_rng(0), []
    for _ in range(splits):
        order = random.permutation(len(flights))
        found.append(tuple([flights[i] for i in sorted(part)] for part in np.array_split(order, 2)))
    return found


def judged(flights: Sequence[ObservedFlight], prior: Airframe, splits: int) -> dict[str, list[float]]:
    """z of each parameter in each split."""
    found: dict[str, list[float]] = {}
    for one, other in halves(flights, splits):
        for name, z in scores(fit_flights(prior, one), fit_flights(prior, other)).items():
            found.setdefault(name, []).append(z)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bags", nargs="+", type=Path)
    parser.add_argument("--airframe", default="crazyflie", help="where the fits begin (default: crazyflie)")
    parser.add_argument("--splits", type=int, default=2)
    options = parser.parse_args(arguments)
    prior = airframes.load(options.airframe)
    flights = [flight for flight in observed_flights(options.bags, prior) if flight_choice.usable(flight, print)]
    found = judged(flights, prior, options.splits)
    print(text_table([["parameter", "z"], *([name, " ".join(f"{z:+.1f}" for z in zs)] for name, zs in found.items())]))
    every = np.abs([z for zs in found.values() for z in zs])
    print(f"|z| below 2: {(every < 2).sum()} of {len(every)}")


if __name__ == "__main__":
    main()
