"""Start PX4's own simulation (SITL), where PX4 is built.

Its own dynamics (sih), Gazebo (gazebo), or our dynamics (hil) move the vehicle. The command becomes that process; with
--until-disarmed it stays above it: Ctrl-C ends PX4 only when it is disarmed, a second one at once, and a PX4 that shuts down
by itself is started anew.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
from pathlib import Path

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError

GROUP = "fly"
EXAMPLES = """
spike-ctrl px4 sih --px4 ~/PX4-Autopilot --speed 2
spike-ctrl px4 gazebo --airframe x500               # our model and world, written to build/gazebo
spike-ctrl px4 hil --airframe sih_quadx             # beside spike-ctrl vehicle --px4-hil tcp:4560
"""
RANGES = {"instance": (0, 99), "speed": (0.1, 100), "rate": (250, 500)}


def add(parser: argparse.ArgumentParser) -> None:
    from spike_ctrl_sitl.sitl_process import KINDS

    parser.add_argument("kind", choices=KINDS, help="what moves the vehicle")
    parser.add_argument(
        "--px4",
        type=Path,
        default=os.environ.get("PX4_DIR", "PX4-Autopilot"),
        metavar="DIR",
        help="folder in which PX4 is built (default: PX4_DIR of the environment, or PX4-Autopilot)",
    )
    parser.add_argument("--airframe", help="for gazebo (default: x500) and hil (default: sih_quadx)")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of its time per second of the clock (default: 1)")
    parser.add_argument("--rate", type=float, default=250.0, help="for hil: rate of the samples, Hz (default: 250)")
    parser.add_argument("--until-disarmed", action="store_true", help="on Ctrl-C go on until it is disarmed; start it anew")
    parser.add_argument("--instance", type=int, default=0, help="its number among several on one machine (default: 0)")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl_sitl import px4_environment, sitl_process

    ranges.require(vars(options), RANGES, "--")
    if options.kind == "sih" and options.airframe:
        raise UsageError(f"--airframe: found '{options.airframe}' with sih, wanted none: PX4's own vehicle is sih_quadx")
    given: dict[str, str] = {}
    craft = airframe.load(options.airframe or ("x500" if options.kind == "gazebo" else "sih_quadx"))
    if options.kind == "hil":
        given = sitl_process.exports(px4_environment.environment(craft, options.rate, options.speed))
    folder = Path(options.px4).expanduser().absolute()
    about = (folder, Path.is_file, shutil.which)
    sitl_process.px4(options.kind, *about, given)  # before anything is written
    if options.kind == "gazebo":
        given = _gazebo(craft)
    program = sitl_process.px4(options.kind, *about, given, options.instance, options.speed)
    print(f"starting {' '.join(program.command)} as {program.environment['PX4_SIM_MODEL']}", flush=True)
    if options.until_disarmed:
        return _run_until_disarmed(program)
    os.chdir(program.folder)
    os.execve(program.command[0], program.command, os.environ | program.environment)


def _run_until_disarmed(program) -> int:
    """PX4 in a session of its own, which the terminal's Ctrl-C does not reach; gives its exit code."""
    from spike_ctrl_sitl import sitl_process

    environment = os.environ | program.environment
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    armed, asked, child = False, 0, None

    def stop(number, frame) -> None:
        nonlocal asked
        asked += 1
        if child and (not armed or asked > 1 or number == signal.SIGTERM):
            child.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    code = 0
    while not asked and code == 0:  # a PX4 that was told to shut down ends with 0
        if child:
            print("PX4 has shut down and is started anew", flush=True)
        child = subprocess.Popen(program.command, env=environment, cwd=program.folder, start_new_session=True, **output)
        for line in child.stdout:
            armed = sitl_process.armed_after(line, armed)  # before who reads the line may answer it with Ctrl-C
            print(line, end="", flush=True)
            if asked and not armed:
                child.send_signal(signal.SIGINT)
        code, armed = child.wait(), False
    return 0 if asked else abs(code)


def _gazebo(craft) -> dict[str, str]:
    """The environment in which PX4 finds our model and world, which are written."""
    from spike_ctrl_sitl import sitl_process
    from spike_ctrl_sitl.gazebo import model_files

    try:
        paths = model_files.write(craft, Path("build/gazebo").absolute(), "spike_ctrl")
    except OSError as error:
        raise UsageError(str(error)) from None
    return sitl_process.exports(next(path for path in paths if path.name == "px4.env").read_text())
