"""Energy on Loihi by SANA-FE, against a count of Davies' energies by hand.

- without SANA-FE the error names the package
- energies of synapses and neurons are those of the flight's spikes, its messages' energy is small, and time passes
"""

import importlib.util

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl_silicon import sana_fe
from spike_ctrl_silicon.loihi_network import bits_of
from spike_ctrl_silicon.sana_fe import FlownSpikes

STEPS, HIDDEN = 40, (24, 16)
installed = importlib.util.find_spec("sanafe") is not None


@pytest.fixture
def spikes(random_observations):
    spike = np.random.default_rng(0).random((STEPS, sum(HIDDEN))) < 0.3
    return FlownSpikes(random_observations(STEPS, 18), spike)


@pytest.mark.skipif(installed, reason="SANA-FE is installed")
def test_without_sana_fe_the_error_names_the_package(spikes):
    with pytest.raises(UsageError, match="pip install sanafe"):
        sana_fe.cost(spikes, HIDDEN, False)


@pytest.mark.skipif(not installed, reason="pip install sanafe")
@pytest.mark.parametrize("recurrent", [False, True])
def test_synapses_and_neurons_cost_what_a_count_by_hand_says(spikes, recurrent):
    found = sana_fe.cost(spikes, HIDDEN, recurrent)
    first, last = spikes.spike[:, : HIDDEN[0]].sum(), spikes.spike[:, HIDDEN[0] :].sum()
    lines = bits_of(spikes.observation).sum() + STEPS
    events = lines * HIDDEN[0] + first * HIDDEN[1] + (last * HIDDEN[1] if recurrent else 0)
    updates = 2 * STEPS * sum(HIDDEN)
    wanted = {"synapse": 35.5e-12 * events, "soma": 72.8e-12 * updates + 69.3e-12 * (first + last)}
    for name, energy in wanted.items():
        assert found.parts[name] * STEPS == pytest.approx(energy, rel=0.02), name
    assert 0 < found.parts["network"] < found.energy and 1e-7 < found.time < 1e-3
    assert found.spikes == pytest.approx((lines + first + last) / STEPS)
