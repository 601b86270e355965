"""Start PX4's own simulation (SITL), where PX4 is built.

Its own dynamics (sih), Gazebo (gazebo), or our dynamics (hil) move the vehicle. The command becomes that process. It stays
above Gazebo and PX4, and Ctrl-C ends both. With --until-disarmed Ctrl-C ends PX4 only when it is disarmed, a second one at
once, and a PX4 that shuts down by itself is started anew.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

from spike_ctrl._files import ranges
from spike_ctrl._files.errors import UsageError

GROUP = "fly"
EXAMPLES = """
spike-ctrl px4 sih --px4 ~/PX4-Autopilot --speed 2
spike-ctrl px4 gazebo                               # Gazebo with our x500 (written to build/gazebo), and PX4
spike-ctrl px4 gazebo --window --own                # PX4's own world and x500, with Gazebo's window
spike-ctrl px4 hil --airframe sih_quadx             # beside spike-ctrl vehicle --px4-hil tcp:4560
"""
RANGES = {"instance": (0, 99), "speed": (0.1, 100), "rate": (250, 500), "wind": (-15, 15)}


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
    parser.add_argument("--own", action="store_true", help="for gazebo: PX4's own world and x500 in place of ours")
    parser.add_argument("--window", action="store_true", help="for gazebo: open its window too")
    parser.add_argument("--wind", type=float, default=0.0, help="for gazebo: wind from north in our world, m/s (default: 0)")
    parser.add_argument("--rate", type=float, default=250.0, help="for hil: rate of the samples, Hz (default: 250)")
    parser.add_argument(
        "--until-disarmed",
        action="store_true",
        help="Ctrl-C ends PX4 only once it is disarmed; a PX4 that shuts down by itself is restarted",
    )
    parser.add_argument("--instance", type=int, default=0, help="its number among several on one machine (default: 0)")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import airframe
    from spike_ctrl_sitl import px4_environment, sitl_process

    ranges.require(vars(options), RANGES, "--")
    _require_fitting(options)
    given: dict[str, str] = {}
    craft = airframe.load(options.airframe or ("x500" if options.kind == "gazebo" else "sih_quadx"))
    if options.kind == "hil":
        given = sitl_process.exports(px4_environment.environment(craft, options.rate, options.speed))
    folder = Path(options.px4).expanduser().absolute()
    about = (folder, Path.is_file, shutil.which)
    sitl_process.px4(options.kind, *about, given)  # before anything is written
    with contextlib.ExitStack() as stack:
        if options.kind == "gazebo":
            given = _gazebo(options, craft, stack)
        program = sitl_process.px4(options.kind, *about, given, options.instance, options.speed)
        print(f"starting {' '.join(program.command)} as {program.environment['PX4_SIM_MODEL']}", flush=True)
        if options.kind == "gazebo" or options.until_disarmed:
            return _run_below(program, options.until_disarmed)
    os.chdir(program.folder)
    os.execve(program.command[0], program.command, os.environ | program.environment)


def _require_fitting(options: argparse.Namespace) -> None:
    if options.kind == "sih" and options.airframe:
        raise UsageError(f"--airframe: found '{options.airframe}' with sih, wanted none: PX4's own vehicle is sih_quadx")
    for name in ("own", "window"):
        if getattr(options, name) and options.kind != "gazebo":
            raise UsageError(f"--{name}: found with {options.kind}, wanted only with gazebo")
    if options.wind and (options.own or options.kind != "gazebo"):
        found = "--own" if options.own else options.kind
        raise UsageError(f"--wind: found with {found}, wanted only with gazebo and our world")
    if options.own and options.airframe not in (None, "x500"):
        raise UsageError(f"--own: found with airframe {options.airframe}, wanted x500: the model is PX4's own")


def _run_below(program, until_disarmed: bool) -> int:
    """PX4 in a session of its own, which the terminal's Ctrl-C does not reach; gives its exit code."""
    from spike_ctrl_sitl import sitl_process

    environment = os.environ | program.environment
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    armed, asked, told, child = False, 0, 0, None

    def end_px4() -> None:
        """One signal for each request: PX4 answers every one with a line."""
        nonlocal told
        if told < asked:
            told = asked
            child.send_signal(signal.SIGINT)

    def stop(number, frame) -> None:
        nonlocal asked
        asked += 1
        if child and (not (armed and until_disarmed) or asked > 1 or number == signal.SIGTERM):
            end_px4()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    code = 0
    while not asked and code == 0:  # a PX4 that was told to shut down ends with 0
        if child:
            print("PX4 has shut down and is started anew", flush=True)
        child = subprocess.Popen(program.command, env=environment, cwd=program.folder, start_new_session=True, **output)
        rest = threading.Thread(target=_end_with, args=(child,))  # a Gazebo that PX4 has started keeps its output open
        rest.start()
        for line in child.stdout:
            armed = sitl_process.armed_after(line, armed)  # before who reads the line may answer it with Ctrl-C
            print(line, end="", flush=True)
            if sitl_process.BOOTED in line:
                _set_up(program, environment)
            if asked and not armed:
                end_px4()
        code, armed = child.wait(), False
        rest.join()
        if not until_disarmed:
            break
    return 0 if asked else abs(code)


def _set_up(program, environment: dict[str, str]) -> None:
    for command, reason in program.after_boot:
        subprocess.run(command, env=environment, cwd=program.folder, stdout=subprocess.DEVNULL)
        print(f"{' '.join(command[3:])}: {reason}", flush=True)


def _end_with(child: subprocess.Popen) -> None:
    from spike_ctrl_sitl.gazebo import world_process

    child.wait()
    world_process.end(child)


def _gazebo(options: argparse.Namespace, craft, stack: contextlib.ExitStack) -> dict[str, str]:
    """Start our world, where it is ours; the environment in which PX4 finds Gazebo."""
    from spike_ctrl_sitl import sitl_process
    from spike_ctrl_sitl.gazebo import model_files, world_process

    variables = world_process.environment(os.environ, options.window)
    if options.own:
        return variables
    try:
        folder = Path("build/gazebo").absolute()
        *_, world, variables_file = model_files.write(craft, folder, "spike_ctrl", options.speed, options.wind)
    except OSError as error:
        raise UsageError(str(error)) from None
    given = sitl_process.exports(variables_file.read_text()) | variables
    stack.enter_context(world_process.running(world, given, options.window))
    return given
