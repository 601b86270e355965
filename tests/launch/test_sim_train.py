"""The training graph, as real processes over real DDS. Its whole runs: see test_trained_graphs.py.

- Ctrl-C leaves a run that goes on where it was
- a killed learner leaves the others flying, a slow one is waited for; a dead guide ends the graph with its name
- a malformed parameter and a node of a second graph in the same domain are refused
"""

import json
import os
import re
import signal

import pytest
import yaml

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.learn import training_state


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


SLOW = """import time
from pathlib import Path
from spike_ctrl.learn.off_policy import OffPolicy

class Slow(OffPolicy):
    def update(self, *given):
        while not Path("go_on").exists():
            time.sleep(0.1)
        return super().update(*given)
"""


def test_a_slow_learner_is_waited_for_and_ctrl_c_leaves_a_run_that_goes_on_until_a_guide_dies(
    start_graph, start_node, refused_launch, tmp_path
):
    slow = yaml.safe_load(resources.find("config", "recipes/debug.yaml").read_text())
    slow["algorithm"] = {"class": "slow:Slow"}
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(slow))
    given = ("recipe:=slow.yaml", "vehicles:=48", "airframe:=crazyflie_l2f", "seed:=3", "steps:=5000000")
    graph = start_graph(*given, "run:=run")
    graph.wait_for(r"waiting for the learner's permission for \d+ s")
    second = start_node("guide_policy")  # a second graph ends with the first of its nodes that is refused
    assert second.process.wait(40) == 1
    assert "in this ROS domain" in second.output
    assert graph.process.poll() is None
    (tmp_path / "go_on").touch()
    graph.wait_for(r"\d %, ")
    assert graph.output.count("waiting for the learner's permission") == 1 and "WARN" not in graph.output
    graph.process.send_signal(signal.SIGINT)
    graph.end(30)
    assert re.search(r"go on with resume:=run$", graph.output, re.M)
    _, info = training_state.load(tmp_path / "run" / "state.safetensors")
    flown = info["learner"]["environment_steps"]
    assert flown > 0
    assert refused_launch("sim_train", "vehicles:=64", "resume:=run") == [
        "launch: run run: vehicles: found 64, wanted 48 as when it was started; leave it out to resume"
    ]
    graph = start_graph("resume:=run")
    graph.wait_until(lambda: metrics(tmp_path / "run")[-1]["environment_steps"] > flown, 120, "no further metrics")
    values = {node: graph.parameters(node) for node in ("simulator", "guide_policy", "snn_policy", "learner")}
    assert values["simulator"]["vehicles"] == values["learner"]["vehicles"] == 48
    assert values["simulator"]["seed"] == values["learner"]["seed"] == 3
    flying = {airframe.load(str(tmp_path / parameters["airframe"])).hash for parameters in values.values()}
    assert flying == {airframe.load("crazyflie_l2f").hash}
    others = [graph.node(name) for name in ("simulator", "guide_policy", "snn_policy")]
    os.kill(graph.node("learner"), signal.SIGKILL)
    graph.wait_for("the learner is gone; flying on")
    graph.wait_for(r"tick (\d+): the learner is gone[^$]*tick (?!\1)\d+: the learner is gone")  # it did fly on
    for process in others:
        os.kill(process, 0)
    assert graph.process.poll() is None
    os.kill(graph.node("guide_policy"), signal.SIGKILL)
    graph.wait_for(r"tick \d+.*(guide_policy not connected|no guide/action from guide_policy)")
    assert graph.end(40) != 0
    steps = [line["environment_steps"] for line in metrics(tmp_path / "run")]
    assert steps == sorted(steps) and all(step % 48 == 0 for step in steps)
    assert next(step for step in steps if step > flown) < flown + 1_000_000


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("vehicles:=0", "parameter 'vehicles': found 0, wanted 1 to 8192"),
        ("recipe:=td3bx", "recipe 'td3bx' not found; known: "),
        (
            "recipe:=rates",
            "recipe rates: layout: found 'rates', wanted 'motors' for airframe crazyflie; made for it: recipe default",
        ),
        ("steps:=5", "recipe debug: schedule: steps: found 5, wanted 1000 to 1e+10"),
        ("bag:=kept", "bag: found 'kept', wanted only with record:=true"),
        ("airframe:=crazyfly", "airframe 'crazyfly' not found; known: "),
        ("seed:=-1", "parameter 'seed': found -1, wanted at least 0"),
        ("seed:=one", "the value of seed: found 'one', wanted int"),
        ("priority:=100", "priority: found '100', wanted 0 to 99"),
        ("resume:=nothing", "run nothing: run.json is missing"),
    ],
)
def test_a_malformed_parameter_is_refused_by_name_once_and_before_a_node_runs(refused_launch, argument, complaint):
    (line,) = refused_launch("sim_train", "recipe:=debug", argument)
    assert line.startswith(f"launch: {complaint}")


def test_the_installed_launch_refuses_a_malformed_parameter_with_one_line_and_exit_code_2(start_graph):
    graph = start_graph("recipe:=debug", "vehicles:=0")
    assert graph.end(30) == 2
    assert graph.lines == ["launch: parameter 'vehicles': found 0, wanted 1 to 8192"]


def test_a_run_that_exists_is_refused_before_a_bag_is_begun(refused_launch, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").touch()
    assert refused_launch("sim_train", "recipe:=debug", "run:=one", "record:=true") == [
        "launch: run one: exists already; name another, or resume it: resume:=one"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_misspelt_argument_is_refused_with_the_right_one(refused_launch):
    (line,) = refused_launch("sim_train", "vehicels:=64")
    assert "vehicels" in line and "vehicles" in line
