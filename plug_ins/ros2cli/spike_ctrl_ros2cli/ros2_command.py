"""ros2: the words of ROS 2's own command line, for an environment that lacks it. It steps aside for the real one.

Words, output and exit codes are those of ros2cli 0.36. Each module of a command has `add(commands)`, which adds its
parsers; a parser's default `run` answers: an exit code, None for 0, or a text that goes to stderr, with exit code 1.
"""

import argparse
import os
import re
import signal
import sys

import spike_ctrl
from spike_ctrl._files.errors import UsageError
from spike_ctrl_ros2cli import (
    bag_command,
    launch_command,
    lifecycle_command,
    node_command,
    param_command,
    service_command,
    topic_command,
)
from spike_ctrl_ros2cli.graph_listener import Stopped
from spike_ctrl_ros2cli.stepping_aside import step_aside

COMMANDS = (bag_command, launch_command, lifecycle_command, node_command, param_command, service_command, topic_command)
ABOUT = """This is the small ros2 of spike_ctrl, because ROS 2's own command line is not installed here.
Where it is, this command calls it. It has the commands below, with the words of ros2cli 0.36."""
EXAMPLES = """examples:
  ros2 launch spike_ctrl flight.launch.py vehicle:=embedded auto:=true
  ros2 launch spike_ctrl sim_train.launch.py --show-args
  ros2 topic list -t
  ros2 topic echo /supervisor/status --once
  ros2 param describe /supervisor airframe
  ros2 service call /land std_srvs/srv/Trigger
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    form = argparse.RawDescriptionHelpFormatter
    found = argparse.ArgumentParser("ros2", description=ABOUT, epilog=EXAMPLES, formatter_class=form)
    version = f"ros2 of spike_ctrl {spike_ctrl.__version__}; not ROS 2's own command line"
    found.add_argument("--version", action="version", version=version)
    commands = found.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return found


def answer(arguments: list[str]) -> int | str | None:
    """Do what the words say. SystemExit for words that do not fit, with exit code 2, and for --help."""
    options = parser().parse_args(arguments)
    run = getattr(options, "run", None)
    if run is None:  # a command without a verb
        (options.about if "about" in options else parser()).print_help()
        return 0
    try:
        found: int | str | None = run(options)
        sys.stdout.flush()
        return found
    except KeyboardInterrupt:
        return int(signal.SIGINT)
    except Stopped:
        return int(signal.SIGTERM)
    except _refusals() as error:
        return str(error)
    except BrokenPipeError:  # who read the output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refusals() -> tuple[type[Exception], ...]:
    """Errors that are one line for the user; rclpy's for a name that is none, too, where a command has imported it."""
    rclpy = sys.modules.get("rclpy.exceptions")
    return (UsageError, RuntimeError, ValueError, re.error, *([rclpy.NameValidationException] if rclpy else []))


def program() -> int | str | None:
    step_aside(sys.argv[1:])
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    return answer(sys.argv[1:])
