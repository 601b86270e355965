"""Our `ros2` never hides the real one: it becomes it, wherever it finds it, with all arguments and a clean environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spike_ctrl_ros2cli import ros2_command, stepping_aside

OURS = "#!/usr/bin/python3\nfrom spike_ctrl_ros2cli.ros2_command import program\n"
TELLS = '#!/bin/sh\necho "$@"\necho "${LD_LIBRARY_PATH-none} ${_ROS_WHEELS_BOOTSTRAP_COMPLETE-none}"\nexit 7\n'


@pytest.fixture
def program(tmp_path):
    """program("a", text) writes an executable a/ros2 and gives its folder."""

    def write(folder: str, text: str) -> str:
        path = tmp_path / folder / "ros2"
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o755)
        return str(path.parent)

    return write


@pytest.mark.installed
def test_the_first_ros2_on_the_path_that_is_not_ours_is_the_real_one(program, tmp_path):
    ours, other, real = program("venv", OURS), program("another_venv", OURS), program("real", TELLS)
    later = program("later", TELLS)
    (tmp_path / "no_program").mkdir()
    (tmp_path / "no_program" / "ros2").write_text(TELLS)  # not executable
    path = os.pathsep.join([ours, str(tmp_path / "none"), str(tmp_path / "no_program"), other, real, later])
    assert stepping_aside.another(path) == f"{real}/ros2"
    assert stepping_aside.another(os.pathsep.join([ours, other])) is None  # else they would call each other for ever


def test_what_the_wheels_set_does_not_reach_another_ros():
    wheels = {"_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1", "LD_LIBRARY_PATH": "/venv/lib:/opt/ros/jazzy/lib", "HOME": "/home/me"}
    assert stepping_aside.cleared(wheels, "/venv") == {"LD_LIBRARY_PATH": "/opt/ros/jazzy/lib", "HOME": "/home/me"}
    assert "LD_LIBRARY_PATH" not in stepping_aside.cleared(wheels | {"LD_LIBRARY_PATH": "/venv/lib"}, "/venv")
    plain = {"LD_LIBRARY_PATH": "/venv/lib"}  # set by somebody else
    assert stepping_aside.cleared(plain, "/venv") == plain


def test_it_becomes_the_real_one_with_all_arguments(program):
    real = program("real", TELLS)
    code = "from spike_ctrl_ros2cli.ros2_command import program; program()"
    environment = os.environ | {"PATH": real + os.pathsep + os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code, "topic", "pub", "--help"], env=environment, capture_output=True, text=True, check=False
    )
    told, left = done.stdout.splitlines()
    assert (done.returncode, told) == (7, "topic pub --help")
    assert sys.prefix not in left.split()[0] and left.split()[1] == "none"


def test_it_becomes_the_package_ros2cli_where_that_can_be_imported(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(stepping_aside, "become", lambda command, environment: taken.append(command))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ros2cli").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    stepping_aside.step_aside(["node", "list"])
    assert not taken  # a folder of that name alone is no ros2cli
    (tmp_path / "ros2cli" / "__init__.py").touch()
    (tmp_path / "ros2cli" / "cli.py").touch()
    sys.modules.pop("ros2cli", None)
    stepping_aside.step_aside(["node", "list"])
    sys.modules.pop("ros2cli", None)
    assert taken[0][0] == sys.executable and taken[0][-2:] == ["node", "list"]


def test_it_says_what_it_is(capsys):
    for words in (["--help"], ["--version"]):
        with pytest.raises(SystemExit) as end:
            ros2_command.answer(words)
        assert end.value.code == 0
        assert "ros2 of spike_ctrl" in capsys.readouterr().out.replace("the small ", "")


def test_words_that_it_does_not_have_end_with_code_2_and_a_command_alone_shows_its_verbs(capsys):
    for words in (["doctor"], ["topic", "pub", "/x"], ["param", "get", "/node"], ["bag", "info", "/no/bag"]):
        with pytest.raises(SystemExit) as end:
            ros2_command.answer(words)
        assert end.value.code == 2
    assert "Bag path '/no/bag' does not exist!" in capsys.readouterr().err
    assert ros2_command.answer(["topic"]) == 0 and "echo" in capsys.readouterr().out


def test_setup_leaves_it_out_where_there_is_a_real_one(program):
    """The list of packages that `make setup` installs, with and without another `ros2` on PATH."""
    root = Path(__file__).parents[3]

    def packages(path: str) -> str:
        asked = ["make", "-s", "-C", str(root), "--eval", "shown:;@echo $(PACKAGES)", "shown"]
        environment = os.environ | {"PATH": path}
        return subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout

    usual = "/usr/local/bin:/usr/bin:/bin"
    assert "plug_ins/ros2cli/pyproject.toml" in packages(f"{program('venv', OURS)}:{usual}")
    assert "plug_ins/ros2cli/pyproject.toml" not in packages(f"{program('real', TELLS)}:{usual}")
