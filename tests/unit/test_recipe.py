"""Recipes: what is written comes back, and whatever is wrong is named in one line."""

import dataclasses
import math

import pytest
import yaml

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.sim.randomisation import InitialStates, Randomisation

SHIPPED = sorted(path.stem for path in (resources.folder("config") / "recipes").glob("*.yaml"))


def refused(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        recipes.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"recipe {path}")
    return message.removeprefix(f"recipe {path}").removeprefix(": ")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_loads_and_is_named_like_its_file(name):
    assert recipes.find(name).name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recipe_survives_the_way_through_yaml(name):
    recipe = recipes.find(name)
    assert recipes.from_dict(yaml.safe_load(yaml.safe_dump(recipes.to_dict(recipe)))) == recipe


def test_a_recipe_is_refused_for_an_airframe_of_another_layout_and_one_that_names_none_is_not():
    motors, rates = airframe.load("crazyflie"), airframe.load("sih_quadx")
    for name, fit, other in (("default", motors, rates), ("robust", motors, rates), ("rates", rates, motors)):
        recipes.find(name).require_fit(fit)
        wanted = (
            f"recipe {name}: layout: found '{fit.action_layout}', wanted '{other.action_layout}' for airframe {other.name}"
        )
        with pytest.raises(UsageError, match=f"^{wanted}; made for it: recipe ") as refused:
            recipes.find(name).require_fit(other)
        recipes.find(str(refused.value).rpartition("recipe ")[2]).require_fit(other)
    before = recipes.from_dict({"name": "of_before"})
    before.require_fit(motors)
    before.require_fit(rates)
    assert "layout" not in recipes.to_dict(before)


def test_steps_out_of_range_are_refused():
    assert recipes.find("td3bc").with_steps(0) == recipes.find("td3bc")
    with pytest.raises(UsageError, match=r"^recipe td3bc: schedule: steps: found 5, wanted 1000 to 1e\+10$"):
        recipes.find("td3bc").with_steps(5)


def test_the_published_recipe_has_the_numbers_of_the_paper():
    recipe = recipes.find("paper")
    assert recipe.network.hidden == (256, 128)
    assert (recipe.task.box, recipe.task.episode_steps, recipe.task.reward) == (0.6, 500, "curriculum")
    assert (recipe.replay.window, recipe.replay.capacity, recipe.td3bc.burn_in) == (100, 2_000_000, 50)
    assert (recipe.td3bc.gamma, recipe.td3bc.tau, recipe.td3bc.alpha, recipe.td3bc.td_lambda) == (0.99, 0.01, 2, 0)
    assert (recipe.td3bc.policy_noise, recipe.td3bc.noise_clip, recipe.td3bc.label) == (0.2, 0.5, "buffer")
    assert (recipe.schedule.learning_rate, recipe.td3bc.bc) == (1e-3, 0.2)
    assert (recipe.jump_start.horizon, recipe.jump_start.rest, recipe.jump_start.spread) == (500, 50, False)


def test_missing_keys_take_their_defaults_and_given_ones_their_value():
    recipe = recipes.from_dict({"name": "mine", "network": {"hidden": [8]}, "td3bc": {"gamma": "9e-1"}, "task": {"box": 2}})
    assert recipe == dataclasses.replace(
        Recipe("mine"),
        network=dataclasses.replace(Recipe("").network, hidden=(8,)),
        td3bc=dataclasses.replace(Recipe("").td3bc, gamma=0.9),
        task=dataclasses.replace(Recipe("").task, box=2.0),
    )
    assert isinstance(recipe.task.box, float)


