"""Judge how well an airframe predicts recorded flights.

From many starts the simulation flies on with the recorded motor commands and battery voltage; its errors after .01, .1, .5
and 1 s stand beside those of holding the state, of constant velocity and rates, and of a small LSTM. With --leave-one-out
each flight is also predicted by a fit to the others: the verdict on the fit itself.
"""

import argparse
from pathlib import Path

import numpy as np

from spike_ctrl._files import atomic_file, output_paths, ranges
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.cli._terminal import end_progress, progress_with_time_left
from spike_ctrl_identify import FIT_AHEAD
from spike_ctrl_identify.identify_verb import add_ahead

GROUP = "recordings"
RANGES = {"lstm_steps": (1, 10**6), "seed": (0, 2**32 - 1)}
EXAMPLES = """
spike-ctrl fidelity crazyflie_real bags/flight
spike-ctrl fidelity mine.yaml bags/* -o fidelity.html
spike-ctrl fidelity crazyflie bags/* --leave-one-out --no-lstm --json fidelity.json
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("airframe", metavar="AIRFRAME", help="a name or a path to a YAML file, in layout motors")
    parser.add_argument("bags", nargs="+", metavar="BAG", type=Path, help="flights by motor commands, of one vehicle")
    parser.add_argument("-o", "--output", type=Path, help="write a page with traces to this HTML file, and a PNG beside it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--leave-one-out", action="store_true", help="also fit to all flights but one, from AIRFRAME")
    add_ahead(parser)
    parser.add_argument("--no-lstm", action="store_true", help="leave the LSTM out, which takes some minutes")
    parser.add_argument("--lstm-steps", type=int, default=500, help="updates of each LSTM (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the LSTM (default: 0)")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe as airframes
    from spike_ctrl_identify import IdentifyError, fidelity, flight_choice
    from spike_ctrl_identify.observed_flight import observed_flights

    ranges.require(vars(options), RANGES, "--")
    if options.ahead != FIT_AHEAD and not options.leave_one_out:
        raise UsageError("--ahead: found it alone, wanted --leave-one-out beside it: only that fits")
    picture = options.output and options.output.with_suffix(".png")
    paths = [path for path in (options.output, picture, options.json) if path]
    if len(set(paths)) < len(paths):
        raise UsageError(f"--output, --json: found {', '.join(map(str, paths))}, wanted page, picture and figures apart")
    for name, path in (("--output", options.output), ("--output", picture), ("--json", options.json)):
        if path:
            output_paths.require_file(name, path)
    craft = airframes.load(options.airframe)
    craft.require_layout("motors")
    flights = observed_flights(options.bags, craft)
    flights = [flight for flight in flights if flight_choice.usable(flight, print)] or flights
    if craft.battery and (dark := [flight.name for flight in flights if not flight.powered]):
        raise UsageError(f"{', '.join(dark)}: found no battery voltage, wanted it: {craft.name} has a battery")
    try:
        judged = fidelity.judge(craft.name, craft, flights)
        ways = [*fidelity.simple(flights), judged]
        if not options.no_lstm and len(flights) > 1:
            ways.insert(2, _lstm(options, flights))
        whole = fidelity.judge_whole(f"{craft.name}, no packet lost", craft, flights)
        if not np.array_equal(whole.values, judged.values, equal_nan=True):
            ways.append(whole)
        if options.leave_one_out:
            ways.append(fidelity.leave_one_out(craft, flights, progress_with_time_left(), options.ahead)[0])
    except IdentifyError as error:
        raise UsageError(f"{', '.join(map(str, options.bags))}: {error}") from None
    end_progress()
    print(fidelity.counted(len(flights), sum(len(flight.starts()) for flight in flights)))
    print(fidelity.fidelity_table(ways))
    if len(flights) == 1 and not options.no_lstm:
        print("LSTM: left out, it needs a second flight to learn from")
    if options.output:
        _page(options, craft, ways, flights)
    if options.json:
        figures = {way.name: {"mean": way.mean.tolist(), "interval": way.interval().tolist()} for way in ways}
        about = {"horizons": list(fidelity.HORIZONS), "flights": [flight.name for flight in flights]}
        output_paths.write_json("--json", options.json, about | {"errors": figures})
    return 0


def _lstm(options: argparse.Namespace, flights):
    from spike_ctrl.learn.training_process import training_process
    from spike_ctrl_identify.lstm_baseline import judge_lstm

    with training_process():
        return judge_lstm(flights, options.lstm_steps, options.seed, progress_with_time_left())


def _page(options: argparse.Namespace, craft, ways, flights) -> None:
    from spike_ctrl import __version__
    from spike_ctrl.report import page
    from spike_ctrl_identify import fidelity_section

    picture = options.output.with_suffix(".png")
    title = f"Fidelity of {craft.name}"
    about = f"{', '.join(flight.name for flight in flights)}; made by spike_ctrl {__version__}"
    with refused(f"--output {options.output}: cannot be written"):
        text = page.page(title, [fidelity_section.section(craft, ways, flights)], about)
        atomic_file.write_text(options.output, text)
        fidelity_section.save_png(craft, ways, flights[0], picture)
    print(f"page: {options.output}\npicture: {picture}")
