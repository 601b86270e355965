"""The pages of examples/single_file: each learns in a short run, repeats itself, flies as it says, and fits on a page."""

import ast
import importlib
import re
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import spike_ctrl
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
from spike_ctrl.learn import recipe as recipes

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "single_file"
PAGES = ("bptt", "ppo", "td3bc")
# Small enough for seconds: constants of a page, and the steps after which it has learned something.
SHORT = {
    "bptt": ({"VEHICLES": 32, "SEGMENT": 40}, 32 * 40 * 30),
    "ppo": ({"VEHICLES": 64, "TICKS": 32, "SEQUENCES": 16, "RATE": 3e-3, "AVERAGING": 0.1}, 64 * 32 * 20),
    "td3bc": ({"VEHICLES": 64, "BATCH": 16, "WINDOW": 30, "ALONE": 10.0}, 64 * 8 * 25),
}
UPDATED = {"bptt": 32 * 40 * 5, "ppo": 64 * 32 * 2, "td3bc": 64 * 4 * 17}  # steps after which it has made some updates


@pytest.fixture(params=PAGES)
def page(request, monkeypatch):
    """A page, with constants for a short run."""
    return shortened(request.param, monkeypatch)


def shortened(name, monkeypatch):
    module = load(name)
    for constant, value in SHORT[name][0].items():
        monkeypatch.setattr(module, constant, value)
    return module


def load(name):
    return importlib.import_module(f"examples.single_file.{name}")


def before_and_after(page, measure, steps):
    """What a policy is worth after one iteration and after a short run."""
    return [measure(page.train(0, some, lambda line: None)) for some in (1, steps)]


# --- learning ---


def test_a_short_run_of_bptt_raises_the_return_of_flights_that_begin_in_a_hover(monkeypatch):
    page = shortened("bptt", monkeypatch)
    hover = {"at_target": 1, "rotors_low": page.HOVER, "rotors_high": page.HOVER}
    monkeypatch.setattr(page, "spike_ctrl", SimpleNamespace(make_env=partial(spike_ctrl.make_env, start=hover)))
    before, after = before_and_after(page, lambda policy: page.evaluate(policy, starts=16)[0], SHORT["bptt"][1])
    assert after > before + 3


def test_a_short_run_of_ppo_raises_the_return_where_only_the_actions_cost(monkeypatch):
    page = shortened("ppo", monkeypatch)
    make_env = partial(spike_ctrl.make_env, reward={"position": 0, "velocity": 0, "attitude": 0, "action": 3})
    monkeypatch.setattr(page, "spike_ctrl", SimpleNamespace(make_env=make_env))
    before, after = before_and_after(page, lambda policy: page.evaluate(policy, starts=64)[0], SHORT["ppo"][1])
    assert after > before + 2


def test_a_short_run_of_td3bc_brings_the_policy_nearer_to_its_guide(monkeypatch):
    page = shortened("td3bc", monkeypatch)

    def distance(policy):
        environment = spike_ctrl.make_env("crazyflie", vehicles=64, box=1.5)
        observation, _ = environment.reset(seed=9)
        guide, state, total = page.Guide(environment.airframe), policy.initial_state(64), 0.0
        for _ in range(80):
            wanted = guide.act(observation, environment.rotor_speed)
            action, state = policy.step(observation, state)
            total += np.square(action.numpy() - wanted).mean()
            observation, *_ = environment.step(wanted)
        return total

    before, after = before_and_after(page, distance, SHORT["td3bc"][1])
    assert after < 0.9 * before


