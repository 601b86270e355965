"""Functions of a user's own under evaluation, Gymnasium, the verb, recipes and training, and where they are refused."""

import itertools
import re
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import spike_ctrl
from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.tracking import track
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.learner import Learner
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.pipeline import CHANGES
from spike_ctrl.sim.step_view import FIELDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CRAZYFLIE, N = airframe.load("crazyflie"), 20

# --- evaluation and Gymnasium ---


def test_the_discrete_gust_of_the_standard_written_by_a_user_moves_the_vehicles_as_the_shipped_one_does():
    """MIL-F-8785C: (1 - cos) / 2 over its duration."""
    path, gust = Trajectory("hover", period=2.0), spike_ctrl.Gust(0.2, 1.0)

    def mine(step):
        since = step.time - path.lead
        share = np.where((since > 0) & (since < 1), 0.2 * (1 - np.cos(2 * np.pi * since)) / 2, 0)
        return step.force + share[:, None] * CRAZYFLIE.mass * 9.80665 * np.array([1, 0, 0])

    found, shipped = track("crazyflie", path, inserts={"wind": mine}), track("crazyflie", path, gust=gust)
    assert found.worst == pytest.approx(shipped.worst, rel=1e-3) and found.worst > 0.05


def test_an_evaluation_flies_with_what_is_inserted_and_refuses_a_reward_that_it_does_not_count():
    heavy = {"reset": lambda step: {"mass": 1.3 * step.mass}}
    assert evaluate("crazyflie", starts=16, inserts=heavy).headline < evaluate("crazyflie", starts=16).headline - 10
    for fly in (evaluate, lambda *given, **more: track("crazyflie", Trajectory("hover"), **more)):
        with pytest.raises(UsageError, match=r"insert reward: found with .*, which scores a fixed reward, wanted none"):
            fly("crazyflie", inserts={"reward": lambda step: step.reward})


def test_gymnasium_makes_one_vehicle_and_a_batch_with_what_is_inserted():
    force = {"wind": lambda step: step.force + 0.01}
    one = gymnasium.make("spike_ctrl/Position-v0", inserts=force)
    many = gymnasium.make_vec("spike_ctrl/Position-v0", num_envs=N, inserts=force)
    for environment, shape in ((one, (4,)), (many, (N, 4))):
        environment.reset(seed=1)
        environment.step(np.zeros(shape, np.float32))
    np.testing.assert_allclose(one.unwrapped.batch.disturbance[:, :3], 0.01)
    np.testing.assert_allclose(many.unwrapped.disturbance[:, :3], 0.01)
    one.unwrapped.insert("wind", lambda step: 2 * step.force)
    one.step(np.zeros(4, np.float32))
    np.testing.assert_allclose(one.unwrapped.batch.disturbance[:, :3], 0.02)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's module by the name of `own_wind`, in the current folder."""
    (tmp_path / "own_wind.py").write_text(
        "calls = []\n"
        "def gust(step, share=0.1):\n    calls.append((step.vehicles, share))\n    return step.force + share * 0.1\n"
        "class Delay:\n    def __init__(self, steps=1):\n        self.steps = steps\n"
        "    def __call__(self, step):\n        calls.append((step.vehicles, self.steps))\n"
        "def wrong(step):\n    return gusts\n"
    )
    monkeypatch.chdir(tmp_path)
    yield lambda: sys.modules["own_wind"].calls
    sys.modules.pop("own_wind", None)


def test_the_verb_flies_with_a_function_by_its_name_and_tells_a_wrong_one_in_one_line(mine, capsys):
    model = str(ROOT / "models" / "crazyflie.safetensors")

    def fly(*more):
        code = main.main(["eval", model, *more])
        return code, capsys.readouterr()

    code, still = fly("--protocol", "gust")
    code, shown = fly("--protocol", "gust", "--insert", "wind=own_wind:gust", "actuation=own_wind:Delay")
    assert code == 0 and set(mine()) == {(64, 0.1), (64, 1)} and shown.out != still.out
    for given, told in {
        ("--insert", "wind=own_wind:wrong"): r"insert wind: own_wind:wrong: NameError: name 'gusts' is .* line \d+\)",
        ("--insert", "wind=own_wind:gist"): "--insert wind: found no gist in own_wind, wanted .*: Delay, gust, wrong",
        ("--insert", "winds=own_wind:gust"): "--insert: found step 'winds', wanted one of reset, .*; did you mean 'wind'.",
        ("--insert", "own_wind:gust"): "--insert: found step 'own_wind:gust', wanted one of reset",
        ("--insert", "reward=own_wind:gust"): "insert reward: found with evaluate, which scores a fixed reward",
    }.items():
        code, shown = fly(*given)
        assert code == 2 and re.fullmatch(rf"(usage.*)?.*error: {told}.*\n", shown.err, re.DOTALL), shown.err
        assert "Traceback" not in shown.err


# --- recipes and training ---

