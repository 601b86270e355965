"""The option --falsify of `spike-ctrl certify`: a search for the worst flight of each kind of fault.

spike-ctrl certify models/sih_quadx.safetensors --falsify policy guide/flipped --flights 100

Each search is a task of one core: of --workers here, or of the cluster of --ray. What is found is kept as it comes, so that
the same command goes on where it was stopped.
"""

import argparse
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from spike_ctrl._files import atomic_file, output_paths, processes, ranges
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.cli._terminal import show_line, show_progress

Found = dict[str, Any]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the option to the verb's own."""
    meaning = "search for the worst flight of each: PLACE or PLACE/KIND; --flights each"
    parser.add_argument("--falsify", nargs="+", metavar="FAULT", help=meaning)


def run(options: argparse.Namespace) -> int | None:
    """Search, where it is asked for. Exit code 1: one of the flights violated the safety property."""
    if not options.falsify:
        return None
    from spike_ctrl.certification.injected_fault import KINDS
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_studies import ray_cluster

    ranges.require(vars(options), {"flights": (1, 10**7), "workers": (1, 1024)}, "--")
    known = [f"{place}/{kind}" for place, kinds in KINDS.items() for kind in kinds]
    asked = [name for word in options.falsify for name in known if name == word or name.startswith(f"{word}/")]
    if odd := [word for word in options.falsify if not any(n == word or n.startswith(f"{word}/") for n in known)]:
        raise UsageError(f"--falsify: found '{odd[0]}', wanted PLACE or PLACE/KIND of {', '.join(known)}")
    if len(options.model) > 1:
        raise UsageError(f"--falsify: found {len(options.model)} models, wanted one")
    model = options.model[0]
    folder = options.folder or Path("runs/certify") / model.stem
    output_paths.require_folder("--folder", folder)
    file, data = folder / "falsified.json", checkpoint.read(model)
    folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(data, options.flights, options.first)
    found = _read(file)
    missing = [name for name in dict.fromkeys(asked) if found.get(name, {}).get("plan") != plan]
    if len(missing) < len(set(asked)):
        print(f"{file}: {len(set(asked)) - len(missing)} of {len(set(asked))} searches are there")
    workers = max(1, min(options.workers, len(missing)))
    tells = workers == 1 and not options.ray
    tasks = {f"search {name}": (name, str(model), data, options.flights, options.first, tells) for name in missing}
    if options.ray:
        happening = ray_cluster.results(search_kind, tasks, folder, options.ray)
    else:
        happening = processes.results(search_kind, tasks, workers)
    for number, (name, one) in enumerate(happening, 1):
        found[name] = one | {"plan": plan}
        text = json.dumps(dict(sorted(found.items())), indent=2) + "\n"
        atomic_file.write(file, text.encode())
        show_line(_told(name, one))
        show_progress(f"{number}/{len(missing)} searches")
    print(f"\nfigures: {file}")
    return 1 if any(found[name]["robustness"] < 0 for name in asked) else 0


def search_kind(name: str, model: str, data: bytes, flights: int, seed: int, tells: bool) -> tuple[str, Found]:
    """The search for PLACE/KIND with a model of this name and these bytes: the name, and what falsified.json holds of it.

    tells: whether it shows its progress.
    """
    from spike_ctrl.certification import flight_outcome, monte_carlo, moving_scenario
    from spike_ctrl_studies import falsifier

    who, settings = monte_carlo.competitors_of(model, data)
    place, kind = name.split("/")
    worst = falsifier.search(
        place,
        kind,
        flights,
        lambda drawn: flight_outcome.fly_scenario(drawn, who, settings)[0],
        seed,
        partial(_show, name, flights) if tells else lambda flown, left: None,
        moving_scenario.spread(who.airframe),
    )
    return name, worst._asdict() | {"outcome": worst.outcome._asdict()}


def _plan(data: bytes, flights: int, first: int) -> Found:
    """What a search follows from."""
    from spike_ctrl.certification import monte_carlo
    from spike_ctrl_studies import falsifier

    model, own = (hashlib.sha256(one).hexdigest() for one in (data, Path(falsifier.__file__).read_bytes()))
    code = {"code_sha256": monte_carlo.code(), "falsifier_sha256": own}
    return {"model_file_sha256": model, "flights": flights, "first": first, **code}


def _read(file: Path) -> Found:
    if not file.exists():
        return {}
    with refused(f"{file}: cannot be read"):
        try:
            return dict(json.loads(file.read_text()))
        except (ValueError, TypeError):
            raise UsageError(f"{file}: found no JSON of searches: delete it, or give another folder") from None


def _told(name: str, one: Found) -> str:
    from spike_ctrl.certification.safety_statistics import placed

    o = one["outcome"]
    worst = f"worst {placed(o['outside'])}, {o['hit']:.2f} m/s, {o['phase']}: {o['faults']}, then {o['last']}"
    return f"{name}: {one['flights']} flights, {worst}"


def _show(name: str, flights: int, flown: int, left: float) -> None:
    if flown % 10 == 0:
        show_progress(f"{name}: {flown}/{flights} flights; {left:.2f} m or m/s left to the limit")
