"""An estimate of the core's dynamic power on an ECP5: operations are counted, the energy of each is assumed.

    P = rate E_step + f_clock E_clock
    E_step = cycles (block RAM reads + multiplications + logic) per cycle, at a core voltage of 1.1 V

Lattice publishes no energy per operation. The figures are those of a net of some .4 pF that swings by 1.1 V (.5 pJ), of an
SRAM of 18 kbit in 40 nm (10 pJ a read) and of a multiplier of 18 x 18 bits (5 pJ); each may be wrong by a factor of 3, and
so may the sum. Leakage (some 30 mW in an ECP5-25F that does nothing) and the pins are not in it.
"""

from typing import NamedTuple

RAM_READ_PJ, MULTIPLY_PJ, NET_PJ = 10.0, 5.0, 0.5
CLOCKED_PJ = 0.04  # of a flip-flop's clock input and its share of the clock tree, per cycle
ACTIVITY = 0.125  # share of nets that change in a cycle of a step: the usual assumption of power calculators
FACTOR = 3.0  # by which the estimate may be wrong
CLOCK_HZ = 50e6


class Parts(NamedTuple):
    """Parts of a placed core: block RAMs, multipliers, nets (LUTs and flip-flops), flip-flops."""

    rams: int
    multipliers: int
    nets: int
    flip_flops: int


class Power(NamedTuple):
    """Energy of a step (uJ), and dynamic power (mW) of the steps and of the clock that runs all the time."""

    step_uj: float
    steps_mw: float
    clock_mw: float

    @property
    def words(self) -> str:
        """Both for the user."""
        total = self.steps_mw + self.clock_mw
        return (
            f"dynamic power, estimated within a factor of {FACTOR:g}: {total:.2f} mW; the steps {self.steps_mw:.2f} mW "
            f"({self.step_uj:.2f} uJ each), the clock {self.clock_mw:.2f} mW"
        )


def estimate(parts: Parts, cycles: float, rate_hz: float) -> Power:
    """The estimate for steps of so many cycles at a rate, with a clock of CLOCK_HZ."""
    a_cycle = RAM_READ_PJ * parts.rams + MULTIPLY_PJ * parts.multipliers + NET_PJ * ACTIVITY * parts.nets
    step = cycles * a_cycle * 1e-6
    return Power(step, step * rate_hz * 1e-3, CLOCK_HZ * CLOCKED_PJ * parts.flip_flops * 1e-9)
