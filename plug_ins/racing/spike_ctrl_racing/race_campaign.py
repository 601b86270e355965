"""Certified races of a policy over a course, kept in a folder as they end, so that the same command goes on."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from spike_ctrl._files import json_lines, processes
from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl_racing.race_certificate import CertifiedRace, RaceCertificate

FLIGHTS = "races.jsonl"
Flown: TypeAlias = tuple[list[CertifiedRace], bool]


class RaceCampaign:
    """The flights of a certificate's seeds, each flown once. kept: of a seed its flights, and whether its race ended early.

    Raises UsageError where the folder holds those of others.
    """

    def __init__(self, folder: Path, certificate: RaceCertificate, model_sha256: str) -> None:
        self.certificate, self.file = certificate, folder / FLIGHTS
        plan = {"model_sha256": model_sha256, "course": certificate.words.text, "code_sha256": _code()}
        monte_carlo.keep_plan(folder, plan)
        self._read()

    def _read(self) -> int:
        """Read what was flown; the bytes of its whole lines."""
        kept, whole = json_lines.read(self.file, _parsed, "race")
        self.kept: dict[int, Flown] = dict(kept)
        return whole

    def fly(self, seeds: Sequence[int], workers: int) -> Iterator[None]:
        """`RaceCertificate.faulty` of the seeds that are missing, in several processes; each is kept as it ends."""
        with json_lines.alone(self.file) as file:
            file.truncate(self._read())
            tasks = {f"race {seed}": (self.certificate, seed) for seed in seeds if seed not in self.kept}
            for seed, (flown, alarm) in processes.results(_fly, tasks, min(workers, max(len(tasks), 1))):
                self.kept[seed] = flown, alarm
                flights = [one._asdict() | {"outcome": one.outcome._asdict()} for one in flown]
                file.write(json.dumps({"seed": seed, "alarm": alarm, "flights": flights}) + "\n")
                file.flush()
                yield

    def flown(self, seeds: Sequence[int]) -> tuple[list[CertifiedRace], list[bool]]:
        """The flights of these seeds so far, and for each whether its race without a fault ended early."""
        found = [self.kept[seed] for seed in seeds if seed in self.kept]
        return [one for flights, _ in found for one in flights], [alarm for _, alarm in found]


def _fly(certificate: RaceCertificate, seed: int) -> tuple[int, Flown]:
    return seed, certificate.faulty(seed)


def _parsed(line: Any) -> tuple[int, Flown]:
    flights = [CertifiedRace(**{**one, "outcome": FlightOutcome(**one["outcome"])}) for one in line["flights"]]
    return int(line["seed"]), (flights, bool(line["alarm"]))


def _code() -> str:
    """sha256 of the sources that decide about a flight."""
    digest = hashlib.sha256(monte_carlo.code().encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
