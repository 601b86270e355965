"""Estimate by random flights with faults how safe a policy is.

Flies the whole flight core in virtual time: vehicle with its autopilot, bridge, supervisor, guide and policy. Each flight
is drawn from its seed: the plant, the cage, how it moves, and a fault of the table of what can fail that strikes in one of
the phases from take-off to landing. The page tells for each family of faults how often the vehicle left the cage or met the
ground, and how often at most with 95 % confidence. What was flown stays in the folder: the same command goes on where it was
interrupted. Exit code 1: the safety property was violated where it is promised, or a healthy flight was interrupted.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_ctrl._files import output_paths, ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.text_table import text_table
from spike_ctrl._files.time_left import Forecast, time_left
from spike_ctrl.cli._terminal import end_progress, show_progress

if TYPE_CHECKING:
    from spike_ctrl.certification.flight_outcome import FlightOutcome
    from spike_ctrl.certification.monte_carlo import MonteCarloRun

GROUP = "fly"
EXAMPLES = """
spike-ctrl certify models/sih_quadx.safetensors
spike-ctrl certify models/sih_quadx.safetensors --flights 10000 --workers 2
spike-ctrl certify models/sih_quadx.safetensors models/any_rates.safetensors --family none   # healthy flights: alarms
spike-ctrl certify models/sih_quadx.safetensors --replay 1234     # that flight again: its bag, and a report on it
"""
WORST, SHOW_PERIOD = 10, 1.0


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, nargs="+", help="a checkpoint; of several, one after the other")
    parser.add_argument(
        "--flights",
        type=int,
        default=1000,
        help="how many in all; those in the folder count, and all of them are kept (default: 1000)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: the processors)")
    parser.set_defaults(elsewhere=None)  # of `MonteCarloRun.fly`; an option of a plug-in may set it
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="seed of the first flight (default: 0)")
    parser.add_argument("--family", metavar="FAMILY", help="faults of one family; none: healthy flights (default: all)")
    parser.add_argument("--folder", type=Path, help="where the results are kept (default: runs/certify/MODEL[-FAMILY])")
    parser.add_argument("--replay", type=int, metavar="SEED", help="fly that flight again, write its bag and a report on it")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.certification.injected_fault import FAMILIES
    from spike_ctrl.certification.monte_carlo import MonteCarloRun

    limits = {"flights": (1, 10**7), "workers": (1, 1024), "first": (0, 2**31), "replay": (0, 2**31 + 10**7)}
    ranges.require(vars(options), limits, "--")
    if options.family not in (None, *FAMILIES):
        raise UsageError(f"--family: found '{options.family}', wanted one of {', '.join(FAMILIES)}")
    several = len(options.model) > 1
    if len({model.stem for model in options.model}) < len(options.model):
        raise UsageError("MODEL: found two files of one name, wanted different names: their folders bear them")
    codes: list[int] = []
    healthy: dict[str, list[FlightOutcome]] = {}
    for model in options.model:
        name = model.stem + (f"-{options.family}" if options.family else "")
        folder = options.folder / name if options.folder and several else options.folder or Path("runs/certify") / name
        output_paths.require_folder("--folder", folder)
        if options.replay is not None:
            return _replay(options.replay, model, options.family, folder)
        flown = MonteCarloRun(folder, model, options.first, options.family)
        flights = max(options.flights, len(flown.outcomes))  # fewer would leave flown ones out of the page
        _fly(flown, flights, options.workers, options.elsewhere)
        codes.append(_tell(flown, flights))
        healthy[model.stem] = [o for o in flown.outcomes.values() if o.family == "none"]
    if several and any(healthy.values()):
        _tell_alarms(healthy)
    return max(codes)


def _tell_alarms(healthy: dict[str, list[FlightOutcome]]) -> None:
    """How often a healthy flight was interrupted: of each model and in all."""
    from spike_ctrl.certification.safety_statistics import upper_bound

    lines = [["healthy flights of", "flights", "alarms", "per flight", "at most"]]
    for name, part in (healthy | {"all": [o for one in healthy.values() for o in one]}).items():
        alarms, flights = sum(bool(o.alarm) for o in part), len(part)
        shares = (alarms / max(flights, 1), upper_bound(alarms, flights))
        lines.append([name, str(flights), str(alarms), *(f"{share:.2g}" for share in shares)])
    print(text_table(lines))


def _fly(flown: MonteCarloRun, flights: int, workers: int, elsewhere: Any) -> None:
    """All missing flights, with progress."""
    missing, pace, shown = len(flown.missing(flights)), Forecast(time.monotonic()), -SHOW_PERIOD
    done, seconds, cpu = 0, 0.0, 0.0
    if missing < flights:
        print(f"{flown.folder}: {flights - missing} of {flights} flights are there")
    for found in flown.fly(flights, workers, time.process_time, elsewhere):
        done, seconds, cpu = done + 1, seconds + found.outcome.seconds, cpu + found.cpu
        now = time.monotonic()
        if now - shown >= SHOW_PERIOD or done == missing:
            shown, left = now, pace.left(done / missing, now)
            broken = [not o.promised for o in flown.outcomes.values() if o.left or o.crashed]
            show_progress(
                f"{flights - missing + done}/{flights} flights, {time_left(left)} left, "
                f"{broken.count(False)} violated the safety property, {sum(broken)} more where nothing is promised, "
                f"{seconds / cpu:.0f} virtual s per CPU s"
            )
    end_progress()


def _tell(flown: MonteCarloRun, flights: int) -> int:
    """The table on the terminal, the page and the JSON."""
    from spike_ctrl import __version__
    from spike_ctrl._files import atomic_file, provenance
    from spike_ctrl.certification import monte_carlo
    from spike_ctrl.certification.flight_outcome import FAR, HARD
    from spike_ctrl.certification.safety_statistics import by_family, by_fault_row, by_phase, placed, table
    from spike_ctrl.report import certificate_page, page

    seeds = range(flown.first, flown.first + flights)
    outcomes = [flown.outcomes[seed] for seed in seeds]
    rows, phases, struck = by_family(outcomes), by_phase(outcomes), by_fault_row(outcomes)
    print(table(rows + phases))
    worst = sorted(outcomes, key=lambda o: (o.left or o.crashed, bool(o.alarm), o.badness), reverse=True)[:WORST]
    drawn = [monte_carlo.refly(outcome.seed, flown.model, None, flown.family) for outcome in worst]
    seconds = sum(outcome.seconds for outcome in outcomes)
    about = f"{flown.model}; seeds {seeds[0]} to {seeds[-1]}; made by spike_ctrl {__version__}, {provenance.commit()}"
    written = flown.folder / "certificate.html"
    text = page.page("Certificate of flight safety", certificate_page.sections(rows, phases, struck, drawn, seconds), about)
    atomic_file.write_text(written, text)
    broken = [o._asdict() for o in outcomes if o.left or o.crashed or o.alarm]
    figures = {
        "model": str(flown.model), "commit": provenance.commit(), "first": flown.first,
        "flights": len(outcomes), "virtual_seconds": round(seconds), "families": [row._asdict() for row in rows],
        "phases": [row._asdict() for row in phases], "fault_table": [row._asdict() for row in struck], "broken": broken,
    }  # fmt: skip
    output_paths.write_json("--folder", flown.folder / "certificate.json", figures)
    print(f"page: {written}; figures: {flown.folder / 'certificate.json'}")
    for one in broken[:WORST]:
        what = f"seed {one['seed']}, {one['phase']}, {one['motion']}: {one['faults'] or one['alarm']}"
        print(f"{what}: {placed(one['outside'])} the cage, touchdown {one['hit']:.2f} m/s")
    promised = [o for o in outcomes if o.promised]
    judged = promised or outcomes
    violated, alarms = sum(o.left or o.crashed for o in judged), sum(bool(o.alarm) for o in judged)
    code = int(bool(promised) and violated + alarms > 0)
    unpromised = ", ".join(dict.fromkeys(o.counted for o in outcomes))
    families = "" if promised else f" (the safety property is not promised for: {unpromised})"
    limits = f"left the cage by more than {FAR} m or hit the ground above {HARD:g} m/s{families}"
    print(f"{violated} of {len(judged)} flights {limits}, {alarms} healthy ones were interrupted: exit code {code}")
    return code


def _replay(seed: int, model: Path, family: str | None, folder: Path) -> int:
    """One flight again: what happened, its bag, and a report on it."""
    import webbrowser

    from threadpoolctl import threadpool_limits

    from spike_ctrl import report
    from spike_ctrl.certification import monte_carlo
    from spike_ctrl.certification.flight_bag import FlightBag
    from spike_ctrl.certification.safety_statistics import placed
    from spike_ctrl.flight.event_words import told
    from spike_ctrl.policy import checkpoint

    bag = folder / f"seed-{seed}"
    output_paths.require_bag(bag)
    record = FlightBag(bag, model.stem, checkpoint.read(model))
    outcome, core = monte_carlo.refly(seed, model, record, family)
    record.close()
    print(f"seed {outcome.seed}: {outcome.motion}; {outcome.faults or 'no fault'}")
    for event in core.events:
        print(f"{event.time:7.2f} s  {told(event)}")
    print(f"{placed(outcome.outside)} the cage, touchdown {outcome.hit:.2f} m/s, after {outcome.seconds:.1f} s")
    target = folder / f"seed-{seed}.html"
    with threadpool_limits(1):
        report.write(target, [bag])
    print(f"bag: {bag}; report: {target}")
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(target.resolve().as_uri())
    return 0
