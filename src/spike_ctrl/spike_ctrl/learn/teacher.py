"""The guide that a recipe names: the geometric one, a class of your own, a checkpoint, or one that is learned first."""

from typing import Any

from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl.airframe import Airframe
from spike_ctrl.control import guide_protocol
from spike_ctrl.control.geometric_guide import Gains, GeometricGuide
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.recipe_blocks import LearnedGuide
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim.observation import LAYOUT


class PolicyGuide:
    """A trained policy as the guide. It sees the observation alone."""

    def __init__(self, policy: Policy):
        self.initial_state, self.reset_rows, self._step = policy.initial_state, policy.reset_rows, policy.step

    def act(self, observation: NDArray[Any], state: Any, *privileged: object) -> tuple[NDArray[Any], Any]:
        """The policy's actions (N, 4) and its next state."""
        return self._step(observation, state)


def make(recipe: Recipe, airframe: Airframe, rate_hz: float = 100.0) -> Guide:
    """The guide of a recipe for an airframe, at this rate of the states.

    Raises UsageError, also for a guide that has to be learned first, and CheckpointError for a file that does not fit.
    """
    if isinstance(recipe.guide, LearnedGuide):
        wanted = "`spike-ctrl train`, which trains it, or guide: RUN/teacher/policy.safetensors of such a run"
        found = f"a guide that the recipe {recipe.guide.recipe} trains first"
        raise UsageError(f"recipe {recipe.name}: guide: found {found}, wanted {wanted}")
    if isinstance(recipe.guide, Gains):
        return GeometricGuide(airframe, recipe.guide, rate_hz)
    if isinstance(recipe.guide, NamedObject):
        return guide_protocol.make(recipe.guide, f"recipe {recipe.name}: guide", airframe)
    expect = {"observation": LAYOUT, "action": airframe.action_layout, "rate_hz": rate_hz}
    try:
        return PolicyGuide(checkpoint.load(recipe.guide, expect=expect).policy)
    except CheckpointError as error:
        raise CheckpointError(f"recipe {recipe.name}: guide: {error}") from None


def plan(recipe: Recipe, guide: LearnedGuide, airframe: Airframe) -> Recipe:
    """The recipe that trains the guide of another one. Raises UsageError where it cannot."""
    try:
        found = recipes.find(guide.recipe).with_steps(guide.steps)
        found.require_fit(airframe)
    except UsageError as error:
        raise UsageError(f"recipe {recipe.name}: guide.recipe: {error}") from None
    if isinstance(found.guide, LearnedGuide):
        wanted = "wanted gains, module:Name or a .safetensors file in the recipe that trains a guide"
        raise UsageError(f"recipe {found.name}: guide: found one that is learned, {wanted}")
    return found


def require(recipe: Recipe, airframe: Airframe) -> None:
    """Raise as `make` does where the guide of a recipe can neither be made nor learned."""
    if isinstance(recipe.guide, LearnedGuide):
        plan(recipe, recipe.guide, airframe)
    else:
        make(recipe, airframe)


def gains(recipe: Recipe) -> Gains:
    """The gains of a recipe for who flies by the geometric guide only. Raises UsageError where it names another guide."""
    if isinstance(recipe.guide, Gains):
        return recipe.guide
    raise UsageError(f"recipe {recipe.name}: guide: found {recipe.guide}, wanted gains of the geometric guide")
