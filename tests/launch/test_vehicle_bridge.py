"""The bridge's thread that listens to the autopilot, beside the one that sends.

- where it ends, the node ends, in one line
- a sender that never stops keeps no state back, and the bridge can end
- the connection is not closed while a packet is sent, and nothing is published while commands would have to wait
"""

import os
import subprocess
import sys
import threading
import time

import pytest
import rclpy
from programs import free_port
from spike_ctrl_msgs.msg import AutopilotRequest

from spike_ctrl.flight.state_checks import Sample
from spike_ctrl_flight.vehicle_bridge_node import VehicleBridge

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


SAMPLE = Sample(0, 1.0, 1.0, (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@pytest.fixture
def bridge(ros_domain_id):
    """A bridge whose own reader has ended, so that a test reads in its place."""
    rclpy.init(args=["--ros-args", "-p", f"connection:=udpin:127.0.0.1:{free_port()}"])
    node = VehicleBridge()
    node.ended = True
    node.reader.join()
    node.ended, node.rival.clear = False, True
    yield node
    node.ended = True
    node.destroy_node()
    rclpy.shutdown()


class Flood:
    """A connection on which a packet always waits."""

    def receive(self, timeout):
        return b"more", ("127.0.0.1", 1)


def test_states_go_out_while_a_sender_never_stops_and_the_bridge_can_end(bridge, monkeypatch):
    published, heard = threading.Event(), []
    bridge.connection.close()
    bridge.connection = Flood()
    monkeypatch.setattr(bridge, "hear", lambda *_: heard.append(len(heard)) or SAMPLE._replace(received=float(len(heard))))
    monkeypatch.setattr(bridge, "publish_state", lambda sample: published.set())
    reader = threading.Thread(target=bridge.read, daemon=True)
    reader.start()
    assert published.wait(20), "no state goes out"
    bridge.ended = True
    reader.join(20)
    assert not reader.is_alive(), "it reads on although it has ended"


def test_the_line_is_not_closed_while_a_command_is_sent_over_it(bridge, monkeypatch):
    sending, go_on, told = threading.Event(), threading.Event(), []
    bridge.connection.close()

    class Slow:
        def send(self, data):
            sending.set()
            go_on.wait(20)
            told.append("sent")

        def close(self):
            told.append("closed")

    bridge.connection = Slow()
    bridge.reader = threading.Thread(target=lambda: None)
    bridge.reader.start()
    monkeypatch.setattr(bridge.companion, "ask", lambda *_: b"land")
    monkeypatch.setattr(bridge, "obeys", lambda *_: True)
    request = AutopilotRequest(request=AutopilotRequest.LAND, status_sent=time.monotonic_ns())
    sender = threading.Thread(target=bridge.on_request, args=(request,))
    sender.start()
    assert sending.wait(20)
    closer = threading.Thread(target=bridge.close)
    closer.start()
    closer.join(0.3)
    assert not told  # it waits
    go_on.set()
    sender.join(20)
    closer.join(20)
    assert told == ["sent", "closed"]


def test_a_command_need_not_wait_while_a_state_is_published(bridge, monkeypatch):
    held = []

    class Watching:
        def publish(self, message):
            held.append(bridge.lock.locked())
            bridge.ended = True

        def get_subscription_count(self):
            return 1

    class Once:
        def receive(self, timeout):
            return (b"a state", None) if timeout else (b"", None)

    bridge.connection.close()
    bridge.connection = Once()
    monkeypatch.setattr(bridge, "hear", lambda *_: SAMPLE._replace(stamp=time.monotonic(), received=time.monotonic()))
    bridge.raw_out = bridge.state_out = bridge.odometry_out = Watching()
    bridge.read()
    assert held and not any(held)
