"""A run's folder: what it holds, that it can be gone on with, and what is refused."""

import dataclasses
import itertools
import json
import os
import shutil

import numpy as np
import pytest
import yaml

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import run as runs
from spike_ctrl.learn import start_training
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError

pytestmark = pytest.mark.slow

AIRFRAME = airframe.load("crazyflie")
VEHICLES = 16
RECIPE = recipes.from_dict(
    {
        "name": "tiny",
        "task": {"box": 1.5, "episode_steps": 25, "reward": "curriculum"},
        "network": {"hidden": [16, 8], "slope": {"kind": "adaptive"}},
        "jump_start": {"horizon": 25, "rest": 5, "until": 0.5},
        "replay": {"capacity": 4096, "window": 10, "critic_batch": 4, "actor_batch": 4},
        "td3bc": {"burn_in": 2, "label": "guide", "critic_updates": 1, "actor_updates": 1},
        "critic_width": 16,
        "schedule": {"steps": 3200, "iteration_steps": 320, "evaluations": 2},
    }
)


def ticking():
    """A clock on which every look takes a second, so that each iteration is reported."""
    return itertools.count().__next__


def about():
    return {"clock": ticking(), "command": "spike-ctrl train", "commit": "0123abcd"}


def start(folder, seed=0, recipe=RECIPE, vehicles=VEHICLES):
    return Run.start(folder, recipe, AIRFRAME, vehicles, seed, **about())


def iterations(run, count):
    """Train for that many iterations; the lines that were shown."""
    lines, left = [], iter(range(count))
    train(run, lines.append, lambda: next(left, None) is None)
    return lines


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run that trained to its end, its evaluation and the lines it showed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run, lines = start(folder), []
    assert train(run, lines.append, lambda: False)
    run.save()
    return folder, run.finish(), lines


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """The folder of a run that was stopped after five iterations of ten."""
    run = start(tmp_path_factory.mktemp("runs") / "half")
    iterations(run, 5)
    run.save()
    run.close()
    return run.folder


@pytest.fixture
def stopped(half, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(half, tmp_path / "run", symlinks=True)


def resume(folder, **given):
    return Run.resume(folder, given, **about())


# --- what it holds ---


def test_the_folder_says_what_ran(finished):
    folder, _, _ = finished
    assert recipes.load(folder / "recipe.yaml") == RECIPE
    told = json.loads((folder / "run.json").read_text())
    assert (told["airframe"], told["airframe_hash"], told["vehicles"], told["seed"]) == ("crazyflie", AIRFRAME.hash, 16, 0)
    assert not [name for name in os.listdir(folder) if name.endswith("tmp")]


def test_every_line_of_the_metrics_parses_and_the_steps_rise(finished):
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (finished[0] / "metrics.jsonl").open()]
    steps = [line["environment_steps"] for line in lines]
    assert steps == sorted(steps) and steps[-1] == RECIPE.schedule.steps
    assert all(isinstance(value, float) for line in lines for name, value in line.items() if name != "seconds")
    reported = [line for line in lines if "actor_loss" in line]
    wanted = {"critic_loss", "imitation_loss", "return", "survival", "guide_share", "slope", "steps_per_second"}
    assert len(reported) >= 5 and all(wanted <= set(line) for line in reported)
    assert sum("validation_return" in line for line in lines) >= 2


def test_the_policy_loads_with_its_contract_and_origin(finished):
    folder, evaluation, _ = finished
    loaded = checkpoint.load(folder / "policy.safetensors", expect={"airframe": "crazyflie", "action": "motors"})
    assert loaded.manifest.contract.sizes == (18, 16, 8, 4)
    assert (loaded.manifest.recipe, loaded.manifest.seed, loaded.manifest.commit) == ("tiny", 0, "0123abcd")
    assert loaded.manifest.evaluation["frozen"]["columns"] == evaluation.columns
    assert json.loads((folder / "evaluation.json").read_text()) == evaluation.to_dict()
    action, _ = loaded.policy.step(np.zeros(18, np.float32), loaded.policy.initial_state())
    assert action.shape == (4,)


