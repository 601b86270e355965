"""The supervisor: one pure step from what was heard to the one command that may leave, and to who flies.

    state = SupervisorState()
    state, output = step(state, SupervisorInputs(now, sample=..., guide=..., policy=..., autopilot=...), settings)

Call `step` for everything that comes, and at least once a control period. The checks find faults, the ladder decides who
flies, and command_choice.py gives the command; this file passes each of them what it needs, and reports: each fault when it
begins, a start in the air, and a status line once a second.
"""

import math

from spike_ctrl.flight import ladder, state_checks, steering, wind_estimate
from spike_ctrl.flight.actuator_faults import follow_motors, follow_rates
from spike_ctrl.flight.answer_checks import AnswerSource, await_answer
from spike_ctrl.flight.answer_intake import keep_early_answers, take_answers
from spike_ctrl.flight.autopilot import check_autopilot
from spike_ctrl.flight.checkpoint_swap import swap_checkpoint
from spike_ctrl.flight.command_choice import CommandSources, SentCommand, choose_command
from spike_ctrl.flight.estimate_quality import Doubt, Sign
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Findings, Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.ladder_state import Facts, Move
from spike_ctrl.flight.motion_check import JudgedMotion
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.rotor_check import RotorTrack, follow_rotors
from spike_ctrl.flight.setpoint import moved_along, shifted
from spike_ctrl.flight.state_checks import Sample, StateTrack
from spike_ctrl.flight.state_consistency import ZERO, ConsistencyLimits, follow
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorOutput, SupervisorState
from spike_ctrl.flight.target_choice import follow_target, grant_set_point
from spike_ctrl.flight.wind_estimate import CALM

STATUS_PERIOD = 1.0  # s
REPEAT_TIME = 1.0  # s: a fault that was away for longer is reported again


def step(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, SupervisorOutput]:
    """One step: state, answers, set-point, flight, ladder, command, reports. It raises nothing, whatever the inputs hold."""
    if state.stepped is None:
        state = state._replace(ladder=state.ladder._replace(since=inputs.now))
    state, inputs, settings = settings.follow(state, inputs)
    before = state.ladder.rung
    state, inputs = keep_early_answers(state, inputs)
    state, of_state = _take_state(state, inputs, settings)
    state, of_policy, of_guide = take_answers(state, inputs, settings)
    state, of_target, refused = follow_target(state, inputs, settings)
    state, of_pace = _check_own_pace(state, inputs, settings)
    state, of_flight = _check_flight(state, inputs, settings)
    # Of faults that demand the same rung, the first is the reason. A supervisor that stalled heard nothing, so its own
    # stall comes first.
    rotors = state.rotors
    found = rotors.sift(of_pace + of_state + of_guide + of_target + of_flight, settings.rotors)
    of_policy, lost = rotors.sift(of_policy, settings.rotors), rotors.lost
    if lost is not None:
        found += (lost.finding,)
    state, moved = _move(state, inputs, found, of_policy, settings)
    state, accept, of_swap, swapped = swap_checkpoint(state, inputs.now, settings)
    after, sources = state.ladder, CommandSources(state.sample, state.policy, state.guide, inputs.autopilot)
    sent, command, slewed = choose_command(state.sent, sources, after, before, inputs.now, settings)
    state, news = _report_faults(state, found + of_policy + of_swap + slewed, inputs.now)
    state, status = _report_status(state, inputs, settings)
    events = _report_start_in_the_air(state, inputs) + news + refused + moved.events + swapped
    state = state._replace(sent=sent, autopilot=inputs.autopilot or state.autopilot, stepped=inputs.now)
    finished = after.shutting_down and not after.commanding
    told = rotors.told(settings.rotors)
    return state, SupervisorOutput(after.rung, command, moved.ask, state.granted, accept, events, status, finished, told)


