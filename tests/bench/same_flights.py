"""Whether a change of the code leaves flights equal bit by bit: python tests/bench/same_flights.py MODEL FILE [--flights N]

Flies the first flights of `spike-ctrl certify MODEL`, all families. The first time it writes FILE, a line for each seed:
sha256 of every true and estimated position, set-point, rung and event, and the outcome. After that it compares, names the
flights that differ, and ends with code 1. At last: virtual seconds per second of CPU.
"""

import argparse
import hashlib
import sys
import time
from pathlib import Path

from spike_ctrl.certification import flight_outcome, monte_carlo


def line(seed: int, model: Path, family: str | None) -> tuple[str, float, float]:
    """The line of a flight, its length (s) and the CPU time that it took (s)."""
    who, settings = monte_carlo.competitors(model)
    begin = time.process_time()
    flown, core = flight_outcome.fly_scenario(monte_carlo.scenario_of(seed, who, settings, family), who, settings)
    took = time.process_time() - begin
    digest = hashlib.sha256(repr((core.steps, core.moves, core.events)).encode()).hexdigest()
    return f"{seed} {digest} {list(flown)}", flown.seconds, took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--flights", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--family")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.flights)
    lines: list[str] = []
    virtual = cpu = 0.0
    line(seeds[0], options.model, options.family)  # compiles
    for seed in seeds:
        one, flown, took = line(seed, options.model, options.family)
        lines, virtual, cpu = [*lines, one], virtual + flown, cpu + took
    told = f"{virtual / cpu:.1f} virtual s per CPU s"
    if not options.file.exists():
        options.file.write_text("\n".join(lines) + "\n")
        print(f"{options.file}: {len(lines)} flights written; {told}")
        return 0
    before = dict(one.split(" ", 1) for one in options.file.read_text().splitlines())
    differ = [seed for seed, one in zip(seeds, lines, strict=True) if one.split(" ", 1)[1] != before.get(str(seed))]
    print(f"{len(lines) - len(differ)} of {len(lines)} flights are equal; {told}")
    for seed in differ:
        print(f"seed {seed} differs", file=sys.stderr)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
