"""A recipe's training, stage by stage, which a kill does not lose: the same command goes on where the last state was kept.

Beside the policy that is written lies its state, `.training`, until the training is complete. A training that was
interrupted and goes on gives the same weights, bit by bit. Each stage but the last leaves its policy as OUTPUT_1, OUTPUT_2.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from spike_ctrl import airframe as airframes
from spike_ctrl._files import atomic_file, provenance
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl_racing import race_training
from spike_ctrl_racing.race_recipe import RaceRecipe
from spike_ctrl_racing.race_training import RaceTrainer

KEEP_EVERY = 100  # updates


class StagedTraining:
    """The training of a recipe with a seed. origin: a network to begin with, in place of a random one. Raises UsageError."""

    def __init__(self, recipe: RaceRecipe, seed: int, output: Path, origin: Any = None) -> None:
        self.recipe, self.seed, self.output, self.craft = recipe, seed, output, airframes.load(recipe.airframe)
        self.actor = origin or race_training.network(recipe.hidden, self.craft, seed, recipe.network, recipe.recurrent)
        self.tracks, begun = recipe.drawn_from(), hashlib.sha256(f"{recipe}{seed}".encode())
        for name, value in sorted(self.actor.state_dict().items()):
            begun.update(name.encode() + value.numpy().tobytes())
        self.identity = begun.hexdigest()  # of what is trained: recipe, seed, and the network that it begins with

    @property
    def kept(self) -> Path:
        """Where the state lies."""
        return self.output.with_suffix(".training")

    @property
    def updates(self) -> int:
        """Of all stages."""
        return sum(stage.updates for stage in self.recipe.stages)

    def run(self, show: Callable[[int, dict[str, float]], None], stopped: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end and write the policy; False where it was stopped before, with its state kept.

        show: gets the number of updates that are done and the figures of the last. Raises UsageError.
        """
        recipe, (first, state) = self.recipe, self._found()
        before = sum(stage.updates for stage in recipe.stages[:first])
        for number, stage in enumerate(recipe.stages[first:], first):
            trainer = RaceTrainer(stage, self.craft, self.seed + number, self.actor, self.tracks)
            if state is not None:
                trainer.restore(state)
                state = None
            while trainer.done < stage.updates:
                if stopped():
                    self._keep(number, trainer)
                    return False
                figures = trainer.update()
                show(before + trainer.done, figures | {"stage": number + 1})
                if trainer.done % KEEP_EVERY == 0:
                    self._keep(number, trainer)
            before += stage.updates
            last = number == len(recipe.stages) - 1
            path = self.output if last else self.output.with_stem(f"{self.output.stem}_{number + 1}")
            self._write(path)
        self.kept.unlink(missing_ok=True)
        return True

    def _write(self, path: Path) -> None:
        origin = self.recipe.name, self.seed, provenance.command(), provenance.commit()
        race_training.save(path, self.actor, self.craft, *origin)

    def _found(self) -> tuple[int, dict[str, Any] | None]:
        """The stage to go on with, and its state where one was kept."""
        if not self.kept.exists():
            return 0, None
        with refused(f"{self.kept}: cannot be read"):
            try:
                found = torch.load(self.kept, weights_only=True)
            except OSError:
                raise
            except Exception as error:  # of the unpickler, which has no common kind
                raise UsageError(f"{self.kept}: found no state of a training ({error}), wanted one: delete it") from None
        if found.get("identity") != self.identity:
            raise UsageError(f"{self.kept}: found the state of another recipe or seed, wanted this one's: delete it")
        return found["stage"], found

    def _keep(self, stage: int, trainer: RaceTrainer) -> None:
        state = trainer.state() | {"stage": stage, "identity": self.identity}
        with refused(f"{self.kept}: cannot be written"):
            atomic_file.replace(self.kept, lambda temporary: torch.save(state, temporary))