def _move(
    state: SupervisorState, inputs: SupervisorInputs, found: Findings, of_policy: Findings, settings: FlightSettings
) -> tuple[SupervisorState, Move]:
    """The ladder moves. Faults of a policy that neither flies nor is wanted do not count.

    A policy with faults of its own, or that flew the vehicle away, does not command until the autopilot has taken over.
    """
    before, status, rung = state.ladder, inputs.autopilot, state.ladder.rung
    if before.cruises(status) and not (inputs.requests or found or of_policy):
        return state, Move(before)  # no rule of the ladder applies
    flying = rung is Rung.SNN or before.wanted or Request.ENGAGE in inputs.requests
    found, ground = found + of_policy if flying else found, state.ground if rung <= Rung.GUIDE else None
    apart = max(state.monitor.recent)
    opposed = apart > settings.answers.disagreement and steering.led(
        state.astray, apart, state.guide.latest, state.policy.latest, settings.steering
    )
    facts = Facts(
        inputs.now, status, state.sample, state.target, found, ground, inputs.unmet, settings.envelope,
        settings.cage.laid(state.home), settings.braking, state.monitor, settings.answers, state.rotors.lost,
        settings.rotors.flown, settings.rotors.turned is not None, opposed,
    )  # fmt: skip
    moved = ladder.move(before, inputs.requests, facts, settings.ladder)
    after = moved.ladder
    if after.may_bridge and any([f.fault.rung is not None for f in of_policy] + [f.fault.bars_policy for f in found]):
        after = after._replace(may_bridge=False)
    if after is not before:
        goes_on = after.rung is rung and after.taking_off is before.taking_off  # else nobody has steered astray yet
        state = state._replace(ladder=after, astray=state.astray if goes_on else steering.Astray())
    if moved.target is not None:
        state, _ = grant_set_point(state._replace(target=moved.target, granted=None), inputs.now, settings)
    return state, moved


def _take_state(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, Findings]:
    """The vehicle's state, where a new one came, and the faults of states that came or did not."""
    found: Findings = ()
    if inputs.sample is not None:
        checked = state_checks.check_state(inputs.sample, state.track, settings.state, inputs.airborne)
        found = checked.findings
        if found and any(finding.fault is Fault.CLOCK_JUMP for finding in found):
            # Ticks and stamps begin anew: answers to earlier states will not come.
            nobody = AnswerSource()
            state = state._replace(policy=nobody, guide=nobody, candidate=nobody, monitor=Monitor(), sent=SentCommand())
        if (shift := checked.shift) is not None:
            spooling = state.ladder.taking_off and state.ladder.armed and not inputs.airborne
            if spooling and abs(shift.yaw) > settings.state.yaw_reset:
                found += (Finding(Fault.TAKE_OFF_FAILED, f"before the lift-off the yaw jumped by {shift.yaw:.2f} rad"),)
            target = None if state.target is None else shifted(state.target, shift)
            state = state._replace(target=target, home=state_checks.home_after(state.home, shift))
            state = state._replace(granted=moved_along(state.granted, shift, state.cage(settings)))
        if checked.accepted is None:
            state = state._replace(track=checked.track)
        else:
            state, contradicting = _accept(state, checked.accepted, checked.track, inputs, settings)
            found += contradicting
    return state, found + state_checks.check_state_age(state.track, inputs.now, settings.state)


def _accept(
    state: SupervisorState, sample: Sample, track: StateTrack, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, Findings]:
    """An accepted state, which policy, guide and candidate have to answer, and whether it contradicts others or commands.

    A disarmed vehicle stands on the ground.
    """
    airborne, disarmed = inputs.airborne, inputs.autopilot is not None and not inputs.autopilot.armed
    consistency, contradicting = follow(state.consistency, sample, settings.consistency)
    commanded = state.sent.action if airborne and state.ladder.steady else None
    turn, strays = follow_rates(state.turn, sample, commanded, settings.turn)
    late = track.late.bit_count() > settings.state.late_states
    if strays and (late or consistency.suspect(settings.consistency)):
        strays = tuple(Finding(Fault.STATE_INCONSISTENT, one.detail) for one in strays)  # no pilot, whom HOLD would override
    spin, spun = follow_motors(state.spin, sample, commanded, settings.spin)
    flown = state.sent.action if airborne and state.ladder.rung < Rung.HOLD and state.ladder.confirmed else None
    rotors = follow_rotors(RotorTrack() if disarmed else state.rotors, sample, flown, settings.rotors)
    calm = rotors.lost is not None or not airborne  # the force of a vehicle that spins tells nothing of the wind
    state = state._replace(
        track=track, sample=sample, turn=turn, spin=spin, rotors=rotors, home=sample.position if disarmed else state.home,
        consistency=consistency if airborne else consistency._replace(crept=ZERO, kept=ZERO, veered=0.0, shifted=ZERO),
        wind=wind_estimate.follow(state.wind, state.sample, sample, settings.wind) if not calm else CALM,
        doubt=state.doubt.seen(sample.quality, sample.received, settings.estimate) if airborne else Doubt(),
        policy=await_answer(state.policy, sample), guide=await_answer(state.guide, sample),
        candidate=await_answer(state.candidate, sample),
    )  # fmt: skip
    state, untrue = _check_hold(state, sample, inputs.now, settings.consistency)
    return state, contradicting + untrue + strays + spun if airborne else ()


