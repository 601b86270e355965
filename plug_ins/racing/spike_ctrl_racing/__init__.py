"""Fast flight through gates: courses, the task `spike_ctrl/Racing-v0`, a spiking policy for it, and races.

`import spike_ctrl_racing` makes the task known to Gymnasium.
"""

from spike_ctrl.sim import gymnasium_registration

RACING = "spike_ctrl/Racing-v0"
EPISODE_STEPS = 6000


def register() -> None:
    """Make the task known to Gymnasium, now or as soon as somebody imports it."""
    gymnasium_registration.register(RACING, "spike_ctrl_racing.racing_environment:racing", EPISODE_STEPS)


register()
