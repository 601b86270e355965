"""Parameters of a node: declared once, and what does not fit is refused by name when the node starts."""

from dataclasses import dataclass

import pytest
import rclpy
from rclpy.parameter import Parameter

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting
from spike_ctrl_ros.declared_parameters import checked, declare


@dataclass(frozen=True)
class Parameters:
    vehicles: int = setting(4, "Number of vehicles.", low=1, high=10)
    rate: float = setting(100.0, "Control rate, Hz.", low=0.0)
    layout: str = setting("motors", "Action layout.", choices=("motors", "rates"), read_only=False)
    realtime: bool = setting(False, "One control step each 10 ms.")


@pytest.fixture
def node_with(ros_domain_id):
    """Make a node that was started with these `name:=value` parameters."""
    rclpy.init()
    nodes = []

    def make(*given: str):
        arguments = [word for value in given for word in ("-p", value)]
        nodes.append(rclpy.create_node("toy", cli_args=["--ros-args", *arguments]))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown()


@pytest.mark.installed
def test_defaults_and_given_values_arrive_with_their_types(node_with):
    node = node_with("vehicles:=7", "rate:=50", "realtime:=true", "use_sim_time:=false")
    assert declare(node, Parameters) == Parameters(vehicles=7, rate=50.0, layout="motors", realtime=True)
    assert node.get_parameter("rate").value == 50.0


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("vehicle:=3", "unknown parameter 'vehicle'; did you mean 'vehicles'?"),
        ("vehicles:=11", "parameter 'vehicles': found 11, wanted 1 to 10"),
        ("vehicles:=many", "parameter 'vehicles': found 'many', wanted a whole number"),
        ("rate:=-1.0", "parameter 'rate': found -1.0, wanted at least 0"),
        ("rate:=.nan", "parameter 'rate': found nan, wanted a finite number"),
        ("layout:=wings", "parameter 'layout': found 'wings', wanted one of motors, rates"),
        ("realtime:=1", "parameter 'realtime': found 1, wanted true or false"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(node_with, given, wanted):
    with pytest.raises(UsageError) as error:
        declare(node_with(given), Parameters)
    assert str(error.value) == wanted


def test_values_are_checked_without_a_node_in_the_same_words():
    assert checked(Parameters, {"rate": 50}) == Parameters(rate=50.0)
    with pytest.raises(UsageError, match=r"^parameter 'vehicles': found 11, wanted 1 to 10$"):
        checked(Parameters, {"vehicles": 11})
    with pytest.raises(UsageError, match=r"^unknown parameter 'vehicle'; did you mean 'vehicles'\?"):
        checked(Parameters, {"vehicle": 3})


def test_changes_in_flight_are_checked_and_read_only_ones_refused(node_with):
    node = node_with()
    declare(node, Parameters)
    assert node.set_parameters([Parameter("layout", value="rates")])[0].successful
    refused = node.set_parameters([Parameter("layout", value="wings"), Parameter("vehicles", value=5)])
    assert [result.successful for result in refused] == [False, False]
    assert refused[0].reason == "parameter 'layout': found 'wings', wanted one of motors, rates"


def test_the_clock_of_a_node_cannot_be_exchanged_in_flight(node_with):
    node = node_with()
    declare(node, Parameters)
    (refused,) = node.set_parameters([Parameter("use_sim_time", value=True)])
    assert not refused.successful and refused.reason == "parameter 'use_sim_time': read-only: give it when the node starts"
    assert not node.get_clock().ros_time_is_active