def _check_hold(
    state: SupervisorState, sample: Sample, now: float, limits: ConsistencyLimits
) -> tuple[SupervisorState, Findings]:
    """Whether the autopilot, asked to hold because the state is in doubt, does: its own estimate may be wrong as well."""
    ladder, track = state.ladder, state.consistency
    doubted = ladder.latched is not None and ladder.latched.fault in (Fault.STATE_INCONSISTENT, Fault.ESTIMATOR_RESTLESS)
    if ladder.rung is not Rung.HOLD or not ladder.confirmed or not doubted or now - ladder.since <= limits.held:
        return (state if state.held is None else state._replace(held=None)), ()
    if state.held is None or state.held.last is None:
        return state._replace(held=track), ()
    speed, turned = math.hypot(*sample.velocity), math.hypot(*track.turned)
    grown, moved = math.dist(track.kept, state.held.kept), math.dist(sample.position, state.held.last.position)
    if not (speed > limits.held_speed or grown > limits.held_move or turned > limits.attitude):
        return state, ()
    detail = (
        f"{speed:.2f} m/s; position moved {grown:.2f} m and attitude {turned:.2f} rad otherwise than velocity and rates say"
    )
    follows = "; the autopilot follows its estimate" if moved < grown / 2 else ""
    return state, (Finding(Fault.HOLD_CONTRADICTED, detail + follows),)


def _check_flight(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, Findings]:
    """Faults that nodes report, and those of autopilot, geofence and envelope."""
    dropped = 0 if state.autopilot is None else state.autopilot.dropped
    found = inputs.reports + check_autopilot(inputs.autopilot, dropped, inputs.now, settings.autopilot)
    sample, airborne, ladder = state.sample, inputs.airborne, state.ladder
    if sample is None:
        return state, found
    since, objection = state.doubt
    if objection is not None and since is not None:
        limits = settings.estimate
        leaving = limits.leaving if ladder.taking_off else limits.time
        times = {Sign.STILL: 0.0, Sign.FORCE: 0.0, Sign.STANDING: leaving}
        # Where the autopilot holds already because the state contradicts itself, or its yaw is wrong, a velocity that
        # contradicts the force is no new fault.
        contradicted = ladder.latched is not None and ladder.latched.fault is Fault.STATE_INCONSISTENT
        known = (contradicted and ladder.rung is Rung.HOLD) or abs(state.track.heading) > settings.state.yaw_reset
        touches = state.descends and settings.envelope.near_ground(sample, state.ground)
        known = (known or state.rotors.lost is not None or touches) and objection.sign in (Sign.VELOCITY, Sign.FORCE)
        if inputs.now - since > times.get(objection.sign, limits.time) and not known:
            found += (Finding(Fault.ESTIMATE_DOUBTFUL, objection.detail),)
    flies = ladder.rung <= Rung.GUIDE
    caged = state.home is not None or airborne or not settings.cage.relative
    guided = ladder.rung is Rung.GUIDE and inputs.now - ladder.since > settings.ladder.guide_brakes
    followed = state.granted if flies and ladder.recovering is None else None
    grounded = ladder.taking_off or state.descends
    ground = state.ground if flies and not grounded else None
    cage = settings.cage.laid(state.home) if caged else None
    crept = state.consistency.strayed if airborne and flies and state.rotors.lost is None else None
    if cage is not None and crept is not None and not cage.in_wind(state.wind).spares(crept):
        words = ", ".join(f"{moved:.2f}" for moved in crept)
        found += (Finding(Fault.STATE_INCONSISTENT, f"position in doubt by ({words}) m, more than the cage can spare"),)
    cage = cage.without_ground if cage is not None and grounded else cage
    if late := min(sample.ages):  # over a slow link the vehicle is farther by now
        x, y, z = (p + late * v for p, v in zip(sample.position, sample.velocity, strict=True))
        sample = sample._replace(position=(x, y, z))
    room = cage if airborne and flies else None
    if room is not None and not ladder.taking_off:  # the autopilot would drift with the wind first, and stop later
        room = room.in_wind(state.wind, room.margin if ladder.rung is Rung.SNN else 0.0)
    motion = JudgedMotion(sample, airborne, cage, room, guided, followed, ground, state.wind)
    check = state.motion.after(motion, settings)
    return (state if check is state.motion else state._replace(motion=check)), found + check.found


