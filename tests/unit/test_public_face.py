"""What `import spike_ctrl` offers: small, lazy, typed, documented, and each example in it true."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import spike_ctrl
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(spike_ctrl.__file__).parent
WANTED = {
    "Airframe", "make_env", "load_policy", "evaluate", "train", "GeometricGuide", "SpikingNetwork", "Policy"
}  # fmt: skip


def in_a_new_process(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


# --- names ---


def test_the_face_has_the_names_that_a_researcher_needs():
    assert set(spike_ctrl.__all__) >= WANTED
    assert set(dir(spike_ctrl)) >= {*spike_ctrl.__all__, "airframe", "sim", "snn", "policy", "learn", "flight"}
    for name in spike_ctrl.__all__:
        assert getattr(spike_ctrl, name).__name__ == name


def test_type_checkers_see_the_names_that_programs_get():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        name.name: node.module.removeprefix("spike_ctrl.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert seen == spike_ctrl._HOMES and set(seen) == set(spike_ctrl.__all__)
    assert (PACKAGE / "py.typed").exists()


def test_importing_it_takes_a_moment_and_none_of_what_is_slow():
    seconds = min(
        float(in_a_new_process("import time; t = time.process_time(); import spike_ctrl; print(time.process_time() - t)"))
        for _ in range(3)
    )
    assert seconds < 0.2
    slow = "{'torch', 'numba', 'gymnasium', 'scipy', 'numpy'} & set(sys.modules)"
    assert in_a_new_process(f"import sys, spike_ctrl; dir(spike_ctrl); print(*{slow})") == ""


def test_a_package_needs_no_import_of_its_own():
    assert in_a_new_process("import spike_ctrl; print(spike_ctrl.airframe.load('crazyflie').name)") == "crazyflie"


@pytest.mark.parametrize(("mistyped", "near"), [("evalute", "evaluate"), ("Airfame", "Airframe"), ("polcy", "policy")])
def test_a_mistyped_name_is_answered_with_the_nearest(mistyped, near):
    with pytest.raises(AttributeError, match=f"no attribute '{mistyped}'; did you mean '{near}'"):
        getattr(spike_ctrl, mistyped)


# --- documentation ---


def public(thing) -> dict[str, object]:
    """The public functions, classes, methods and properties that a module or a class defines itself."""
    found = {}
    for name, value in vars(thing).items():
        value = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        here = getattr(value, "__module__", None) in (getattr(thing, "__name__", None), getattr(thing, "__module__", None))
        if not name.startswith("_") and (
            isinstance(value, property) or (here and (inspect.isroutine(value) or inspect.isclass(value)))
        ):
            found[name] = value
    return found


def test_every_name_of_the_face_and_all_that_is_public_in_it_has_a_docstring():
    missing = []
    for name in spike_ctrl.__all__:
        thing = getattr(spike_ctrl, name)
        parts = public(thing) if inspect.isclass(thing) else {}
        missing += [f"{name}.{part}" for part, value in parts.items() if not inspect.getdoc(value)]
        missing += [] if inspect.getdoc(thing) else [name]
    assert not missing


@pytest.mark.parametrize("name", spike_ctrl.__all__)
def test_every_name_of_the_face_has_an_example_that_holds(name):
    thing = getattr(spike_ctrl, name)
    module = importlib.import_module(f"spike_ctrl.{spike_ctrl._HOMES[name]}")
    found = [test for test in doctest.DocTestFinder().find(thing, name, module) if test.examples]
    assert found and found[0].name == name
    runner = doctest.DocTestRunner()
    for test in found:
        runner.run(test)
    assert runner.failures == 0


def test_the_example_of_the_package_holds():
    assert doctest.testmod(spike_ctrl) == (0, 3)


def test_the_examples_of_the_page_about_the_library_run_in_order():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(), re.DOTALL)
    assert len(blocks) == 6
    namespace: dict = {}
    for block in blocks:
        exec(block, namespace)


# --- load_policy, evaluate, track ---


def test_a_shipped_model_is_known_by_its_name_and_by_its_path():
    by_name, by_path = spike_ctrl.load_policy("crazyflie"), spike_ctrl.load_policy(ROOT / "models" / "crazyflie.safetensors")
    observation = np.random.default_rng(0).normal(size=(5, 18)).astype(np.float32)
    for one, other in zip(
        by_name.step(observation, by_name.initial_state(5)), by_path.step(observation, by_path.initial_state(5)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert isinstance(by_name, spike_ctrl.Policy)


def test_an_unknown_model_is_answered_with_the_nearest():
    with pytest.raises(
        CheckpointError, match=r"model 'crazyfly' not found; known: .*crazyflie, .*; did you mean 'crazyflie'\?"
    ):
        spike_ctrl.evaluate("crazyfly")


class Predicting:
    """As the models of Stable-Baselines3, with a memory."""

    def __init__(self, policy):
        self.policy, self.starts = policy, []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic
        self.starts.append(episode_start.any())
        return self.policy.step(observation, self.policy.initial_state(len(observation)) if state is None else state)


def test_everything_that_gives_actions_is_evaluated_and_the_same_policy_scores_the_same_in_each_form():
    loaded = checkpoint.load("crazyflie")
    network = spike_ctrl.SpikingNetwork(loaded.manifest.contract.sizes, generator=torch.Generator())
    network.load_weights(loaded.weights)
    predicting, state = Predicting(loaded.policy), {}

    def function(observation):
        action, state["now"] = loaded.policy.step(
            observation, state.get("now", loaded.policy.initial_state(len(observation)))
        )
        return action

    wanted = spike_ctrl.evaluate("crazyflie", starts=16).columns
    for flown in (ROOT / "models" / "crazyflie.safetensors", loaded.policy, network, predicting, function):
        assert spike_ctrl.evaluate(flown, starts=16).columns == wanted
    assert predicting.starts == [True] + [False] * 499


def test_the_airframe_is_that_of_the_checkpoint_or_of_the_guide_where_none_is_named():
    guide = spike_ctrl.GeometricGuide("sih_quadx")
    assert spike_ctrl.evaluate(guide, starts=8) == spike_ctrl.evaluate(
        guide, spike_ctrl.Airframe.load("sih_quadx"), starts=8
    )
    found = spike_ctrl.evaluate("sih_quadx", starts=8)
    assert found == spike_ctrl.evaluate("sih_quadx", "sih_quadx", starts=8) and found.headline > 350


def test_a_checkpoint_is_refused_for_another_airframe():
    with pytest.raises(CheckpointError, match="crazyflie: airframe: found 'crazyflie', wanted 'x500'"):
        spike_ctrl.evaluate("crazyflie", "x500", starts=8)


@pytest.mark.parametrize(
    ("flown", "found"),
    [(7, "found int, wanted a checkpoint's path, a policy"), (spike_ctrl.GeometricGuide, "found the class GeometricGuide"),
     (torch.nn.GRUCell(18, 4), None)],
)  # fmt: skip
def test_what_cannot_fly_is_refused_in_words(flown, found):
    if found is None:
        flown.step = flown.initial_state = None
        found = r"found the torch module GRUCell, wanted spike_ctrl_networks.module_policy.ModulePolicy\(module, 18, 4\)"
    with pytest.raises(TypeError, match=found):
        spike_ctrl.evaluate(flown, starts=8)


def test_a_function_that_gives_other_shapes_is_refused_with_the_wanted_one():
    with pytest.raises(ValueError, match=r"actions: found shape \(4,\), wanted \(8, 4\)"):
        spike_ctrl.evaluate(lambda observation: np.zeros(4), starts=8)


def test_a_trajectory_of_ones_own_is_followed_as_a_shipped_one():
    def mine(path, time):
        angle = 2 * np.pi * time / path.period
        offset, velocity = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
        return tuple(path.size * offset), tuple(path.size * 2 * np.pi / path.period * velocity)

    own, shipped = spike_ctrl.Trajectory(mine, size=0.8), spike_ctrl.Trajectory("circle", size=0.8)
    assert own.name == "mine" and own.tilt == pytest.approx(shipped.tilt) and own.fastest == pytest.approx(shipped.fastest)
    np.testing.assert_allclose(np.hstack(own.at(1.2)[:2]), np.hstack(shipped.at(1.2)[:2]), atol=1e-12)
    guide = spike_ctrl.GeometricGuide("crazyflie")
    assert spike_ctrl.track(guide, own).rmse == pytest.approx(spike_ctrl.track(guide, shipped).rmse, rel=1e-3)


# --- train ---


def test_training_gives_the_policy_and_its_evaluation_and_keeps_the_run_where_it_is_told_to(tmp_path):
    lines = []
    plan = recipes.find("default").with_steps(4_000)
    plan = dataclasses.replace(plan, schedule=dataclasses.replace(plan.schedule, evaluations=1))
    policy, evaluation = spike_ctrl.train(plan, vehicles=32, seed=3, run=tmp_path / "run", progress=lines.append)
    kept = checkpoint.load(tmp_path / "run" / "policy.safetensors")
    assert kept.manifest.seed == 3 and kept.manifest.evaluation["frozen"]["starts"] == evaluation.starts == 1024
    assert spike_ctrl.evaluate(policy).columns == evaluation.columns
    again, _ = spike_ctrl.train(plan, "crazyflie", vehicles=32, seed=3)
    observation = np.ones(18, np.float32)
    np.testing.assert_array_equal(
        policy.step(observation, policy.initial_state())[0], again.step(observation, again.initial_state())[0]
    )
    with pytest.raises(ValueError, match="exists already"):
        spike_ctrl.train(plan, run=tmp_path / "run")


def test_the_time_of_a_training_is_that_of_the_clock_it_is_given(tmp_path):
    about = {"steps": 4096, "vehicles": 32, "clock": itertools.count(step=1000).__next__}
    spike_ctrl.train("default", run=tmp_path / "run", **about)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines and all(line["seconds"] >= 1000 and line["seconds"] % 1000 == 0 for line in lines)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"vehicles": 0}, "vehicles: found 0, wanted 1 to 8192"), ({"steps": 10}, "steps: found 10, wanted 0 or 1000 to"),
     ({"seed": -1}, "seed: found -1, wanted 0 to"), ({"recipe": "defalt"}, "did you mean 'default'"),
     ({"vehicles": "8"}, "vehicles: found '8', wanted a whole number"), ({"steps": "10"}, "steps: found '10', wanted a"),
     ({"vehicles": 8.5}, "vehicles: found 8.5, wanted a whole"), ({"seed": None}, "seed: found None, wanted a whole number"),
     ({"airframe": "crazyfly"}, "did you mean 'crazyflie'")],
)  # fmt: skip
def test_a_wrong_argument_of_a_training_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        spike_ctrl.train(**given)
