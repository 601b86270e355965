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


def test_in_gazebo_px4_finds_our_model_and_world(installed):
    code, output, _ = started(installed, "gazebo", "--speed", "2")
    assert code == 0 and "PX4_SIM_MODEL=gz_x500" in output and "PX4_SIM_SPEED_FACTOR=2" in output
    models = next(line.split("=")[1] for line in output.splitlines() if line.startswith("PX4_GZ_MODELS="))
    assert (Path(models) / "x500" / "model.sdf").is_file()


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
