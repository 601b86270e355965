"""Arguments of a flight that are wrong: said once, before a node runs, and no bag is begun."""

import socket

import pytest

MODEL = "models/sih_quadx.safetensors: model: airframe_hash: found '2afc7dff6153', wanted '968119fa8d9c'"


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("airframe:=sih", "airframe 'sih' not found; known: "),
        ("airframe:=crazyflie", MODEL),
        ("recipe:=rate", "recipe 'rate' not found; known: "),
        ("model:=nothing", "model 'nothing' not found; known: any_quad, any_rates, crazyflie"),
        ("allowed_models:=nothing", "nothing: cannot be read: No such file or directory"),
        ("connection:=udp:14540", "connection: found 'udp:14540', wanted udpin:HOST:PORT, "),
        ("signing_key:=nothing", "signing key nothing: cannot be read"),
        ("paced:=true", "paced: found 'true', wanted it with vehicle:=embedded alone"),
        ("link:=serial", "parameter 'link': found 'serial', wanted one of mavlink, uxrce, uxrce_mode, embedded"),
        ("link:=embedded", "airframe sih_quadx: action_layout: found 'rates', wanted 'motors'; such a "),
        ("rate:=10", "parameter 'rate': found 10.0, wanted 50 to 125"),
        ("rate:=fast", "the value of rate: found 'fast', wanted float"),
        ("cage:=1,2", "cage: found '1,2', wanted x,y,z,x,y,z or absolute:x,y,z,x,y,z in m"),
        ("height:=0.1", "parameter 'height': found 0.1, wanted 0.5 to 50"),
        ("trajectory:=loop", "trajectory: found 'loop', wanted KIND"),
        ("setpoint:=here", "parameter 'setpoint': found 'here', wanted finite x,y,z"),
        ("duration:=0", "parameter 'duration': found 0.0, wanted 0.1 to 3600"),
        ("priority:=high", "priority: found 'high', wanted 0 to 99"),
        ("link:=uxrce", "link uxrce: px4_msgs is not installed; for PX4 1.17: "),
        ("link:=uxrce_mode", "link uxrce: px4_msgs is not installed; for PX4 1.17: "),
        ("connection:=serial:/dev/absent:921600", "connection serial:/dev/absent:921600: /dev/absent cannot be opened"),
        ("dds_profile:=/dev/null", "dds_profile: found '/dev/null', wanted a Fast DDS profile (XML)"),
        ("bag:=/proc/x", "parameter 'bag': /proc/x: cannot be written"),
        (f"bag:={'a' * 300}", f"parameter 'bag': {'a' * 300}: cannot be written (File name too long)"),
        ("bag:=/", "parameter 'bag': /: exists already, wanted the name of a new bag"),
    ],
)
def test_what_a_node_would_refuse_is_refused_once_and_leaves_no_bag(refused_launch, tmp_path, argument, complaint):
    (line,) = refused_launch("flight", argument)
    assert line.startswith(f"launch: {complaint}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("mass:=-1", "mass: found -1, wanted 0.1 to 10"),
        ("thrust:=nan", "thrust: found nan, wanted 0.1 to 10"),
        ("sensors:=reel", "recipe 'reel' not found; known: "),
        ("sensors:=td3bc", "recipe td3bc: task.randomisation.sensors: found no errors, wanted some, such as real"),
        ("wind:=99", "wind: found 99, wanted -15 to 15"),
        ("latency:=soon", "the value of latency: found 'soon', wanted float"),
        ("truth:=/proc/x", "truth /proc/x: cannot be written"),
        ("connection:=udpin:127.0.0.1:0", "vehicle:=embedded: connection: found 'udpin:127.0.0.1:0', wanted "),
    ],
)
def test_what_the_embedded_vehicle_would_refuse_is_refused_before_it_starts(refused_launch, tmp_path, argument, complaint):
    (line,) = refused_launch("flight", "vehicle:=embedded", "connection:=udpin:127.0.0.1:14999", argument)
    assert line.startswith(f"launch: {complaint}")
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_refused_before_a_bag_is_begun(start_graph, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        place = f"udpin:127.0.0.1:{other.getsockname()[1]}"
        graph = start_graph("vehicle:=embedded", f"connection:={place}", name="flight")
        assert graph.end(30) == 2
    assert graph.lines == [f"launch: connection {place}: cannot listen there (Address already in use)"]
    assert not list(tmp_path.iterdir())
