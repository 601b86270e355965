"""Cages of several flights: what overlaps is told to each supervisor in words, and what is apart is not.

- boxes that are apart along one axis do not overlap; else the words say by how much, whose, and what to set
- a cage that lies in odom is told in map, and again when home moves
- two supervisors hear of each other, and forget the one that has gone
"""

import time
from types import SimpleNamespace

import pytest
import rclpy
from geometry_msgs.msg import PolygonStamped
from rclpy.executors import SingleThreadedExecutor

from spike_ctrl.flight.geofence import Cage
from spike_ctrl_fleet.separation import Separation, gap, in_map, overlap
from spike_ctrl_ros import qos
from spike_ctrl_ros.node import ProcessNode

CAGE = Cage((-3.0, -3.0, -0.5), (3.0, 3.0, 3.0), relative=False)


@pytest.mark.parametrize(
    ("east", "north", "found"),
    [(8.0, 0.0, 2.0), (0.0, -6.0, 0.0), (-5.0, 0.0, -1.0), (5.0, 4.5, -1.0), (0.0, 0.0, -3.5)],
)
def test_boxes_are_as_far_apart_as_along_their_farthest_axis(east, north, found):
    own, other = in_map(CAGE, 0.0, 0.0), in_map(CAGE, east, north)
    assert gap(own, other) == gap(other, own) == pytest.approx(found)
    assert bool(overlap("/b", own, other)) == (found < 0)


@pytest.mark.installed
def test_the_words_name_the_other_flight_the_depth_and_what_to_set():
    words = overlap("/b", in_map(CAGE, 0.0, 0.0), in_map(CAGE, 5.0, 0.0))
    assert words.startswith(
        "cage of the flight in /b: found it 1.00 m inside this one, wanted apart; give another cage:=, or give with east:="
    )


class Supervisor(ProcessNode):
    """What a condition sees of the node."""

    def __init__(self, namespace: str, east: float):
        super().__init__("supervisor", namespace=namespace)
        self.settings, self.state = SimpleNamespace(cage=Cage()), SimpleNamespace(home=(0.0, 0.0, 0.0))
        self.parameters = SimpleNamespace(east=east, north=0.0)
        self.separation = Separation(self)


@pytest.fixture
def flown_together(ros_domain_id):
    """start(namespace, east) gives a supervisor; until(condition) lets all of them look and hear."""
    rclpy.init()
    executor, started = SingleThreadedExecutor(), []

    def start(namespace: str, east: float) -> Supervisor:
        started.append(Supervisor(namespace, east))
        executor.add_node(started[-1])
        return started[-1]

    def until(condition, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, [node.separation.unmet() for node in started]
            executor.spin_once(0.05)

    def end(node: Supervisor) -> None:
        executor.remove_node(node)
        started.remove(node)
        node.destroy_node()

    yield SimpleNamespace(start=start, until=until, end=end)
    for node in list(started):
        end(node)
    rclpy.shutdown()


def test_supervisors_hear_of_overlaps_in_map_and_of_their_end(flown_together):
    root, b = flown_together.start("", 0.0), flown_together.start("b", 4.0)
    flown_together.until(lambda: all([root.separation.unmet(), b.separation.unmet()]))
    assert root.separation.unmet()[0].startswith("cage of the flight in /b: found it 2.00 m inside")
    assert b.separation.unmet()[0].startswith("cage of the flight in /: found it 2.00 m inside")
    b.state.home = (4.0, 0.0, 0.0)  # carried away while it was disarmed
    flown_together.until(lambda: not any([root.separation.unmet(), b.separation.unmet()]))
    b.state.home = (0.0, 0.0, 0.0)
    flown_together.until(lambda: all([root.separation.unmet(), b.separation.unmet()]))
    flown_together.end(b)
    flown_together.until(lambda: not root.separation.unmet())


def test_the_cage_is_told_in_map_once_and_to_who_comes_later(flown_together):
    b = flown_together.start("b", 8.0)
    b.separation.unmet(), b.separation.unmet()
    heard = []
    b.create_subscription(PolygonStamped, "cage", heard.append, qos.CHECKPOINTS)
    flown_together.until(lambda: heard)
    (message,) = heard
    assert message.header.frame_id == "map"
    assert [(p.x, p.y, p.z) for p in message.polygon.points] == [(5.0, -3.0, -0.5), (11.0, 3.0, 3.0)]
