"""Ask the supervisor of a running flight for something.

Its answer is printed. Exit code 0: granted; 1: refused, or nobody answers; 2: the command line is wrong.
"""

import argparse

from spike_ctrl._files.errors import UsageError

GROUP = "fly"
EXAMPLES = """
spike-ctrl ask take_off           # arm, climb by the guide, the policy in shadow
spike-ctrl ask engage             # the policy flies as soon as it agrees with the guide
spike-ctrl ask set_target --setpoint 1,0,1.2
spike-ctrl ask set_target --setpoint 0,0,1.2,1.57 --trajectory figure8 --size 1 --period 8
spike-ctrl ask guide              # back to the guide
spike-ctrl ask disengage          # the autopilot holds
spike-ctrl ask adapt              # tune the policy for what has become of the vehicle (launch flight adapt:=true)
spike-ctrl ask land --namespace b # in the graph of launch flight namespace:=b
"""
REQUESTS = ("take_off", "guide", "engage", "disengage", "land", "adapt", "set_target")


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", choices=REQUESTS, metavar="REQUEST", help=", ".join(REQUESTS))
    parser.add_argument(
        "--setpoint", default="", help="x,y,z or x,y,z,yaw (m, rad; ENU): the point, or the centre of the trajectory"
    )
    parser.add_argument(
        "--trajectory", default="", help="hover, step, circle, figure8, square or lissajous (default: stay at the point)"
    )
    parser.add_argument("--size", type=float, default=0.0, help="size of the trajectory, m (default: its own)")
    parser.add_argument("--namespace", default="", metavar="NAME", help="that of the flight (launch flight namespace:=NAME)")
    parser.add_argument("--period", type=float, default=0.0, help="time of one round, s (default: its own)")


def run(options: argparse.Namespace) -> int:
    from spike_ctrl import launching

    for name in ("setpoint", "trajectory", "size", "period"):
        if getattr(options, name) and options.request != "set_target":
            raise UsageError(f"--{name}: found with {options.request}, wanted only with set_target")
    if options.trajectory:
        from spike_ctrl.control import trajectory  # numpy comes with it, for which no other request waits

        if options.trajectory not in trajectory.KINDS:
            raise UsageError(f"--trajectory: found '{options.trajectory}', wanted one of {', '.join(trajectory.KINDS)}")
    given = {name: getattr(options, name) for name in ("request", "size", "period")}
    given |= {name: f"'{text}'" for name in ("setpoint", "trajectory") if (text := getattr(options, name))}
    launching.become("spike_ctrl_flight", "flight_operator", given, options.namespace)
