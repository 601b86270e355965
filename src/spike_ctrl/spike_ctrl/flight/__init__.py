"""Supervised flight beside an autopilot: checks, faults, the ladder, and the choice of the one command that may leave.

A flight is one pure step, repeated (supervisor.py). Where to find what:

- The vehicle's state: state_checks.py, its clock (clock jumps) vehicle_clock.py, its attitude attitude.py.
- Answers of policy and guide: answer_intake.py takes them in; answer_checks.py, deadlines.py, policy_monitor.py (spike
  rates, oscillation, saturation) and guide_disagreement.py check them.
- The flight: geofence.py, envelope.py, setpoint.py, target_choice.py, autopilot.py.
- Who flies: ladder.py with request.py, operator_requests.py, take_off.py, hand_over.py, recovery.py, autopilot_modes.py
  (take-over, landing); ladder_state.py holds its state. command_choice.py gives the command, checkpoint_swap.py swaps
  the policy.
- All faults: faults.py. All limits: flight_settings.py, with its table in settings_table.py.
- What happened, by kind and cause: event.py; its sentences: event_words.py. What is reported: flight_reports.py.
- Around a flight: bridge.py, auto_mission.py, rehearsal.py, flight_clock.py, realtime_scheduling.py, flight_statistics.py,
  path_error.py.
"""
