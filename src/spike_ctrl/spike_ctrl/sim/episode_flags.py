"""The flags of one vehicle at one tick, as every state, row and bag carries them (uint8, a sum of these).

FIRST: this state starts an episode. TERMINATED, TRUNCATED: this state ended one, by a crash or by the time limit.
GUIDE: the guide flew. `VehicleState.msg` has the same numbers; a test compares them.
"""

FIRST, TERMINATED, TRUNCATED, GUIDE = 1, 2, 4, 8
