"""The core behind its UART, simulated by Verilator, against uart_policy.c's protocol; each begins with one whole build.

- the actions are those of the integer network, for floats of all sizes and signs
- the first 49 replies are WARMING_UP; a gap in the sequence, an activation and a rst begin anew
- a flipped bit, a lost byte and noise before a request are DAMAGED or ignored, and the next request is answered
- a number that is not finite is NOT_FINITE and begins anew
- behind a pseudo-terminal it flies a Crazyflie; another network's actions are noticed
- a request that is repeated gets the same reply, without a second step
- over SPI the replies are the same
- without requests for 25 ms the output is no longer fresh; a stuck line does not make it fresh
"""

import struct
import subprocess
import time

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl_export import write_files
from spike_ctrl_silicon import line_flight, simulated_core, verilog
from spike_ctrl_silicon.integer_network import ACTION_BITS, IntegerRuntime, NumberWidths, inputs_of
from spike_ctrl_silicon.quantise import quantised, rounded
from spike_ctrl_silicon.serial_frames import ReplyStatus, crc16, reply, request
from spike_ctrl_silicon.serial_policy import SerialPolicy
from spike_ctrl_silicon.simulated_line import SimulatedLine
from spike_ctrl_silicon.to_fpga import PORTS

pytestmark = [
    pytest.mark.flight,
    pytest.mark.skipif(simulated_core.missing() is not None, reason=str(simulated_core.missing())),
]
DIVISOR, CLOCK_HZ = 4, 4_000_000
WATCHDOG_CYCLES = CLOCK_HZ // 1000 * 25
SEND, WAIT, RST, HOLD = range(4)


class Line:
    """The program's two pipes."""

    def __init__(self, program, folder):
        self.core = subprocess.Popen([program, str(DIVISOR)], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, what, count=0, data=b""):
        """Whether the output is fresh, and the bytes that came."""
        self.core.stdin.write(struct.pack("<ii", what, len(data) or count) + data)
        self.core.stdin.flush()
        fresh, heard = struct.unpack("<ii", self.core.stdout.read(8))
        return bool(fresh), self.core.stdout.read(heard)

    def ask(self, data):
        """Send a request; the reply and whether the output is fresh."""
        fresh, heard = self.tell(SEND, data=data)
        return reply(heard), fresh


def built(network, top, driver, folder):
    """The program of a top module and a driver, and its folder."""
    write_files(folder, verilog.files(network, 4, top))
    place = folder / "built"
    place.mkdir()
    return simulated_core.built(folder, top, PORTS[top], driver, place, "-O1", {"CLOCK_HZ": CLOCK_HZ}), folder


@pytest.fixture(scope="module")
def network(random_weights, random_observations):
    weights = random_weights((18, 14, 9, 4), True)
    return rounded(weights, Neuron(recurrent=True), widths=NumberWidths(), observations=random_observations(64, 18))


@pytest.fixture(scope="module")
def program(network, tmp_path_factory):
    return built(network, "spike_serial", "drive_serial.cpp", tmp_path_factory.mktemp("serial"))


@pytest.fixture
def line(program):
    one = Line(*program)
    yield one
    one.core.communicate()


def action(network, runtime, state, observation):
    state = runtime.advance(observation, state)
    return (runtime.action(state) / 2.0**ACTION_BITS).astype(np.float32), state


def test_actions_are_those_of_the_network_and_the_first_49_warm_it_up(line, network):
    rng, runtime = np.random.default_rng(0), IntegerRuntime(network)
    state, fresh = runtime.initial_state(), []
    for step in range(120):
        observation = (rng.normal(0, 1, 18) * 10.0 ** rng.integers(-6, 3, 18)).astype(np.float32)
        observation[:4] = [0.0, -0.0, np.float32(1e-40), np.float32(0.49999997) / 4096]
        answer, is_fresh = line.ask(request(step, observation))
        wanted, state = action(network, runtime, state, observation)
        assert answer.sequence == step and np.array_equal(answer.action, wanted), f"step {step}"
        assert answer.status is (ReplyStatus.READY if step >= 49 else ReplyStatus.WARMING_UP)
        fresh.append(is_fresh)
    assert fresh == [False] * 49 + [True] * 71
    assert inputs_of(observation[3:4]).tolist() == [1]


@pytest.mark.parametrize("what", ["gap", "activation", "rst", "nan", "watchdog"])
def test_the_policy_begins_anew(line, network, what):
    observations = np.random.default_rng(1).normal(0, 1, (70, 18)).astype(np.float32)
    for step in range(60):
        line.ask(request(step, observations[step]))
    sequence, first = 60, what == "activation"
    if what == "gap":
        sequence = 61
    elif what == "rst":
        line.tell(RST)
    elif what == "nan":
        spoilt = observations[60].copy()
        spoilt[7] = np.nan
        answer, fresh = line.ask(request(60, spoilt))
        assert answer.status is ReplyStatus.NOT_FINITE and not answer.action.any() and not fresh
        sequence = 61
    elif what == "watchdog":
        assert line.tell(WAIT, WATCHDOG_CYCLES - 60_000)[0]
        assert not line.tell(WAIT, 60_000)[0]
    answer, fresh = line.ask(request(sequence, observations[61], first))
    wanted, _ = action(network, IntegerRuntime(network), IntegerRuntime(network).initial_state(), observations[61])
    assert answer.status is ReplyStatus.WARMING_UP and np.array_equal(answer.action, wanted) and not fresh


