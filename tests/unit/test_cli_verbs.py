"""The door of `spike-ctrl`: its help, its verbs and those of other packages, what is mistyped, missing or interrupted."""

import re
import shlex
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from refusal import refused

from spike_ctrl import plug_ins
from spike_ctrl._files import resources
from spike_ctrl.cli import main

pytestmark = pytest.mark.slow

VERBS = {
    "train": ("benchmark", "eval", "experiment", "retrain", "train"),
    "fly": tuple("adapt ask betaflight certify demo fly gazebo preflight px4 race truth vehicle".split()),
    "recordings": ("fidelity", "film", "identify", "import", "refly", "repair", "replay", "report"),
    "tools": ("bench", "export", "inspect", "launch", "schema", "silicon", "watch"),
}
POINT = "spike_ctrl.verbs"
INSTALLED = metadata.entry_points
PLUG_INS = Path(__file__).parents[2] / "plug_ins"


@pytest.fixture
def ours(monkeypatch):
    """Nothing but our own packages adds verbs."""
    monkeypatch.setattr(metadata, "entry_points", our_entry_points)


@cache
def our_entry_points():
    installed = INSTALLED()  # which looks through all packages
    found = (entry for point in plug_ins.POINTS for entry in installed.select(group=f"spike_ctrl.{point}"))
    return metadata.EntryPoints(entry for entry in found if entry.value.startswith("spike_ctrl_"))


@pytest.mark.plug_ins
def test_help_lists_every_verb_under_its_group_on_a_line_of_its_own(ours, capsys):
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
@pytest.mark.plug_ins
def test_every_example_of_a_verb_parses(ours, verb):
    module, commands = main.find(verb), 0
    for line in module.EXAMPLES.strip().splitlines():
        for command in re.findall(r"spike-ctrl ([a-z0-9]+ ?[^#)&;]*)", line.partition("  #")[0]):
            name, *arguments = shlex.split(command)
            main.parser(name, main.find(name)).parse_args(arguments)
            commands += name == verb
    assert commands


@pytest.mark.parametrize("verb", [verb for group in VERBS.values() for verb in group])
@pytest.mark.plug_ins
def test_the_help_of_a_verb_ends_with_its_examples(ours, verb, capsys):
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
def test_a_verb_that_is_like_no_other_is_refused_with_all_there_are(ours, typed, capsys):
    known = sorted(verb for group in VERBS.values() for verb in group)
    assert refused(capsys, typed) == f"unknown verb '{typed}', wanted one of {', '.join(known)}"


@pytest.mark.plug_ins
def test_an_unknown_argument_shows_the_usage_of_its_verb_and_what_may_be_meant(ours, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["experiment", "slopes", "--sead", "3"])
    text = capsys.readouterr().err
    assert ended.value.code == 2
    assert text.startswith("usage: spike-ctrl experiment ")
    assert text.endswith("spike-ctrl experiment: error: unrecognized arguments: --sead 3; did you mean '--seeds'?\n")


@pytest.mark.parametrize("plug_in", sorted(path.name for path in PLUG_INS.iterdir()))
def test_a_verb_whose_package_is_missing_says_which_to_install(plug_in, monkeypatch, capsys):
    text = (PLUG_INS / plug_in / "pyproject.toml").read_text()
    table = text.partition('entry-points."spike_ctrl.verbs"]\n')[2].partition("\n\n")[0]
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints())
    for name in re.findall(r"^(\w+) = ", table, re.MULTILINE):
        message = refused(capsys, name)
        assert f"pip install ./plug_ins/{plug_in}" in message and f"spike_ctrl_{plug_in}, which is not installed" in message


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (("vehicle", "--px4-hil", "tcp:4560"), "sitl"),
        (("eval", "--guide", "--pid"), "benchmark"),
        (("eval", "--guide", "--simulator", "crazyflow"), "benchmark"),
        (("eval", "--guide", "--protocol", "hover", "corners"), "benchmark"),
        (("eval", "--guide", "--plants", "4"), "benchmark"),
        (("eval", "--guide", "--compensate-battery"), "benchmark"),
    ],
)
def test_an_option_whose_package_is_missing_says_which_to_install(words, package, monkeypatch, capsys):
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints())
    try:
        assert main.main(list(words)) == 2
    except SystemExit as ended:
        assert ended.code == 2
    assert f"pip install ./plug_ins/{package}" in capsys.readouterr().err


@pytest.mark.plug_ins
def test_a_launch_argument_whose_package_is_missing_says_which_to_install(monkeypatch, capsys):
    installed = metadata.entry_points
    launcher = "spike_ctrl.launchers"
    monkeypatch.setattr(metadata, "entry_points", lambda: installed().select(group=launcher))
    assert main.main(["launch", "flight", "adapt:=true"]) == 2
    assert "pip install ./plug_ins/adaptation" in capsys.readouterr().err


