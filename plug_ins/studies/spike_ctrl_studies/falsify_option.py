"""The option --falsify of `spike-ctrl certify`: a search for the worst flight of each kind of fault.

spike-ctrl certify models/sih_quadx.safetensors --falsify policy guide/flipped --flights 100
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import show_progress


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option to the verb's own."""
    meaning = "search for the worst flight of each: PLACE or PLACE/KIND; --flights each"
    parser.add_argument("--falsify", nargs="+", metavar="FAULT", help=meaning)


def run(options: argparse.Namespace) -> int | None:
    """Search, where it is asked for. Exit code 1: one of the flights violated the safety property."""
    if not options.falsify:
        return None
    from spike_ctrl.certification import flight_outcome, monte_carlo, moving_scenario
    from spike_ctrl.certification.injected_fault import KINDS
    from spike_ctrl_studies import falsifier

    known = {f"{place}/{kind}": (place, kind) for place, kinds in KINDS.items() for kind in kinds}
    asked = [name for word in options.falsify for name in known if name == word or name.startswith(f"{word}/")]
    if odd := [word for word in options.falsify if not any(n == word or n.startswith(f"{word}/") for n in known)]:
        raise UsageError(f"--falsify: found '{odd[0]}', wanted PLACE or PLACE/KIND of {', '.join(known)}")
    if len(options.model) > 1:
        raise UsageError(f"--falsify: found {len(options.model)} models, wanted one")
    folder = options.folder or Path("runs/certify") / options.model[0].stem
    output_paths.require_folder("--folder", folder)
    file = folder / "falsified.json"
    folder.mkdir(parents=True, exist_ok=True)
    who, settings = monte_carlo.competitors(options.model[0])
    found, off = {}, moving_scenario.spread(who.airframe)
    for name in dict.fromkeys(asked):
        tell = partial(_show, name, options.flights)
        worst = falsifier.search(
            *known[name],
            options.flights,
            lambda s: flight_outcome.fly_scenario(s, who, settings)[0],
            options.first,
            tell,
            off,
        )
        found[name] = worst._asdict() | {"outcome": worst.outcome._asdict()}
        file.write_text(json.dumps(found, indent=2) + "\n")
        o = worst.outcome
        told = f"worst {o.outside:.2f} m outside, {o.hit:.2f} m/s, {o.phase}: {o.faults}, then {o.last}"
        print(f"\n{name}: {worst.flights} flights, {told}")
    print(f"figures: {file}")
    return 1 if any(one["robustness"] < 0 for one in found.values()) else 0


def _show(name: str, flights: int, flown: int, left: float) -> None:
    if flown % 10 == 0:
        show_progress(f"{name}: {flown}/{flights} flights; {left:.2f} m or m/s left to the limit")
