"""The ladder SNN, GUIDE, HOLD, LAND, SILENT: who flies, and why. Pure; the time is one of the facts.

Faults lead down automatically. Only the operator leads up, and to SNN only through GUIDE with the policy in shadow. Every
flight begins on SILENT: the stack is passive, and the autopilot or a pilot flies. HOLD and LAND are modes of the autopilot.
Until it confirms such a mode, commands keep the vehicle in the air; from then on the autopilot flies and none is sent.
"""

import math

from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight.attitude import lean_along, yaw
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.faults import Fault, Finding, Rung
from spike_ctrl.flight.ladder_state import MODES, Facts, Ladder, LadderLimits, Move, change_rung, fall_to, hold_here
from spike_ctrl.flight.operator_requests import obey
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.setpoint import Target, hold
from spike_ctrl.flight.state_checks import Sample

OWN_FLIGHT = (Mode.HOLD, Mode.RETURN)  # the autopilot flies by itself, and no lost stream of commands would end that


def move(ladder: Ladder, requests: tuple[Request, ...], facts: Facts, limits: LadderLimits) -> Move:
    """One step: the operator's requests, then the autopilot's mode, faults, take-off, recovery and hand-over."""
    done = Move(ladder)
    for request in requests:
        done = _then(done, obey(done.ladder, request, facts))
    for rule in (follow_mode, step_down, come_down, take_off, recover, hand_over):
        if (moved := rule(done.ladder, facts, limits)) is not None:
            done = _then(done, moved)
    if (waiting := done.ladder.waiting) is not None and done.ladder.recovering is None:
        done = _then(done, obey(done.ladder._replace(waiting=None), waiting, facts))
    if (ask := mode_request(done.ladder, facts, limits)) is not None:
        done = done._replace(ladder=done.ladder._replace(asked_at=facts.now), ask=ask)
    return done