def test_without_any_launcher_a_launch_says_which_package_to_install(monkeypatch, capsys):
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints())
    assert main.main(["launch", "flight"]) == 2
    told = capsys.readouterr().err
    assert "ROS 2's own launch is missing: " in told and "pip install ./plug_ins/launcher" in told


def test_a_broken_verb_is_named_and_the_help_shows_the_others(monkeypatch, tmp_path, capsys):
    (tmp_path / "broken_verb.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    broken = metadata.EntryPoint("greet", "broken_verb", POINT)
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints([broken]))
    assert main.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "train       Train a policy" in out
    assert "verb 'greet': the plug-in 'greet' of package broken_verb" in " ".join(out.split())
    assert "ModuleNotFoundError: No module named 'nothing_of_that_name'" in " ".join(out.split())
    assert "nothing_of_that_name" in refused(capsys, "greet")


def test_two_packages_with_a_verb_of_one_name_are_both_named(monkeypatch, capsys):
    both = [metadata.EntryPoint("greet", module, POINT) for module in ("one_package", "another_package")]
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints(both))
    assert "one_package and another_package" in refused(capsys, "greet", "you")


def test_another_package_adds_a_verb_by_an_entry_point(monkeypatch, tmp_path, capsys):
    (tmp_path / "greeting_verb.py").write_text(
        '"""Greet somebody, politely."""\n'
        'GROUP = "manners"\n'
        'EXAMPLES = "spike-ctrl greet you"\n'
        'def add(parser):\n    parser.add_argument("whom")\n'
        'def run(options):\n    print(f"good day, {options.whom}")\n    return 3\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    greet = metadata.EntryPoint("greet", "greeting_verb", POINT)
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints([greet]))
    assert main.main(["--help"]) == 0
    assert "\nmanners\n  greet       Greet somebody, politely.\n" in capsys.readouterr().out  # a group of its own
    assert main.main(["greet", "Ada"]) == 3
    assert capsys.readouterr().out == "good day, Ada\n"


def interrupted(module, *hook):
    """What `eval --guide` ends with, whose import of a module meets these lines of code."""
    code = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == '{module}':\n"
        + "".join(f"            {line}\n" for line in hook)
        + "sys.meta_path.insert(0, Interrupts())\n"
        "from spike_ctrl.cli.main import main\n"
        "sys.exit(main(['eval', '--guide']))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    return found.returncode, found.stdout, found.stderr


@pytest.mark.parametrize("module", ["spike_ctrl.cli.eval", "numpy", "spike_ctrl.evaluation.protocols"])
def test_ctrl_c_while_modules_still_load_ends_it_quietly(module):
    assert interrupted(module, "os.kill(os.getpid(), signal.SIGINT)") == (130, "", "")


def test_an_import_that_turns_ctrl_c_into_an_error_of_its_own_ends_as_quietly():
    hook = (
        "try:",
        "    os.kill(os.getpid(), signal.SIGINT)",
        "except KeyboardInterrupt:",
        "    raise ImportError('numpy: cannot be imported') from None",
    )
    assert interrupted("numpy", *hook) == (130, "", "")


@pytest.mark.parametrize(("verb", "missing"), [("benchmark crazyflie", "gymnasium"), ("replay bag", "threadpoolctl")])
@pytest.mark.plug_ins
def test_a_package_that_only_some_verbs_need_is_asked_for_in_words(verb, missing, tmp_path):
    """As after `pip install` of the wheel alone."""
    code = f"import sys; sys.modules['{missing}'] = None; from spike_ctrl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *verb.split(), *(["-o", "x.json"] if "benchmark" in verb else [])]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    wanted = (
        rf"error: {missing}: the package is not installed, wanted for this: pip install {missing}; the extra '\w+' has.*\n"
    )
    assert re.fullmatch(wanted, found.stderr)


@pytest.mark.parametrize("verb", ["inspect {model}", "replay --help"])
def test_what_a_companion_computer_lacks_is_not_asked_for(verb):
    """It has neither the simulator's packages nor torch."""
    lacks = "sys.modules.update(dict.fromkeys(['gymnasium', 'torch', 'scipy', 'plotly']))"
    code = f"import sys; {lacks}; from spike_ctrl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = verb.format(model=resources.find("models", "sih_quadx.safetensors")).split()
    found = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_module_that_no_extra_names_is_a_bug_and_not_refused(monkeypatch):
    def run(options):
        import spike_ctrl.no_such_module  # noqa: F401

    monkeypatch.setattr("spike_ctrl.cli.inspect.run", run)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        main.main(["inspect", "x"])
