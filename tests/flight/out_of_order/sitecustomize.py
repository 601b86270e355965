"""With this folder in PYTHONPATH the network of a launched snn_policy raises, once the file of OUT_OF_ORDER is there.

Python reads this file when a process starts. Whatever else of snn_policy runs is its own.
"""

import os
import sys

if any(word == "__node:=snn_policy" for word in sys.orig_argv):
    from spike_ctrl.policy.pilot import Pilot

    step = Pilot.step

    def raising(self, *arguments, **options):
        if os.path.exists(os.environ["OUT_OF_ORDER"]):
            raise RuntimeError("out of order")
        return step(self, *arguments, **options)

    Pilot.step = raising
