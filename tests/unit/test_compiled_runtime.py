"""The compiled step against numpy's, which is tested against torch."""

import numpy as np
import pytest
import torch

from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint, self_test
from spike_ctrl.policy.compiled_runtime import CompiledPolicy
from spike_ctrl.policy.numpy_runtime import PolicyState, SpikingPolicy
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl.snn.neuron import Neuron, Reset

pytestmark = pytest.mark.slow

SIZES = (18, 256, 128, 4)


def both(reset=Reset.SOFT, sizes=SIZES, dtype=np.float32, recurrent=False):
    network = SpikingNetwork(sizes, Neuron(reset, recurrent=recurrent), generator=torch.Generator().manual_seed(0))
    weights = {name: value.astype(dtype) for name, value in network.weights().items()}
    return SpikingPolicy(weights, network.neuron), CompiledPolicy(weights, network.neuron)


def observations(steps, dtype=np.float32):
    """Smooth signals, so that neurons go through quiet and busy times: [steps, 18]."""
    noise = np.random.default_rng(1).standard_normal((steps, 18))
    for step in range(1, steps):
        noise[step] = 0.9 * noise[step - 1] + 0.5 * noise[step]
    return noise.astype(dtype)


@pytest.mark.parametrize("sizes", [SIZES, (18, 40, 24, 16, 4)])
@pytest.mark.parametrize(("reset", "recurrent"), [(Reset.SOFT, False), (Reset.HARD, False), (Reset.SOFT, True)])
def test_ten_thousand_steps_have_the_spikes_of_numpy(reset, recurrent, sizes):
    """In double precision no membrane comes within rounding of its threshold, so all spikes must agree."""
    numpy, compiled = both(reset, sizes, np.float64, recurrent)
    mine, wanted = compiled.initial_state(), numpy.initial_state()
    found, busy = [], np.zeros(len(numpy.theta))
    for observation in observations(10_000, np.float64):
        action, mine = compiled.step(observation, mine)
        wanted_action, wanted = numpy.step(observation, wanted)
        assert (mine.spike == wanted.spike).all()
        found.append((action, wanted_action))
        busy += wanted.spike
    np.testing.assert_allclose(*np.swapaxes(found, 0, 1), atol=1e-12)
    np.testing.assert_allclose(mine.membrane, wanted.membrane, atol=1e-10)
    assert 0.02 < busy.mean() / 10_000 < 0.9


def test_ten_thousand_single_precision_steps_differ_only_for_membranes_at_the_threshold():
    """Both start each step from the same state. Where a spike differs, the membrane of the first that does is within
    1e-5 of its threshold; that happens to less than one neuron in 1e5, and where none differs the actions agree to 1e-6."""
    numpy, compiled = both()
    state, flips, found = numpy.initial_state(), 0, []
    for observation in observations(10_000):
        action, mine = compiled.step(observation, state)
        wanted, state = numpy.step(observation, state)
        flipped = np.flatnonzero(mine.spike != state.spike)
        flips += len(flipped)
        if len(flipped):
            assert abs(mine.membrane[flipped[0]] - numpy.theta[flipped[0]]) < 1e-5
        else:
            found.append((action, wanted))
    np.testing.assert_allclose(*np.swapaxes(found, 0, 1), atol=1e-6)
    assert flips < 1e-5 * 10_000 * len(numpy.theta)


def test_the_shipped_model_passes_its_self_test_compiled():
    loaded = checkpoint.load(resources.folder("models") / "crazyflie.safetensors")
    compiled = CompiledPolicy(loaded.weights, loaded.manifest.contract.neuron)
    state, other = compiled.initial_state(), loaded.policy.initial_state()
    for observation in self_test._plausible_observations(np.random.default_rng(3), 18):
        action, state = compiled.step(observation, state)
        wanted, other = loaded.policy.step(observation, other)
        np.testing.assert_allclose(action, wanted, atol=loaded.manifest.tolerance)


def test_a_batch_is_as_many_vehicles_alone():
    """Their wider tile and the one behind it; `test_export_c` has all of them and the C."""
    _, compiled = both()
    alone, one, many = (compiled.initial_state(vehicles) for vehicles in (None, 1, 17))
    for observation in observations(50):
        action, alone = compiled.step(observation, alone)
        batched, one = compiled.step(observation[None], one)
        assert batched.shape == (1, 4) and one.membrane.shape == (384, 1)
        assert np.array_equal(batched[0], action) and np.array_equal(one.membrane[:, 0], alone.membrane)
        actions, many = compiled.step(np.stack([observation, *np.tile(-observation, (15, 1)), observation]), many)
        assert all(np.array_equal(actions[vehicle], action) for vehicle in (0, 16))
    assert compiled.spike_rates(one) == compiled.spike_rates(alone)
    assert not compiled.reset_rows(one, np.array([True])).membrane.any()


def test_what_a_step_takes_and_returns_may_be_kept():
    _, compiled = both()
    first, second = observations(2)
    start = compiled.initial_state()
    action, state = compiled.step(first, start)
    assert not start.membrane.any() and not start.spike.any()
    kept = [array.copy() for array in (action, *state)]
    again, _ = compiled.step(second, state)
    assert not np.array_equal(again, action)
    assert all(np.array_equal(array, copy) for array, copy in zip((action, *state), kept, strict=True))


def test_wrong_shapes_are_named():
    _, compiled = both()
    with pytest.raises(ValueError, match=r"observation: found shape \(17,\), wanted \(18,\)"):
        compiled.step(np.zeros(17), compiled.initial_state())
    with pytest.raises(ValueError, match=r"observation: found shape \(1, 18\), wanted \(18,\)"):
        compiled.step(np.zeros((1, 18)), compiled.initial_state())
    with pytest.raises(ValueError, match=r"observation: found shape \(3, 18\), wanted \(4, 18\)"):
        compiled.step(np.zeros((3, 18)), compiled.initial_state(4))


def test_not_a_number_passes_through_as_in_numpy():
    numpy, compiled = both()
    state = PolicyState(np.full(384, np.nan, np.float32), np.zeros(384, np.float32))
    for policy in (numpy, compiled):
        action, after = policy.step(np.zeros(18, np.float32), state)
        assert np.isnan(after.membrane).all() and not after.spike.any() and np.isfinite(action).all()
