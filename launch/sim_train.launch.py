"""Train in simulation: simulator, guide, spiking policy and learner, in lockstep. Ends when the learner ends."""

from dataclasses import dataclass
from pathlib import Path

from launch import LaunchDescription
from launch.actions import OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting
from spike_ctrl.launching import argument_groups
from spike_ctrl.launching.declared_arguments import LaunchSettings, declarations, of_launch, of_node, typed
from spike_ctrl.launching.installed import in_namespace
from spike_ctrl.launching.our_nodes import end_graph, node
from spike_ctrl_guide.guide_parameters import GuideParameters
from spike_ctrl_learner.learner_parameters import LearnerParameters
from spike_ctrl_policy.policy_parameters import PolicyParameters
from spike_ctrl_record.recording_parameters import RecorderParameters
from spike_ctrl_sim.simulator_parameters import SimulatorParameters


@dataclass(frozen=True)
class Training(LaunchSettings):
    """Arguments of the launch itself."""

    algorithm: str = setting("", "Train by the standard recipe of an algorithm: td3bc, ppo, dagger or bptt.")
    record: bool = setting(False, "Also record the topics of the graph to a bag.")


STANDARD = {"td3bc": "td3bc", "ppo": "ppo", "dagger": "learned_teacher", "bptt": "default"}
"""The recipe of each algorithm that is trained by where none is named."""
OWN = of_launch(Training)
LEARNER = of_node(LearnerParameters)
SIMULATOR = of_node(SimulatorParameters, "recipe airframe vehicles seed resume realtime")
GUIDE = of_node(GuideParameters, "recipe airframe")
POLICY = of_node(PolicyParameters, "airframe realtime")
RECORDER = of_node(RecorderParameters, "bag topics")


def when_recorder_ended(event, context):
    """A recorder that cannot start ends the graph; one that fails later does not."""
    refused = event.returncode == 2 and not context.is_shutdown
    return [Shutdown(reason="the recorder refuses its parameters")] if refused else []


def from_run(context):
    """A resumed run brings its own values. This runs before the defaults are set, so that it sees only given arguments."""
    values = context.launch_configurations
    if values.get("resume"):
        from spike_ctrl.learn import resumption

        values.update(resumption.arguments(Path(values["resume"]), dict(values)))


def from_algorithm(context):
    """The standard recipe of an algorithm, where no recipe is named. A named recipe must be for that algorithm."""
    values = context.launch_configurations
    wanted = values.get("algorithm")
    if wanted and not values.get("resume"):
        from spike_ctrl.learn import recipe

        wanted = recipe.present_name(wanted, "algorithm")
        if wanted not in STANDARD:
            raise UsageError(f"algorithm: found '{wanted}', wanted one of {', '.join(STANDARD)}")
        found = recipe.find(values.setdefault("recipe", STANDARD[wanted])).algorithm
        if found != wanted:
            raise UsageError(f"recipe {values['recipe']}: algorithm: found {found}, wanted {wanted}")


def check_run(context, groups):
    """Refuse what the nodes would refuse, before any of them runs. A resumed run brings its own arguments."""
    from spike_ctrl import airframe
    from spike_ctrl._files import output_paths
    from spike_ctrl.learn import recipe, resumption
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_ros.declared_parameters import checked
    from spike_ctrl_ros.spin import checked_priority

    values = context.launch_configurations
    if values["bag"] and values["record"] != "true":
        raise ValueError(f"bag: found '{values['bag']}', wanted only with record:=true")
    checked_priority("priority", values["priority"])
    in_namespace(values["namespace"])
    if values["record"] == "true":
        output_paths.require_bag(Path(values["bag"] or "bags/TIME"))
    if values["resume"]:
        return
    output_paths.require_folder("run", Path(values["run"] or "runs"))
    if values["run"]:
        resumption.require_new(Path(values["run"]), "resume:=")
    if not argument_groups.step(groups, "vehicles")(context):  # else a plug-in checks what moves the vehicles
        checked(SimulatorParameters, typed(SIMULATOR, context))
    plan = recipe.find(values["recipe"]).with_steps(typed(LEARNER, context)["steps"])
    craft = airframe.load(values["airframe"])
    plan.require_fit(craft)
    if values["start_from"]:
        try:
            checkpoint.load(values["start_from"], expect={"airframe_hash": craft.hash, "action": craft.action_layout})
        except checkpoint.CheckpointError as error:
            raise ValueError(f"start_from: {error}") from None


def nodes(context, groups):
    """The nodes of the training, with the parameters that plug-ins set."""
    added = argument_groups.parameters(groups, context)
    priority = {"SPIKE_CTRL_PRIORITY": LaunchConfiguration("priority")}

    def training(package, executable, arguments, fixed=None, on_exit=end_graph, **options):
        return node(package, executable, arguments, (fixed or {}) | added.get(executable, {}), on_exit=on_exit, **options)

    moved = argument_groups.step(groups, "vehicles")(context)
    return [
        training(  # the first node to start is the last to end, so it records what the others publish at their end
            "spike_ctrl_record",
            "recorder",
            RECORDER,
            on_exit=when_recorder_ended,
            condition=IfCondition(LaunchConfiguration("record")),
        ),
        *(moved or [training("spike_ctrl_sim", "simulator", SIMULATOR, additional_env=priority)]),
        training("spike_ctrl_guide", "guide_policy", GUIDE, additional_env=priority),
        training("spike_ctrl_policy", "snn_policy", POLICY, {"autostart": True}, lifecycle=True, additional_env=priority),
        training("spike_ctrl_learner", "learner", LEARNER, sigterm_timeout="20"),  # s, to save a run that can be resumed
    ]


def generate_launch_description():
    groups = argument_groups.of("sim_train")
    return LaunchDescription(
        [
            OpaqueFunction(function=from_run),
            OpaqueFunction(function=from_algorithm),
            OpaqueFunction(function=argument_groups.step(groups, "prepare")),
            *declarations(LEARNER, SIMULATOR, OWN, RECORDER),
            *argument_groups.declarations(groups),
            OpaqueFunction(function=check_run, args=[groups]),
            OpaqueFunction(function=argument_groups.step(groups, "check")),
            OpaqueFunction(function=argument_groups.step(groups, "first")),
            OpaqueFunction(function=nodes, args=[groups]),
            OpaqueFunction(function=argument_groups.step(groups, "last")),
        ]
    )
