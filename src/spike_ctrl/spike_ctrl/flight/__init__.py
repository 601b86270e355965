"""Supervised flight beside an autopilot: checks, faults, the ladder, and the choice of the one command that may leave.

A flight is one pure step, repeated (supervisor.py). Where to find what:

- The vehicle's state and its clock (clock jumps): state_checks.py; its attitude: attitude.py.
- Answers of policy and guide: answer_intake.py takes them in; answer_checks.py (deadlines) and policy_monitor.py (spike
  rates, oscillation, saturation, difference from the guide) check them.
- The flight: geofence.py, envelope.py, setpoint.py, target_choice.py, autopilot.py, actuator_faults.py.
- Who flies: ladder.py (take-off, hand-over, recovery, take-over by a pilot) and operator_requests.py; ladder_state.py
  holds its state. command_choice.py gives the command, checkpoint_swap.py swaps the policy.
- All faults: faults.py. All limits: flight_settings.py.
- What happened, by kind and cause: event.py; in sentences: event_words.py.
- Around a flight: bridge.py, auto_mission.py, rehearsal.py, flight_clock.py, realtime_scheduling.py, flight_statistics.py.
"""
