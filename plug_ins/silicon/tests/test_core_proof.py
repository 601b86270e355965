"""The proof of the core by yosys and z3.

- bounds and resets of a recurrent network and of one with hard resets are proved
- a register that is a bit too narrow, and a reset that forgets nothing, are found
- flight: a shipped network is proved, too
"""

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl_silicon import core_proof, verilog
from spike_ctrl_silicon.integer_network import NumberWidths
from spike_ctrl_silicon.quantise import quantised, rounded

pytestmark = pytest.mark.skipif(core_proof.missing() is not None, reason=str(core_proof.missing()))
SIZES, LANES = (6, 5, 4, 3), 2


@pytest.fixture(scope="module")
def network(random_weights, random_observations):
    def made(neuron):
        return rounded(random_weights(SIZES, neuron.recurrent), neuron, NumberWidths(), random_observations(64, SIZES[0]))

    return made


@pytest.mark.parametrize("neuron", [Neuron(recurrent=True), Neuron(reset="hard")], ids=["recurrent", "hard reset"])
def test_no_number_overflows_and_a_reset_begins_anew(network, neuron):
    core_proof.prove(network(neuron), LANES)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("policy.sv", lambda text, name="NEXT_BITS": narrower(text, name)),
        ("policy.sv", lambda text, name="READOUT_BITS": narrower(text, name)),
        ("spike_core.sv", lambda text: text.replace("forget <= 1'b1;", "")),
        ("spike_core.sv", lambda text: text.replace("valid <= '0;", "")),
    ],
    ids=["membrane", "readout", "a reset that forgets nothing", "a reset that keeps events"],
)
def test_a_core_that_is_wrong_is_found(network, file, change):
    found = network(Neuron(recurrent=True))
    files = verilog.files(found, LANES, "wrong")
    assert change(files[file]) != files[file]
    with pytest.raises(UsageError, match="yosys-smtbmc"):
        core_proof.prove(found, LANES, files | {file: change(files[file])})


def narrower(text, name):
    head, _, tail = text.partition(f".{name}(")
    bits, _, rest = tail.partition(")")
    return f"{head}.{name}({int(bits) - 1}){rest}"


@pytest.mark.flight
@pytest.mark.parametrize("model", ["crazyflie_robust", "crazyflie_hard_reset"])
def test_a_shipped_network_is_proved(model):
    core_proof.prove(quantised(checkpoint.load(f"models/{model}.safetensors")), 8)
