"""Fly one flight of each action layout, so that what flies is compiled before its first flight; for `make setup`."""

from spike_ctrl import Airframe
from spike_ctrl._files import resources
from spike_ctrl.certification import monte_carlo
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.policy import checkpoint

for name, family in (("sih_quadx", None), ("crazyflie", "rotor")):
    model = resources.find("models", f"{name}.safetensors")
    outcome, _ = monte_carlo.refly(1, model, family=family)
    refused = rehearse(checkpoint.load(model).compiled(), Airframe.load(name), rate_hz=100.0)
    print(f"{name}: flew {outcome.seconds:.1f} s; rehearsal: {refused or 'passed'}")
