"""Random flights with faults beside Betaflight, and how often they violated the safety property."""

from collections.abc import Iterator
from pathlib import Path

from spike_ctrl.certification import flight_outcome, monte_carlo
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl_betaflight import virtual_betaflight
from spike_ctrl_betaflight.virtual_betaflight import VirtualBetaflight


def fly_seed(
    seed: int, model: Path, family: str | None = None, fresh: bool = True
) -> tuple[FlightOutcome, VirtualBetaflight]:
    """The flight of a seed; the same again for the same seed. family: one of FAMILIES. fresh: as of PlayedFirmware."""
    who, settings = monte_carlo.competitors(model)
    core = VirtualBetaflight(virtual_betaflight.scenario(seed, who, settings, family), who, settings, fresh=fresh)
    core.fly()
    return flight_outcome.outcome(core), core


def fly_seeds(model: Path, seeds: range, family: str | None = None, fresh: bool = True) -> Iterator[FlightOutcome]:
    """The outcomes, one after the other."""
    for seed in seeds:
        yield fly_seed(seed, model, family, fresh)[0]


def broken(outcomes: list[FlightOutcome]) -> list[FlightOutcome]:
    """Those that violated the safety property, the worst first."""
    found = [o for o in outcomes if o.family != "unseen" and (o.left or o.crashed or o.alarm)]
    return sorted(found, key=lambda o: o.badness, reverse=True)
