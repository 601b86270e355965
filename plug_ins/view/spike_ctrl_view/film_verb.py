"""Make a film of a training, model or flight: a GIF to show around.

A run: its policies, early to late, each with the same vehicles thrown into the air. A model: the same with it alone.
With --rotor-loss a model flies a figure-eight in which a rotor fails. A bag of a flight: the vehicle, its set-point, and who
flies. It needs no GPU and no screen.
"""

import argparse
from pathlib import Path

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import end_progress, show_progress

GROUP = "recordings"
EXAMPLES = """
spike-ctrl film runs/short -o training.gif
spike-ctrl film models/crazyflie.safetensors -o crazyflie.gif --vehicles 300
spike-ctrl film models/crazyflie_any_rotor.safetensors --rotor-loss 0.8 -o lost.gif
spike-ctrl film bags/20260101-120000 -o flight.gif
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN|BAG|MODEL", type=Path, help="what to film")
    parser.add_argument("-o", "--output", type=Path, default=Path("film.gif"), help="file (default: film.gif)")
    parser.add_argument("--vehicles", type=int, help="of a run or a model, in each picture (default: 100)")
    parser.add_argument(
        "--rotor-loss", type=float, metavar="SHARE", help="of a model: a rotor loses this share of its thrust, 0 to 1"
    )


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import report
    from spike_ctrl_view import film_canvas

    film_canvas.require("--output", options.output)
    kind = report.kind(options.path)
    if kind == "runs":
        raise UsageError(f"{options.path}: found a folder of runs, wanted a model, one of the runs, or a bag")
    if options.vehicles is not None and kind == "bag":
        raise UsageError(f"--vehicles: found with the bag {options.path}, wanted with a run or a model")
    loss = options.rotor_loss
    if loss is not None and (kind == "bag" or options.path.is_dir() or options.vehicles is not None):
        raise UsageError(f"--rotor-loss: found with {options.path}, wanted with a model, without --vehicles")
    if loss is not None and not 0 <= loss <= 1:
        raise UsageError(f"--rotor-loss: found {loss:g}, wanted 0 to 1")
    vehicles = 100 if options.vehicles is None else options.vehicles
    ranges.require({"vehicles": vehicles}, {"vehicles": (1, 2000)}, "--")

    from spike_ctrl_view import flight_film, loss_film, training_film

    if kind == "bag":
        frames, (each, last) = flight_film.film(options.path), flight_film.LENGTH
    elif loss is not None:
        frames, (each, last) = loss_film.film(options.path, loss), loss_film.LENGTH
    else:
        frames, (each, last) = training_film.film(options.path, vehicles), training_film.LENGTH
    count = film_canvas.write_gif(options.output, _told(frames), each, last)
    end_progress()
    print(f"film: {options.output}, {count} pictures, {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


def _told(frames):
    for number, frame in enumerate(frames, 1):
        if not number % 20:
            show_progress(f"{number} pictures drawn")
        yield frame
