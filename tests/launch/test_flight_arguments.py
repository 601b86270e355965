"""Arguments of a flight that are wrong: said once, before a node runs, and no bag is begun."""

import importlib.util
import json
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from spike_ctrl import airframe, launching
from spike_ctrl._files import resources
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.auto_mission import Mission, MissionPhase
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.setpoint_limiter import too_fast
from spike_ctrl.policy import checkpoint
from spike_ctrl_flight.flight_parameters import SupervisorParameters
from spike_ctrl_flight.flight_plan import AutomaticFlight, plan_flight
from spike_ctrl_launcher import launch_modules

OLD = json.loads((Path(__file__).parents[1] / "compatibility" / "launch_arguments.json").read_text())
BESIDE = "beside another flight, fly with namespace:=b or another name"
MODEL = "models/sih_quadx.safetensors: model: airframe_hash: found '2afc7dff6153', wanted "


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("airframe:=sih", "airframe 'sih' not found; known: "),
        ("airframe:=crazyflie model:=models/sih_quadx.safetensors", f"{MODEL}'968119fa8d9c'"),
        ("airframe:=crazyflie_drag", MODEL),
        ("recipe:=rate", "recipe 'rate' not found; known: "),
        ("model:=nothing", "model 'nothing' not found; known: any_quad, any_quad_rotor, any_quad_thrown, any_rates"),
        ("allowed_models:=nothing", "nothing: cannot be read: No such file or directory"),
        ("connection:=udp:14540", "connection: found 'udp:14540', wanted udpin:HOST:PORT, "),
        ("signing_key:=nothing", "signing key nothing: cannot be read"),
        ("paced:=true", "paced: found 'true', wanted it with vehicle:=embedded or the speed:= of a simulation"),
        ("speed:=0", "parameter 'speed': found 0.0, wanted 0.1 to 100"),
        ("speed:=fast", "the value of speed: found 'fast', wanted float"),
        ("speed:=2 paced:=false", "paced: found 'false', wanted true: a simulation at another speed"),
        ("speed:=1.00 paced:=true", "paced: found 'true', wanted it with vehicle:=embedded or the speed:="),
        ("speed:=2 vehicle:=embedded", "speed: found 2, wanted 1: the embedded vehicle keeps the pace of the flight"),
        ("speed:=2 connection:=serial:/dev/absent:921600", "speed: found 2, wanted 1: only a simulation has another"),
        ("link:=serial", "parameter 'link': found 'serial', wanted one of mavlink, betaflight, uxrce, uxrce_mode, embedded"),
        ("link:=embedded", "airframe sih_quadx: action_layout: found 'rates', wanted 'motors'; such a "),
        ("rate:=10", "parameter 'rate': found 10.0, wanted 50 to 125"),
        ("rate:=fast", "the value of rate: found 'fast', wanted float"),
        ("cage:=1,2", "cage: found '1,2', wanted x,y,z,x,y,z or absolute:x,y,z,x,y,z in m"),
        ("height:=0.1", "parameter 'height': found 0.1, wanted 0.5 to 50"),
        ("trajectory:=loop", "trajectory: found 'loop', wanted KIND"),
        ("trajectory:=hover,figure8:1:4", "trajectory figure8: at ("),
        ("setpoint:=here", "parameter 'setpoint': found 'here', wanted finite x,y,z"),
        ("duration:=0", "parameter 'duration': found 0.0, wanted 0.1 to 3600"),
        ("priority:=high", "priority: found 'high', wanted 0 to 99"),
        ("link:=uxrce", "link uxrce: px4_msgs is not installed; for PX4 1.17: "),
        ("link:=uxrce_mode", "link uxrce: px4_msgs is not installed; for PX4 1.17: "),
        ("connection:=serial:/dev/absent:921600", "connection serial:/dev/absent:921600: /dev/absent cannot be opened"),
        ("dds_profile:=/dev/null", "dds_profile: found '/dev/null', wanted a Fast DDS profile (XML)"),
        ("bag:=/proc/x", "parameter 'bag': /proc/x: cannot be written"),
        (f"bag:={'a' * 300}", f"parameter 'bag': {'a' * 300}: cannot be written (File name too long)"),
        ("namespace:=2b", "namespace: found '2b', wanted a name of letters, digits and _, such as a"),
        ("bag:=/", "bag /: exists already, wanted the name of a new bag"),
    ],
)
def test_what_a_node_would_refuse_is_refused_once_and_leaves_no_bag(refused_launch, tmp_path, argument, complaint):
    (line,) = refused_launch("flight", *argument.split())
    assert line.startswith(f"launch: {complaint}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["circle", "figure8", "square", "lissajous", "step"])
@pytest.mark.parametrize("craft", ["crazyflie", "sih_quadx", "x500", "racer", "any_rates", "any_quad"])
def test_the_default_cage_grants_each_trajectory_that_names_no_size_and_no_period(kind, craft):
    """Also where the take-off ended .2 m beside its place and .15 m too low."""
    _, settings, automatic = plan_flight(SupervisorParameters(airframe=craft, trajectory=kind))
    cage = settings.cage.laid((0.0, 0.0, 0.0))
    for path in automatic.plan.trajectories:
        for centre in ((0.0, 0.0, 1.0), (0.2, 0.2, 0.85), (-0.2, 0.2, 0.85), (0.2, -0.2, 0.9)):
            assert too_fast(replace(path, centre=centre), cage, settings.braking, settings.set_point) is None


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("mass:=-1", "mass: found -1, wanted 0.1 to 10"),
        ("thrust:=nan", "thrust: found nan, wanted 0.1 to 10"),
        ("sensors:=reel", "recipe 'reel' not found; known: "),
        ("sensors:=td3bc", "recipe td3bc: task.randomisation.sensors: found no errors, wanted some, such as real"),
        ("fault:=rotor:9:50", "fault: found 'rotor:9:50', wanted rotor:NUMBER:PERCENT or "),
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


@pytest.fixture
def flight_file():
    """The module of the launch file."""
    with launch_modules.installed():
        spec = importlib.util.spec_from_file_location("flight_launch", resources.find("launch", "flight.launch.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    yield module
    for kept in module.KEPT:
        kept.close()


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({"airframe": "x500"}, "models/x500.safetensors"),
        ({"airframe": "crazyflie", "vehicle": "embedded"}, "models/crazyflie.safetensors"),
        ({"airframe": "x500", "model": "mine.safetensors"}, "mine.safetensors"),
        ({"airframe": "crazyflie_drag"}, None),  # no model has its name
        ({"airframe": "my_quad.yaml"}, None),
        ({}, None),
    ],
)
def test_an_airframe_that_is_given_alone_is_flown_by_its_shipped_model(flight_file, given, model):
    values = dict(given)
    flight_file.with_model(SimpleNamespace(launch_configurations=values))
    assert values == given | ({"model": model} if model else {})


def test_each_shipped_model_of_an_airframes_name_was_trained_for_it():
    """Otherwise the default would be refused."""
    models = {file.stem for file in resources.folder("models").glob("*.safetensors")}
    named = models & {file.stem for file in (resources.folder("config") / "airframes").glob("*.yaml")}
    assert {"x500", "crazyflie", "sih_quadx", "any_quad"} <= named
    for name in named:
        craft = airframe.load(name)
        checkpoint.load(f"models/{name}.safetensors", expect={"airframe_hash": craft.hash, "action": craft.action_layout})


def placed(module, **given):
    values = dict(given)
    module.with_place(SimpleNamespace(launch_configurations=values))
    return {name: value for name, value in values.items() if name not in given}


def test_embedded_vehicles_in_namespaces_take_numbers_of_their_own_though_none_listens_yet(flight_file):
    first, second = (placed(flight_file, vehicle="embedded", namespace=name) for name in ("a", "b"))
    one, other = (int(found["connection"].rpartition(":")[2]) - 14540 for found in (first, second))
    assert 1 <= one < other
    assert first == {"connection": f"udpin:127.0.0.1:{14540 + one}", "system": str(1 + one), "east": str(8.0 * one)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bridge:
        bridge.bind(("127.0.0.1", 14540 + one))  # its own bridge still gets the port


def test_a_second_flight_in_a_namespace_of_the_domain_is_told_how_the_two_fly_side_by_side(flight_file, ros_domain_id):
    def take(namespace):
        numbers = {"namespace": namespace, "system": "2", "connection": "udpin:127.0.0.1:1", "east": "8.0", "north": "0.0"}
        return flight_file.take_place(SimpleNamespace(launch_configurations=numbers))

    assert take("") == []
    (said,) = take("b")
    for namespace in ("", "/b/"):
        with pytest.raises(
            ValueError, match=f"another flight runs in /b? of ROS domain {ros_domain_id}: .* with namespace:=b"
        ):
            take(namespace)
    assert said.msg.startswith(f"/b of ROS domain {ros_domain_id}; autopilot 2 at udpin:127.0.0.1:1; its odom begins 8.0 m")


def test_a_namespace_of_px4s_simulation_stands_for_its_numbers_and_others_for_nothing(flight_file):
    assert placed(flight_file, namespace="px4_3") == {"connection": "udpin:127.0.0.1:14543", "system": "4"}
    assert placed(flight_file, namespace="px4_3", system="9") == {"connection": "udpin:127.0.0.1:14543"}
    assert placed(flight_file, namespace="px4_3", connection="serial:/dev/x:9600") == {"system": "4"}
    for given in ({"namespace": "red"}, {"vehicle": "embedded"}, {}):
        assert placed(flight_file, **given) == {}


def test_a_port_that_is_taken_is_refused_before_a_bag_is_begun(start_graph, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        place = f"udpin:127.0.0.1:{other.getsockname()[1]}"
        graph = start_graph("vehicle:=embedded", f"connection:={place}", name="flight")
        assert graph.end(30) == 2
    assert graph.lines == [f"launch: connection {place}: cannot listen there (Address already in use); {BESIDE}"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", OLD)
def test_every_launch_argument_of_version_0_1_still_exists_with_its_choices(name):
    arguments = launching.arguments(resources.find("launch", f"{name}.launch.py"))
    today = {argument.name: set(argument.choices or ()) for argument in arguments}
    for argument, choices in OLD[name].items():
        assert argument in today and set(choices) <= today[argument]


def test_a_trajectory_that_is_refused_in_the_air_is_flown_slower_and_given_up_in_the_end():
    flight = AutomaticFlight(SupervisorParameters(airframe="crazyflie", trajectory="figure8:1:8"), FlightSettings().envelope)
    flight.mission = Mission(MissionPhase.ENGAGE, since=0.0)
    here, rung = SetPoint((0.2, 0.1, 0.9), yaw=0.3), Ladder(Rung.SNN, 0.0)
    _, first, phase = flight.advance(rung, True, "", here, 1.0, "", "")
    assert (first.period, first.centre, first.yaw) == (8.0, (0.2, 0.1, 0.9), 0.3) and "fly trajectory 1 of 1" in phase
    periods = []
    for tick in range(20):
        _, path, phase = flight.advance(rung, True, "", here, 1.02 + tick / 100, "", "set-point refused: too fast")
        if path is None:
            break
        periods.append(path.period)
        assert path.centre == first.centre and phase == f"figure8 slower, in {path.period:.1f} s"
    assert periods == pytest.approx([8.0 * 1.25**n for n in range(1, 7)])
    assert flight.mission.phase is MissionPhase.LAND
    assert flight.mission.failure == "fly the trajectory: set-point refused: too fast"
