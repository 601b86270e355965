"""A Monte-Carlo run: many flights on several processes, kept as they end, so that it goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from spike_ctrl import airframe as airframes
from spike_ctrl._files import json_lines
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


Elsewhere: TypeAlias = Callable[[Callable[..., list[FlownSeed]], Mapping[str, tuple[Any, ...]]], Iterator[list[FlownSeed]]]
"""Calls a function with the arguments of each task, by the tasks' names, on other machines; gives results as they end."""


def code() -> str:
    """sha256 of the sources that decide about a flight: flights of other code are other flights."""
    digest, library = hashlib.sha256(), Path(__file__).parents[1]
    for package in ("certification", "control", "flight", "policy", "px4", "sim", "simulated_px4"):
        for file in sorted((library / package).glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def competitors(model: Path) -> tuple[Competitors, FlightSettings]:
    """Who flies a model: itself, compiled, and the geometric guide. Raises UsageError."""
    return _competitors(str(model), checkpoint.read(model))


@lru_cache(1)
def _competitors(model: str, data: bytes) -> tuple[Competitors, FlightSettings]:
    """The same of the bytes of a model, wherever its file is."""
    found = checkpoint.loads(data, name=model)
    contract = found.manifest.contract
    craft = airframes.load(contract.airframe)
    if contract.airframe_hash != craft.hash:
        raise CheckpointError(f"{model}: airframe_hash: found {contract.airframe_hash}, wanted {craft.hash}")
    return beside_guide(Path(model).stem, found, craft)


def beside_guide(name: str, found: Checkpoint, craft: Airframe) -> tuple[Competitors, FlightSettings]:
    """A checkpoint, compiled, and the guide, with the settings for this vehicle.

    A guide that commands motors flies with a lost rotor, too. A policy that learns its plant is told what is commanded while
    it is in shadow.
    """
    rate_hz = found.manifest.contract.rate_hz
    guide = flight_guide(craft, rate_hz=rate_hz)
    who = Competitors(name, found.compiled(), guide, craft, told=found.manifest.learns_plant)
    return who, for_lost_rotor(settings_for(craft, rate_hz), craft, found.manifest.contract.lost_rotor)


def scenario_of(
    seed: int, who: Competitors, settings: FlightSettings, family: str | None = None, table: int = 1
) -> Scenario:
    """The flight of a seed of whoever flies. table: as of MonteCarloRun."""
    draw = moving_scenario.draw if table == 1 else moving_scenario.draw_whole
    return draw(seed, settings.cage, settings.envelope, family, moving_scenario.spread(who.airframe))


def refly(
    seed: int, model: Path, record: FlightBag | None = None, family: str | None = None, table: int = 1
) -> tuple[FlightOutcome, FlightCore]:
    """The flight of a seed again, exactly. record: as of FlightCore. family, table: as of MonteCarloRun."""
    who, settings = competitors(model)
    core = FlightCore(scenario_of(seed, who, settings, family, table), who, settings, record)
    core.fly()
    return flight_outcome.outcome(core), core


class MonteCarloRun:
    """The flights with seeds from `first` on of a model, kept in a folder. Raises UsageError.

    family: one of FAMILIES, of which all flights are; None: each seed has its own. table: 1 draws as until November 2026: in
    the air, in flight, with the kinds of that time.
    """

    def __init__(self, folder: Path, model: Path, first: int = 0, family: str | None = None, table: int = 1):
        self.folder, self.model, self.first, self.family, self.table = folder, model, first, family, table
        sha256 = checkpoint.load(model).manifest.sha256
        plan = {"model_sha256": sha256, "first": first, "family": family, "table": table, "code_sha256": code()}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / PLAN
        if not file.exists():
            file.write_text(json.dumps(plan, indent=2) + "\n")
        if (found := _read_plan(file)) != plan:
            key = next(key for key in plan if found.get(key) != plan[key])
            raise UsageError(f"{file}: {key}: found {found.get(key)}, wanted {plan[key]}: give another folder")
        flown = folder / FLIGHTS
        outcomes, self._whole = json_lines.read(flown, lambda line: FlightOutcome(**line), "flight")
        self.outcomes = {outcome.seed: outcome for outcome in outcomes}

    def missing(self, flights: int) -> list[int]:
        """Seeds of the first so many flights that have not been flown."""
        return [seed for seed in range(self.first, self.first + flights) if seed not in self.outcomes]

    def fly(
        self, flights: int, workers: int, clock: Callable[[], float], elsewhere: Elsewhere | None = None
    ) -> Iterator[FlownSeed]:
        """Fly what is missing; each flight is kept as soon as it has ended. clock: CPU seconds of its process.

        elsewhere: flies in place of this computer's workers.
        """
        missing = self.missing(flights)
        with (self.folder / FLIGHTS).open("a") as file:
            file.truncate(self._whole)
            for part in self._fly_all(missing, workers, clock, elsewhere):
                for found in part:
                    self.outcomes[found.outcome.seed] = found.outcome
                    file.write(json.dumps(found.outcome._asdict()) + "\n")
                    file.flush()
                    yield found

    def _fly_all(
        self, seeds: Sequence[int], workers: int, clock: Callable[[], float], elsewhere: Elsewhere | None
    ) -> Iterator[list[FlownSeed]]:
        who, data, family, table = str(self.model), checkpoint.read(self.model), self.family, self.table
        parts = [seeds[at : at + AT_ONCE] for at in range(0, len(seeds), AT_ONCE)]
        if elsewhere:
            sources = code()
            tasks = {f"flights {part[0]} to {part[-1]}": (who, data, sources, part, family, clock, table) for part in parts}
            yield from elsewhere(_fly_there, tasks)
        elif workers == 1 or len(parts) <= 1:
            for seed in seeds:
                yield _fly(who, data, [seed], family, clock, table)
        else:
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker) as pool:
                waiting, running = iter(parts), set[Future[list[FlownSeed]]]()
                while True:
                    while len(running) < 2 * workers and (part := next(waiting, None)) is not None:
                        running.add(pool.submit(_fly, who, data, part, family, clock, table))
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()


def _begin_worker() -> None:
    """Ctrl-C ends a worker at once, also one that holds a lock; one whose parent was killed would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_for_its_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()


def _fly(
    model: str, data: bytes, seeds: Sequence[int], family: str | None, clock: Callable[[], float], table: int = 1
) -> list[FlownSeed]:
    who, settings = _competitors(model, data)
    found = []
    for seed in seeds:
        begin = clock()
        outcome = flight_outcome.fly_scenario(scenario_of(seed, who, settings, family, table), who, settings)[0]
        found.append(FlownSeed(outcome, clock() - begin))
    return found


def _fly_there(
    model: str, data: bytes, wanted: str, seeds: Sequence[int], family: str | None, clock: Callable[[], float], table: int
) -> list[FlownSeed]:
    """The same on a machine of a cluster, whose spike_ctrl may be another."""
    if (found := code()) != wanted:
        raise UsageError(f"{platform.node()}: code_sha256: found {found}, wanted {wanted}: install this spike_ctrl there")
    return _fly(model, data, seeds, family, clock, table)


def _read_plan(file: Path) -> dict[str, object]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read ({error})") from None
    return found if isinstance(found, dict) else {}
