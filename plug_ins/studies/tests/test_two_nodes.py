"""A certification on a real Ray cluster: two uneven nodes on this computer, one of which is lost on the way."""

import time
from functools import partial
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="Ray, 70 MB, is not installed: pip install ray")

from spike_ctrl._files import resources
from spike_ctrl.certification.monte_carlo import Campaign
from spike_ctrl_studies import ray_cluster

pytestmark = pytest.mark.flight
MODEL, FLIGHTS = resources.folder("models") / "sih_quadx.safetensors", 8


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray.cluster_utils import Cluster

    here = {"node_ip_address": "127.0.0.1", "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=here | {"num_cpus": 1})
    yield found, found.add_node(num_cpus=2, **here)
    found.shutdown()


def flown(folder: Path, elsewhere=None, after=lambda count: None):
    campaign = Campaign(folder, MODEL, 0, None, 2)
    for count, _ in enumerate(campaign.fly(FLIGHTS, 1, time.process_time, elsewhere), 1):
        after(count)
    return campaign.outcomes


def test_outcomes_are_those_of_this_computer_though_a_node_is_lost(cluster, tmp_path):
    head, second = cluster
    elsewhere = partial(ray_cluster.results, address=head.address)

    def lose(count):
        if count == 1:
            head.remove_node(second, allow_graceful=False)

    assert flown(tmp_path / "cluster", elsewhere, lose) == flown(tmp_path / "here")
