"""A recorded flight shown to a running snn_policy.

- the checkpoint in the bag answers as recorded, bit by bit, at ten times the speed of the flight; a given one at any
- one changed bit ends the replay with its tick; another model's distance is told
- a bag of another airframe, one that holds no states and none at all end it with one line
"""

import re

import numpy as np
from recorded import Bag, fly

from spike_ctrl._files import resources

MODEL = resources.folder("models") / "crazyflie.safetensors"


def test_the_running_policy_answers_as_recorded(start_graph, tmp_path):
    fly(tmp_path / "bag", MODEL, ticks=1000)
    graph = start_graph("bag:=bag", "rate:=10.0", name="replay")
    assert graph.end(60) == 0, graph.output
    assert "equal bit by bit: 2000 of 2000 actions" in graph.output
    took = float(re.search(r"replayed 10.0 s of flight in ([\d.]+) s", graph.output)[1])
    assert took >= 0.9  # never faster than asked for; on a busy computer slower


def test_a_changed_bit_is_named_and_ends_with_an_error(start_graph, tmp_path):
    def alter(tick, action):
        action[0, 1] = np.nextafter(action[0, 1], np.float32(2)) if tick == 57 else action[0, 1]
        return action

    fly(tmp_path / "bag", MODEL, alter=alter)
    graph = start_graph("bag:=bag", "rate:=0", name="replay")
    assert graph.end(60) == 1
    assert "first difference: tick 57, vehicle 0, back-right" in graph.output
    assert "the checkpoint that flew answers differently now" in graph.output


def test_a_given_model_answers_instead_of_those_in_the_bag(start_graph, tmp_path):
    fly(tmp_path / "bag", MODEL, leave_out=("policy/checkpoint",), name="crazyflie.safetensors")
    graph = start_graph("bag:=bag", "rate:=0", f"model:={MODEL}", name="replay")
    assert graph.end(60) == 0, graph.output
    assert "the same by its name" in graph.output and "equal bit by bit: 600 of 600 actions" in graph.output


def test_a_bag_that_cannot_be_replayed_ends_in_one_line(start_graph, tmp_path):
    bag = Bag(tmp_path / "bag")
    bag.writer.close()
    graph = start_graph("bag:=bag", name="replay")
    assert graph.end(30) == 2
    assert "error: bag: found no message; wanted a topic state" in graph.output and "Traceback" not in graph.output


def test_a_bag_of_another_airframe_is_refused_at_once(start_node, tmp_path):
    fly(tmp_path / "bag", MODEL, ticks=20)
    replayer = start_node("replayer", "-p", f"bag:={tmp_path / 'bag'}", "-p", "airframe:=sih_quadx")
    assert replayer.process.wait(30) == 2
    complaint = r"parameter 'airframe': found 'sih_quadx' \(\w+\), wanted that of the checkpoint, crazyflie"
    assert re.search(complaint, replayer.output), replayer.output
