"""What the reader makes of the messages in a bag."""

import numpy as np
import pytest
from recorded import Bag, fly

from spike_ctrl._files import resources
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.flight_log import read_log
from spike_ctrl.recordings.reader import read
from spike_ctrl.recordings.recording import latencies


def test_states_of_another_number_of_vehicles_are_refused_by_tick(tmp_path):
    bag = Bag(tmp_path / "bag")
    for tick, vehicles in ((0, 2), (1, 3)):
        arrays = {"flags": np.zeros(vehicles, np.uint8), "observation": np.zeros((vehicles, 18), np.float32)}
        bag.write("/state", "VehicleState", tick, tick=tick, vehicles=vehicles, **arrays)
    bag.writer.close()
    with pytest.raises(BagError, match="state, tick 1: found 3 vehicles, wanted 2"):
        read(tmp_path / "bag")


def test_states_that_are_sent_again_count_once_and_another_flight_is_left_out(tmp_path):
    bag = Bag(tmp_path / "bag")
    arrays = {"vehicles": 1, "flags": np.zeros(1, np.uint8), "observation": np.zeros((1, 18), np.float32)}
    for when, tick in enumerate((0, 1, 1, 2, 0, 1)):
        bag.write("/uav/state", "VehicleState", when, tick=tick, **arrays)
    bag.writer.close()
    found = read(tmp_path / "bag")
    assert found.states.tick.tolist() == [0, 1, 2] and found.states.received.tolist() == [0, 1, 3]
    assert any("start again after tick 2" in note for note in found.notes)


def test_latencies_are_from_state_to_answer_as_received(tmp_path):
    fly(tmp_path / "bag", resources.find("models", "crazyflie.safetensors"), ticks=50)
    np.testing.assert_allclose(latencies(read(tmp_path / "bag")), 1.5e-3)


def test_of_two_flights_in_namespaces_the_first_is_read_and_the_other_is_noted(tmp_path):
    bag = Bag(tmp_path / "bag")
    for tick in range(3):
        for space, height in (("b", 1.0), ("a", 2.0)):
            about = {"tick": tick, "position": np.array([0.0, 0.0, height])}
            bag.write(f"/{space}/flight_state", "FlightState", 10 * tick, **about)
            bag.write(f"/{space}/supervisor/status", "SupervisorStatus", 10 * tick, events=[f"info: that of {space}"])
            state = {"tick": tick, "vehicles": 1, "flags": np.uint8([0]), "observation": np.zeros(18, np.float32)}
            bag.write(f"/{space}/state", "VehicleState", 10 * tick, **state)
    bag.writer.close()
    log = read_log(tmp_path / "bag")
    assert log.position[:, 2].tolist() == [1.0] * 3 and {event.text for event in log.events} == {"that of b"}
    recording = read(tmp_path / "bag")
    assert recording.states.tick.tolist() == [0, 1, 2] and recording.poses.position[:, 2].tolist() == [1.0] * 3
    assert "/a/state: left out, the flight read is that of /b/" in recording.notes
    assert read_log(tmp_path / "bag", "a").position[:, 2].tolist() == [2.0] * 3
    recording = read(tmp_path / "bag", namespace="a")
    assert recording.poses.position[:, 2].tolist() == [2.0] * 3
    assert "/b/state: left out, the flight read is that of /a/" in recording.notes
    with pytest.raises(BagError, match=r"found /a/flight_state .*; wanted a topic c/state"):
        read(tmp_path / "bag", namespace="c")


def test_a_tick_beyond_63_bits_is_refused_by_the_bag(tmp_path):
    bag = Bag(tmp_path / "bag")
    state = {"tick": 2**63, "vehicles": 1, "flags": np.uint8([0]), "observation": np.zeros(18, np.float32)}
    bag.write("/state", "VehicleState", 0, **state)
    bag.writer.close()
    with pytest.raises(BagError, match=r"bag: found a time or tick of 2\^63 or more"):
        read(tmp_path / "bag")


def test_a_tick_beyond_63_bits_is_refused_in_the_log_of_a_flight_too(tmp_path):
    bag = Bag(tmp_path / "bag")
    bag.write("/flight_state", "FlightState", 0, tick=2**63)
    bag.write("/supervisor/status", "SupervisorStatus", 0)
    bag.writer.close()
    with pytest.raises(BagError, match=r"bag: found a time or tick of 2\^63 or more"):
        read_log(tmp_path / "bag")


@pytest.mark.parametrize(("settings", "noted"), [('{"paced": true}', False), ('{"paced": tr', True)])
def test_settings_that_cannot_be_read_are_noted(settings, noted, tmp_path):
    bag = Bag(tmp_path / "bag")
    state = {"tick": 0, "vehicles": 1, "flags": np.uint8([0]), "observation": np.zeros(18, np.float32)}
    bag.write("/state", "VehicleState", 0, **state)
    bag.write("/supervisor/settings", "std_msgs/msg/String", 0, data=settings)
    bag.writer.close()
    found = read(tmp_path / "bag")
    assert found.paced != noted
    told = "supervisor/settings: found none that can be read; course and pace of the flight are unknown"
    assert (told in found.notes) == noted


def test_a_rung_that_does_not_exist_is_refused_by_its_topic(tmp_path):
    fly(tmp_path / "bag", resources.find("models", "crazyflie.safetensors"), ticks=20, rungs={0: (99, "info: made up")})
    with pytest.raises(BagError, match=r"supervisor/status\.rung: found 99, wanted 0 to 4"):
        read_log(tmp_path / "bag")
