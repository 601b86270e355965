"""The bridge's thread that listens to the autopilot: where it ends, the node ends, in one line."""

import os
import subprocess
import sys

from programs import free_port

NODE = """
import sys
from spike_ctrl_flight.vehicle_bridge_node import VehicleBridge
from spike_ctrl_ros.spin import run

class Deaf(VehicleBridge):
    def hear(self, data, sender):
        raise IndexError("no such byte\\nnor another")

sys.exit(run(Deaf))
"""


def test_a_bridge_that_no_longer_listens_ends_in_one_line(ros_domain_id):
    command = [sys.executable, "-c", NODE, "--ros-args", "-p", f"connection:=udpin:127.0.0.1:{free_port()}"]
    ended = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120)
    told = [line for line in ended.stderr.splitlines() if line.startswith("error: ") or "Traceback" in line]
    assert (ended.returncode, told) == (1, ["error: listening to the autopilot ended: IndexError: no such byte"])
