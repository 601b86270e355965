"""TensorBoard's own reader finds the metrics of a run in groups, and its recipe as hyperparameters."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from spike_ctrl.learn.event_log import EventLog

RECIPE = {"name": "td3bc", "network": {"hidden": [256, 128], "slope": {"kind": "adaptive"}}, "schedule": {"steps": 2000}}
GROUPS = {
    "return": "return/training",
    "validation_return": "return/validation",
    "validation_0.6m_end": "return/validation_0.6m_end",
    "survival": "survival/training",
    "critic_loss": "loss/critic",
    "spike_rate_1": "policy/spike_rate_1",
    "slope": "policy/slope",
    "steps_per_second": "time/steps_per_second",
    "validation_seconds": "time/validation_seconds",
    "my_own_metric": "learner/my_own_metric",
}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    log = EventLog(folder, RECIPE, airframe="crazyflie", vehicles=64, seed=3)
    log.add({name: float(number) for number, name in enumerate(GROUPS)}, steps=1000)
    log.close()
    return EventAccumulator(str(folder)).Reload()


def test_metrics_are_in_groups_at_the_steps_that_were_flown(read):
    assert set(read.Tags()["scalars"]) == set(GROUPS.values())
    for number, name in enumerate(GROUPS.values()):
        assert [(point.step, point.value) for point in read.Scalars(name)] == [(1000, number)]


def test_the_recipe_and_what_flew_are_hyperparameters_beside_the_return_of_the_policy_alone(read):
    told = read.PluginTagToContent("hparams")
    start = HParamsPluginData.FromString(told["_hparams_/session_start_info"]).session_start_info.hparams
    assert start["schedule.steps"].number_value == 2000 and start["seed"].number_value == 3
    assert start["network.slope.kind"].string_value == "adaptive" and start["network.hidden"].string_value == "[256, 128]"
    columns = HParamsPluginData.FromString(told["_hparams_/experiment"]).experiment.metric_infos
    assert {column.name.tag for column in columns} == {"return/validation", "survival/validation"}
