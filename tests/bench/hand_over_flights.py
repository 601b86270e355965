"""How a policy that learns its plant takes over in flight, in virtual time: python tests/bench/hand_over_flights.py MODEL

MODEL: a checkpoint for one airframe that the guide can fly, such as spike-ctrl export models/any_quad.safetensors
--to checkpoint --airframe crazyflie makes. The supervisor decides, as in flight. The guide hovers, the operator asks at
.8 s, a figure-eight of 8 s begins at 12 s. Then the healthy flights of `spike-ctrl certify`: plants that differ by up to
20 %, wind, noise, late commands, and set-points that move from 1 s on.
"""

import argparse
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl.certification import monte_carlo, moving_scenario
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.moving_scenario import Aim, Scenario
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.request import Request

START, MOVES, LASTS = (0.0, 0.0, 1.5), 12.0, 30.0
FIGURE = Trajectory("figure8", START, period=8.0)
SETTLED, SOON = 2.0, 2.0  # s after a hand-over, or after the figure began


class Asked(FlightCore):
    """The operator asks the policy to take over; whether it may is for the supervisor to say."""

    def _engage(self) -> None:
        self.requests.append(Request.ENGAGE)


class Flown(NamedTuple):
    """took: s, when the policy took over, NaN: never. lost: why it lost command. Distances in m; hit: m/s."""

    took: float
    lost: str
    soon: float
    hover: float
    figure: float
    hit: float


class Kind(NamedTuple):
    """noise 0: the healthy flights of certify. late: s, at most."""

    noise: float
    late: float
    told: bool


def fly(model: str, kind: Kind, seed: int) -> Flown:
    who, settings = monte_carlo.competitors(Path(model))
    if kind.noise:
        late = float(np.random.default_rng([seed, 7]).uniform(0, kind.late)) if kind.late else 0.0
        aims = (Aim(MOVES, FIGURE),)
        scenario = Scenario(seed, "none", (1.0,) * 3, late, kind.noise, (0.0,) * 3, START, "figure", aims, (), LASTS)
    else:
        scenario = moving_scenario.draw(10 * seed, settings.cage, settings.envelope, "none")
    core = Asked(scenario, who._replace(told=kind.told), settings)
    core.fly()
    took = next((at for at, rung, _ in core.moves if rung is Rung.SNN), math.nan)
    lost = next((why for at, rung, why in core.moves if at > took and rung is not Rung.SNN), "")
    time = np.array([step.time for step in core.steps])
    distance = np.array([math.dist(step.position, step.wanted) for step in core.steps])

    def rms(begin: float, end: float) -> float:
        part = distance[(time > begin) & (time < end)]
        return float(np.sqrt((part**2).mean())) if len(part) else math.nan

    soon = distance[(time > took) & (time < took + SOON)]
    return Flown(
        took, lost, float(soon.max()) if len(soon) else math.nan, rms(took + SETTLED, MOVES), rms(MOVES + SETTLED, LASTS),
        core.vehicle.plant.hardest_touchdown,
    )  # fmt: skip


def lines(kind: Kind, flown: list[Flown]) -> Iterator[str]:
    took = [one for one in flown if math.isfinite(one.took)]
    kept = [one for one in took if not one.lost]
    calm = f"noise {kind.noise:g}, late {1e3 * kind.late:.0f} ms" if kind.noise else "rough air"
    after = f" after {np.median([one.took for one in took]) - 0.8:.1f} s" if took else ""
    hits = sum(one.hit > 1 for one in flown)
    told = "told" if kind.told else "untold"
    yield f"{calm}, {told}: {len(took)} of {len(flown)} took over{after}, {len(kept)} to the end"
    yield f"    farthest within 2 s {_cm(one.soon for one in took)}; {hits} hits"
    if kind.noise:
        yield f"    hover {_cm(one.hover for one in kept)}, figure-eight {_cm(one.figure for one in kept)}, RMSE"
    yield from (f"    lost: {one.lost}" for one in took if one.lost)


def _cm(values: Iterator[float]) -> str:
    found = 100 * np.array(list(values))
    return f"{found.mean():.1f} +- {found.std(ddof=1) if len(found) > 1 else 0:.1f} cm" if len(found) else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a checkpoint")
    parser.add_argument("--flights", type=int, default=40, help="of each kind (default: 40)")
    options = parser.parse_args()
    kinds = [Kind(noise, late, told) for noise in (0.5, 1.0) for late in (0.0, 0.01) for told in (True, False)]
    with ProcessPoolExecutor() as pool:
        for kind in [*kinds, Kind(0.0, 0.0, True), Kind(0.0, 0.0, False)]:
            count = min(options.flights, 30) if not kind.noise else options.flights
            found = list(pool.map(fly, [options.model] * count, [kind] * count, range(count), chunksize=2))
            print("\n".join(lines(kind, found)), flush=True)


if __name__ == "__main__":
    main()
