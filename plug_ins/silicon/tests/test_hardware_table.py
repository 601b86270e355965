"""The table of hardware in the report on a model.

- the formula's energy is that of a count by hand, the Cortex-M4's time lies between no spikes and all spikes
- the FPGA's step lies below its longest, and its int8 policy returns what the float policy does
- a policy that does not spike has no table
"""

from dataclasses import replace
from pathlib import Path

import pytest

from spike_ctrl import airframe
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.energy import CountingSpikes
from spike_ctrl.policy import checkpoint
from spike_ctrl.report import model_section
from spike_ctrl_export import c_cost
from spike_ctrl_silicon import cycle_count, flown_cost, hardware_table
from spike_ctrl_silicon.quantise import quantised

MODEL = Path("models/crazyflie.safetensors")


@pytest.fixture(scope="module")
def flown():
    loaded, craft = checkpoint.load(MODEL), airframe.load("crazyflie")
    counting = CountingSpikes(loaded.policy)
    evaluation = evaluate(counting, craft, starts=64)
    flights = model_section._flights(loaded, craft)
    return model_section.FlownModel(MODEL, loaded, evaluation, counting.cost(loaded.weights), flights)


def test_a_step_on_each_hardware_stands_beside_how_well_it_flies(flown):
    (table,) = hardware_table.tables(flown)
    rows = {str(row[0]).partition(" ")[0]: row for row in table.rows}
    first, second = (1 - share for share in flown.cost.layer_sparsity)
    by_hand = 256 * (81 + 18 * 1.7 + first * 23.6) + 128 * (81 + 256 * 1.7 + second * 23.6) + 4 * 128 * 1.7  # pJ
    assert rows["formula"][4] == pytest.approx(1e-6 * by_hand)
    least, most = c_cost.operations((18, 256, 128, 4), (0.0, 0.0)), c_cost.longest((18, 256, 128, 4))
    cost = c_cost.PROCESSORS["Cortex-M4"]
    assert least.times(cost) / 168 < rows["Cortex-M4"][3] < most.times(cost) / 168
    network = quantised(flown.loaded, name="crazyflie")
    assert 0 < rows["FPGA"][3] < cycle_count.longest(network, hardware_table.LANES) / flown_cost.CLOCK_MHZ
    assert rows["FPGA"][5] == pytest.approx(flown.evaluation.headline, rel=0.01)
    assert all(len(row) == len(hardware_table.HEAD) for row in rows.values()) and "block RAMs" in rows["FPGA"][2]
    assert hardware_table.tables(replace(flown, cost=None)) == []