def follow_mode(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """What the autopilot's mode and arming mean for the ladder.

    Whoever changes the mode or disarms takes over: SILENT; a mode that this stack asked for just before is not a change. A
    mode that the autopilot does not take leads further down. None: they mean nothing.
    """
    if ladder.rung is Rung.SILENT or facts.autopilot is None:
        return None
    status, wanted = facts.autopilot, MODES[ladder.rung]
    still: Move | None = None
    if status.armed:
        if not ladder.armed:
            ladder = ladder._replace(armed=True)
            still = Move(ladder)
    elif ladder.armed or ladder.rung is Rung.LAND:
        kind = EventKind.LANDED_AND_DISARMED if ladder.rung is Rung.LAND else EventKind.DISARMED
        return change_rung(ladder, Rung.SILENT, kind, None, facts)
    if ladder.rung is Rung.LAND and ladder.confirmed and status.landed and status.mode is not wanted:
        # After a landing PX4 disarms and goes back to its last mode. It reports the mode up to a second earlier.
        return change_rung(ladder, Rung.SILENT, EventKind.LANDED, None, facts)
    if status.mode is wanted:
        return still if ladder.confirmed else Move(ladder._replace(confirmed=True, asked_for=()))
    late = status.mode in ladder.asked_for  # an earlier request of our own, and no pilot
    unchanged = not ladder.confirmed and (late or status.mode is ladder.came_from)
    if unchanged and ladder.rung is Rung.LAND and status.mode in OWN_FLIGHT:
        return still  # nobody but us would have it land: LAND is asked for until it is confirmed
    detail = f"found mode {status.mode.value}, wanted {wanted.value}"
    if not unchanged:
        return fall_to(Rung.SILENT, ladder, Finding(Fault.TAKEN_OVER, detail), facts, EventKind.TAKEN_OVER)
    if ladder.urgent and facts.now - ladder.since > limits.deaf:
        return change_rung(ladder, Rung.SILENT, EventKind.HOLD_NOT_TAKEN, ladder.latched, facts)
    allowed = limits.mode_timeout + (limits.stream_lead if ladder.rung is Rung.GUIDE else 0.0)
    if facts.now - ladder.since <= allowed:
        return still
    further = Rung.LAND if ladder.rung is Rung.HOLD else Rung.SILENT
    return fall_to(further, ladder, Finding(Fault.MODE_NOT_TAKEN, detail), facts)


def step_down(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """Down to the lowest rung that a fault demands. A pending engagement is dropped for any demanding fault."""
    if not facts.found:
        return None
    flown = facts.flown and ladder.rung is Rung.SNN  # by a policy that need not hand over
    counting = [f for f in facts.found if not (flown and f.fault is Fault.ROTOR_LOST)]
    demanding = [(rung, finding) for finding in counting if (rung := finding.fault.rung) is not None]
    if ladder.rung is Rung.SILENT or not demanding:
        return None
    rung, worst = max(demanding, key=lambda pair: pair[0])
    if facts.lost is not None and rung is Rung.LAND and facts.airborne:
        rung = Rung.GUIDE  # it lands, and the autopilot's own controllers cannot
    if ladder.rung is Rung.SNN and rung is Rung.GUIDE and facts.airborne and facts.upset(facts.envelope.guided):
        rung = Rung.HOLD  # it turns or leans too much for a guide to take over
    if rung is Rung.HOLD:
        rung = facts.hold_or_land
    entering = ladder.rung is Rung.GUIDE and not ladder.confirmed
    grounded = ladder.rung is Rung.GUIDE and not ladder.armed
    if (entering or grounded) and rung is not Rung.SILENT:
        return fall_to(Rung.SILENT, ladder, worst, facts, EventKind.DROPPED)
    if rung > ladder.rung:
        target = hold_here(facts.sample) if ladder.rung is Rung.SNN and facts.sample is not None else None
        moved = fall_to(rung, ladder, worst, facts)._replace(target=target)
    elif ladder.wanted and ladder.rung is not Rung.SNN:
        event = Event(facts.now, EventKind.DROPPED, worst, ladder.rung)
        moved = Move(ladder._replace(wanted=False, latched=worst), events=(event,))
    else:
        moved = Move(ladder)
    if moved.ladder.rung is Rung.GUIDE and moved.ladder.recovering is None and facts.airborne:
        guided = ladder.rung is Rung.GUIDE and facts.now - ladder.since > limits.proven
        settling = [finding for _, finding in demanding if finding.fault.settles]
        led = _guides_doing(bool(settling), facts, limits) if guided else ""
        if led:  # it took over a vehicle that lay well: whoever leads that one astray cannot recover it
            finding = Finding(Fault.NOT_RECOVERED, f"the guide itself {led}: {worst}")
            return fall_to(facts.hold_or_land, ladder, finding, facts)
        if settling and facts.sample is not None:
            tumbling = facts.upset(facts.envelope.tumbling)
            return _begin_recovery(moved, settling, facts.sample, facts, guided or not tumbling, limits)
    return moved


def _guides_doing(settling: bool, facts: Facts, limits: LadderLimits) -> str:
    """What speaks against a guide that has flown for a while, in words; empty: nothing. settling: it could recover."""
    if facts.upset():
        return "upset the vehicle"
    if settling and facts.opposed:
        return "flew there against the policy"
    if not settling or facts.sample is None:
        return ""
    on = lean_along(facts.sample.quaternion, facts.sample.velocity)  # a sound one brakes what it took over
    if not facts.monitor.answers:
        return "flies on there, and no policy answers" if on > 0 else ""
    return "flies on there, and the policy objects" if on * max(facts.monitor.recent) > limits.objected else ""


def come_down(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """With a lost rotor, or where it lands for the operator, the guide descends; on the ground the autopilot takes over."""
    sample, lost = facts.sample, facts.lost
    if sample is None or ladder.rung is not Rung.GUIDE or not (facts.airborne and ladder.confirmed):
        return None
    place, target = sample.position, facts.target
    descends = target is not None and target.descends  # it goes on where the rotor that began it was none
    if lost is None and (not (ladder.landing or descends) or ladder.recovering is not None):
        return None
    if target is None or not target.descends or not isinstance(target.course, Trajectory):
        size = 1.0 + max(place[2] - (place[2] if facts.ground is None else facts.ground), 0.0)
        course = Trajectory("descent", place, yaw(sample.quaternion), size=min(size, 50.0), speed=limits.sinking)
        latched = ladder.latched if lost is None else lost.finding
        ladder = ladder._replace(latched=latched, wanted=False, taking_off=False, recovering=None)
        return Move(ladder, Target(course, since=facts.now))
    below = place[2] - target.course.at(facts.now - target.since).position[2] - target.moved.position[2]
    stands = facts.envelope.near_ground(sample, facts.ground) and math.hypot(*sample.velocity) <= limits.stands
    if below < limits.pressed or not stands:
        return None
    if lost is None:
        return change_rung(ladder, Rung.LAND, EventKind.ASKED, Request.LAND, facts)
    return change_rung(ladder, Rung.LAND, EventKind.STEPPED_DOWN, lost.finding, facts)


def take_off(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """The next step of a take-off: idle, armed, spooled up, climbing, arrived.

    It ends on GUIDE, the policy in shadow; where it fails, on LAND or SILENT.
    """
    if ladder.rung is not Rung.GUIDE or not ladder.taking_off or facts.sample is None:
        return None
    if ladder.armed_since is None:
        if ladder.armed and ladder.confirmed:
            # A vehicle that a pilot has lifted off meanwhile has spooled up.
            spooled = limits.spool_up + 1e-3 if facts.airborne else 0.0
            return Move(ladder._replace(armed_since=facts.now - spooled))
        if facts.now - ladder.since <= limits.arm_timeout:
            return None
        return change_rung(ladder, Rung.SILENT, EventKind.NOT_ARMED, None, facts)
    place, height = facts.sample.position, facts.sample.position[2]
    if facts.now - ladder.armed_since > limits.take_off_timeout:
        finding = Finding(Fault.TAKE_OFF_FAILED, f"found {height:.2f} m after {limits.take_off_timeout} s")
        return fall_to(Rung.LAND, ladder, finding, facts)
    path = facts.target.course if facts.target is not None else None
    if facts.target is None or not isinstance(path, Trajectory) or path.kind != "climb":
        if ladder.spools_up(facts.now, limits):
            return None
        heading, size = yaw(facts.sample.quaternion), limits.take_off_height
        climb = Trajectory("climb", place, heading, size=size, speed=limits.climb_speed)
        return Move(ladder, Target(climb, since=facts.now))
    turns, apart = math.hypot(*facts.sample.rates), max(facts.monitor.recent)
    if facts.airborne and turns > limits.turns and apart > limits.apart:
        detail = f"turns at {turns:.1f} rad/s, and the policy in shadow objects: its action differs by {apart:.2f}"
        return fall_to(Rung.LAND, ladder, Finding(Fault.TAKE_OFF_FAILED, detail), facts)
    moved, climbed = facts.target.moved.position[2], path.at(facts.now - facts.target.since).position[2]
    below, sinking = climbed + moved - height, -facts.sample.velocity[2]
    stays = below > limits.behind and height < path.centre[2] + moved + limits.risen
    if facts.airborne and (stays or (sinking > limits.sinks and below > 0)):
        how = "stays at" if stays else f"sinks at {sinking:.2f} m/s from"
        detail = f"{how} {height:.2f} m where the set-point has climbed to {climbed + moved:.2f} m"
        return fall_to(Rung.LAND, ladder, Finding(Fault.TAKE_OFF_FAILED, detail), facts)
    top = path.centre[2] + path.size + moved
    if not facts.airborne or abs(height - top) > limits.reached:
        return None
    event = Event(facts.now, EventKind.TOOK_OFF, rung=Rung.GUIDE, height=height)
    return Move(ladder._replace(taking_off=False), events=(event,))


def _begin_recovery(
    moved: Move, settling: list[Finding], sample: Sample, facts: Facts, guide_suspect: bool, limits: LadderLimits
) -> Move:
    """On GUIDE the guide brings a vehicle to rest that left its envelope or came near the geofence. settling: these faults.

    The target is the vehicle's position; near a wall it is the centre of the cage, and in a fall the place above where it
    coasts, unless it coasts out of the cage: a weak vehicle that leans to the centre has no thrust left to stop its fall.
    guide_suspect: the guide itself flew when the fault came, or the vehicle did not tumble when the guide took over.
    """
    why = next((finding for finding in settling if finding.fault is Fault.CAGE_NEAR), settling[0])
    near, cage, (x, y, z) = why.fault is Fault.CAGE_NEAR, facts.cage, sample.position
    if near:
        (u, v, w), (a, b, c), time = sample.velocity, cage.centre, cage.stopping_time
        sideways = facts.braking.beyond((x, y, c), (u, v, 0.0), cage.low, cage.high)
        if w < -limits.falling and sideways <= 0:  # without leaning it, a controller follows its velocity for that time
            a, b, _ = cage.clamp((x + time * u, y + time * v, z))
        x, y, z = a, b, c
    target = hold((x, y, max(z, cage.ground + cage.recovery_height)), yaw(sample.quaternion))
    ladder = moved.ladder._replace(
        recovering=why, latched=why, wanted=False, taking_off=False, since=facts.now, guide_suspect=guide_suspect
    )
    return Move(ladder, target, events=(*moved.events, Event(facts.now, EventKind.RECOVERS, why)))


def recover(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """From GUIDE to HOLD: once the vehicle is at rest, when that takes too long, or when the guide makes it tumble."""
    if ladder.rung is not Rung.GUIDE or ladder.recovering is None:
        return None
    if ladder.guide_suspect and facts.upset(facts.envelope.tumbling):
        finding = Finding(Fault.NOT_RECOVERED, "under the guide the vehicle began to tumble")
        return fall_to(facts.hold_or_land, ladder, finding, facts)
    if facts.now - ladder.since > limits.recover_timeout:
        finding = Finding(Fault.NOT_RECOVERED, f"from {ladder.recovering.fault.name} within {limits.recover_timeout} s")
        return change_rung(ladder, facts.hold_or_land, EventKind.STEPPED_DOWN, finding, facts)
    if not facts.settled:
        return Move(ladder._replace(settled_since=None))
    if ladder.settled_since is None:
        return Move(ladder._replace(settled_since=facts.now))
    if facts.now - ladder.settled_since < limits.settle_time:
        return None
    return change_rung(ladder, facts.hold_or_land, EventKind.RECOVERED, ladder.recovering, facts)


def hand_over(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Move | None:
    """From GUIDE to SNN where the operator wants it, the policy in shadow agrees with the guide, and no fault bars it.

    After `engage_timeout` the wish is dropped.
    """
    ready = ladder.rung is Rung.GUIDE and ladder.wanted and ladder.confirmed and not ladder.taking_off
    if not ready or not facts.airborne or (facts.sample is not None and facts.cage.check(facts.sample.position)):
        return None  # nor below the ceiling, where the guide may be and the policy may not
    monitor, answers = facts.monitor, facts.limits
    if monitor.agrees_but_for_trim(answers) and (who := monitor.identity) is not None and not facts.blocking:
        detail = monitor.describe_agreement(answers)
        return change_rung(ladder._replace(approved=who), Rung.SNN, EventKind.HANDED_OVER, who, facts, detail=detail)
    if facts.now - ladder.wanted_since <= limits.engage_timeout:
        return None
    finding = Finding(Fault.DISAGREEMENT, monitor.describe_agreement(answers))
    event = Event(facts.now, EventKind.DROPPED, finding, Rung.GUIDE)
    return Move(ladder._replace(wanted=False, latched=finding), events=(event,))


def mode_request(ladder: Ladder, facts: Facts, limits: LadderLimits) -> Ask | None:
    """What the autopilot must be asked for now, at most every `ask_again` seconds, to take over sooner."""
    pause = limits.ask_to_take_over if ladder.rung in (Rung.HOLD, Rung.LAND) else limits.ask_again
    pause = limits.ask_urgently if ladder.urgent else pause
    if ladder.rung is Rung.SILENT or facts.autopilot is None or facts.now - ladder.asked_at < pause:
        return None
    if ladder.rung in (Rung.HOLD, Rung.LAND):
        return None if ladder.confirmed else Ask.HOLD if ladder.rung is Rung.HOLD else Ask.LAND
    if not ladder.confirmed:
        return Ask.OFFBOARD if facts.now - ladder.since >= limits.stream_lead else None
    return Ask.ARM if ladder.taking_off and not ladder.armed else None


def _then(first: Move, second: Move) -> Move:
    if second.target is None and not second.events:
        return first if second.ladder is first.ladder else first._replace(ladder=second.ladder)
    target = first.target if second.target is None else second.target
    return Move(second.ladder, target, None, first.events + second.events)
