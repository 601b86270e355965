"""Starting PX4 where it is installed: the program, its environment, and what is said where it is not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl_sitl import sitl_process

SPIKE_CTRL = Path(sys.executable).parent / "spike-ctrl"
FOLDER = Path("/somewhere/PX4-Autopilot")


def everything(path):
    return True


def nowhere(name):
    return None


def installed_at(name):
    return f"/usr/bin/{name}"


def test_px4_is_started_as_its_documentation_does():
    program = sitl_process.px4("sih", FOLDER, lambda path: "default" in str(path), installed_at, {}, instance=2, speed=5)
    assert program.command == (f"{FOLDER}/build/px4_sitl_default/bin/px4", "-d", "-i", "2")
    wanted = {"PX4_SYS_AUTOSTART": "10040", "PX4_SIM_MODEL": "sihsim_quadx", "PX4_SIM_SPEED_FACTOR": "5"}
    wanted |= {"PX4_PARAM_EKF2_ACC_NOISE": "1", "PX4_PARAM_EKF2_GYR_NOISE": "0.1"}
    assert program.environment == wanted and program.folder == FOLDER


def test_at_the_speed_of_the_clock_px4_keeps_the_time_outs_that_the_user_has_set():
    """Its start-up script sets COM_OF_LOSS_T where it finds a speed factor, be it 1."""
    program = sitl_process.px4("sih", FOLDER, everything, nowhere, {})
    assert "PX4_SIM_SPEED_FACTOR" not in program.environment


@pytest.mark.parametrize("kind", sitl_process.KINDS)
def test_a_px4_that_is_not_built_is_refused_with_what_builds_it(kind):
    with pytest.raises(UsageError) as refusal:
        sitl_process.px4(kind, FOLDER, lambda path: False, lambda name: "/usr/bin/gz", {})
    text = str(refusal.value)
    assert f"make -C {FOLDER} px4_sitl_default;" in text and "git clone" in text and "\n" not in text


def test_the_target_that_is_named_exists_in_the_version_that_is_there():
    """`px4_sitl_sih` does not exist in v1.17; it does in v1.18."""
    has = {FOLDER / "Makefile", FOLDER / "boards/px4/sitl/sih.px4board"}
    with pytest.raises(UsageError, match=f"make -C {FOLDER} px4_sitl_sih;") as refusal:
        sitl_process.px4("sih", FOLDER, has.__contains__, nowhere, {})
    assert "git clone" not in str(refusal.value)
    with pytest.raises(UsageError, match=f"make -C {FOLDER} px4_sitl_default;"):
        sitl_process.px4("sih", FOLDER, {FOLDER / "Makefile"}.__contains__, nowhere, {})


def test_a_speed_factor_needs_the_program_that_px4_computes_it_with():
    with pytest.raises(UsageError, match="the program bc is missing: apt-get install bc"):
        sitl_process.px4("sih", FOLDER, everything, nowhere, {}, speed=5)


def test_px4_on_our_dynamics_is_told_the_noise_of_our_sensors():
    program = sitl_process.px4("hil", FOLDER, everything, nowhere, {})
    assert program.environment["PX4_PARAM_EKF2_ACC_NOISE"] == "1"
    assert "PX4_PARAM_EKF2_ACC_NOISE" not in sitl_process.px4("gazebo", FOLDER, everything, installed_at, {}).environment


def test_px4s_own_x500_flies_with_its_own_rotors_after_ours():
    """PX4 stores what our model sets, so the geometry of ours would stay."""
    own, ours = (
        sitl_process.px4("gazebo", FOLDER, everything, installed_at, given) for given in ({}, {"PX4_GZ_MODELS": "/m"})
    )
    assert [command[3:5] for command, _ in own.after_boot] == [("reset", "CA_ROTOR*"), ("set", "NAV_DLL_ACT")]
    assert [command[3:] for command, _ in ours.after_boot] == [("set", "NAV_DLL_ACT", "0")]
    assert own.environment["PX4_PARAM_EKF2_GPS_DELAY"] == "0"


def test_gazebo_without_gz_is_refused_with_where_it_comes_from():
    with pytest.raises(UsageError, match="the program gz is missing: install Gazebo Harmonic"):
        sitl_process.px4("gazebo", FOLDER, everything, nowhere, {})


def test_variables_are_read_with_and_without_quotes():
    assert sitl_process.exports("export A='1 2'\nexport B_C=-0.5\nexport D=''\nset E=1\n") == {
        "A": "1 2",
        "B_C": "-0.5",
        "D": "",
    }


@pytest.fixture
def installed(tmp_path):
    """A folder with programs in PX4's and Gazebo's place that print how they were started."""
    for path in (tmp_path / "px4" / "build" / "px4_sitl_default" / "bin" / "px4", tmp_path / "bin" / "gz"):
        path.parent.mkdir(parents=True)
        path.write_text('#!/bin/sh\necho "at $PWD: $*"\nenv | grep -E "^(PX4|GZ)_"\n')
        path.chmod(0o755)
    return tmp_path


def started(installed, *arguments):
    env = os.environ | {"PATH": f"{installed / 'bin'}:{os.environ['PATH']}", "PX4_DIR": str(installed / "px4")}
    run = subprocess.run([SPIKE_CTRL, "px4", *arguments], cwd=installed, env=env, capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def test_on_our_dynamics_px4_gets_the_geometry_of_the_airframe(installed):
    code, output, _ = started(installed, "hil", "--airframe", "sih_quadx", "--speed", "3")
    assert code == 0 and f"at {installed / 'px4'}: -d -i 0" in output
    assert "PX4_SIM_MODEL=none_iris" in output and "PX4_SIM_SPEED_FACTOR=3" in output
    assert "PX4_PARAM_CA_ROTOR1_PX=-0.2" in output and "PX4_PARAM_MPC_THR_HOVER=0.4905" in output


# A world is heard as long as its server lives. PX4 lives until it is told to end, and answers each signal with a line.
GZ = """#!/bin/sh
case "$1 $2" in
  "topic -l") [ -f "$STATE/world" ] && echo /world/spike_ctrl/clock; exit 0 ;;
  "sim -s") [ -n "$BROKEN" ] && exit 7; echo "server $* partition $GZ_IP headless $HEADLESS"
            trap 'rm "$STATE/world"; echo server ended; exit 0' INT; touch "$STATE/world"; while :; do sleep .02; done ;;
  "sim -g") trap 'echo window ended; exit 0' INT; echo window; while :; do sleep .02; done ;;