TASK = {"box": 1.5, "episode_steps": 50, "reward": "start"}
SHORT = {
    "name": "trial",
    "task": TASK,
    "network": {"hidden": [16, 8], "slope": {"kind": "fixed", "k": 5}},
    "schedule": {"steps": 1280, "iteration_steps": 320, "evaluations": 1},
}
METHODS = {
    "td3bc": {"replay": {"capacity": 8192, "window": 10, "critic_batch": 8, "actor_batch": 16},
              "td3bc": {"burn_in": 2, "critic_updates": 1, "actor_updates": 2}, "critic_width": 16},
    "ppo": {"jump_start": {"horizon": 0, "rest": 0, "noise": 0}, "ppo": {"sequences": 8}, "critic_width": 16},
    "dagger": {"critic_width": 16},
}  # fmt: skip


def recipe(insert, **more):
    return recipes.from_dict(SHORT | {"task": TASK | {"insert": insert}} | more)


def test_a_recipe_names_functions_and_classes_with_their_arguments_and_is_written_as_it_was_read(mine):
    plan = recipe({
        "wind": ["own_wind:gust", {"function": "own_wind:gust", "share": 0.3}],
        "actuation": {"class": "own_wind:Delay", "steps": 3},
    })  # fmt: skip
    assert recipes.from_dict(recipes.to_dict(plan)) == plan
    environment = training_environment(plan, CRAZYFLIE, N)
    environment.reset(seed=0)
    environment.step(np.zeros((N, 4)))
    assert mine() == [(N, 3), (N, 0.1), (N, 0.3)]
    np.testing.assert_allclose(environment.disturbance[:, :3], 0.04, rtol=1e-5)
    assert "insert" not in recipes.to_dict(recipes.from_dict(SHORT))["task"]


@pytest.mark.parametrize(
    ("insert", "told"),
    [
        ([], "task.insert: found a list, wanted a mapping of steps to functions"),
        ({"wnd": "own_wind:gust"}, "task.insert: found step 'wnd', wanted one of reset, .*; did you mean 'wind'?"),
        ({"wind": "gust"}, "task.insert.wind: found 'gust', wanted module:name, {function: module:name, ...}"),
        ({"wind": {"function": "gust"}}, "task.insert.wind.function: found 'gust', wanted module:Name"),
        ({"wind": 3}, "task.insert.wind: found 3, wanted module:name"),
    ],
)
def test_a_recipe_that_inserts_wrongly_is_refused(insert, told):
    with pytest.raises(UsageError, match=told):
        recipe(insert)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("own_wind:gist", "task.insert.wind: found no gist in own_wind, wanted one of"),
        ({"function": "own_wind:gust", "shear": 1}, "task.insert.wind: own_wind:gust: .*'shear'"),
        ({"class": "own_wind:Delay", "stops": 1}, "task.insert.wind: own_wind:Delay: .*'stops'"),
    ],
)
def test_a_function_that_is_not_there_or_takes_other_arguments_is_refused_before_anything_flies(code, told, mine):
    with pytest.raises(UsageError, match=told):
        Learner(recipe({"wind": code}), CRAZYFLIE, N, 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_and_its_validation_fly_with_what_the_recipe_inserts(method, mine, tmp_path):
    plan = recipe({"wind": {"function": "own_wind:gust", "share": 0.2}}, algorithm=method, **METHODS[method])
    about = {"clock": itertools.count().__next__, "command": "spike-ctrl train", "commit": ""}
    run = Run.start(tmp_path / "run", plan, CRAZYFLIE, 16, 0, **about)
    train(run, lambda line: None, lambda: False)
    assert mine().count((16, 0.2)) == 1280 // 16
    run.learner.validate()  # which ends where all 256 have left the boxes
    assert mine().count((256, 0.2)) >= 50


def test_a_privileged_guide_is_told_the_plant_that_an_insertion_may_change(mine):
    plain, blown = (
        Rollout(training_environment(recipe(insert), CRAZYFLIE, N), 0).see() for insert in ({}, {"wind": "own_wind:gust"})
    )
    assert plain.plant is None and blown.plant.shape == (N, dynamics.PLANT_SIZE)


def test_bptt_refuses_in_words(mine):
    told = "task.insert: found wind: own_wind:gust, wanted none for bptt, which differentiates"
    with pytest.raises(UsageError, match=told):
        Learner(recipe({"wind": "own_wind:gust"}, algorithm="bptt"), CRAZYFLIE, N, 0)


def test_rewards_that_are_recomputed_from_flights_refuse_a_reward_of_ones_own(mine):
    method = Learner(recipe({"reward": "own_wind:gust"}, **METHODS["td3bc"]), CRAZYFLIE, N, 0).method
    with pytest.raises(
        ValueError, match=r"task\.insert: found reward, wanted none at this step: the rewards of flights are"
    ):
        method.learn_from(None, blind=True)


# --- the page ---


def test_the_examples_of_the_page_run_in_order(monkeypatch, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "insert.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    namespace: dict = {"__name__": "insert_page"}
    for block in blocks:
        exec(block, namespace)


def test_the_page_names_every_step_and_every_field():
    page = (ROOT / "docs" / "insert.md").read_text()
    steps, fields = page.split("## What a function sees")
    assert re.findall(r"^\| `(\w+)` \|", steps, re.MULTILINE) == list(CHANGES)
    assert {name for line in re.findall(r"^\| (`.*?) \|", fields, re.MULTILINE) for name in re.findall(r"\w+", line)} >= {
        *FIELDS, "time", "dt", "begun", "flying", "random", "memory"} - {"reward", "observation"}  # fmt: skip