def test_it_keeps_the_policy_of_the_beginning_and_of_later_stages(finished):
    folder, _, _ = finished
    kept = sorted((folder / "stages").iterdir())
    steps = [checkpoint.load(path).manifest.evaluation["stage"]["steps"] for path in kept]
    assert [f"{count:012d}.safetensors" for count in steps] == [path.name for path in kept]
    assert steps[0] == 0 and RECIPE.schedule.steps / 2 in steps and len(set(steps)) >= 4
    first, last = checkpoint.load(kept[0]).weights, checkpoint.load(folder / "policy.safetensors").weights
    assert first.keys() == last.keys() and any(not np.array_equal(first[name], last[name]) for name in first)


def test_the_progress_line_is_one_line_and_tells_how_it_goes(finished):
    lines = finished[2]
    assert len(lines) >= 5 and not any("\n" in line for line in lines)
    assert [word in lines[-1] for word in ("left", "SNN alone", "flown")] == [True] * 3
    assert max(map(len, lines)) <= 80 - len("[learner] ")
    assert lines[-1].index("left") < lines[-1].index("SNN alone") < lines[-1].index("flown")  # what counts first


def test_equal_seeds_write_equal_metrics_and_others_do_not(finished, tmp_path):
    texts = []
    for seed in (0, 1):
        run = start(tmp_path / str(seed), seed=seed)
        train(run, lambda line: None, lambda: False)
        run.close()
        texts.append((run.folder / "metrics.jsonl").read_text())
    reference = (finished[0] / "metrics.jsonl").read_text()
    assert texts[0] and reference.startswith(texts[0])  # the reference also has its last validation
    assert texts[1] != texts[0]


def test_only_a_policy_that_validates_better_replaces_the_one_kept(tmp_path, monkeypatch):
    run = start(tmp_path / "run")
    evaluations = [run.validate()]
    kept = run.policy_path.read_bytes()
    for share, replaced in ((0.5, False), (2.0, True)):
        column = {name: c | {"return_mean": share * abs(c["return_mean"])} for name, c in evaluations[0].columns.items()}
        column = column if replaced else {name: c | {"return_mean": -1e6} for name, c in column.items()}
        better = type(evaluations[0])(column, evaluations[0].hover_error_m, 0.0, 1)
        monkeypatch.setattr(run.learner, "validate", lambda better=better: better)
        run.validate()
        assert (run.policy_path.read_bytes() != kept) == replaced


# --- going on ---


def test_a_stopped_run_goes_on_to_its_end(stopped):
    run = resume(stopped)
    assert run.learner.environment_steps == 1600 and run.learner.iterations == 5
    assert run.best is not None and run.seconds > 5
    assert train(run, lambda line: None, lambda: False)
    run.close()
    assert run.learner.environment_steps == 3200
    steps = [json.loads(line)["environment_steps"] for line in (stopped / "metrics.jsonl").open()]
    assert steps == sorted(steps) and 1600 in steps and steps[-1] == 3200


