"""The command line: what is wrong is one line and exit code 2, and leaves nothing behind."""

import dataclasses
import errno
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from recorded import fly

from spike_ctrl import airframe, report
from spike_ctrl._files import output_paths, resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main
from spike_ctrl.evaluation.benchmark import Evaluation
from spike_ctrl.learn import recipe
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.trainer import train
from spike_ctrl.policy import checkpoint

MODEL = str(resources.folder("models") / "crazyflie.safetensors")


def refused(capsys, *arguments):
    assert main.main(list(arguments)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--seed", "-1"], "--seed: found -1, wanted 0 to 4294967295"),
        (["train", "--steps", "-1"], "--steps: found -1, wanted 0 or 1000 to 10000000000"),
        (["train", "--steps", "999"], "--steps: found 999, wanted 0 or 1000 to 10000000000"),
        (
            ["train", "rates"],
            "recipe rates: layout: found 'rates', wanted 'motors' for airframe crazyflie; made for it: recipe default",
        ),
        (
            ["train", "robust", "--airframe", "sih_quadx"],
            "recipe robust: layout: found 'motors', wanted 'rates' for airframe sih_quadx; made for it: recipe rates",
        ),
        (["train", "--vehicles", "0"], "--vehicles: found 0, wanted 1 to 8192"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_run_folder_is_made(arguments, message, capsys, tmp_path):
    assert refused(capsys, *arguments, "--run", str(tmp_path / "run")) == message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seconds", "0.5"], "--seconds: found 0.5, wanted 1 to 600"),
        (["--seconds", "nan"], "--seconds: found nan, wanted 1 to 600"),
        (["--rate", "0"], "--rate: found 0, wanted 50 to 125"),
        (["--height", "nan"], "--height: found nan, wanted 0.5 to 50"),
    ],
)
def test_a_preflight_that_could_tell_nothing_is_refused(arguments, message, capsys):
    assert refused(capsys, "preflight", *arguments) == message


def test_without_an_autopilot_the_preflight_bars_the_flight_however_short_it_listens(capsys):
    assert main.main(["preflight", "--connection", "udpin:127.0.0.1:0", "--seconds", "1"]) == 1
    shown = capsys.readouterr().out
    assert "unmet: autopilot: never heard" in shown and "ready to fly" not in shown


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["experiment", "headline", "--recipe", "rates"],
            "recipe rates: layout: found 'rates', wanted 'motors' for airframe crazyflie; made for it: recipe default",
        ),
        (["demo", "-o", "/proc/x/y"], "--output /proc/x/y: cannot be written (No such file or directory)"),
        (["demo", "--plants", "noise:=loud"], "the value of noise: found 'loud', wanted float"),
        (["demo", "--plants", "seed:=-1"], "seed: found -1, wanted 0 to 4294967295"),
        (["demo", "--plants", "-o", "figures"], "--output: found figures with --plants, wanted none: it writes no files"),
        (["gazebo", "-o", "/proc/x"], "--output /proc/x: cannot be written (No such file or directory)"),
        (["gazebo", "--world", "a b/c"], "--world: found 'a b/c', wanted letters, digits and _"),
        (["ask", "take_off", "--setpoint", "0,0,1"], "--setpoint: found with take_off, wanted only with set_target"),
        (["ask", "land", "--period", "nan"], "--period: found with land, wanted only with set_target"),
        (["vehicle", "--rate", "500"], "--rate: found without --px4-hil, wanted with it"),
        (["vehicle", "--home", "47,8,400"], "--home: found without --px4-hil, wanted with it"),
        (["vehicle", "--px4-environment"], "--px4-environment: found without --px4-hil, wanted with it"),
        (
            ["ask", "set_target", "--trajectory", "foo"],
            "--trajectory: found 'foo', wanted one of hover, step, circle, figure8, square, lissajous",
        ),
    ],
)
def test_what_a_verb_cannot_use_is_refused_by_its_option(arguments, message, capsys):
    assert refused(capsys, *arguments) == message