def test_runs_of_one_seed_are_equal_and_those_of_two_are_not(page):
    steps = UPDATED[page.__name__.rpartition(".")[2]]
    first, again, other = (page.train(seed, steps, lambda line: None).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_a_run_prints_time_left_and_at_the_end_a_finite_figure(page, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [page.__name__, "--seed", "3", "--steps", "1"])
    monkeypatch.setattr(page, "evaluate", partial(page.evaluate, starts=16))
    page.main()
    *progress, last = capsys.readouterr().out.splitlines()
    assert re.match(r"100 %, +0 s left", progress[-1])
    found = re.fullmatch(r"return (-?[\d.]+) of 500, survival ([\d.]+), seed 3, trained in \d+ s", last)
    assert found and np.isfinite(float(found[1]))


def test_help_has_examples(page, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [page.__name__, "--help"])
    with pytest.raises(SystemExit) as ended:
        page.main()
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert f"python examples/single_file/{page.__name__.rpartition('.')[2]}.py --seed 1" in told and "--steps" in told


# --- the same network, score, vehicle and guide as the library's ---


def test_its_figure_is_that_of_the_frozen_evaluation(page):
    policy = page.train(0, 1, lambda line: None)
    with torch.no_grad():
        policy.output.weight *= 0.02  # nearly a hover, so that most flights last for some time
    network = spike_ctrl.SpikingNetwork(generator=torch.Generator())
    network.load_weights({key.replace("layers.", "layer"): value.numpy() for key, value in policy.state_dict().items()})
    assert page.evaluate(policy, starts=64)[0] == pytest.approx(spike_ctrl.evaluate(network, starts=64).headline, abs=0.05)


def test_the_differentiable_vehicle_flies_as_the_environment_does():
    bptt = load("bptt")
    environment = spike_ctrl.make_env("crazyflie", vehicles=64, box=10.0)
    observation, _ = environment.reset(seed=1)
    state = torch.from_numpy(np.concatenate([observation, environment.rotor_speed], 1))
    random = np.random.default_rng(0)
    assert pytest.approx(environment.airframe.hover, abs=1e-6) == bptt.HOVER
    for _ in range(20):
        action = 0.32 + 0.05 * random.standard_normal((64, 4), np.float32)
        observation, *_ = environment.step(action)
        state = bptt.move(state, torch.from_numpy(action) / 2 + 0.5)
    deviation = np.abs(state[:, :18].numpy() - observation).reshape(64, -1).max(0)
    assert deviation[:3].max() < 2e-3 and deviation[3:12].max() < 0.1 and deviation[12:15].max() < 0.05  # m, 1, m/s
    np.testing.assert_allclose(state[:, 18:], environment.rotor_speed, atol=1e-5)


def test_the_guide_acts_as_that_of_the_recipe():
    td3bc = load("td3bc")
    environment = spike_ctrl.make_env("crazyflie", vehicles=64, box=1.5)
    observation, _ = environment.reset(seed=1)
    gains = recipes.find("td3bc").guide
    assert isinstance(gains, Gains)
    guide, ours = GeometricGuide("crazyflie", gains), td3bc.Guide(environment.airframe)
    state = guide.initial_state(64)
    for _ in range(50):
        action = ours.act(observation, environment.rotor_speed)
        wanted, state = guide.act(observation, state, environment.rotor_speed, environment.disturbance)
        np.testing.assert_allclose(action, wanted, atol=1e-4)
        observation, *_ = environment.step(action)


@pytest.mark.parametrize("name", ["ppo", "td3bc"])
def test_the_gradient_through_the_neurons_is_that_of_autograd(name, monkeypatch):
    fast, slow = load(name), load("bptt")
    monkeypatch.setattr(slow, "SLOPE", fast.SLOPE)
    torch.manual_seed(0)
    ours, theirs = fast.Policy(hover=0.3), slow.Policy(hover=0.3)
    theirs.load_state_dict(ours.state_dict())
    observation, keep, weight = torch.randn(12, 5, 18), (torch.rand(12, 5, 1) > 0.2).float(), torch.randn(12, 5, 4)
    (ours(observation, keep, ours.initial_state(5))[0] * weight).sum().backward()
    state, actions = theirs.initial_state(5), []
    for seen, kept in zip(observation, keep, strict=True):
        action, state = theirs(seen, [tuple(kept * part for part in layer) for layer in state])
        actions.append(action)
    (torch.stack(actions) * weight).sum().backward()
    for (name, found), (_, wanted) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-3, atol=1e-4, msg=name)


# --- a page ---


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_350_lines_at_most_and_of_spike_ctrl_only_make_env(name):
    text = (FOLDER / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 350
    tree = list(ast.walk(ast.parse(text)))
    imported = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in tree if isinstance(node, ast.ImportFrom)}
    allowed = {"torch", "numpy", "gymnasium", "spike_ctrl"} | sys.stdlib_module_names
    assert {module.partition(".")[0] for module in imported} <= allowed
    assert "spike_ctrl" in imported and not any(module.startswith("spike_ctrl.") for module in imported)
    used = {node.attr for node in tree if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "spike_ctrl"}
    assert used == {"make_env"}