def _check_own_pace(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, Findings]:
    """Whether the supervisor itself is called often enough."""
    if state.stepped is None:
        return state, ()
    pause = inputs.now - state.stepped
    stalls = state_checks.push_missed(state.stalls, state_checks.missed_periods(pause, settings.state.period))
    state = state if stalls == state.stalls else state._replace(stalls=stalls)
    if pause > settings.stall:
        detail = f"not called for {1e3 * pause:.0f} ms, wanted at most {1e3 * settings.stall:.0f} ms"
        return state, (Finding(Fault.STARVED, detail),)
    if (missed := stalls.bit_count()) > settings.stalls:
        return state, (Finding(Fault.STARVED, f"{missed} control periods missed, wanted at most {settings.stalls}"),)
    return state, ()


def _report_faults(state: SupervisorState, found: Findings, now: float) -> tuple[SupervisorState, tuple[Event, ...]]:
    """Count the faults, and report each one when it begins."""
    if not found:
        return state, ()
    counts, seen, events = dict(state.counts), dict(state.seen), []
    for finding in found:
        name = finding.fault.name
        if now - seen.get(name, -math.inf) > REPEAT_TIME:
            events.append(Event(now, EventKind.FAULT, finding))
        counts[name], seen[name] = counts.get(name, 0) + 1, now
    return state._replace(counts=counts, seen=seen), tuple(events)


def _report_start_in_the_air(state: SupervisorState, inputs: SupervisorInputs) -> tuple[Event, ...]:
    """An event where the very first status of the autopilot shows a vehicle in the air."""
    if state.autopilot is not None or inputs.autopilot is None or not inputs.autopilot.airborne:
        return ()
    finding = Finding(Fault.STARTED_IN_THE_AIR, f"found mode {inputs.autopilot.mode.value}")
    return (Event(inputs.now, EventKind.STARTED_IN_THE_AIR, finding),)


def _report_status(
    state: SupervisorState, inputs: SupervisorInputs, settings: FlightSettings
) -> tuple[SupervisorState, str | None]:
    """The status line, where it is due."""
    if state.status_due is not None and inputs.now < state.status_due:
        return state, None
    ladder, status = state.ladder, inputs.autopilot
    words = [f"{ladder.rung.name} for {inputs.now - ladder.since:.0f} s"]
    if status is None:
        words.append("autopilot not heard")
    else:
        words += [f"{status.mode.value}, {'armed' if status.armed else 'disarmed'}", f"battery {status.battery:.0%}"]
    if state.sample is not None:
        words.append("at " + ", ".join(f"{p:.2f}" for p in state.sample.position) + " m")
    if ladder.rung is Rung.SNN:
        words.append("policy flies")
    elif ladder.rung is not Rung.LAND:
        words.append(f"policy in shadow: {state.monitor.describe_agreement(settings.answers)}")
    if state.rotors.lost is not None:
        words.append("a rotor is lost: nothing can be engaged")
    elif ladder.latched is not None:
        words.append(f"after {ladder.latched.fault.name} the operator must ask again to engage")
    return state._replace(status_due=inputs.now + STATUS_PERIOD), "; ".join(words)
