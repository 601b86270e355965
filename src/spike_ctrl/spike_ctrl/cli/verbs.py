"""spike-ctrl: one verb for each stage of the work. Each verb's --help has examples to copy."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from spike_ctrl import __version__
from spike_ctrl._files import output_paths, provenance
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import AirframeError
from spike_ctrl.cli import demo, eval, export, flight, gazebo, identify, px4, record, watch
from spike_ctrl.learn.recipe import RecipeError
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.recordings import BagError
from spike_ctrl.report import ReportError


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="spike-ctrl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--version", action="version", version=__version__)
    verbs = found.add_subparsers(dest="verb", metavar="VERB", required=True)
    for add in (_add_train, _add_inspect, _add_launch, _add_bench, _add_experiment):
        add(verbs)
    eval.add_eval(verbs, _verb)
    for add in (flight.add_vehicle, flight.add_preflight, flight.add_ask, demo.add_demo):
        add(verbs, _verb)
    for add in (identify.add_identify, identify.add_retrain):
        add(verbs, _verb)
    for add in (gazebo.add_gazebo, gazebo.add_truth):
        add(verbs, _verb)
    px4.add_px4(verbs, _verb)
    for add in (record.add_replay, record.add_repair, record.add_report):
        add(verbs, _verb)
    watch.add_watch(verbs, _verb)
    export.add_export(verbs, _verb)
    found.set_defaults(usage_of=verbs.choices)
    return found


def run(parser: argparse.ArgumentParser, arguments: list[str] | None) -> int:
    """Do what the command line says. Gives the exit code."""
    try:
        options, unknown = parser.parse_known_args(arguments)
        if unknown:  # argparse would show the usage of all verbs
            options.usage_of[options.verb].error(f"unrecognized arguments: {' '.join(unknown)}")
        return options.do(options)
    except (AirframeError, BagError, CheckpointError, RecipeError, ReportError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _verb(verbs, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary.partition("\n\n")[0].replace("%", "%%"),  # argparse formats this, and not the description
        description=summary,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_train(verbs) -> None:
    parser = _verb(
        verbs,
        "train",
        "Train in one process, without ROS.",
        "  spike-ctrl train\n"
        "  spike-ctrl train td3bc --steps 1000000 --seed 3 --run runs/short\n"
        "  spike-ctrl train --resume runs/short\n"
        "  spike-ctrl train --from-bag bags/20260101-120000 bags/20260102-120000    # offline, from what was recorded\n"
        "  spike-ctrl train --from-bag bags/20260101-120000 --online 200000         # then flies on\n",
    )
    parser.add_argument(
        "recipe", nargs="?",
        help="a name among config/recipes or a path to a YAML file (default: default; offline with --from-bag)",
    )  # fmt: skip
    parser.add_argument("--airframe", help="a name among config/airframes or a path to a YAML file (default: crazyflie)")
    parser.add_argument("--vehicles", type=int, help="vehicles that fly at once (default: 256)")
    parser.add_argument("--seed", type=int, help="of everything random (default: 0)")
    parser.add_argument(
        "--steps", type=int, help="environment steps; all schedules stretch with it (default, and 0: the recipe's)"
    )
    parser.add_argument("--run", type=Path, help="folder for results (default: runs/RECIPE-TIME)")
    parser.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with the run in this folder, with all that it was started with"
    )
    parser.add_argument(
        "--from-bag", nargs="+", default=[], metavar="BAG", type=Path,
        help="learn from recorded transitions or flights, without flying; the reward of flights is recomputed",
    )  # fmt: skip
    parser.add_argument(
        "--online", type=int, default=0, metavar="STEPS", help="after --from-bag, fly and learn for so many more steps"
    )
    parser.set_defaults(do=_train)


def _train(options) -> int:
    if options.online and not options.from_bag:
        raise UsageError("--online: found without --from-bag, wanted with it; a run without bags is online")
    if options.from_bag and options.resume:
        raise UsageError("--from-bag: found with --resume, wanted one of them; a run that learnt from bags starts anew")
    if not options.resume:
        output_paths.require_folder("--run", options.run or Path("runs"))

    from spike_ctrl.evaluation.benchmark import comparison
    from spike_ctrl.learn.run import Run, RunError
    from spike_ctrl.learn.trainer import study, train

    named = {name: getattr(options, name) for name in ("recipe", "airframe", "vehicles", "seed", "steps", "run")}
    about = {"clock": time.monotonic, "command": provenance.command(), "commit": provenance.commit()}
    try:
        if options.from_bag:
            given = {name: value for name, value in named.items() if value is not None}
            run = _run_from_bags(options.from_bag, options.online, given, about)
        elif options.resume:
            run = Run.resume(options.resume, named, **about)
        else:
            run = _new_run(**{name: value for name, value in named.items() if value is not None}, about=about)
    except (RunError, ValueError) as error:
        raise UsageError(str(error)) from None
    print(f"run {run.folder}", flush=True)
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.append(number))
    try:
        offline = run.learner.recipe.schedule.steps - options.online if options.from_bag else 0
        finished = study(run, offline, _show, lambda: bool(stop)) and train(run, _show, lambda: bool(stop))
        print()
        if not finished:
            run.save()
            run.close()
            if options.from_bag:
                print(f"stopped; the best policy so far is in {run.folder}")
                return 130
            print(f"stopped; go on with: spike-ctrl train --resume {run.folder}")
            return 130
        print("evaluating on 1024 starts ...", flush=True)
        print(comparison(run.finish(), run.learner.airframe))
    except RunError as error:
        raise UsageError(str(error)) from None
    print(f"policy: {run.policy_path}")
    return 0


def _run_from_bags(bags: list[Path], online: int, given: dict, about: dict):
    """A run whose method has what the bags recorded, and at its end `online` steps to fly. Raises as `_new_run` does."""
    from spike_ctrl import airframe as airframes
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl.recordings import recorded_transitions
    from spike_ctrl.sim import reward

    plan = recipes.find(given.setdefault("recipe", "offline"))
    if plan.algorithm != "td3bc":
        found = f"recipe {plan.name}: algorithm: found {plan.algorithm}"
        raise UsageError(f"{found}, wanted td3bc: it learns from recorded flight")
    if not 0 <= online <= 10**9:
        raise UsageError(f"--online: found {online}, wanted 0 to {10**9}")
    vehicle = airframes.find(given.get("airframe", "crazyflie"))
    plan.require_fit(vehicle)
    coefficients = reward.curriculum(plan.task.stage(0.0))
    found = recorded_transitions.gather(bags, vehicle, coefficients, plan.td3bc.label)
    held = recorded_transitions.buffer(found, plan.replay.window, plan.td3bc.history)
    for line in found.words:
        print(line)
    steps = given.get("steps") or plan.schedule.steps
    run = _new_run(**given | {"steps": steps + online}, bags=bags, about=about)
    run.learner.method.learn_from(held, found.blind)
    return run


def _new_run(
    *, recipe="default", airframe="crazyflie", vehicles=256, seed=0, steps=0, run=None, bags=(), about
):  # fmt: skip
    """The run that these arguments ask for. Raises UsageError, and ValueError from those who read the files."""
    from spike_ctrl import airframe as airframes
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl.learn.run import Run, folder_for

    if not 1 <= vehicles <= 8192:
        raise UsageError(f"--vehicles: found {vehicles}, wanted 1 to 8192")
    limits = recipes.ScheduleSettings.__dataclass_fields__["steps"].metadata
    if steps and not limits["low"] <= steps <= limits["high"]:
        raise UsageError(f"--steps: found {steps}, wanted 0 or {limits['low']} to {limits['high']}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed: found {seed}, wanted 0 to {2**32 - 1}")
    vehicle = airframes.find(airframe)
    plan = recipes.find(recipe).with_steps(steps)
    folder = run or folder_for(plan, time.strftime("%Y%m%d-%H%M%S"))
    return Run.start(folder, plan, vehicle, vehicles, seed, bags, **about)


def _show(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\x1b[K{line}", end="", flush=True)
    else:
        print(line, flush=True)


def _add_inspect(verbs) -> None:
    parser = _verb(
        verbs,
        "inspect",
        "Show what a checkpoint is, after all its checks and its self-test.",
        "  spike-ctrl inspect models/crazyflie.safetensors\n",
    )
    parser.add_argument("model", type=Path, help="a checkpoint")
    parser.set_defaults(do=_inspect)


def _inspect(options) -> int:
    import dataclasses

    from spike_ctrl.evaluation.benchmark import Evaluation, table

    data = checkpoint.read(options.model)
    loaded = checkpoint.loads(data, name=str(options.model))
    about = dataclasses.asdict(loaded.manifest)
    contract, weights_sum = about.pop("contract"), about.pop("sha256")
    flown = {}
    for name, figures in loaded.manifest.evaluation.items():
        try:
            flown[name] = Evaluation.from_dict(figures)
        except ValueError:
            continue  # not a flight: it stays among the other fields
    about["evaluation"] = {name: value for name, value in about["evaluation"].items() if name not in flown}
    of_network = {name: value for name, value in contract.items() if value not in (None, "")}  # a neuron, or a module's name
    for name, value in {**of_network, **about}.items():
        print(f"{name:<16}{json.dumps(value, default=str)}")
    if loaded.graph:
        print(f"{'graph':<16}{len(loaded.graph)} bytes of ONNX, {loaded.policy.graph.nodes} operators; flown by onnxruntime")
    print(f"{'parameters':<16}{sum(weight.size for weight in loaded.weights.values())}")
    print(f"{'bytes':<16}{len(data)}")
    print(f"{'sha256':<16}{weights_sum} of the weights")
    print(f"{'':<16}{hashlib.sha256(data).hexdigest()} of the file, as sha256sum")
    if flown:
        print(f"\n{table(flown)}")
    return 0


def _add_launch(verbs) -> None:
    parser = _verb(
        verbs,
        "launch",
        "Run a launch file, also where ROS 2's own launch is not installed.",
        "  spike-ctrl launch sim_train\n"
        "  spike-ctrl launch sim_train vehicles:=64 steps:=500000 run:=runs/short\n"
        "  spike-ctrl launch sim_train resume:=runs/short\n"
        "  spike-ctrl launch sim_train --show-args\n",
    )
    parser.add_argument("name", help="a name among launch/ or a path to a .launch.py file")
    parser.add_argument("arguments", nargs="*", metavar="KEY:=VALUE", help="arguments of the launch file")
    parser.add_argument("--show-args", action="store_true", help="show the arguments of the launch file and end")
    parser.set_defaults(do=_launch)


def _launch(options) -> int:
    from spike_ctrl import launching
    from spike_ctrl._files import resources

    path = Path(options.name)
    if not options.name.endswith(".py"):
        try:
            path = resources.find("launch", f"{options.name}.launch.py")
        except FileNotFoundError as error:
            raise UsageError(str(error)) from None
    elif not path.is_file():
        raise UsageError(f"launch file {path}: no such file")
    os.environ[provenance.VARIABLE] = provenance.command()
    return launching.run(path, options.arguments, show_args=options.show_args)


def _add_bench(verbs) -> None:
    parser = _verb(
        verbs,
        "bench",
        "Measure speed: simulator, network, graph, flight, bags, training. All of them together go to build/bench.json.",
        "  spike-ctrl bench\n  spike-ctrl bench simulator snn\n"
        "  spike-ctrl bench flight     # latency of a flight's commands, 3 minutes\n",
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="bag, flight, graph, simulator, snn, training (default: all)"
    )
    parser.set_defaults(do=_bench)


def _bench(options) -> int:
    from spike_ctrl.cli import bench

    try:
        return bench.main(options.parts)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _add_experiment(verbs) -> None:
    from spike_ctrl_studies import arguments

    parser = _verb(verbs, "experiment", arguments.SUMMARY, arguments.EXAMPLES)
    arguments.add(parser)
    parser.set_defaults(do=_experiment)


def _experiment(options) -> int:
    from spike_ctrl import airframe
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl.report.figures import MissingPackage
    from spike_ctrl_studies import arguments, study_runner
    from spike_ctrl_studies.study import ExperimentError, StudyOptions

    craft = airframe.find(options.airframe)
    craft.require_layout("motors")
    if options.recipe:
        recipes.find(options.recipe).require_fit(craft)
    asked = StudyOptions(options.quick, options.seeds, options.recipe, options.airframe)
    origin = {"command": provenance.command(), "commit": provenance.commit()}
    about = {"out": options.output, "stamp": time.strftime("%Y%m%d-%H%M%S"), "clock": time.monotonic, "origin": origin}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments.check(options)
        output_paths.require_folder("--output", options.output or Path("runs"))
        folder = study_runner.run(options.name, asked, workers=options.workers, ray=options.ray, show=_show, **about)
    except (ExperimentError, MissingPackage) as error:
        raise UsageError(str(error)) from None
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, the same command goes on")
        return 130
    print(
        f"\n{study_runner.summary(folder)}\n\nreport: {folder.path / 'report.md'}\nfigures: {folder.path / 'figures.html'}"
    )
    return 0
