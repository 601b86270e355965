"""The verbs of spike-ctrl that learn about an airframe from bags."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from spike_ctrl._files import output_paths
from spike_ctrl._files.errors import UsageError


def add_identify(verbs, verb) -> None:
    parser = verb(
        verbs,
        "identify",
        "Fit an airframe's parameters to recorded flight, with 95 % intervals, and write it with ranges to train with.\n\n"
        "From a flight: thrust per mass, motor lag, inertia per mass, yaw torque, drag, and the delay of a rate loop.",
        "  spike-ctrl identify bags/20260101-120000 --airframe sih_quadx -o mine.yaml\n"
        "  spike-ctrl train mine_recipe.yaml --airframe mine.yaml\n",
    )
    _add_bags(parser)
    parser.add_argument("-o", "--output", type=Path, default=Path("airframe.yaml"), help="file (default: airframe.yaml)")
    parser.set_defaults(do=_identify)


def _add_bags(parser) -> None:
    parser.add_argument("bags", nargs="+", metavar="BAG", type=Path, help="flights of one vehicle, or runs of sim_train")
    parser.add_argument(
        "--airframe", default="crazyflie",
        help="what it is about: the airframe that was flown with, a name or a path to a YAML file (default: crazyflie)",
    )  # fmt: skip
    parser.add_argument("--recipe", help="to train with, a name or a path (default: robust for motors, rates for rates)")


def _identified(options, name: str):
    """Airframe that was known before, what was found, and the recipe for it."""
    from spike_ctrl import airframe as airframes
    from spike_ctrl.identify import IdentifyError
    from spike_ctrl.identify import identified_airframe as identification
    from spike_ctrl.learn import recipe as recipes

    prior = airframes.load(options.airframe)
    base = recipes.find(options.recipe or identification.BASE[prior.action_layout])
    base.require_fit(prior)
    print(f"comparing the flight with simulations of {prior.name} ...", flush=True)
    try:
        found = identification.identify(options.bags, prior, name, _progress)
    except IdentifyError as error:
        raise UsageError(f"{', '.join(map(str, options.bags))}: {error}") from None
    print(f"airframe {prior.name}: {found.windows} windows of {found.steps / 100:g} s are compared")
    print(identification.table(found, prior))
    return found, identification.recipe(found, base)


def _progress(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _identify(options) -> int:
    from spike_ctrl.identify import identified_airframe as identification

    output_paths.require_file("--output", options.output)
    output_paths.require_file("--output", identification.beside(options.output))
    found, plan = _identified(options, options.output.stem)
    try:
        recipe = identification.write(options.output, found, options.bags, plan)
    except OSError as error:
        raise UsageError(f"--output {options.output}: cannot be written ({error.strerror})") from None
    print(f"airframe: {options.output}\nrecipe: {recipe}")
    print(f"train with: spike-ctrl train {recipe} --airframe {options.output}")
    return 0


def add_retrain(verbs, verb) -> None:
    parser = verb(
        verbs,
        "retrain",
        "From a bag to a policy for the vehicle that flew it: identify, train on plants around the estimate, evaluate.\n\n"
        "Exit code 0: the policy passes all lines; 1: it does not; 2: the bag or the command line lacks something.",
        "  spike-ctrl retrain bags/20260101-120000 --airframe sih_quadx --run runs/mine\n",
    )
    _add_bags(parser)
    parser.add_argument("--steps", type=int, default=0, help="environment steps (default, and 0: the recipe's)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--run", type=Path, help="folder for results (default: runs/retrain-TIME)")
    parser.set_defaults(do=_retrain)


def _retrain(options) -> int:
    folder = options.run or Path("runs") / f"retrain-{time.strftime('%Y%m%d-%H%M%S')}"
    output_paths.require_folder("--run", folder)

    from spike_ctrl._files import provenance
    from spike_ctrl.evaluation import acceptance
    from spike_ctrl.learn import resumption
    from spike_ctrl.learn.run import Run, RunError
    from spike_ctrl.learn.trainer import train
    from spike_ctrl.policy import checkpoint

    try:
        resumption.require_new(folder)
    except resumption.EarlierError as error:
        raise UsageError(str(error)) from None
    found, plan = _identified(options, f"{Path(options.airframe).stem}_identified")
    stop: list[int] = []
    try:
        about = {"clock": time.monotonic, "command": provenance.command(), "commit": provenance.commit()}
        run = Run.start(folder, plan.with_steps(options.steps), found.airframe, 256, options.seed, **about)
        print(f"run {run.folder}: recipe {plan.name}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: stop.append(number))
        finished = train(run, _line, lambda: bool(stop))
        print()
        if not finished:
            run.save()
            run.close()
            print(f"stopped; go on with: spike-ctrl train --resume {run.folder}")
            return 130
        run.finish()
    except (RunError, ValueError) as error:
        raise UsageError(str(error)) from None
    print("evaluating ...", flush=True)
    policy = checkpoint.load(run.policy_path).policy
    checks = acceptance.checks(policy, found.airframe, run.learner.recipe.task.randomisation)
    print(acceptance.table(checks))
    print(f"policy: {run.policy_path}\nairframe: {run.folder / 'airframe.yaml'}")
    return 0 if all(check.passed for check in checks) else 1


def _line(line: str) -> None:
    print(f"\r\x1b[K{line}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)
