"""The run that the learner's parameters open."""

from types import SimpleNamespace

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl_learner.learner_node import open_run, require_graph


@pytest.mark.installed
def test_a_run_that_is_resumed_takes_no_checkpoint_to_start_from():
    given = SimpleNamespace(resume="runs/x", start_from="model.safetensors")
    with pytest.raises(UsageError, match="'start_from': found model\\.safetensors, wanted none"):
        open_run(given)


@pytest.mark.parametrize(
    ("learner", "words"),
    [
        ({"explorer": object(), "voltage": None}, "algorithm: found ppo, which explores by itself"),
        ({"explorer": None, "voltage": object()}, "network.voltage: found true, wanted false in a graph"),
    ],
)
def test_what_a_graph_cannot_train_is_refused(learner, words):
    run = SimpleNamespace(learner=SimpleNamespace(**learner, recipe=SimpleNamespace(algorithm="ppo")))
    with pytest.raises(UsageError, match=words):
        require_graph(run)
