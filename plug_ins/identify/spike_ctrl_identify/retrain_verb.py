"""Identify a vehicle from its flight and train a policy for it.

The policy trains on plants around the estimate, and is then flown on such plants.
Exit code 0: it passes all checks; 1: it does not; 2: the bag or the command line lacks something.
"""

import argparse
import shlex
import time
from pathlib import Path

from spike_ctrl._files import output_paths, provenance
from spike_ctrl.cli._terminal import end_progress, show_progress, stop_signals
from spike_ctrl_identify import identify_verb as identify

GROUP = "train"
EXAMPLES = """
spike-ctrl retrain bags/20260101-120000 --airframe sih_quadx --run runs/mine
"""


def add(parser: argparse.ArgumentParser) -> None:
    identify.add_bags(parser)
    parser.add_argument("--steps", type=int, default=0, help="environment steps (0 and default: the recipe's)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument("--run", type=Path, help="folder for results (default: runs/retrain-TIME)")


def run(options: argparse.Namespace) -> int:
    folder = options.run or Path("runs") / f"retrain-{time.strftime('%Y%m%d-%H%M%S')}"
    output_paths.require_folder("--run", folder)
    identify.require_names(options)
    _require_run(options, folder)
    identify.require_bags(options)

    from spike_ctrl.learn.training_process import training_process

    with training_process():
        return _retrain(options, folder)


def _require_run(options: argparse.Namespace, folder: Path) -> None:
    from spike_ctrl.learn import resumption
    from spike_ctrl.learn.recipe_blocks import require_run

    resumption.require_new(folder)
    require_run(256, options.steps, options.seed, "--")


def _retrain(options: argparse.Namespace, folder: Path) -> int:
    from spike_ctrl.learn.run import Run
    from spike_ctrl.learn.start_training import learn
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_identify import acceptance

    found, plan = identify.identified(options, f"{Path(options.airframe).stem}_identified")
    about = {"clock": time.monotonic, "command": provenance.command(), "commit": provenance.commit()}
    run = Run.start(folder, plan.with_steps(options.steps), found.airframe, 256, options.seed, **about)
    print(f"run {run.folder}: recipe {plan.name}", flush=True)
    stop = stop_signals()
    finished = learn(run, 0, show_progress, lambda: bool(stop))
    end_progress()
    if not finished:
        print(f"stopped; go on with: spike-ctrl train --resume {shlex.quote(str(run.folder))}")
        return 130
    run.finish()
    print("evaluating ...", flush=True)
    policy = checkpoint.load(run.policy_path).policy
    checks = acceptance.checks(policy, found.airframe, run.learner.recipe.task.randomisation)
    print(acceptance.check_table(checks))
    print(f"policy: {run.policy_path}\nairframe: {run.folder / 'airframe.yaml'}")
    return 0 if all(check.passed for check in checks) else 1
