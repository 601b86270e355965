"""A Monte-Carlo run: many flights on several processes, kept as they end, so that it goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from spike_ctrl._files import json_lines, output_paths, processes, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.certification import flight_outcome, moving_scenario
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl.certification.flight_parts import Competitors
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.control.lost_rotor import flight_guide
from spike_ctrl.flight.flight_settings import FlightSettings, for_lost_rotor, settings_for
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Checkpoint, CheckpointError

if TYPE_CHECKING:
    from spike_ctrl.certification.flight_bag import FlightBag

AT_ONCE = 4  # flights of a worker between two reports
FLIGHTS, PLAN = "flights.jsonl", "campaign.json"


class FlownSeed(NamedTuple):
    """outcome: of a flight that has just ended. cpu: s that it took."""

    outcome: FlightOutcome
    cpu: float


Flights: TypeAlias = list[FlownSeed]
Elsewhere: TypeAlias = Callable[[Callable[..., Flights], Mapping[str, tuple[Any, ...]], Path], Iterator[Flights]]
"""Gives a function of the arguments of each named task, computed on other machines, as they end; last: the run's folder."""


def code() -> str:
    """sha256 of the sources that decide about a flight: flights of other code are other flights."""
    digest, library = hashlib.sha256(), Path(__file__).parents[1]
    for package in ("certification", "control", "flight", "policy", "px4", "sim", "simulated_px4"):
        for file in sorted((library / package).glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def competitors(model: Path) -> tuple[Competitors, FlightSettings]:
    """Who flies a model: itself, compiled, and the geometric guide. Raises UsageError."""
    return competitors_of(str(model), checkpoint.read(model))


@lru_cache(1)
def competitors_of(model: str, data: bytes) -> tuple[Competitors, FlightSettings]:
    """The same of the bytes of a model, wherever its file is."""
    found = checkpoint.loads(data, name=model)
    with suppress(CheckpointError):  # on another machine, where there is no such file
        found = replace(found, file=checkpoint.place(model))
    return beside_guide(Path(model).stem, found, found.airframe())


def beside_guide(name: str, found: Checkpoint, craft: Airframe) -> tuple[Competitors, FlightSettings]:
    """A checkpoint, compiled, and the guide, with the settings for this vehicle.

    A guide that commands motors flies with a lost rotor, too. A policy that learns its plant is told what is commanded while
    it is in shadow.
    """
    rate_hz = found.manifest.contract.rate_hz
    guide = flight_guide(craft, rate_hz=rate_hz)
    who = Competitors(name, found.compiled(), guide, craft, told=found.manifest.learns_plant)
    return who, for_lost_rotor(settings_for(craft, rate_hz), craft, found.manifest.contract.lost_rotor)


def scenario_of(seed: int, who: Competitors, settings: FlightSettings, family: str | None = None) -> Scenario:
    """The flight of a seed of whoever flies."""
    spread = moving_scenario.spread(who.airframe)
    return moving_scenario.draw_whole(seed, settings.cage, settings.envelope, family, spread)


def refly(
    seed: int, model: Path, record: FlightBag | None = None, family: str | None = None
) -> tuple[FlightOutcome, FlightCore]:
    """The flight of a seed again, exactly. record: as of FlightCore. family: as of MonteCarloRun."""
    who, settings = competitors(model)
    core = FlightCore(scenario_of(seed, who, settings, family), who, settings, record)
    core.fly()
    return flight_outcome.outcome(core), core


def keep_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write what is flown into a new folder. Raises UsageError where the folder holds the flights of another plan."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / PLAN
    if not file.exists():
        output_paths.write_json("--folder", file, plan)
    found = yaml_file.read(file, "campaign")
    for key, value in plan.items():
        there = found.get(key) if isinstance(found, dict) else None
        if there != value:
            raise UsageError(f"{file}: {key}: found {there!s:.80}, wanted {value!s:.80}: give another --folder")


class MonteCarloRun:
    """A model's flights with seeds from `first` on, kept in a folder. family: None: each seed's own. Raises UsageError."""

    def __init__(self, folder: Path, model: Path, first: int = 0, family: str | None = None):
        self.folder, self.model, self.first, self.family = folder, model, first, family
        sha256 = checkpoint.load(model).manifest.sha256
        plan = {"model_sha256": sha256, "first": first, "family": family, "code_sha256": code()}
        keep_plan(folder, plan)
        self._read()

    def _read(self) -> int:
        """Read what was flown; the bytes of its whole lines."""
        outcomes, whole = json_lines.read(self.folder / FLIGHTS, lambda line: FlightOutcome(**line), "flight")
        self.outcomes = {outcome.seed: outcome for outcome in outcomes}
        return whole

    def missing(self, flights: int) -> list[int]:
        """Seeds of the first so many flights that have not been flown."""
        return [seed for seed in range(self.first, self.first + flights) if seed not in self.outcomes]

    def fly(
        self, flights: int, workers: int, clock: Callable[[], float], elsewhere: Elsewhere | None = None
    ) -> Iterator[FlownSeed]:
        """Fly what is missing; each is kept as it ends. clock: CPU s of its process. elsewhere: in place of workers here."""
        who, data = str(self.model), checkpoint.read(self.model)
        with json_lines.alone(self.folder / FLIGHTS) as file:
            file.truncate(self._read())
            seeds = self.missing(flights)
            here = elsewhere is None and (workers == 1 or len(seeds) <= AT_ONCE)  # in this process
            size = 1 if here else AT_ONCE
            parts = [seeds[at : at + size] for at in range(0, len(seeds), size)]
            tasks = {f"flights {part[0]} to {part[-1]}": (who, data, part, self.family, clock) for part in parts}
            fly = elsewhere or (lambda function, tasks, folder: processes.results(function, tasks, 1 if here else workers))
            for found in chain.from_iterable(fly(_fly, tasks, self.folder)):
                self.outcomes[found.outcome.seed] = found.outcome
                file.write(json.dumps(found.outcome._asdict()) + "\n")
                file.flush()
                yield found


def _fly(model: str, data: bytes, seeds: Sequence[int], family: str | None, clock: Callable[[], float]) -> Flights:
    who, settings = competitors_of(model, data)
    found = []
    for seed in seeds:
        begin = clock()
        outcome = flight_outcome.fly_scenario(scenario_of(seed, who, settings, family), who, settings)[0]
        found.append(FlownSeed(outcome, clock() - begin))
    return found