esac
"""
PX4 = """#!/bin/sh
trap 'echo PX4 Exiting...; sleep .3; echo a line; echo a line; exit 0' INT
env | grep -E "^(PX4|GZ)_"
if [ -f "$STATE/world" ]; then echo "a world runs"; else gz sim -s own.sdf & fi
echo "INFO  [px4] Startup script returned successfully"
while :; do sleep .02; done
"""


@contextlib.contextmanager
def gazebo(folder, *arguments, **variables):
    """`spike-ctrl px4 gazebo ARGUMENTS` with scripts in the places of PX4 and Gazebo."""
    software = folder / "px4/build/px4_sitl_default/bin"
    scripts = {
        software / "px4": PX4,
        software / "px4-param": '#!/bin/sh\necho "$*" >> "$STATE/parameters"\n',
        folder / "bin/gz": GZ,
    }
    for path, text in scripts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    env = os.environ | {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PX4_DIR": str(folder / "px4"),
        "STATE": str(folder),
    }
    run = subprocess.Popen(
        [SPIKE_CTRL, "px4", "gazebo", *arguments],
        cwd=folder, env=env | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield run
    finally:
        run.terminate()
        run.wait(60)


def until(run, words):
    """What was said until these words."""
    lines = []
    while not lines or words not in lines[-1]:
        line = run.stdout.readline()
        assert line, lines
        lines.append(line)
    return "".join(lines)


def test_our_world_runs_before_px4_looks_for_one_and_one_ctrl_c_ends_both(tmp_path):
    with gazebo(tmp_path, "--speed", "2", "--window") as run:
        said = until(run, "set NAV_DLL_ACT 0")
        assert "a world runs" in said and f"server sim -s -r {tmp_path}/build/gazebo/worlds/spike_ctrl.sdf" in said
        assert "partition 127.0.0.1 headless \n" in said and "window" in said and "PX4_SIM_SPEED_FACTOR=2" in said
        models = next(line.split("=")[1] for line in said.splitlines() if line.startswith("PX4_GZ_MODELS="))
        assert (Path(models) / "x500" / "model.sdf").is_file()
        assert (tmp_path / "parameters").read_text() == "--instance 0 set NAV_DLL_ACT 0\n"
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 0
        rest = run.stdout.read()
        assert rest.count("PX4 Exiting...") == 1 and "server ended" in rest and "window ended" in rest
    assert not (tmp_path / "world").exists()


def test_px4s_own_world_is_started_by_px4_and_ends_with_it(tmp_path):
    with gazebo(tmp_path, "--own") as run:
        said = until(run, "server sim -s own.sdf")
        assert "headless 1" in said and "PX4_GZ_MODELS" not in said and not (tmp_path / "build").exists()
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == 0
        run.stdout.read()  # to its end: nobody who could write lives any more


def test_a_world_that_runs_already_and_a_server_that_fails_are_told(tmp_path):
    with gazebo(tmp_path, BROKEN="1") as run:
        assert run.wait(30) == 2 and "gazebo: its server has ended with exit code 7" in run.stdout.read()
    (tmp_path / "world").touch()
    with gazebo(tmp_path) as run:
        assert run.wait(30) == 2 and "found the world spike_ctrl running already" in run.stdout.read()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["sih", "--own"], "--own: found with sih, wanted only with gazebo"),
        (["hil", "--window"], "--window: found with hil, wanted only with gazebo"),
        (["gazebo", "--own", "--wind", "3"], "--wind: found with --own, wanted only with gazebo and our world"),
        (["sih", "--wind", "3"], "--wind: found with sih, wanted only with gazebo and our world"),
        (["gazebo", "--own", "--airframe", "crazyflie"], "--own: found with airframe crazyflie, wanted x500"),
    ],
)
def test_options_of_gazebo_are_refused_where_they_mean_nothing(arguments, complaint, capsys):
    assert main(["px4", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_without_px4_one_line_says_how_to_get_it(tmp_path):
    run = subprocess.run([SPIKE_CTRL, "px4", "sih", "--px4", str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.count("\n") == 1
    assert f"make -C {tmp_path} px4_sitl_default" in run.stderr


SOFTWARE = """#!/bin/sh
trap 'echo INFO [px4] Exiting; exit 0' INT
echo "INFO  [commander] Ready for takeoff!"
echo "INFO  [commander] Armed by external command"
read line < "$TOLD"
echo "INFO  [commander] Disarmed by landing"
while :; do sleep 0.05; done
"""


@contextlib.contextmanager
def under_spike_ctrl(folder, script):
    """A script in PX4's place under `spike-ctrl px4 --until-disarmed`, and the pipe that it finds as $TOLD."""
    program, told = folder / "build/px4_sitl_default/bin/px4", folder / "told"
    program.parent.mkdir(parents=True)
    program.write_text(script)
    program.chmod(0o755)
    os.mkfifo(told)
    run = subprocess.Popen(
        [SPIKE_CTRL, "px4", "sih", "--px4", str(folder), "--until-disarmed"],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"TOLD": str(told)},
    )  # fmt: skip
    try:
        yield run, told
    finally:
        run.kill()
        run.wait()


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_ends_px4_when_it_is_disarmed_and_a_second_one_at_once(tmp_path, signals):
    with under_spike_ctrl(tmp_path, SOFTWARE) as (run, told):
        while "Armed by external command" not in run.stdout.readline():
            assert run.poll() is None
        run.send_signal(signal.SIGINT)
        if signals == 1:
            with open(told, "w") as flight:  # waits until the vehicle flies
                assert run.poll() is None
                flight.write("landed\n")
        else:
            time.sleep(0.5)  # two at once are one signal
            run.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):  # nobody reads any more, if it has ended already
                os.close(os.open(told, os.O_WRONLY | os.O_NONBLOCK))
        assert run.wait(60) == 0
        assert signals == 2 or "Disarmed by landing" in run.stdout.read()


@pytest.mark.parametrize(("code", "starts"), [(0, 3), (3, 1)])
def test_a_px4_that_was_told_to_shut_down_is_started_anew_and_one_that_fails_is_not(tmp_path, code, starts):
    script = f"#!/bin/sh\necho up\n[ {code} = 0 ] && read line < $TOLD\nexit {code}\n"
    with under_spike_ctrl(tmp_path, script) as (run, told):
        for number in range(starts):
            while (line := run.stdout.readline()) != "up\n":
                assert line, "it has ended"
            if code == 0 and number < starts - 1:
                told.write_text("now\n")
        if code == 0:
            run.send_signal(signal.SIGINT)
        assert run.wait(60) == code
