"""The middleware reads the profile that a launch names, whatever the ROS 2: a flight is heard on this machine alone."""

import os
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from output import Output, executable

from spike_ctrl.launching.installed import flight_middleware


def udp_addresses(process: int) -> set[str]:
    """The addresses that the process hears UDP at."""
    held = set()
    for file in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # a starting node closes files as well
            held.add(os.readlink(file))
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    mine = [row[1].split(":")[0] for row in rows if f"socket:[{row[9]}]" in held]
    return {socket.inet_ntoa(struct.pack("=I", int(address, 16))) for address in mine}


def test_a_node_of_a_flight_hears_nothing_from_outside_this_machine(ros_domain_id):
    node = Output([str(executable("guide_policy"))], env=os.environ | flight_middleware())
    try:
        deadline = time.monotonic() + 60
        while len(heard := udp_addresses(node.process.pid)) == 0:
            assert time.monotonic() < deadline and node.process.poll() is None, node.output
            time.sleep(0.1)
        time.sleep(1.0)
        assert udp_addresses(node.process.pid) == {"127.0.0.1"}, heard
        assert "/dev/shm/fast" not in Path(f"/proc/{node.process.pid}/maps").read_text()
    finally:
        node.process.kill()
        node.process.wait(60)
