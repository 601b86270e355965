"""How well a controller flies: the frozen benchmark, tracking, vehicles that are not as described, lines to pass."""