def test_a_shipped_model_is_found_from_any_folder(tmp_path, monkeypatch, capsys):
    fly(tmp_path / "bag", MODEL, ticks=20)
    monkeypatch.chdir(tmp_path)
    shipped = "models/crazyflie.safetensors"
    assert main.main(["inspect", shipped]) == 0
    assert f"{hashlib.sha256(Path(MODEL).read_bytes()).hexdigest()} of the file" in capsys.readouterr().out
    assert main.main(["replay", "bag", "--model", shipped]) == 0
    assert f"checkpoint: {shipped}, the same by the hash" in capsys.readouterr().out
    assert report.kind(Path(shipped)) == "model"
    assert refused(capsys, "inspect", "models/none.safetensors").endswith("cannot be read: No such file or directory")


def test_a_demo_that_the_launch_refuses_says_so_once_and_leaves_no_folder(tmp_path, capfd):
    assert main.main(["demo", "foo:=1", "-o", str(tmp_path / "out")]) == 2
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err.startswith("launch: unknown argument 'foo'") and shown.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["identify", "retrain"])
def test_a_recipe_that_does_not_fit_is_refused_before_the_bag_is_read(verb, capsys):
    assert refused(capsys, verb, "nowhere", "--recipe", "nope").startswith("recipe 'nope' not found; known: ")
    message = "recipe rates: layout: found 'rates', wanted 'motors' for airframe crazyflie; made for it: recipe default"
    assert refused(capsys, verb, "nowhere", "--recipe", "rates") == message


def test_raptor_does_not_fly_an_airframe_that_takes_rates(capsys):
    message = "airframe sih_quadx: action_layout: found 'rates', wanted 'motors'"
    assert refused(capsys, "eval", "--raptor", "--airframe", "sih_quadx") == message


def test_a_model_of_another_airframe_is_refused_by_both_names(capsys):
    message = refused(capsys, "eval", MODEL, "--airframe", "crazyflie_l2f")
    assert message == f"{MODEL}: airframe: found 'crazyflie', wanted 'crazyflie_l2f'"


def test_a_changed_airframe_of_the_same_name_is_refused_by_its_hash(capsys, tmp_path):
    path = tmp_path / "crazyflie.yaml"
    data = yaml.safe_load((resources.folder("config") / "airframes" / "crazyflie.yaml").read_text())
    path.write_text(yaml.safe_dump(data | {"mass": "0.04 kg"}))
    changed = airframe.load(path)
    message = refused(capsys, "eval", MODEL, "--airframe", str(path))
    assert message == f"{MODEL}: airframe_hash: found '{airframe.load('crazyflie').hash}', wanted '{changed.hash}'"


@pytest.mark.installed
def test_inspect_shows_the_flights_as_a_table_and_the_rest_as_before(capsys):
    assert main.main(["inspect", MODEL]) == 0
    shown = capsys.readouterr().out
    lines, manifest = shown.splitlines(), checkpoint.load(MODEL).manifest
    frozen = manifest.evaluation["frozen"]["columns"]["1.5m_start"]
    row = next(line for line in lines if line.startswith("frozen "))
    assert f"{frozen['return_mean']:.1f} ({frozen['survival']:.3f})" in row
    assert max(map(len, lines)) < 125
    for name in [field.name for field in dataclasses.fields(manifest) if field.name != "contract"]:
        assert any(line.startswith(f"{name:<16}") for line in lines)


def test_inspect_shows_an_evaluation_that_is_none_of_ours_as_it_stands(capsys, tmp_path):
    loaded = checkpoint.load(MODEL)
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, loaded.weights, loaded.manifest.contract, evaluation={"frozen": {"columns": [1]}})
    assert main.main(["inspect", str(path)]) == 0
    assert '{"frozen": {"columns": [1]}}' in capsys.readouterr().out


def test_an_evaluation_comes_back_from_what_it_saved():
    figures = checkpoint.load(MODEL).manifest.evaluation["frozen"]
    assert Evaluation.from_dict(figures).to_dict() == figures
    none = figures | {"hover_error_m": {"median": None, "p95": None}}
    assert Evaluation.from_dict(none).to_dict() == none
    with pytest.raises(ValueError, match=r"evaluation: found \{\}, wanted what an evaluation saves"):
        Evaluation.from_dict({})


