"""`race draw`, `race room` and `race certify`: a course as a file, the room of a race, and its flights with faults."""

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any

from spike_ctrl._files import atomic_file, output_paths
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl._files.text_table import text_table

HOPELESS = 10  # races without a fault, after which a policy that began none of them will begin none


def draw(options: argparse.Namespace) -> int:
    """Write a drawn course of a seed that no training draws."""
    from spike_ctrl_racing import race_verb, track_sampler
    from spike_ctrl_racing.track_sampler import TrackRanges

    if options.output is None:
        raise UsageError("-o: found none, wanted the file of the course")
    race_verb.require_ending("--output", options.output, ".yaml", ".yml")
    output_paths.require_file("--output", options.output)
    ranges = (
        TrackRanges() if options.low is None else TrackRanges(low=options.low, high=max(options.low + 1, 4.0), pairs=0.0)
    )
    found = track_sampler.draw(race_verb.HELD_OUT + options.seed, 0, ranges)
    lines = [f"name: {found.name}", f"source: {found.source}", "gates:"]
    for gate in found.gates:
        words = [f"{key}: {list(value) if key == 'position' else value}" for key, value in dataclasses.asdict(gate).items()]
        lines.append(f"  - {{{', '.join(words)}}}")
    with refused(f"--output {options.output}: cannot be written"):
        atomic_file.write_text(options.output, "\n".join(lines) + "\n")
    print(f"{options.output}: {len(found.gates)} gates, {found.length:.1f} m a round")
    return 0


def _given(options: argparse.Namespace) -> tuple[Any, Any, Any, Any]:
    """Words, checkpoint, airframe and model's name of a command line. Raises UsageError."""
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_racing import race_flights, race_verb, track
    from spike_ctrl_racing.flown_words import RaceWords

    names, models = race_verb._items(options.items[1:])
    if len(names) != 1 or len(models) != 1:
        given = " ".join(options.items[1:]) or "none"
        raise UsageError(f"race {options.items[0]}: found {given}, wanted a course and a model")
    found = checkpoint.load(race_verb.find_model(models[0]))
    contract = found.manifest.contract
    race_flights.require(found.policy, contract.observation, models[0])
    craft = found.airframe()
    checkpoint.require(contract, {"action": craft.action_layout}, models[0])
    return RaceWords(track.load(names[0]), options.rounds), found, craft, models[0]


def room(options: argparse.Namespace) -> int:
    """Print what a hall must leave free."""
    from spike_ctrl_racing import race_room

    words, found, craft, _ = _given(options)
    needed = race_room.room(found.policy, words, craft, options.seed)
    print(f"{words.track.name}, rounds {words.rounds}: {needed}")
    return 0 if needed.lowest > 0 and all(race.complete for race in needed.races) else 1


def certify(options: argparse.Namespace) -> int:
    """Fly races with faults at their worst moments, and print how many were broken. Those in the folder stay."""
    from spike_ctrl.certification.flight_outcome import FAR, HARD
    from spike_ctrl.certification.safety_statistics import placed, upper_bound
    from spike_ctrl_racing import race_certificate, race_room
    from spike_ctrl_racing.race_campaign import RaceCampaign
    from spike_ctrl_racing.race_certificate import RaceCertificate

    if options.json is not None:
        output_paths.require_file("--json", options.json)
    words, found, craft, name = _given(options)
    folder = options.folder or Path("runs/race_certify") / f"{Path(name).stem}-{words.track.name}-{words.rounds}"
    output_paths.require_folder("--folder", folder)
    needed = race_room.room(found.policy, words, craft)
    print(f"{words.track.name}, rounds {words.rounds}: {needed}", flush=True)
    certificate = RaceCertificate(name, found.compiled(), craft, words, race_certificate.cage_of(needed))
    campaign = RaceCampaign(folder, certificate, found.manifest.sha256)
    if campaign.kept:
        print(f"{folder}: {sum(len(flights) for flights, _ in campaign.kept.values())} flights are there", flush=True)
    flown, early, whole = _fly(options, campaign, name)
    if not flown:
        return 130
    head = [
        "fault",
        "moment",
        "flights",
        "fastest, m/s",
        "left the cage",
        "by more than .3 m",
        "worst, m",
        "hit",
        "m/s",
        "at most",
    ]
    rows = [head]
    for kind, moment in dict.fromkeys((one.outcome.family, one.moment) for one in flown):
        rows.append(_row(kind, moment, [one for one in flown if (one.outcome.family, one.moment) == (kind, moment)]))
    rows.append(_row("all", "", flown))
    print(text_table(rows))
    most = upper_bound(sum(early), len(early))
    print(f"races without a fault: {len(early)}, ended early by the guide: {sum(early)} (at most {most:.2g})")
    for one in race_certificate.broken(flown):
        o = one.outcome
        what = f"seed {o.seed}: {o.faults}: {placed(one.beyond)}, touchdown {o.hit:.2f} m/s, {o.last}"
        print(f"broken (more than {FAR:g} m or {HARD:g} m/s): {what}")
    if options.json:
        output_paths.write_json("--json", options.json, [one.outcome._asdict() | one._asdict() for one in flown])
    return 130 if not whole else 1 if race_certificate.broken(flown) else 0


def _fly(options: argparse.Namespace, campaign: Any, name: str) -> tuple[list[Any], list[bool], bool]:
    """Flights with faults, for each race without one whether it ended early, and whether all were flown.

    Ctrl-C ends it at once, without the races that are being flown.
    """
    from spike_ctrl.cli._terminal import end_progress, show_line, show_progress
    from spike_ctrl_racing import race_certificate

    races, missing, whole = 0, options.flights, True
    try:
        while missing > 0:
            races += math.ceil(missing / race_certificate.EACH)
            seeds = range(options.seed, options.seed + races)
            for _ in campaign.fly(seeds, options.workers):
                flown, early = campaign.flown(seeds)
                if len(early) >= HOPELESS and not flown:
                    end_progress()
                    raise UsageError(f"{name}: began none of {len(early)} races without a fault, wanted a policy that does")
                done = f"{len(flown)}/{options.flights} flights, {len(race_certificate.broken(flown))} broken"
                show_progress(f"{done}, {sum(early)} of {len(early)} races without a fault ended early", aside=True)
            missing = options.flights - len(campaign.flown(seeds)[0])
    except KeyboardInterrupt:
        whole = False
    flown, early = campaign.flown(range(options.seed, options.seed + races))
    if not whole:
        show_line(f"stopped: {len(flown)} of {options.flights} flights are in the table; the command goes on", aside=True)
    end_progress()
    return flown, early, whole


def _row(kind: str, moment: str, part: list[Any]) -> list[str]:
    from spike_ctrl.certification.safety_statistics import upper_bound

    outcomes = [one.outcome for one in part]
    broken = sum(o.left or o.crashed for o in outcomes)
    counts = (sum(one.beyond > 0 for one in part), sum(o.left for o in outcomes))
    worst, hits, hard = max(one.beyond for one in part), sum(o.crashed for o in outcomes), max(o.hit for o in outcomes)
    landed = f"{hard:.2f}" if not math.isnan(hard) else "-"
    fast = max(one.speed for one in part)
    row = [str(len(part)), f"{fast:.1f}", *map(str, counts), f"{worst:.2f}", str(hits), landed]
    return [kind.replace("_", " "), moment, *row, f"{upper_bound(broken, len(part)):.2g}"]