@pytest.mark.parametrize(
    "text, message",
    [
        ("name: a\nschedul: {}", "unknown key 'schedul'; did you mean 'schedule'?"),
        ("name: a\ntd3bc: {gama: 0.9}", "unknown key 'td3bc.gama'; did you mean 'gamma'?"),
        ("name: a\ntask: {randomisation: {mas: 0.1}}", "unknown key 'task.randomisation.mas'; did you mean 'mass'?"),
        ("name: a\ntask: {zzz: 1}", "key 'task.zzz'; known keys: box, episode_steps, reward, start, randomisation, terms"),
        ("name: a\n7: 1", "unknown key '7'; known keys: name, "),
        ("task: {}", "key 'name' is missing"),
        ("", "found nothing, wanted a mapping of keys to values"),
        ("[1, 2]", "found a list, wanted a mapping of keys to values"),
        ("name: a\ntask: 3", "task: found a whole number, wanted a mapping of keys to values"),
        ("name: 5", "name: found 5, wanted text"),
        ("name: a\ntask: {box: wide}", "task.box: found 'wide', wanted a number"),
        ("name: a\ntask: {box: true}", "task.box: found True, wanted a number"),
        ("name: a\ntask: {box: 1000}", "task.box: found 1000, wanted 0.1 to 100"),
        ("name: a\ntask: {box: .nan}", "task.box: found nan, wanted 0.1 to 100"),
        ("name: a\ntask: {box: null}", "task.box: found None, wanted a number"),
        ("name: a\ntask: {episode_steps: 20.5}", "task.episode_steps: found 20.5, wanted a whole number"),
        ("name: a\ntask: {reward: middle}", "task.reward: found 'middle', wanted one of start, end, curriculum"),
        ("name: a\njump_start: {spread: 1}", "jump_start.spread: found 1, wanted true or false"),
        ("name: a\nnetwork: {hidden: []}", "network.hidden: found [], wanted a list of whole numbers from 1 to 4096"),
        ("name: a\nnetwork: {hidden: [8, 0]}", "network.hidden: found [8, 0], wanted a list of whole numbers"),
        ("name: a\nnetwork: {hidden: 8}", "network.hidden: found 8, wanted a list of whole numbers"),
        ("name: a\nnetwork: {slope: 5}", "network.slope: found 5, wanted a mapping"),
        ("name: a\nalgorithm: [ppo]", "algorithm: found ['ppo'], wanted one of td3bc, ppo"),
        ("name: a\nnetwork: {slope: {kind: [fixed]}}", "network.slope.kind: found ['fixed'], wanted one of fixed"),
        ("name: a\nnetwork: {slope: {kind: steep}}", "network.slope.kind: found 'steep', wanted one of fixed, interval"),
        ("name: a\nnetwork: {slope: {kind: fixed, k: -1}}", "network.slope.k: found -1, wanted a number above 0"),
        ("name: a\nnetwork: {slope: {kind: fixed, kk: 1}}", "network.slope.kk: no such key for fixed"),
        ("name: a\ntd3bc: {gamma: 1.5}", "td3bc.gamma: found 1.5, wanted 0 to 1"),
        ("name: a\ntd3bc: {tau: 0}", "td3bc.tau: found 0, wanted 1e-06 to 1"),
        ("name: a\ntd3bc: {label: teacher}", "td3bc.label: found 'teacher', wanted one of buffer, guide"),
        ("name: a\ntd3bc: {burn_in: -1}", "td3bc.burn_in: found -1, wanted 0 to 1000"),
        ("name: a\ntd3bc: {burn_in: 100}", "td3bc.burn_in: found 100, wanted less than replay.window, 100"),
        ("name: a\nguide: {yaw_frequency: 0}", "guide.yaw_frequency: found 0, wanted 0.01 to 1000"),
        ("name: a\nguide: {max_tilt: 1.57}", "guide.max_tilt: found 1.57, wanted 0.1 to 1.5"),
        ("name: a\ntask: {randomisation: {mass: 1}}", "task.randomisation.mass: found 1, wanted 0 to 0.9"),
        ("name: a\ntd3bc: {q_from: 0.5, q_full: 0.4}", "td3bc.q_full: found 0.4, wanted at least q_from, 0.5"),
        ("name: a\ntask: {box: 1", "not valid YAML ("),
        ("name: a\n\ttask: {}", "not valid YAML ("),
    ],
)
def test_whatever_is_wrong_is_named_in_one_line(text, message, tmp_path):
    assert message in refused(text, tmp_path)


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(UsageError, match=f"recipe 'tdbc3' not found; known: {', '.join(SHIPPED)} .*did you mean 'td3bc'"):
        recipes.find("tdbc3")


def test_a_path_to_a_recipe_is_taken_and_a_wrong_one_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine")
    assert recipes.find(str(tmp_path / "mine.yaml")) == Recipe("mine")
    with pytest.raises(UsageError, match=r"none.yaml: cannot be read \(No such file or directory\)"):
        recipes.find(str(tmp_path / "none.yaml"))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(UsageError, match=r"mine\.yaml"):
        recipes.load(path)


def test_a_key_given_twice_is_refused(tmp_path):
    assert "box" in refused("name: a\ntask: {box: 1, box: 2}", tmp_path)


@pytest.mark.parametrize(("algorithm", "block"), [("td3bc", "bptt"), ("bptt", "replay")])
def test_a_block_of_another_algorithm_is_refused(algorithm, block, tmp_path):
    message = refused(f"name: a\nalgorithm: {algorithm}\n{block}: {{}}", tmp_path)
    assert message.startswith(f"{block}: found in a recipe for {algorithm}, wanted only for ")


def test_other_steps_stretch_the_schedule_and_nothing_else():
    recipe = recipes.find("debug")
    assert recipe.with_steps(0) == recipe
    assert recipe.with_steps(5000).schedule == dataclasses.replace(recipe.schedule, steps=5000)
    assert recipe.with_steps(5000).td3bc == recipe.td3bc


def test_every_number_of_a_recipe_and_of_the_starts_has_a_range():
    free = {"reward_shift", "crash_reward"}
    for settings in (
        recipes.TaskSettings,
        recipes.JumpStartSettings,
        recipes.ReplaySettings,
        recipes.ScheduleSettings,
        recipes.TD3BCSettings,
        recipes.BPTTSettings,
        recipes.Gains,
        Randomisation,
        InitialStates,
    ):
        for field in dataclasses.fields(settings):
            if isinstance(field.default, (int, float)) and not isinstance(field.default, bool) and field.name not in free:
                assert field.metadata["low"] <= field.default <= field.metadata["high"] < math.inf, field.name