def test_a_run_is_resumed_with_nothing_but_its_folder_and_a_contradiction_is_refused(tmp_path, monkeypatch, capsys):
    plan = {
        "name": "tiny",
        "task": {"episode_steps": 20, "reward": "start"},
        "network": {"hidden": [8, 8], "slope": {"kind": "fixed", "k": 5}},
        "replay": {"capacity": 4096, "window": 10, "critic_batch": 2, "actor_batch": 2},
        "td3bc": {"burn_in": 2, "critic_updates": 1, "actor_updates": 1},
        "critic_width": 8,
        "schedule": {"steps": 1600, "iteration_steps": 160, "evaluations": 1},
    }
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    about = {"clock": time.monotonic, "command": "", "commit": ""}
    run = Run.start(folder, recipe.from_dict(plan), airframe.load("crazyflie_l2f"), 8, 5, **about)
    looks = iter(range(3))
    assert not train(run, lambda line: None, lambda: next(looks, None) is None)
    run.save()
    run.close()
    assert main.main(["train", "--resume", str(folder), "--vehicles", "16"]) == 2
    assert capsys.readouterr().err == (
        f"error: run {folder}: vehicles: found 16, wanted 8 as when it was started; leave it out to resume\n"
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main.main(["train", "--resume", str(folder)]) == 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    loaded = checkpoint.load(folder / "policy.safetensors", expect={"airframe": "crazyflie_l2f"})
    assert (loaded.manifest.seed, loaded.manifest.recipe) == (5, "tiny")


VERBS = {
    "train": ("benchmark", "eval", "experiment", "retrain", "train"),
    "fly": ("adapt", "ask", "certify", "demo", "fly", "gazebo", "preflight", "px4", "truth", "vehicle"),
    "recordings": ("fidelity", "film", "identify", "import", "refly", "repair", "replay", "report"),
    "tools": ("bench", "export", "inspect", "launch", "watch"),
}
EXPERIMENT = metadata.EntryPoint("experiment", "spike_ctrl_studies.experiment_verb", main.ENTRY_POINTS)


@pytest.fixture
def studies(monkeypatch):
    """As if the package of the studies were installed, be it or not; what else is installed adds no verb."""

    def entry_points(group):
        return [EXPERIMENT] if group == main.ENTRY_POINTS else []

    monkeypatch.setattr(metadata, "entry_points", entry_points)


def test_help_lists_every_verb_under_its_group_on_a_line_of_its_own(studies, capsys):
    assert main.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    shown, group = {}, None
    for line in lines:
        if line in VERBS:
            group = line
        elif group and line:
            shown.setdefault(group, []).append(line.split()[0])
            assert len(line.split()) > 3 and line.endswith((".", "?"))
    assert {group: tuple(names) for group, names in shown.items()} == VERBS


def test_no_verb_at_all_is_answered_by_the_help_and_exit_code_2(capsys):
    assert main.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: spike-ctrl VERB")


@pytest.mark.parametrize("verb", [verb for group in VERBS.values() for verb in group])
def test_every_example_of_a_verb_parses(studies, verb):
    module, commands = main.find(verb), 0
    for line in module.EXAMPLES.strip().splitlines():
        for command in re.findall(r"spike-ctrl ([a-z0-9]+ ?[^#)&;]*)", line.partition("  #")[0]):
            name, *arguments = shlex.split(command)
            main.parser(name, main.find(name)).parse_args(arguments)
            commands += name == verb
    assert commands


@pytest.mark.parametrize("verb", [verb for group in VERBS.values() for verb in group])
def test_the_help_of_a_verb_ends_with_its_examples(studies, verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([verb, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and shown.startswith(f"usage: spike-ctrl {verb} ")
    assert shown.rpartition("examples:")[2].count(f"spike-ctrl {verb}") >= 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("trian", "unknown verb 'trian'; did you mean 'train'?"),
        ("Vehicle", "unknown verb 'Vehicle'; did you mean 'vehicle'?"),
        ("experimant", "unknown verb 'experimant'; did you mean 'experiment'?"),
        ("main", "unknown verb 'main'; did you mean 'train'?"),
    ],
)
def test_a_verb_that_there_is_not_is_refused_with_what_may_be_meant(typed, message, capsys):
    assert refused(capsys, typed) == message


@pytest.mark.parametrize("typed", ["xyz", "_terminal", "../x"])
def test_a_verb_that_is_like_no_other_is_refused_with_all_there_are(studies, typed, capsys):
    known = sorted(verb for group in VERBS.values() for verb in group)
    assert refused(capsys, typed) == f"unknown verb '{typed}', wanted one of {', '.join(known)}"


def test_an_unknown_argument_shows_the_usage_of_its_verb_and_what_may_be_meant(studies, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["experiment", "slopes", "--sead", "3"])
    text = capsys.readouterr().err
    assert ended.value.code == 2
    assert text.startswith("usage: spike-ctrl experiment ")
    assert text.endswith("spike-ctrl experiment: error: unrecognized arguments: --sead 3; did you mean '--seeds'?\n")


def test_without_the_studies_their_verb_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(metadata, "entry_points", lambda group: [])
    message = refused(capsys, "experiment", "energy")
    assert message == (
        "verb 'experiment': found no package spike_ctrl_studies, wanted it installed: "
        "pip install ./src/spike_ctrl_studies in a checkout"
    )


def test_another_package_adds_a_verb_by_an_entry_point(monkeypatch, tmp_path, capsys):
    (tmp_path / "greeting_verb.py").write_text(
        '"""Greet somebody, politely."""\n'
        'GROUP = "tools"\n'
        'EXAMPLES = "spike-ctrl greet you"\n'
        'def add(parser):\n    parser.add_argument("whom")\n'
        'def run(options):\n    print(f"good day, {options.whom}")\n    return 3\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    greet = metadata.EntryPoint("greet", "greeting_verb", main.ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [greet])
    assert main.main(["--help"]) == 0
    assert "  greet       Greet somebody, politely.\n" in capsys.readouterr().out
    assert main.main(["greet", "Ada"]) == 3
    assert capsys.readouterr().out == "good day, Ada\n"


@pytest.mark.parametrize("module", ["spike_ctrl.cli.eval", "numpy", "spike_ctrl.evaluation.protocols"])
def test_ctrl_c_while_modules_still_load_ends_it_quietly(module):
    code = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == '{module}':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from spike_ctrl.cli.main import main\n"
        "sys.exit(main(['eval', '--guide']))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


def test_an_import_that_turns_ctrl_c_into_an_error_of_its_own_ends_as_quietly():
    code = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'numpy':\n"
        "            try:\n"
        "                os.kill(os.getpid(), signal.SIGINT)\n"
        "            except KeyboardInterrupt:\n"
        "                raise ImportError('numpy: cannot be imported') from None\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from spike_ctrl.cli.main import main\n"
        "sys.exit(main(['eval', '--guide']))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "--guide", "--json"],
        ["replay", "no-bag", "--json"],
        ["report", "no-model", "--output"],
        ["identify", "no-bag", "--output"],
        ["export", "no-model", "--to", "nir", "--output"],
        ["export", "no-model", "--to", "onnx", "--output"],
        ["truth"],
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(arguments, tmp_path, capsys):
    option = arguments[-1] if arguments[-1].startswith("--") else "FILE"
    absent = tmp_path / "absent" / "file"
    if option != "FILE":  # truth makes the folders that lead there
        complaint = f"{option} {absent}: found no folder {absent.parent}, wanted one to write to"
        assert refused(capsys, *arguments, str(absent)) == complaint
    long = tmp_path / ("a" * 300)
    assert refused(capsys, *arguments, str(long)) == f"{option} {long}: cannot be written (File name too long)"
    assert refused(capsys, *arguments, str(tmp_path)) == f"{option}: found the folder {tmp_path}, wanted a file"
    assert refused(capsys, *arguments, "/proc/file") == f"{option} /proc/file: cannot be written (No such file or directory)"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--from-bag", "no-bag", "--run"],
        ["retrain", "no-bag", "--run"],
        ["experiment", "headline", "--output"],
        ["export", "no-model", "--to", "c", "--output"],
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(arguments, tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "run"):
        assert refused(capsys, *arguments, str(path)) == f"{arguments[-1]} {path}: found the file {file}, wanted a folder"
    long = tmp_path / "new" / ("a" * 300)
    assert refused(capsys, *arguments, str(long)) == f"{arguments[-1]} {long}: cannot be written (File name too long)"
    complaint = f"{arguments[-1]} /proc/a/b: cannot be written (No such file or directory)"
    assert refused(capsys, *arguments, "/proc/a/b") == complaint


def test_the_reason_why_a_file_cannot_be_written_is_the_true_one(tmp_path, monkeypatch):
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep"), program)
    running = subprocess.Popen([program, "60"])
    try:
        with pytest.raises(UsageError) as refusal:
            output_paths.require_file("--json", program)
    finally:
        running.kill()
        running.wait()
    assert str(refusal.value) == f"--json {program}: cannot be written (Text file busy)"

    def barred(path, *arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    for require in (output_paths.require_file, output_paths.require_folder):
        with monkeypatch.context() as patch, pytest.raises(UsageError) as refusal:
            patch.setattr(os, "stat", barred)
            require("--json", tmp_path / "file")
        assert str(refusal.value) == f"--json {tmp_path / 'file'}: cannot be written (Permission denied)"


@pytest.mark.parametrize("form", ["nir", "onnx"])
def test_a_file_that_is_replaced_needs_its_folder_and_not_itself_to_be_writable(form, tmp_path, monkeypatch, capsys):
    """/proc/self/comm may be written, but nothing can be made beside it."""
    fixed = "/proc/self/comm"
    complaint = f"--output {fixed}: cannot be written (No such file or directory)"
    assert refused(capsys, "export", "no-model", "--to", form, "--output", fixed) == complaint
    file = tmp_path / "policy"
    file.touch(mode=0o444)
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)  # as root it would be True
    assert refused(capsys, "export", "no-model", "--to", form, "--output", str(file)).startswith(
        "model 'no-model' not found; known: "
    )


def test_truth_makes_the_folders_that_lead_to_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gz", None)  # be Gazebo installed or not
    assert refused(capsys, "truth", str(tmp_path / "new" / "truth.csv")).startswith("Gazebo's Python bindings: found none")
    assert not list(tmp_path.iterdir())


def test_identify_also_looks_where_its_recipe_goes(tmp_path, capsys):
    beside = tmp_path / "mine_recipe.yaml"
    beside.mkdir()
    (bag := tmp_path / "bag").mkdir()  # an empty folder is no bag; but it is read later
    found = refused(capsys, "identify", str(bag), "--output", str(tmp_path / "mine.yaml"))
    assert found == f"--output: found the folder {beside}, wanted a file"


def test_retrain_refuses_a_run_that_exists_before_it_identifies(tmp_path, capsys):
    (tmp_path / "run.json").touch()
    assert refused(capsys, "retrain", "no-bag", "--run", str(tmp_path)).startswith(f"run {tmp_path}: exists already; name ")


def test_a_demo_whose_folder_has_too_long_a_name_is_refused(tmp_path, capsys):
    long = tmp_path / ("a" * 300)
    assert refused(capsys, "demo", "--output", str(long)) == f"--output {long}: cannot be written (File name too long)"


def test_where_results_can_be_written_nothing_is_left_behind_by_the_look(tmp_path):
    there = tmp_path / "there.json"
    there.write_text("kept")
    output_paths.require_file("--json", there)
    output_paths.require_file("--json", tmp_path / "new.json")
    output_paths.require_folder("--run", tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"] and there.read_text() == "kept"
