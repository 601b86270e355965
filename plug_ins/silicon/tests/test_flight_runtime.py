"""The core as a runtime of the policy node, without the node: what the line does, the policy does.

The core is simulated behind a pseudo-terminal; `test_fpga_flight.py` flies it in the graph.

- the self-test over the line passes, and a core with another network is refused
- a port that is in use, missing or no port is refused
- bits that flip on the line cost repetitions and no action: all actions are the network's
- a core that is reset, or stuck, gives no action until the pilot begins anew; then it warms up again
- a replay computes the same actions
"""

import dataclasses
import signal
import time

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.pilot import Flown, Pilot, Reason
from spike_ctrl_silicon import flight_runtime, simulated_core
from spike_ctrl_silicon.simulated_line import LineFaults, SimulatedLine

pytestmark = [
    pytest.mark.flight,
    pytest.mark.skipif(simulated_core.missing() is not None, reason=str(simulated_core.missing())),
]
WARM_UP = 50


@pytest.fixture(scope="module")
def found():
    return checkpoint.load("models/crazyflie.safetensors")


@pytest.fixture(scope="module")
def network(found):
    return flight_runtime.model(found).network


class Flight:
    """A pilot with the core at its line, and the network that it should compute, at made-up states."""

    def __init__(self, found, port):
        self.policy, self.model = flight_runtime.policy(found, str(port)), flight_runtime.model(found)
        self.pilot = Pilot(WARM_UP, max_age=0.1, skip=2, judged=True)
        self.pilot.take(Flown("model", self.policy, 0, 0.01))
        self.seen, self.tick = found.self_test, 0
        self.state = self.model.initial_state(1)

    def step(self):
        """Answer the next tick; where there is an action, it must be the network's."""
        self.tick += 1
        seen = self.seen[self.tick % len(self.seen)][None]
        answer = self.pilot.step(self.tick, np.zeros(1, bool), seen, lockstep=False, now=0.01 * self.tick)
        if answer.action is not None:
            if answer.reason is Reason.STALE_STATE:
                self.state = self.model.initial_state(1)
            wanted, self.state = self.model.step(seen, self.state)
            assert np.array_equal(answer.action, wanted), f"tick {self.tick}"
        return answer


def test_bits_that_flip_on_the_line_cost_no_action(found, network):
    with SimulatedLine(network, LineFaults(flips=0.0005, seed=3)) as line:
        flight = Flight(found, line.port)
        answers = [flight.step() for _ in range(600)]
    commands = [answer.commands for answer in answers]
    assert not any(commands[:WARM_UP]) and np.mean(commands[WARM_UP + 1 :]) == 1.0
    assert flight.policy.repeated > 10  # 100 bytes a step, so 30 bits were flipped


@pytest.mark.parametrize("fault", [signal.SIGUSR1, signal.SIGUSR2], ids=["reset", "stuck"])
def test_a_core_that_fails_gives_no_action_and_warms_up_again(found, network, fault):
    with SimulatedLine(network) as line:
        flight = Flight(found, line.port)
        assert [flight.step().commands for _ in range(WARM_UP + 10)][-11:] == [False] + [True] * 10
        line.process.send_signal(fault)
        time.sleep(0.1)
        broken = [flight.step() for _ in range(5)]
        assert not any(answer.commands for answer in broken)
        assert [answer.reason for answer in broken[:3]] == [Reason.BAD_ACTION] * 3
        if fault == signal.SIGUSR2:
            assert all(answer.reason is Reason.BAD_ACTION for answer in broken)
            line.process.send_signal(fault)
        answers = [flight.step() for _ in range(WARM_UP + 5)]
        assert answers[-1].commands and sum(answer.commands for answer in answers) < 10


def test_a_line_that_ends_gives_no_action(found, network):
    with SimulatedLine(network) as line:
        flight = Flight(found, line.port)
        assert flight.step().action is not None
        line.process.kill()
        line.process.wait()
        assert [flight.step().reason for _ in range(3)] == [Reason.BAD_ACTION] * 3


def test_a_core_with_another_network_and_a_port_in_use_are_refused(found, network, tmp_path):
    weights = found.weights | {"layer1.weight": -found.weights["layer1.weight"]}
    with SimulatedLine(network) as line:
        with pytest.raises(UsageError, match="self-test"):
            flight_runtime.policy(dataclasses.replace(found, weights=weights), str(line.port))
        flying = flight_runtime.policy(found, str(line.port))
        with pytest.raises(UsageError, match="in use"):
            flight_runtime.policy(found, str(line.port))
        flying.close()
    with pytest.raises(UsageError, match="hardware"):
        flight_runtime.policy(found, "")
