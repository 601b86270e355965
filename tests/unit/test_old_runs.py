"""Runs that were begun with version 0.1 go on: their recipe and state are files of then (tests/old_runs)."""

import gzip
import itertools
import shutil
from pathlib import Path

import pytest

from spike_ctrl._files import settings, yaml_file
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train

OLD = Path(__file__).resolve().parents[1] / "old_runs"


@pytest.mark.parametrize("name, updates", [("td3bc", 14), ("model_gradient", 15)])
def test_a_run_of_before_goes_on_to_its_end(name, updates, tmp_path):
    folder = shutil.copytree(OLD / name, tmp_path / name)
    (folder / "state.safetensors").write_bytes(gzip.decompress((folder / "state.safetensors.gz").read_bytes()))
    run = Run.resume(folder, {}, clock=itertools.count().__next__, command="spike-ctrl train", commit="")
    assert run.learner.environment_steps == 240 and run.learner.iterations == 3
    assert train(run, lambda line: None, lambda: False)
    assert (run.learner.environment_steps, run.learner.actor_updates) == (1200, updates)


@pytest.mark.parametrize("name", ["td3bc", "model_gradient"])
@pytest.mark.filterwarnings("ignore:.* is now called:FutureWarning")
def test_the_recipe_of_a_run_of_before_is_written_as_it_was_but_for_names(name):
    path = OLD / name / "recipe.yaml"
    written = settings.renamed(Recipe, yaml_file.read(path, "recipe"), "")
    written["algorithm"] = recipes.FORMER.get(written["algorithm"], written["algorithm"])
    assert recipes.to_dict(recipes.load(path)) == written
