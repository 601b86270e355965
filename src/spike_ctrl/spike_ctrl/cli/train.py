"""Train a policy in one process, without ROS.

Results go to a folder, runs/RECIPE-TIME: the policy, its evaluation, metrics, and the state from which to go on.
"""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spike_ctrl._files import output_paths, provenance, ranges
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli._terminal import end_progress, show_progress, stop_signals

if TYPE_CHECKING:
    from spike_ctrl.learn.run import Run

GROUP = "train"
EXAMPLES = """
spike-ctrl train
spike-ctrl train td3bc --steps 1000000 --seed 3 --run runs/short
spike-ctrl train ppo                                # from rewards alone, without a guide
spike-ctrl train any_quad --airframe any_quad --device cuda
spike-ctrl train --resume runs/short
spike-ctrl train --from-bag bags/20260101-120000 bags/20260102-120000    # offline, from what was recorded
spike-ctrl train --from-bag bags/20260101-120000 --online 200000         # then flies on
"""
NAMED = ("recipe", "airframe", "vehicles", "seed", "steps", "run", "device")  # what a resumed run must not contradict


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        nargs="?",
        help="a name among config/recipes or a path to a YAML file (default: default; offline with --from-bag)",
    )
    parser.add_argument("--airframe", help="a name among config/airframes or a path to a YAML file (default: crazyflie)")
    parser.add_argument("--vehicles", type=int, help="vehicles that fly at once (default: 256)")
    parser.add_argument("--seed", type=int, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--steps", type=int, help="environment steps; all schedules stretch with them (0 and default: the recipe's)"
    )
    parser.add_argument("--run", type=Path, help="folder for results (default: runs/RECIPE-TIME)")
    parser.add_argument("--device", help="where it learns: cpu, cuda, cuda:N, warp or auto (default: the recipe's)")
    parser.add_argument("--resume", type=Path, metavar="RUN", help="go on with the run in this folder, as it was started")
    parser.add_argument(
        "--from-bag",
        nargs="+",
        default=[],
        metavar="BAG",
        type=Path,
        help="learn from recorded transitions or flights instead of flying; rewards of flights are computed again",
    )
    parser.add_argument(
        "--online", type=int, default=0, metavar="STEPS", help="after --from-bag, fly and learn for so many steps more"
    )


def run(options: argparse.Namespace) -> int:
    if options.online and not options.from_bag:
        raise UsageError("--online: found without --from-bag, wanted with it: a run without bags is online anyway")
    if options.from_bag and options.resume:
        raise UsageError("--from-bag: found with --resume, wanted one of them: a run that learnt from bags is not resumed")
    from spike_ctrl import airframe as airframes
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl.learn import resumption
    from spike_ctrl.learn.recipe_blocks import require_run

    if options.resume:
        output_paths.require_folder("--resume", options.resume)
        resumption.check(options.resume, resumption.read(options.resume), vars(options))
    else:
        output_paths.require_folder("--run", options.run or Path("runs"))
        if options.run:
            resumption.require_new(options.run)
        # A wrong recipe or airframe is refused before torch is imported, which takes seconds.
        plan = recipes.find(options.recipe or ("offline" if options.from_bag else "default"))
        plan.require_fit(airframes.load(options.airframe or "crazyflie"))
        require_run(256 if options.vehicles is None else options.vehicles, options.steps or 0, options.seed or 0, "--")

    from spike_ctrl.learn.training_process import training_process

    with training_process():
        return _train(options)


def _train(options: argparse.Namespace) -> int:
    """Begin or resume the run, learn from recordings first, then fly to the end of the recipe, evaluate and save."""
    from spike_ctrl.evaluation.benchmark import comparison
    from spike_ctrl.learn import start_training
    from spike_ctrl.learn.run import Run

    named = {name: getattr(options, name) for name in NAMED}
    given = {name: value for name, value in named.items() if value is not None}
    if options.from_bag:
        run = _run_from_bags(options.from_bag, options.online, given)
    elif options.resume:
        about = {"command": provenance.command(), "commit": provenance.commit()}
        run = Run.resume(options.resume, named, clock=time.monotonic, **about)
    else:
        run = start_training.start(**given)
    learner = run.learner
    print(f"run {run.folder}: recipe {learner.recipe.name}", flush=True)
    if not learner.repeats:
        print(f"on {learner.device} the same seed may give another run: torch's operations there may add in any order")
    offline_steps = learner.recipe.schedule.steps - options.online if options.from_bag else 0
    stop = stop_signals()
    finished = start_training.learn(run, offline_steps, show_progress, lambda: bool(stop))
    end_progress()
    if not finished:
        told = "the best policy so far is in" if offline_steps else "go on with: spike-ctrl train --resume"
        print(f"stopped; {told} {shlex.quote(str(run.folder))}")
        return 130
    print("evaluating on 1024 starts", flush=True)
    print(comparison(run.finish(), learner.airframe))
    print(f"policy: {run.policy_path}")
    return 0


def _run_from_bags(bags: list[Path], online: int, given: dict[str, Any]) -> Run:
    """A run whose method has what the bags recorded, and at its end `online` steps to fly. Raises UsageError."""
    from spike_ctrl import airframe as airframes
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl.learn import start_training
    from spike_ctrl.recordings import recorded_transitions

    plan = recipes.find(given.setdefault("recipe", "offline"))
    if plan.algorithm != "td3bc":
        found = f"recipe {plan.name}: algorithm: found {plan.algorithm}"
        raise UsageError(f"{found}, wanted td3bc: it learns from recorded flight")
    ranges.require({"online": online}, {"online": (0, 10**9)}, "--")
    vehicle = airframes.load(given.get("airframe", "crazyflie"))
    plan.require_fit(vehicle)
    recorded = recorded_transitions.gather_for(plan, bags, vehicle)
    held = recorded_transitions.buffer(recorded, plan.replay.window, plan.td3bc.history)
    for line in recorded.words:
        print(line)
    steps = given.get("steps") or plan.schedule.steps
    run = start_training.start(**given | {"steps": steps + online}, bags=bags)
    method: Any = run.learner.method
    method.learn_from(held, recorded.blind)
    return run