# --- a recipe made from another ---


def test_a_recipe_changes_single_keys_of_its_base_and_is_written_in_full(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nbase: td3bc\ntd3bc: {bc: 0.5}\nreplay: {window: 40}\n")
    mine, base = recipes.load(tmp_path / "mine.yaml"), recipes.find("td3bc")
    assert (mine.name, mine.td3bc.bc, mine.replay.window) == ("mine", 0.5, 40)
    assert dataclasses.replace(mine.td3bc, bc=base.td3bc.bc) == base.td3bc
    assert mine.guide == base.guide and mine.task == base.task
    written = recipes.to_dict(mine)
    assert "base" not in written and recipes.from_dict(written) == mine


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("td3b", "recipe x: base: recipe 'td3b' not found; known: .*did you mean 'td3bc'"),
        (3, "recipe x: base: found 3, wanted the name of a recipe"),
    ],
)
def test_a_base_that_is_none_is_named(base, message):
    with pytest.raises(UsageError, match=message):
        recipes.from_dict({"name": "x", "base": base}, "recipe x")


def test_recipes_that_are_each_others_base_are_refused(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(f"name: one\nbase: {two}\n")
    two.write_text(f"name: two\nbase: {one}\n")
    with pytest.raises(UsageError, match=r"base: found .*, wanted the name of a recipe that is not"):
        recipes.load(one)


FORMER = {
    "td3bc": {"change": "action_rate", "root": "exponent"},
    "ppo": {"root": "exponent"},
    "dagger": {"root": "exponent", "least_stake": "least_importance"},
    "bptt": {
        "wall": "boundary", "wall_at": "boundary_at", "haste": "speed", "haste_at": "speed_at", "lean": "tilt",
        "lean_at": "tilt_at", "spin": "body_rate", "spin_at": "body_rate_at", "change": "action_rate",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("block", "old", "new"), [(block, *pair) for block, keys in FORMER.items() for pair in keys.items()]
)
def test_a_former_key_says_the_same_and_a_warning_names_file_and_both_keys(tmp_path, block, old, new):
    def written(*keys):
        text = f"name: mine\nalgorithm: {block}\n{block}: {{{', '.join(f'{key}: 0.4' for key in keys)}}}\n"
        (tmp_path / "mine.yaml").write_text(text)
        return tmp_path / "mine.yaml"

    path = written(old)
    with pytest.warns(FutureWarning) as told:
        before = recipes.load(path)
    assert [str(one.message) for one in told] == [
        f"recipe {path}: {block}.{old} is now called {block}.{new}; the next version refuses {block}.{old}"
    ]
    assert before == recipes.load(written(new)) != recipes.load(written())
    assert old not in recipes.to_dict(before)[block]
    with pytest.raises(
        UsageError, match=rf"^recipe \S+: {block}.{old}: found beside {block}.{new}, .*wanted {block}.{new} alone"
    ):
        recipes.load(written(new, old))


@pytest.mark.parametrize(("old", "new"), recipes.FORMER.items())
def test_a_former_name_of_an_algorithm_says_the_same_and_is_named_with_its_block(tmp_path, old, new):
    key = "action_rate" if new == "bptt" else "gamma"
    (tmp_path / "mine.yaml").write_text(f"name: mine\nalgorithm: {old}\n{old}: {{{key}: 0.4}}\n")
    with pytest.warns(FutureWarning) as told:
        found = recipes.load(tmp_path / "mine.yaml")
    assert found.algorithm == new and recipes.to_dict(found)["algorithm"] == new and new in recipes.to_dict(found)
    source = f"recipe {tmp_path / 'mine.yaml'}"
    assert [str(one.message) for one in told] == [
        f"{source}: {old} is now called {new}; the next version refuses {old}",
        f"{source}: algorithm: {old} is now called {new}; the next version refuses {old}",
    ]


def test_a_former_key_changes_the_base_that_has_the_present_one():
    assert recipes.find("td3bc").td3bc.action_rate != 0.7
    with pytest.warns(FutureWarning, match="td3bc.change"):
        assert recipes.from_dict({"base": "td3bc", "td3bc": {"change": 0.7}}).td3bc.action_rate == 0.7


def test_a_shift_of_the_reward_is_taken_for_what_it_was_and_refused_beside_a_floor():
    old = recipes.from_dict({"name": "x", "td3bc": {"reward_shift": 1.0}})  # as recipes of version 0.1
    assert old.td3bc.reward == "shifted"
    assert recipes.from_dict({"name": "x", "td3bc": {"bc": 1.0}}).td3bc.reward == "floored"
    with pytest.raises(UsageError, match="reward_shift: found beside reward: floored, wanted only beside reward: shifted"):
        recipes.from_dict({"name": "x", "td3bc": {"reward": "floored", "reward_shift": 1.0}})
