"""The flight of a seed in the air, in the default cage, with a fault of the first kinds: flights that tests know by seed."""

from spike_ctrl.certification import moving_scenario


def first_draw(seed, who, settings, family=None):
    spread = moving_scenario.spread(who.airframe)
    return moving_scenario.draw(seed, settings.cage, settings.envelope, family, spread)
