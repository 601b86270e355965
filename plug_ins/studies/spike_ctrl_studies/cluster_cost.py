"""What the results of a cluster cost: one line for each task in FOLDER/machines.jsonl, and a table of the machines."""

import json
from pathlib import Path
from typing import NamedTuple

from spike_ctrl._files import json_lines
from spike_ctrl._files.text_table import text_table

FILE = "machines.jsonl"


class TaskCost(NamedTuple):
    """A task that a machine has ended: how many results it gave, core seconds and wall seconds.

    lost: why it gave nothing, of one that was lost with its machine or process; "" otherwise.
    """

    task: str
    machine: str
    processor: str = ""
    results: int = 0
    core: float = 0.0
    wall: float = 0.0
    lost: str = ""


class ClusterCost:
    """The costs of all tasks of a folder; those of earlier starts, too. Raises UsageError where the file is broken."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE
        self.tasks, self._whole = json_lines.read(self._file, lambda line: TaskCost(**line), "task")

    def keep(self, cost: TaskCost) -> None:
        """Write the cost of a task that has ended or was lost."""
        line = (json.dumps(cost._asdict()) + "\n").encode()
        with self._file.open("ab") as file:
            file.truncate(self._whole)
            file.write(line)
        self._whole += len(line)
        self.tasks.append(cost)

    def told(self) -> str:
        """The table: of each machine and of all, how many results, and the core seconds of each and of all."""
        rows = [["machine", "processor", "results", "core s each", "core s"]]
        done = [task for task in self.tasks if not task.lost]
        for machine in [*sorted({task.machine for task in done}), ""]:
            mine = [task for task in done if machine in (task.machine, "")]
            results, core = sum(task.results for task in mine), sum(task.core for task in mine)
            kind = mine[0].processor if machine else ""
            rows.append([machine or "all", kind, str(results), f"{core / max(results, 1):.2f}", f"{core:.0f}"])
        lost = len(self.tasks) - len(done)
        return text_table(rows) + (f"\ntasks lost with their machine or process, and begun again: {lost}" if lost else "")
