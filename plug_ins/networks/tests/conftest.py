"""The fixtures that these tests share with others, and one graph for each kind of module that they train."""

import pytest
from plain_networks import graph_once
from shared_fixtures import *  # noqa: F403

from spike_ctrl_networks import recipe_network


@pytest.fixture(scope="session", autouse=True)
def graphs_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe_network, "graph_of", graph_once)
        yield
