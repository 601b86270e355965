"""Products of rows in vector registers: numpy's matrix products are the oracle."""

import numpy as np
import pytest

from spike_ctrl._files.kernel import kernel
from spike_ctrl.snn import row_products
from spike_ctrl.snn.row_products import PANEL, WORD, add_marked, combine


@kernel(error_model="numpy")
def sparse(total, spikes, table):
    """total += spikes @ table."""
    for b in range(len(spikes)):
        for word in range(0, spikes.shape[1], WORD):
            mask = row_products.marks(spikes, b * spikes.shape[1] + word)
            add_marked(total, b * total.shape[1], mask, (table, word * table.shape[1], table.shape[1]), table.shape[1])


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 8, 19, 32])
@pytest.mark.parametrize("width", [16, 32, 48, 256])
def test_a_dense_product_is_that_of_matrices_wherever_its_rows_lie(rows, width):
    rng = np.random.default_rng(0)
    count, before = 18, 7  # numbers of a row, and of an array before the first that counts
    factors, table = (rng.normal(size=shape).astype(np.float32) for shape in ((rows, count), (count, width)))
    out = rng.normal(size=(rows, before + width)).astype(np.float32)
    wanted = out.copy()
    wanted[:, before:] = factors @ table
    for add in (False, True):
        combine((out, before, before + width), (factors, 0, count, 1), count, (table, 0, width, PANEL), rows, width, add)
        close(out, wanted)
        wanted[:, before:] *= 2
    turned = np.ascontiguousarray(factors.T)
    combine((out, before, before + width), (turned, 0, 1, rows), count, (table, 0, width, PANEL), rows, width, False)
    close(out[:, before:], factors @ table)


def test_a_table_may_lie_in_panels():
    rng = np.random.default_rng(1)
    factors, table = (rng.normal(size=shape).astype(np.float32) for shape in ((16, 40), (40, 3 * PANEL)))
    panels = np.ascontiguousarray(table.reshape(40, 3, PANEL).transpose(1, 0, 2))
    out = np.empty((16, 3 * PANEL), np.float32)
    combine((out, 0, 3 * PANEL), (factors, 0, 40, 1), 40, (panels, 0, PANEL, 40 * PANEL), 16, 3 * PANEL, False)
    close(out, factors @ table)


@pytest.mark.parametrize("width", [64, 128, 192])
@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_a_product_with_spikes_is_that_of_matrices(width, rate):
    rng = np.random.default_rng(2)
    spikes = (rng.random((5, 2 * WORD)) < rate).astype(np.float32)
    table, total = (rng.normal(size=shape).astype(np.float32) for shape in ((2 * WORD, width), (5, width)))
    wanted = total + spikes @ table
    sparse(total, spikes, table)
    close(total, wanted)


def test_a_mark_stands_for_a_spike_in_the_order_of_the_neurons():
    @kernel(error_model="numpy")
    def word(spikes, at):
        return row_products.marks(spikes, at)

    spikes = np.zeros(2 * WORD, np.float32)
    spikes[[3, WORD, WORD + 63]] = 1
    assert int(word(spikes, 0)) == 1 << 3
    assert int(word(spikes, WORD)) == 1 | 1 << 63
