"""Measure the numbers of the paper anew, beside its own.

Table, figures and findings go to a folder.
An experiment that was stopped goes on with the same command: what is finished is not measured again.
"""

import argparse
import signal
import time
from pathlib import Path

from spike_ctrl._files import output_paths, provenance, ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import end_progress, show_progress
from spike_ctrl_studies import FROM_BAGS, SUMMARIES

GROUP = "train"
EXAMPLES = """
spike-ctrl experiment headline --seeds 5
spike-ctrl experiment headline --recipe td3bc --quick
spike-ctrl experiment gradients --workers 2
spike-ctrl experiment slopes --quick -o runs/experiments/slopes-first
spike-ctrl experiment ablation --seeds 3 --ray auto
spike-ctrl experiment energy
spike-ctrl experiment offline --airframe crazyflie_real --from-bag bags/B2_circle_fast_rep1 bags/B2_circle_fast_rep2
"""
RANGES = {"seeds": (0, 1000), "workers": (1, 1024)}


def add(parser: argparse.ArgumentParser) -> None:
    experiments = "\n".join(f"  {name:<11}{summary}" for name, summary in SUMMARIES.items())
    parser.description = f"{parser.description}\nexperiments:\n{experiments}"
    parser.add_argument("name", choices=SUMMARIES, metavar="NAME", help=", ".join(SUMMARIES))
    parser.add_argument("--quick", action="store_true", help="a small size: minutes on idle cores in place of hours")
    parser.add_argument(
        "--seeds", type=int, default=0, help="how often training is repeated (default, and 0: the experiment's)"
    )
    parser.add_argument("--recipe", default="", help="a name among config/recipes or a path (default: the experiment's)")
    parser.add_argument("--airframe", default="crazyflie", help="a name among config/airframes or a path to a YAML file")
    parser.add_argument(
        "--from-bag", nargs="+", default=[], metavar="BAG", help="recorded flights, for the experiments that learn from them"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="folder (default: runs/experiments/NAME-TIME, or the unfinished one)"
    )
    parser.add_argument("--workers", type=int, default=1, help="local processes of one thread each (default: 1)")
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="measure on the Ray cluster at this address instead")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl_studies import study, study_runner
    from spike_ctrl_studies.figures import MissingPackage
    from spike_ctrl_studies.study import StudyOptions

    _require_bags(options)
    craft = airframe.load(options.airframe)
    craft.require_layout("motors")
    if options.recipe:
        recipes.find(options.recipe).require_fit(craft)
    ranges.require(vars(options), RANGES, "--")
    if options.seeds and not any(study.find(options.name).SEEDS):
        raise UsageError(f"--seeds: found {options.seeds}, wanted none: experiment {options.name} repeats no training")
    output_paths.require_folder("--output", options.output or Path("runs"))
    asked = StudyOptions(options.quick, options.seeds, options.recipe, options.airframe, tuple(options.from_bag))
    origin = {"command": provenance.command(), "commit": provenance.commit()}
    about = {"out": options.output, "stamp": time.strftime("%Y%m%d-%H%M%S"), "origin": origin}
    about |= {"workers": options.workers, "ray": options.ray, "show": show_progress}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        folder = study_runner.run(options.name, asked, clock=time.monotonic, unit_clock=time.process_time, **about)
    except MissingPackage as error:
        raise UsageError(str(error)) from None
    except KeyboardInterrupt:
        end_progress()
        print("stopped; what is finished is kept, the same command goes on")
        return 130
    end_progress()
    print(f"{study_runner.summary(folder)}\n")
    print(f"report: {folder.path / 'report.md'}\nfigures: {folder.path / 'figures.html'}")
    return 0


def _require_bags(options: argparse.Namespace) -> None:
    """An experiment has bags to learn from where it does, and only there."""
    learns = options.name in FROM_BAGS
    if learns and not options.from_bag:
        raise UsageError(f"--from-bag: found none, wanted the bags that experiment {options.name} learns from")
    if options.from_bag and not learns:
        found = f"found {len(options.from_bag)} with experiment {options.name}"
        raise UsageError(f"--from-bag: {found}, wanted none: only {', '.join(FROM_BAGS)} learns from bags")
