"""Certified races of a policy over a course, kept in a folder as they end, so that the same command goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from spike_ctrl._files import json_lines, output_paths, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_outcome import FlightOutcome
from spike_ctrl_racing.race_certificate import CertifiedRace, RaceCertificate

FLIGHTS, PLAN = "races.jsonl", "campaign.json"


class RaceCampaign:
    """The flights of a certificate's seeds: each is flown once. Raises UsageError where the folder holds those of others."""

    def __init__(self, folder: Path, certificate: RaceCertificate, model_sha256: str) -> None:
        self.certificate, self.file = certificate, folder / FLIGHTS
        plan = {"model_sha256": model_sha256, "course": certificate.words.text, "code_sha256": _code()}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / PLAN
        if not file.exists():
            output_paths.write_json("--folder", file, plan)
        found: Any = yaml_file.read(file, "campaign")
        for key, value in plan.items():
            if not isinstance(found, dict) or found.get(key) != value:
                raise UsageError(f"{file}: {key}: found that of other flights, wanted that of these: give another --folder")
        kept, self._whole = json_lines.read(self.file, _parsed, "race")
        self.kept = dict(kept)

    def faulty(self, seed: int) -> tuple[list[CertifiedRace], bool]:
        """As `RaceCertificate.faulty`; what was flown before is not flown again."""
        if seed not in self.kept:
            self.kept[seed] = flown, alarm = self.certificate.faulty(seed)
            flights = [one._asdict() | {"outcome": one.outcome._asdict()} for one in flown]
            with self.file.open("a") as file:
                file.truncate(self._whole)
                file.write(json.dumps({"seed": seed, "alarm": alarm, "flights": flights}) + "\n")
            self._whole = self.file.stat().st_size
        return self.kept[seed]


def _parsed(line: Any) -> tuple[int, tuple[list[CertifiedRace], bool]]:
    flights = [CertifiedRace(**{**one, "outcome": FlightOutcome(**one["outcome"])}) for one in line["flights"]]
    return int(line["seed"]), (flights, bool(line["alarm"]))


def _code() -> str:
    """sha256 of the sources that decide about a flight."""
    digest = hashlib.sha256(monte_carlo.code().encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
