"""Where networks learn: what is refused, what a recipe says, that a run goes on elsewhere, and that no tensor stays behind.

Nobody needs a graphics card for the last.
"""

import dataclasses

import numpy as np
import pytest
import torch

from spike_ctrl import airframe, plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl.learn import device, resumption
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.critics import CriticInputs
from spike_ctrl.learn.learner import METHODS, Learner
from spike_ctrl.learn.off_policy import CRITICS
from spike_ctrl.learn.replay_buffer import HISTORY, Sequences, privileged_size
from spike_ctrl.learn.start_training import start
from spike_ctrl.learn.td3bc import TD3BC
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import Neuron

AIRFRAME = airframe.load("crazyflie")
STEPS, BATCH = 6, 4


@pytest.fixture
def no_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"card {index}")


def test_a_device_that_is_missing_is_refused_with_those_that_are_there(no_card):
    with pytest.raises(UsageError, match="device: found 'cuda', wanted one of auto, cpu, warp"):
        device.resolve("cuda")
    assert device.resolve("auto") == device.resolve("cpu") == "cpu"


def test_cards_are_named_by_their_number(two_cards):
    assert device.devices() == {"cpu": "this processor", "cuda": "card 0", "cuda:0": "card 0", "cuda:1": "card 1"}
    assert [device.resolve(name) for name in ("auto", "cuda", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    with pytest.raises(UsageError, match=r"found 'cuda:2', wanted one of auto, cpu, cuda, cuda:0, cuda:1, warp; did you"):
        device.resolve("cuda:2")


def test_a_recipe_names_the_device_and_says_nothing_of_the_usual_one():
    plan = recipes.find("default")
    assert plan.device == "cpu" and "device" not in recipes.to_dict(plan)
    assert recipes.from_dict(recipes.to_dict(plan.on("cuda"))) == plan.on("cuda") and plan.on(None) is plan


def test_kernels_for_a_card_come_from_the_plug_in_and_its_absence_is_told(two_cards, monkeypatch):
    monkeypatch.setattr(plug_ins, "entries", lambda point: {})
    with pytest.raises(UsageError, match=r"device: 'cuda' comes with the package spike_ctrl_warp.*plug_ins/warp"):
        Learner(recipes.find("default").on("cuda:1"), AIRFRAME, 32, 0)


def test_warp_is_refused_for_a_method_without_kernels_there():
    with pytest.raises(UsageError, match="device: found 'warp' in recipe ppo, wanted cpu"):
        Learner(recipes.find("ppo").on("warp"), AIRFRAME, 32, 0)


def test_a_device_where_torch_adds_in_any_order_is_told_and_kernels_that_repeat_are_not(tmp_path, monkeypatch, capsys):
    assert Learner(recipes.find("ppo"), AIRFRAME, 32, 0).repeats
    monkeypatch.setattr(device, "resolve", lambda name: "cpu:0")  # for torch a device of its own name
    arguments = ["--vehicles", "32", "--steps", "3200", "--device", "cpu:0", "--run", str(tmp_path / "run")]
    assert main(["train", "ppo", *arguments]) == 0
    assert "on cpu:0 the same seed may give another run: torch's operations there" in capsys.readouterr().out
    monkeypatch.setattr(Learner, "_on_device", lambda learner: {"bptt": METHODS["bptt"]})
    assert Learner(recipes.find("default"), AIRFRAME, 32, 0).repeats


def test_a_run_goes_on_on_another_device(tmp_path):
    about = {"clock": lambda: 0.0, "command": "", "commit": ""}
    run = start(tmp_path / "run", "debug", AIRFRAME, 32, 0, 0, clock=about["clock"])
    run.save()
    earlier = resumption.read(tmp_path / "run")
    resumption.check(tmp_path / "run", earlier, {"recipe": "debug", "device": "auto"})
    again = type(run).resume(tmp_path / "run", {"device": "auto"}, **about)
    assert again.learner.recipe == run.learner.recipe.on("auto")


# --- without a card: torch's device `meta` knows shapes and no numbers, and does not mix with the processor's tensors ---


@pytest.fixture
def card(monkeypatch):
    """A device that is not the processor; numbers that are asked for are 1."""
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: 1.0)
    return torch.device("meta")


def network(place):
    return SpikingNetwork((18, 8, 8, 4), generator=torch.Generator().manual_seed(0)).to(place)


def sequences():
    rng = np.random.default_rng(0)

    def numbers(*shape):
        return rng.normal(size=shape).astype(np.float32)

    flags = np.zeros((STEPS, BATCH), bool)
    return Sequences(
        numbers(STEPS + 1, BATCH, 18), numbers(STEPS + 1, BATCH, privileged_size()), numbers(STEPS, BATCH, 4),
        numbers(STEPS, BATCH, 4), numbers(STEPS, BATCH), flags, flags, ~flags, np.zeros(BATCH, int),
    )  # fmt: skip


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize("unit", ["one", "deviation"])
def test_td3bc_leaves_no_tensor_on_the_processor(card, critic, unit):
    settings = dataclasses.replace(
        recipes.find("td3bc").td3bc, burn_in=0, critic=critic, bc_unit=unit, q_unit=unit.replace("one", "mean")
    )
    generator = torch.Generator().manual_seed(0)
    judge = CRITICS[critic](16, generator, CriticInputs(HISTORY)).to(card)
    method = TD3BC(network(card), judge, settings, 1e-3, recipes.find("td3bc").task.floored(0.5))
    batch = method.batch(sequences())
    assert {part.device for part in batch} == {card}
    method.update_critics(batch, 2.0, generator)
    method.update_actor(batch, 0.1, 1.0, 2.0)
    assert {p.device for module in (method.actor_target, method.critic_target) for p in module.parameters()} == {card}


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_network_flies_over_ends_of_episodes_where_it_is(card, recurrent):
    actor = SpikingNetwork((18, 8, 4), Neuron(recurrent=recurrent), generator=torch.Generator().manual_seed(0)).to(card)
    seen, state = torch.zeros(STEPS, BATCH, 18, device=card), actor.initial_state(BATCH)
    action, state, rates = actor.unroll(seen, state, 2.0, torch.zeros(STEPS, BATCH, dtype=torch.bool))
    assert {action.device, *(rate.device for rate in rates), *(part.device for part in state[0])} == {card}
