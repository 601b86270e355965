"""The compiled sequence against autograd through single steps."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import linear

from spike_ctrl.snn.lif import LIFParameters, LIFState, initial_state, lif_step
from spike_ctrl.snn.neuron import PAPER, Neuron, Reset
from spike_ctrl.snn.sequence_kernel import run_sequence

pytestmark = pytest.mark.slow

CASES = list(itertools.product(Reset, (False, True)))
SIZES = (6, 37, 21, 3)


class Problem:
    """Random layers, states and inputs, and a loss that asks for the gradient of all of them."""

    def __init__(self, dtype, steps=30, batch=5, sizes=SIZES, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def random(*shape):
            # With so few bits products and their sums are exact, in whatever order they are made.
            return (8 * torch.randn(*shape, generator=generator, dtype=dtype)).round() / 8

        self.leaves = {"observation": random(steps, batch, sizes[0])}
        for n, (inputs, width) in enumerate(itertools.pairwise(sizes)):
            self.leaves[f"weight{n}"], self.leaves[f"bias{n}"] = random(width, inputs) / 4, random(width) / 4
        for n, width in enumerate(sizes[1:-1]):
            beta, theta = torch.rand(2, width, generator=generator, dtype=dtype)
            self.leaves |= {f"beta{n}": beta, f"theta{n}": theta}
            self.leaves |= {f"membrane{n}": random(batch, width), f"spike{n}": (random(batch, width) > 0).to(dtype)}
        for leaf in self.leaves.values():
            leaf.requires_grad_()
        self.hidden = len(sizes) - 2
        self.to_output = random(steps, batch, sizes[-1])
        self.to_state = [random(batch, width) for width in sizes[1:-1]]

    def module(self, n):
        names = ("weight", "bias", "beta", "theta") if n < self.hidden else ("weight", "bias")
        return SimpleNamespace(**{name: self.leaves[f"{name}{n}"] for name in names})

    def arguments(self):
        state = [LIFState(self.leaves[f"membrane{n}"], self.leaves[f"spike{n}"]) for n in range(self.hidden)]
        layers = [self.module(n) for n in range(self.hidden)]
        return self.leaves["observation"], state, layers, self.module(self.hidden)

    def solve(self, run, neuron):
        output, state, spikes = run(*self.arguments(), 3.0, neuron)
        loss = (output * self.to_output).sum()
        for after, to in zip(state, self.to_state, strict=True):
            loss = loss + (after.membrane * to).sum() + (after.spike * to).sum()
        gradients = torch.autograd.grad(loss, list(self.leaves.values()), allow_unused=True)
        return output, state, spikes, dict(zip(self.leaves, gradients, strict=True))


def stepwise(observation, state, layers, readout, slope, neuron, first=None):
    outputs, spikes = [], torch.zeros(len(layers), dtype=observation.dtype)
    for t, signal in enumerate(observation):
        if first is not None:
            row = first[t][:, None]
            state = [LIFState(*(torch.where(row, torch.zeros_like(part), part) for part in layer)) for layer in state]
        after = []
        for n, (layer, before) in enumerate(zip(layers, state, strict=True)):
            current = linear(signal, layer.weight, layer.bias)
            parameters = LIFParameters(layer.beta, layer.theta)
            signal, new = lif_step(current, before, parameters, slope, neuron.reset, neuron.detach_reset)
            after.append(new)
            spikes[n] += signal.detach().sum()
        state = after
        outputs.append(linear(signal, readout.weight, readout.bias))
    return torch.stack(outputs), state, spikes


@pytest.mark.parametrize("sizes", [SIZES, (6, 9, 3), (3, 70, 5, 66, 2)])
@pytest.mark.parametrize(("reset", "detach_reset"), CASES)
def test_values_and_all_gradients_equal_autograd_through_the_steps(reset, detach_reset, sizes):
    problem, neuron = Problem(torch.float64, sizes=sizes), Neuron(reset, detach_reset)
    output, state, spikes, gradients = problem.solve(run_sequence, neuron)
    wanted_output, wanted_state, wanted_spikes, wanted = problem.solve(stepwise, neuron)
    assert torch.equal(output, wanted_output)
    assert torch.equal(spikes, wanted_spikes)
    assert (spikes > 0).all()
    for mine, other in zip(state, wanted_state, strict=True):
        assert torch.equal(mine.membrane, other.membrane)
        assert torch.equal(mine.spike, other.spike)
    for name, other in wanted.items():
        if detach_reset and name.startswith("spike"):
            assert gradients[name] is None
        else:
            torch.testing.assert_close(
                gradients[name], other, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize(("reset", "detach_reset"), CASES)
def test_where_an_episode_begins_the_state_goes_back_to_zero_and_no_gradient_crosses(reset, detach_reset):
    problem, neuron = Problem(torch.float64), Neuron(reset, detach_reset)
    first = torch.rand(30, 5, generator=torch.Generator().manual_seed(1)) < 0.1
    first[0, 2] = first[29, 3] = True
    first[:, 4] = False
    output, state, spikes, gradients = problem.solve(lambda *given: run_sequence(*given, first=first), neuron)
    wanted_output, wanted_state, wanted_spikes, wanted = problem.solve(lambda *given: stepwise(*given, first=first), neuron)
    assert torch.equal(output, wanted_output) and torch.equal(spikes, wanted_spikes)
    assert not torch.equal(output, problem.solve(run_sequence, neuron)[0])
    for mine, other in zip(state, wanted_state, strict=True):
        assert torch.equal(mine.membrane, other.membrane) and torch.equal(mine.spike, other.spike)
    for name, other in wanted.items():
        if gradients[name] is not None:
            torch.testing.assert_close(
                gradients[name], other, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize(("reset", "detach_reset"), CASES)
def test_in_single_precision_spikes_and_membranes_are_the_same_bits(reset, detach_reset):
    problem, neuron = Problem(torch.float32, steps=100, batch=40, sizes=(18, 64, 48, 4)), Neuron(reset, detach_reset)
    output, state, spikes, gradients = problem.solve(run_sequence, neuron)
    wanted_output, wanted_state, wanted_spikes, wanted = problem.solve(stepwise, neuron)
    assert torch.equal(output, wanted_output)
    assert torch.equal(spikes, wanted_spikes)
    for mine, other in zip(state, wanted_state, strict=True):
        assert torch.equal(mine.membrane, other.membrane)
        assert torch.equal(mine.spike, other.spike)
    for name, other in wanted.items():
        if gradients[name] is not None:
            error = (gradients[name] - other).norm() / other.norm()
            assert error < 1e-4, f"{name}: {error:.1e}"


def test_two_halves_equal_the_whole_with_gradients_across_the_cut():
    problem = Problem(torch.float64, steps=20)
    observation, state, *network = problem.arguments()
    whole, _, _ = run_sequence(observation, state, *network, 2.0, PAPER)
    first, between, _ = run_sequence(observation[:8], state, *network, 2.0, PAPER)
    second, _, _ = run_sequence(observation[8:], between, *network, 2.0, PAPER)
    halves = torch.cat([first, second])
    assert torch.equal(whole, halves)
    leaves = list(problem.leaves.values())
    for a, b in zip(
        torch.autograd.grad((whole * problem.to_output).sum(), leaves),
        torch.autograd.grad((halves * problem.to_output).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_caller_s_tensors_are_left_alone_and_need_not_be_contiguous():
    problem = Problem(torch.float32)
    problem.leaves = {
        name: leaf.detach().mT.contiguous().mT if leaf.ndim > 1 else leaf for name, leaf in problem.leaves.items()
    }
    before = {name: leaf.clone() for name, leaf in problem.leaves.items()}
    output, after, _ = run_sequence(*problem.arguments(), 2.0, PAPER)
    assert all(torch.equal(leaf, before[name]) for name, leaf in problem.leaves.items())
    problem.leaves = {name: leaf.contiguous() for name, leaf in before.items()}
    assert torch.equal(output, run_sequence(*problem.arguments(), 2.0, PAPER)[0])
    assert torch.equal(after[0].spike, run_sequence(*problem.arguments(), 2.0, PAPER)[1][0].spike)


def test_without_gradients_the_values_are_the_same():
    problem = Problem(torch.float32)
    output, state, spikes = run_sequence(*problem.arguments(), 2.0, PAPER)
    with torch.no_grad():
        quick, after, counts = run_sequence(*problem.arguments(), 2.0, PAPER)
    assert torch.equal(output, quick)
    assert torch.equal(spikes, counts)
    assert all(torch.equal(a.membrane, b.membrane) for a, b in zip(state, after, strict=True))


def test_wrong_shapes_and_types_are_named():
    problem = Problem(torch.float32)
    observation, state, *network = problem.arguments()
    with pytest.raises(ValueError, match=r"observation: found shape \(2, 6\), wanted \[T, B, 6\]"):
        run_sequence(torch.zeros(2, 6), state, *network, 2.0, PAPER)
    with pytest.raises(ValueError, match=r"observation: found torch.float64, wanted torch.float32"):
        run_sequence(observation.double(), state, *network, 2.0, PAPER)
    with pytest.raises(ValueError, match=r"state: found shape \(1, 37\), wanted \(5, 37\)"):
        run_sequence(observation, [initial_state(1, 37), state[1]], *network, 2.0, PAPER)
