"""Where a model comes from."""

import pytest

from spike_ctrl._files import provenance


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["spike-ctrl", "train", "td3bc", "--run", "/home/me/x", "--seed", "3"], "spike-ctrl train td3bc --seed 3"),
        (["spike-ctrl", "train", "--run=/home/me/x"], "spike-ctrl train"),
        (["spike-ctrl", "launch", "sim_train", "run:=/home/me/x", "steps:=5"], "spike-ctrl launch sim_train steps:=5"),
        (["spike-ctrl", "train", "a b.yaml"], "spike-ctrl train 'a b.yaml'"),
    ],
)
def test_the_command_that_made_a_model_does_not_tell_its_folder(words, command):
    assert provenance.without_folder(words) == command
