"""docs/faults.md out of the fault table and the results of its tests: python tests/oracles/fault_page.py."""

import json
import os
import platform
import subprocess
import time

import fault_rows

PAGE = fault_rows.ROOT / "docs" / "faults.md"
SOAK = fault_rows.ROOT / "build" / "soak.md"
HEAD = """# The fault table

The faults that a learned controller must survive before a vehicle is trusted to it, and the proof for each. Made by
`make faults`, which runs the tests and writes this page from their results; do not edit it.

Levels: **U** unit test of the pure logic, time passed in; **L** real processes and real DDS; **S** an autopilot in the loop:
`spike-ctrl vehicle`, which speaks MAVLink as PX4 does. By its true state the vehicle must neither leave the cage (6 m x 6 m
x 3 m) nor hit the ground faster than 1 m/s. Processes are killed (SIGKILL) and stopped (SIGSTOP) in the air, while the
policy flies; several rows share a flight, and each begins with the policy engaged. The ladder is SNN, GUIDE, HOLD, LAND,
SILENT: down by itself, up only at the operator's request. A test whose flight failed while a processor was held up from
outside is flown once more, and the page says so. **M**: a policy that commands the motors of a Crazyflie, and a guide that
takes over at that level (`models/crazyflie_real.safetensors`): the whole flight core in virtual time, where each fault
strikes on the way to a wall and on a figure; rows 7, 10, 15, 16 and 30 also with real processes and
`models/crazyflie.safetensors`.

"""


def results() -> list[dict]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(fault_rows.RESULTS.glob("*.json"))]


def render(found: list[dict], where: str) -> str:
    columns = ("#", "Fault", "Expected", "Level", "Test", "Result", "Measured")
    lines = [HEAD, f"{where}\n\n", f"| {' | '.join(columns)} |\n", f"|{'---|' * len(columns)}\n"]
    for row in fault_rows.table():
        for level in row.levels:
            cases = [case for case in found if f"{row.number}{level}" in case["rows"]]
            expected = row.behaviour + (f" ({row.note})" if row.note else "")
            cells = (row.number, row.fault, expected, level, _tests(cases), _outcome(cases), _measured(cases))
            lines.append("| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |\n")
    if SOAK.exists():
        lines += ["\n", SOAK.read_text(encoding="utf-8")]
    return "".join(lines)


def _tests(cases: list[dict]) -> str:
    names = dict.fromkeys(case["test"] for case in cases)
    shown = [f"`{name}`" for name in names]
    return "<br>".join(shown[:3]) + (f"<br>and {len(shown) - 3} more" if len(shown) > 3 else "")


def _outcome(cases: list[dict]) -> str:
    if not cases:
        return "not run"
    passed = sum(case["outcome"] == "passed" for case in cases)
    if any(case["outcome"] == "failed" for case in cases):
        return f"**failed**, {passed} of {len(cases)} passed"
    return "skipped" if not passed else f"passed, {passed} of {len(cases)}"


def _measured(cases: list[dict]) -> str:
    told: dict[str, list[float]] = {}
    limits, again = {}, []
    for case in cases:
        for name, value in case["properties"]:
            if name == "reaction":
                what, seconds, limit = value
                told.setdefault(what, []).append(1e3 * seconds)
                limits[what] = 1e3 * limit
            elif name == "flown_again":
                again.append(f"flown again: {value}")
    figures = [f"{what}: {_span(values)} ms, limit {limits[what]:.0f}" for what, values in told.items()]
    return "<br>".join(figures + again)


def _span(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low} to {high}"


def machine() -> str:
    """Where and when the results were measured."""
    fifo = subprocess.run(["chrt", "-f", "1", "true"], capture_output=True).returncode == 0
    git = subprocess.run(["git", "log", "-1", "--format=%h"], capture_output=True, text=True, cwd=fault_rows.ROOT)
    busy = os.getloadavg()[2]
    return (
        f"Measured on {time.strftime('%Y-%m-%d')} after commit {git.stdout.strip() or 'unknown'}, {os.cpu_count()} "
        f"processors, Linux {platform.machine()}, {'nodes and vehicle under SCHED_FIFO' if fifo else 'ordinary scheduler'}, "
        f"load average {busy:.1f} over the last 15 minutes."
    )


def main() -> None:
    found = results()
    PAGE.write_text(render(found, machine()), encoding="utf-8")
    ran = {row for case in found if case["outcome"] == "passed" for row in case["rows"]}
    failed = {row for case in found if case["outcome"] == "failed" for row in case["rows"]}
    wanted = fault_rows.wanted()
    print(
        f"{PAGE.relative_to(fault_rows.ROOT)}: {len(wanted & ran - failed)} of {len(wanted)} rows and levels passed; "
        f"failed: {sorted(failed) or 'none'}; not run: {sorted(wanted - ran - failed) or 'none'}"
    )


if __name__ == "__main__":
    main()