def test_a_run_that_is_resumed_twice_goes_on_twice_alike(stopped):
    first, second = resume(stopped), resume(stopped)
    for run in (first, second):
        iterations(run, 3)
        run.close()
    assert first.learner.environment_steps == 1600 + 3 * 320
    for (name, a), b in zip(first.learner.state()[0].items(), second.learner.state()[0].values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_resumed_run_flies_starts_that_it_has_not_flown(stopped):
    run = resume(stopped)
    before = run.learner.method.buffer.arrays()["observation"][0]
    iterations(run, 1)
    run.close()
    after = run.learner.method.buffer.arrays()["observation"][-RECIPE.schedule.iteration_steps // VEHICLES]
    assert not np.isin(after[:, 0], before[:, 0][before[:, 0] != 0]).any()


def test_a_run_killed_after_a_better_policy_never_puts_a_worse_one_in_its_place(stopped, monkeypatch):
    """The state of the run is older than the policy: it was killed between the two saves."""
    state = (stopped / "state.safetensors").read_bytes()
    run = resume(stopped)
    good = run.validate()
    better = dataclasses.replace(
        good, columns={name: column | {"return_mean": 499.0} for name, column in good.columns.items()}
    )
    monkeypatch.setattr(run.learner, "validate", lambda: better)
    run.validate()
    kept = run.policy_path.read_bytes()
    run.close()
    assert (stopped / "state.safetensors").read_bytes() == state
    again = resume(stopped)
    assert repr(again.best) == repr(better)  # a figure that is not a number equals none
    again.validate()
    again.close()
    assert again.policy_path.read_bytes() == kept


def test_of_equal_policies_the_latest_is_kept_and_small_losses_do_not_add_up(stopped, monkeypatch):
    run = resume(stopped)
    good = run.validate()

    def scored(score):
        return dataclasses.replace(good, columns={n: c | {"return_mean": score} for n, c in good.columns.items()})

    kept = []
    for score in (490.0, 489.4, 488.8, 489.3, 491.0):
        monkeypatch.setattr(run.learner, "validate", lambda score=score: scored(score))
        run.validate()
        kept.append(run.best.score)
    run.close()
    assert kept == pytest.approx([490.0, 489.4, 489.4, 489.3, 491.0])


def test_a_run_without_a_policy_yet_goes_on(stopped):
    (stopped / "policy.safetensors").unlink()
    run = resume(stopped)
    assert run.best is None
    run.validate()
    run.close()
    assert run.best is not None and run.policy_path.exists()


def test_a_run_that_was_killed_at_once_is_resumed(tmp_path):
    start(tmp_path / "run").close()
    run = resume(tmp_path / "run")
    assert train(run, lambda line: None, lambda: False)
    run.close()


# --- what is refused ---


def one_line(caught, *words):
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_folder_that_holds_a_run_is_refused_with_what_to_do(stopped):
    before = {path: path.read_bytes() for path in stopped.rglob("*.*")}
    with pytest.raises(UsageError) as caught:
        start(stopped)
    one_line(caught, str(stopped), "exists already", f"--resume {stopped}", "name another")
    assert {path: path.read_bytes() for path in stopped.rglob("*.*")} == before


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        start(tmp_path / "file" / "run")
    one_line(caught, "cannot be written")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"guide": "nowhere.safetensors"}, "recipe tiny: guide: nowhere.safetensors: cannot be read"),
        ({"guide": {"recipe": "nothing"}}, "recipe tiny: guide.recipe: recipe 'nothing' not found"),
        ({"guide": "examples.gru:GRU"}, "guide: examples.gru:GRU: "),
        ({"task": {"randomisation": {"delay": 4, "dead_time": 0.02}}}, "randomisation.delay: found delays of up to 60 ms"),
    ],
)
def test_what_cannot_fly_is_refused_before_there_is_a_folder(tmp_path, change, words):
    with pytest.raises(UsageError) as caught:
        start(tmp_path / "run", recipe=recipes.from_dict(recipes.to_dict(RECIPE) | change))
    one_line(caught, words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["run.json", "recipe.yaml", "airframe.yaml", "state.safetensors"])
def test_a_folder_without_one_of_its_files_is_refused_by_name(stopped, name):
    (stopped / name).unlink()
    with pytest.raises(ValueError) as caught:
        resume(stopped)
    one_line(caught, name, "missing")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vehicles": 8}, ["vehicles: found 8, wanted 16"]),
        ({"seed": "3"}, ["seed: found 3, wanted 0"]),
        ({"steps": 6400}, ["steps: found 6400, wanted 3200"]),
        ({"airframe": "crazyflie_l2f"}, ["airframe: found crazyflie_l2f, wanted crazyflie", AIRFRAME.hash]),
        ({"recipe": "debug"}, ["recipe: found debug, wanted tiny"]),
        ({"run": "elsewhere"}, ["run: found elsewhere, wanted"]),
        ({"airframe": "crazyfly"}, ["airframe 'crazyfly' not found"]),
    ],
)
def test_what_contradicts_the_run_is_refused_by_name(stopped, given, words):
    with pytest.raises(ValueError) as caught:
        resume(stopped, **given)
    one_line(caught, *words)


def test_what_agrees_with_the_run_may_be_given_again(stopped, tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipes.to_dict(RECIPE.with_steps(999_999))))
    same = {"vehicles": "16", "seed": 0, "steps": 3200, "airframe": "crazyflie", "run": str(stopped)}
    run = resume(stopped, recipe=str(tmp_path / "tiny.yaml"), **same)
    assert run.learner.environment_steps == 1600
    run.close()


