"""Make bags of flights that other programs logged.

Crazyflie logs as CSV (of NanoBench and of cfclient), PX4's ULog, and any CSV with a map of its columns; also gzipped.
A table tells what is missing, lost, interpolated, held or late in each log; the bag keeps it.
"""

import argparse
import math
import time
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.time_left import time_left
from spike_ctrl.cli._terminal import end_progress, show_line, show_progress

GROUP = "recordings"
EXAMPLES = """
spike-ctrl import flights/*.csv.gz -o bags/
spike-ctrl import logdata/20260101T10-00-00 -o bags/                # a folder of cfclient: one flight
spike-ctrl import --print-map cfclient > my.yaml                    # a map to change
spike-ctrl import flight.csv --map my.yaml -o bags/
spike-ctrl import flight.ulg --airframe x500 -o bags/               # PX4
spike-ctrl identify bags/* -o mine.yaml
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("logs", nargs="*", metavar="FILE", type=Path, help="logs; a folder of CSV files is one flight")
    parser.add_argument("-o", "--output", type=Path, default=Path("bags"), help="folder of the new bags (default: bags)")
    parser.add_argument(
        "--map", help="how to read the columns of a CSV: a name that --print-map lists or a path to a YAML file"
    )
    parser.add_argument(
        "--airframe", help="whose motors were logged, a name or a path to a YAML file (default: what the map says)"
    )
    parser.add_argument("--print-map", metavar="NAME", help="print a map to begin with, such as cfclient, and end")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl.recordings import bag_origin
    from spike_ctrl_identify import column_map, flight_import, imported_bag

    if options.print_map:
        print(column_map.text(options.print_map), end="")
        return 0
    if not options.logs:
        raise UsageError("FILE: found none, wanted at least one log, or --print-map NAME")
    output_paths.require_folder("--output", options.output)
    chosen = column_map.load(options.map) if options.map else None
    flights = [flight_import.read_flight(path, chosen) for path in options.logs]
    earlier = flight_import.earlier_flights(options.output)
    bag_origin.require_separate([*earlier, *((str(flight.path), flight.sha256) for flight in flights)])
    targets = [options.output / flight_import.bag_name(flight) for flight in flights]
    flight_import.require_new(targets)
    crafts = [_airframe(options.airframe or flight.airframe, flight.path) for flight in flights]
    print(flight_import.HEADER, flush=True)
    begun, left = time.monotonic(), math.inf
    for number, (flight, craft, target) in enumerate(zip(flights, crafts, targets, strict=True), 1):
        found = flight_import.prepare(flight, craft)
        show_progress(f"{number - 1}/{len(flights)} flights, {time_left(left)} left, writing {target}", aside=True)
        imported_bag.write(target, found.ticks, craft, found.origin)
        for line in (flight_import.row(found.origin), *(f"  {words}" for words in found.words)):
            show_line(line)
        left = (time.monotonic() - begun) / number * (len(flights) - number)
    end_progress()
    return 0


def _airframe(name: str, path: Path):
    from spike_ctrl import airframe as airframes

    if not name:
        raise UsageError(f"{path}: found no airframe in the log or its map, wanted --airframe NAME: whose motors these are")
    return airframes.load(name)
