"""What a policy must do in simulation before it may be tried on the vehicle that it was trained for."""

from typing import NamedTuple

from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import PASS_ERROR, PASS_SHARE
from spike_ctrl.evaluation import protocols, tracking
from spike_ctrl.evaluation.benchmark import STARTS, evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.evaluation_result import HEADLINE
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim.randomisation import Randomisation

SURVIVAL, SURVIVAL_AROUND = 0.95, 0.9  # shares of the 1024 starts, on the airframe itself and on plants around it
SETTLING = 3.0  # s after a step of 1 m and after a gust of a fifth of the weight
FOLLOWED, SUDDEN = ("hover", "circle", "figure8"), ("step", "gust")
BEYOND = f"share of samples beyond {PASS_ERROR} m"


class Check(NamedTuple):
    """One requirement: what is flown, on which plants, the figure found and its limit.

    least: the figure must reach the limit; otherwise it must not exceed it.
    """

    what: str
    plants: str
    figure: str
    found: float
    limit: float
    least: bool = False

    @property
    def passed(self) -> bool:
        return self.found >= self.limit if self.least else self.found <= self.limit


def checks(policy: Policy, airframe: Airframe, around: Randomisation, starts: int = STARTS) -> list[Check]:
    """Fly a policy through all requirements on the airframe, and through the most important on the plants `around` it."""
    controller, exact = PolicyController(policy), Randomisation()
    found = []
    for name, plants, least in (("identified", exact, SURVIVAL), ("around it", around, SURVIVAL_AROUND)):
        survival = evaluate(controller, airframe, starts=starts, randomisation=plants).columns[HEADLINE]["survival"]
        found.append(Check(f"{starts} starts", name, "survival", survival, least, least=True))
    for name, plants, followed in (("identified", exact, FOLLOWED), ("around it", around, FOLLOWED[:1])):
        for kind in followed:
            flown = tracking.track(controller, protocols.find(kind).trajectory, airframe, randomisation=plants)
            found.append(Check(kind, name, BEYOND, flown.beyond, PASS_SHARE))
    for kind in SUDDEN:
        one = protocols.find(kind)
        flown = tracking.track(controller, one.trajectory, airframe, gust=one.gust)
        found.append(Check(kind, "identified", "seconds to settle within 5 cm", flown.settling, SETTLING))
    return found


def check_table(found: list[Check]) -> str:
    """One line per check, then the verdict."""
    rows = [["flown", "plants", "figure", "found", "line", ""]]
    for check in found:
        sign, verdict = (">=" if check.least else "<="), ("pass" if check.passed else "FAIL")
        line = f"{sign} {check.limit:g}"
        rows.append([check.what, check.plants, check.figure, f"{check.found:.3f}", line, verdict])
    failed = sum(not check.passed for check in found)
    judged = "all lines are met" if not failed else f"{failed} of {len(found)} lines are not met"
    return f"{text_table(rows, named=3)}\n{judged}"