def test_a_run_brings_the_airframe_it_was_started_with(tmp_path):
    """The name alone would not do: the vehicle may come from a file that has changed or gone."""
    heavy = dataclasses.replace(AIRFRAME, name="heavy", mass=0.0301)
    run = Run.start(tmp_path / "run", RECIPE, heavy, VEHICLES, 0, **about())
    iterations(run, 1)
    run.save()
    run.close()
    again = resume(run.folder)
    again.close()
    assert again.learner.airframe == heavy
    text = (run.folder / "airframe.yaml").read_text()
    (run.folder / "airframe.yaml").write_text(text.replace("0.0301", "0.0302"))
    with pytest.raises(UsageError, match=f"airframe.yaml: found hash .*, wanted {heavy.hash}"):
        resume(run.folder)


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "policy"])
def test_a_state_that_is_damaged_or_something_else_is_refused(stopped, damage):
    path, policy = stopped / "state.safetensors", stopped / "policy.safetensors"
    data = path.read_bytes()
    other = {"cut": data[: len(data) // 2], "empty": b"", "foreign": b"PK\x03\x04" * 100, "policy": policy.read_bytes()}
    path.write_bytes(other[damage])
    with pytest.raises(CheckpointError) as caught:
        resume(stopped)
    one_line(caught, str(path))


NO_NUMBER = f'{{"airframe_hash": "{AIRFRAME.hash}", "vehicles": "many", "seed": 0, "environment_steps": 0}}'


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"airframe": "crazyflie"}', NO_NUMBER],
)
def test_a_damaged_run_json_is_refused(stopped, text):
    (stopped / "run.json").write_text(text)
    with pytest.raises(ValueError) as caught:
        resume(stopped)
    one_line(caught, "run.json")


@pytest.mark.parametrize("name", ["../mine", "a/b", "a\0b", "a\nb"])
def test_a_name_that_no_folder_can_have_is_refused_where_the_folder_follows_from_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = dataclasses.replace(recipes.find("debug"), name=name)
    with pytest.raises(ValueError) as caught:
        start_training.start(recipe=plan, vehicles=16)
    one_line(caught, "recipe: name: found")
    assert list(tmp_path.iterdir()) == []
    start_training.start(tmp_path / "mine", plan, vehicles=16).close()


def test_a_state_that_does_not_fit_the_recipe_is_refused(stopped):
    plan = yaml.safe_load((stopped / "recipe.yaml").read_text())
    plan["network"]["hidden"] = [16, 12]
    (stopped / "recipe.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(ValueError) as caught:
        resume(stopped)
    one_line(caught, str(stopped))


def test_a_failed_save_leaves_the_state_saved_before(stopped, monkeypatch):
    run = resume(stopped)
    iterations(run, 1)
    before = (stopped / "state.safetensors").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(CheckpointError):
        run.save()
    run.close()
    assert (stopped / "state.safetensors").read_bytes() == before
    monkeypatch.undo()
    assert resume(stopped).learner.environment_steps == 1600


def test_two_programs_that_begin_a_run_in_one_folder_at_once_do_not_share_it(tmp_path, monkeypatch):
    folder, learner, others = tmp_path / "run", runs.Learner, []

    def while_another_begins(*given):
        if not others:
            others.append(None)
            others[0] = start(folder)
        return learner(*given)

    monkeypatch.setattr(runs, "Learner", while_another_begins)
    with pytest.raises(UsageError, match="exists already; name another, or resume it"):
        start(folder, seed=1)
    assert json.loads((folder / "run.json").read_text())["seed"] == 0
    others[0].close()


def test_metrics_that_came_after_the_saved_state_and_a_broken_line_are_cut_when_the_run_goes_on(stopped):
    file = stopped / "metrics.jsonl"
    lines = file.read_text()
    broken = '{"seconds": 2.0, "envir'  # and what an earlier version appended to one
    file.write_text(lines + broken + '{"seconds": 3.0}\n{"seconds": 99.0, "environment_steps": 1920.0}\n' + broken)
    resume(stopped).close()
    assert file.read_text() == lines
