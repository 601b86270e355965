"""How fast a certification flies: virtual seconds per second of CPU, of one process."""

import time

from spike_ctrl._files import resources
from spike_ctrl.certification import flight_outcome, monte_carlo

FLIGHTS = 20


def measure() -> dict[str, float]:
    """The first FLIGHTS seeds, after one that compiles."""
    who, settings = monte_carlo.competitors(resources.find("models", "sih_quadx.safetensors"))
    scenarios = [monte_carlo.scenario_of(seed, who, settings) for seed in range(FLIGHTS)]
    flight_outcome.fly_scenario(scenarios[0], who, settings)
    begin = time.process_time()
    flown = sum(flight_outcome.fly_scenario(scenario, who, settings)[0].seconds for scenario in scenarios)
    return {"certify_virtual_s_per_cpu_s": flown / (time.process_time() - begin)}