def test_damage_is_told_and_changes_nothing(line, network):
    runtime, rng = IntegerRuntime(network), np.random.default_rng(2)
    state = runtime.initial_state()
    for step in range(40):
        observation = rng.normal(0, 1, 18).astype(np.float32)
        whole = request(step, observation)
        spoilt = bytearray(whole)
        bit = int(rng.integers(16, 8 * len(whole)))
        spoilt[bit // 8] ^= 1 << bit % 8
        answer, fresh = line.ask(bytes(spoilt))
        assert answer.status is ReplyStatus.DAMAGED and not answer.action.any() and not fresh
        assert line.tell(SEND, data=whole[: int(rng.integers(1, len(whole) - 1))])[1] == b""  # the rest is lost
        noise = rng.integers(0, 256, 5, np.uint8).tobytes().replace(b"\xa5", b"\x00")
        answer, _ = line.ask(noise + whole)
        wanted, state = action(network, runtime, state, observation)
        assert np.array_equal(answer.action, wanted), f"step {step}"


def test_a_stuck_line_lets_the_output_go_stale(line):
    observations = np.random.default_rng(3).normal(0, 1, (60, 18)).astype(np.float32)
    for step in range(60):
        fresh = line.ask(request(step, observations[step]))[1]
    assert fresh
    assert line.tell(HOLD, 2 * WATCHDOG_CYCLES) == (False, b"")


def test_the_crc_is_the_published_one():
    assert crc16(b"123456789") == 0x29B1


def test_the_core_behind_a_pseudo_terminal_flies_a_crazyflie_to_its_set_point():
    """Every action over the line is the network's, or `fly` raises."""
    found = checkpoint.load("models/crazyflie.safetensors")
    network = quantised(found)
    with SimulatedLine(network) as simulated:
        policy = SerialPolicy(simulated.port)
        (flown,) = line_flight.fly_line(found, network, policy, 1, time.perf_counter)
        assert flown.hover < 0.02 and len(flown.took) == 500 and policy.status is ReplyStatus.READY
        other = quantised(found, NumberWidths(4))
        with pytest.raises(UsageError, match="flight 0, step"):
            line_flight.fly_line(found, other, policy, 1, time.perf_counter)
        policy.close()


def test_a_request_that_is_repeated_gets_the_same_reply_and_no_second_step(line, network):
    observations = np.random.default_rng(4).normal(0, 1, (60, 18)).astype(np.float32)
    runtime = IntegerRuntime(network)
    state = runtime.initial_state()
    for step in range(60):
        wanted, state = action(network, runtime, state, observations[step])
        whole = request(step, observations[step])
        once = line.ask(whole)[0]
        assert line.ask(whole[:-1] + b"\0")[0].status is ReplyStatus.DAMAGED or whole[-1] == 0
        again, fresh = line.ask(whole)
        assert again.sequence == step and again.status is once.status and fresh is (step >= 49)
        assert np.array_equal(once.action, wanted) and np.array_equal(again.action, wanted), f"step {step}"


def test_over_spi_a_request_has_the_same_reply(network, tmp_path):
    """Zeros come until the step is done; a transfer that ends early is no request; the watchdog counts as over the UART."""
    spi = Line(*built(network, "spike_spi", "drive_spi.cpp", tmp_path))
    runtime, rng = IntegerRuntime(network), np.random.default_rng(5)
    state = runtime.initial_state()
    for step in range(60):
        observation = rng.normal(0, 1, 18).astype(np.float32)
        whole = request(step, observation)
        assert not any(spi.tell(SEND, data=whole[: int(rng.integers(1, len(whole) - 1))])[1])
        assert not any(spi.tell(SEND, data=whole)[1])
        heard = spi.tell(SEND, data=bytes(400))[1].lstrip(b"\0")
        wanted, state = action(network, runtime, state, observation)
        answer = reply(heard[:22])
        assert not any(heard[22:]) and answer.sequence == step and np.array_equal(answer.action, wanted), f"step {step}"
        assert answer.status is (ReplyStatus.READY if step >= 49 else ReplyStatus.WARMING_UP)
    assert spi.tell(WAIT, WATCHDOG_CYCLES // 2)[0] and not spi.tell(WAIT, WATCHDOG_CYCLES // 2)[0]
    spi.core.communicate()


def test_a_file_is_refused_as_a_port(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="serial port"):
        SerialPolicy(tmp_path / "file")
