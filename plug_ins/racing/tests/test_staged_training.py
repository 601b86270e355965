"""Recipes of races, and their trainings in stages: what is refused, and that a training that was stopped loses nothing."""

from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import torch
import yaml

from spike_ctrl import airframe
from spike_ctrl._files import settings
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.policy import checkpoint
from spike_ctrl_racing import race_recipe, race_training
from spike_ctrl_racing.staged_training import StagedTraining

TINY = {"vehicles": 16, "segment": 12}
LAST = {"updates": 2, **TINY, "slow": 6, "estimate": 0.5, "late": 2}
MINE = {"name": "mine", "hidden": [16, 16], "recurrent": True, "stages": [{"updates": 3, **TINY}, LAST]}


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINE))
    return race_recipe.load(str(path))


def _weights(path):
    found = checkpoint.load(path)
    assert (found.manifest.recipe, found.manifest.seed) == ("mine", 4)
    return {name: value.tobytes() for name, value in found.weights.items()}


@pytest.mark.parametrize("path", sorted(race_recipe.RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_recipe_fits_the_schema(path):
    assert race_recipe.load(path.stem).name == path.stem
    schema = race_recipe.RECIPES / "race_recipe.json"
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={schema.name}"
    assert schema.read_text() == settings.text("race_recipe", race_recipe.schema())
    jsonschema.validate(yaml.safe_load(path.read_text()), race_recipe.schema())


def test_a_training_that_was_stopped_goes_on_bit_by_bit(recipe, tmp_path):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert StagedTraining(recipe, 4, whole).run(lambda done, figures: None)
    shown = []
    for most in (1, 3, 4):  # in the first stage, between the stages, in the second
        assert not StagedTraining(recipe, 4, parts).run(
            lambda done, figures: shown.append(done), lambda most=most: bool(shown) and shown[-1] >= most
        )
    assert StagedTraining(recipe, 4, parts).run(lambda done, figures: shown.append(done))
    assert shown == [1, 2, 3, 4, 5]
    assert _weights(parts) == _weights(whole) != _weights(tmp_path / "whole_1.safetensors")
    assert _weights(tmp_path / "parts_1.safetensors") == _weights(tmp_path / "whole_1.safetensors")
    assert not list(tmp_path.glob("*.training"))


def test_the_state_of_another_training_is_refused(recipe, tmp_path):
    out = tmp_path / "mine.safetensors"
    assert not StagedTraining(recipe, 4, out).run(lambda done, figures: None, lambda: True)
    with pytest.raises(UsageError, match="another recipe or seed"):
        StagedTraining(recipe, 5, out).run(lambda done, figures: None)
    (tmp_path / "mine.training").write_bytes(b"no state")
    with pytest.raises(UsageError, match="no state of a training"):
        StagedTraining(recipe, 4, out).run(lambda done, figures: None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": []}, "stages: found [], wanted a list of 1 to 20 stages"),
        ({"stages": [{"update": 3}]}, "unknown key 'stages[0].update'; did you mean 'updates'?"),
        ({"stages": [{"cost": {"most": -1}}]}, "stages[0].cost.most: found -1, wanted 0 to 10000"),
        ({"tracks": {"turn": 50}}, "tracks.turn: found 50, wanted 0 to 40"),
        ({"courses": "split_s"}, "courses: found 'split_s', wanted a list"),
        ({"network": "gru"}, "network: found 'gru', wanted module:Name"),
        ({"base": "nothing"}, "recipe 'nothing' not found"),
    ],
)
def test_a_wrong_recipe_is_refused_by_its_key(tmp_path, change, words):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINE | change))
    with pytest.raises(UsageError) as found:
        race_recipe.load(str(path))
    assert words in str(found.value)


@pytest.mark.parametrize(("text", "words"), [("", "nothing"), ("[1]", "a list")])
def test_a_file_without_keys_is_refused_as_a_recipe(tmp_path, text, words):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert race_recipe.is_recipe(str(path))
    with pytest.raises(UsageError, match=f"recipe mine.yaml: found {words}, wanted a mapping of keys to values"):
        race_recipe.load(str(path))


@pytest.mark.parametrize(("kind", "hidden"), [("Dense", [16, 16]), ("Recurrent", 12)])
def test_a_plain_network_is_trained_and_flies_the_same(recipe, tmp_path, kind, hidden):
    out = tmp_path / "mine.safetensors"
    code = NamedObject(f"spike_ctrl_racing.plain_networks:{kind}", {"hidden": hidden})
    with pytest.raises(UsageError, match="recurrent: found true beside network"):
        StagedTraining(replace(recipe, network=code), 4, out)
    training = StagedTraining(replace(recipe, network=code, recurrent=False), 4, out)
    assert training.run(lambda done, figures: None)
    loaded = checkpoint.load(out)
    assert loaded.manifest.contract.observation == "racing_30"
    seen = np.random.default_rng(0).normal(size=(5, 30)).astype(np.float32)
    action, _ = loaded.policy.step(seen, loaded.policy.initial_state(5))
    wanted, _ = training.actor.step(torch.from_numpy(seen / race_training.SCALE), training.actor.initial_state(5))
    np.testing.assert_allclose(action, wanted.detach().numpy(), atol=1e-5)


def test_a_plain_network_that_commands_its_limits_is_saved(tmp_path):
    racer, out = airframe.load("racer"), tmp_path / "hard.safetensors"
    actor = race_training.network((), racer, 0, NamedObject("spike_ctrl_racing.plain_networks:Dense", {"hidden": [16]}))
    with torch.no_grad():
        actor.layers[-1].weight.mul_(30)
    race_training.save(out, actor, racer, "", 0, "", "")
    policy, seen = checkpoint.load(out).policy, 20 * np.random.default_rng(0).normal(size=(500, 30)).astype(np.float32)
    assert np.abs(policy.step(seen, policy.initial_state(500))[0]).max() == 1.0


@pytest.mark.parametrize("name", ["racer_gates_dense", "racer_gates_gru"])
def test_plain_networks_have_the_size_and_the_training_of_the_spiking_one(name):
    ours, its = race_recipe.load("racer_gates"), race_recipe.load(name)
    assert replace(its, name=ours.name, network=None) == ours
    sizes = []
    for one in (ours, its):
        actor = race_training.network(one.hidden, airframe.load(one.airframe), 0, one.network)
        sizes.append(sum(part.numel() for part in actor.parameters()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.03)
