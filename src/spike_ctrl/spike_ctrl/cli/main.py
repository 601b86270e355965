"""The door of `spike-ctrl`: finds the verb, reads its arguments, and turns what is refused into one line and exit code 2."""

import argparse
import errno
import importlib
import importlib.util
import os
import pkgutil
import re
import select
import signal
import sys
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from spike_ctrl import __version__, cli, plug_ins
from spike_ctrl._files import atomic_file, compile_notice
from spike_ctrl._files.errors import UsageError, meant
from spike_ctrl._files.text_table import folded, output_width, printable

GROUPS = ("train", "fly", "recordings", "tools")
HELP = """\
usage: spike-ctrl VERB ...

One verb for each stage of the work. `spike-ctrl VERB --help` shows its options
and examples to copy; `spike-ctrl --version` the version.
"""


class FoldedHelp(argparse.RawDescriptionHelpFormatter):
    """Keeps lines as they are where the terminal is wide enough; else fills paragraphs anew, and folds commands."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(map(_folded_help, text.strip().split("\n\n")))


class Parser(argparse.ArgumentParser):
    """Refuses an empty path, as of a variable that is not set: it would be the present folder."""

    def __init__(self, **about: Any):
        super().__init__(**about)
        self.register("type", Path, _path)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says. Gives the verb's exit code, 2 for what is refused, 130 after Ctrl-C, 141 if unread."""
    interrupted: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        interrupted.append(number)
        raise KeyboardInterrupt

    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # whoever started it may ignore SIGINT
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    if arguments is None:  # a command line, and not a program that calls this
        compile_notice.on_stderr()
        python_way = warnings.formatwarning
        warnings.formatwarning = lambda message, kind, *place: (
            f"warning: {message}\n" if kind is FutureWarning else python_way(message, kind, *place)
        )
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        output = select.poll()
        output.register(sys.stdout, 0)
        if not output.poll(0):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads it any more, as after `| head`
        return 128 + signal.SIGPIPE
    except Exception as error:
        if interrupted and isinstance(error, ImportError):  # an import may turn the interruption into its own error
            return 130
        missing = _missing_package(error)
        if isinstance(error, OSError) and atomic_file.full(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails to empty it at the end
            missing = f"{error.filename or 'an output'}: cannot be written to its end ({atomic_file.reason(error)})"
        if isinstance(error, OSError) and error.filename and error.errno in (errno.EACCES, errno.ENAMETOOLONG):
            missing = f"{error.filename}: cannot be used ({error.strerror})"
        if missing is None and not isinstance(error, UsageError):
            raise
        print(f"error: {missing or printable(str(error))}", file=sys.stderr)
        return 2
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def names() -> list[str]:
    """All verbs: those of the library, and those that installed packages add."""
    return sorted({*_own(), *plug_ins.entries("verbs")})


def find(name: str) -> ModuleType:
    """The module of a verb. Raises UsageError for an unknown one, with a suggestion, for a missing and for a broken one."""
    if name in _own():
        return importlib.import_module(f"spike_ctrl.cli.{name}")
    if name in (others := plug_ins.names("verbs")):
        added: ModuleType = plug_ins.load("verbs", name, f"verb '{name}'")
        return added
    known = sorted({*_own(), *others})
    hint = meant(name, known) or f", wanted one of {', '.join(known)}"
    raise UsageError(f"unknown verb '{name}'{hint}")


def parser(name: str, verb: ModuleType) -> argparse.ArgumentParser:
    """The parser of a verb's arguments; what plug-ins add to the verb may have examples, too.

    Raises UsageError for a broken one of these: its options would be unknown words.
    """
    added = plug_ins.every("verb_options", f"{name}.")
    shown = "\n".join(module.EXAMPLES.strip() for module in (verb, *added) if hasattr(module, "EXAMPLES"))
    examples = "".join(f"  {line}\n" for line in shown.splitlines())
    found = Parser(
        prog=f"spike-ctrl {name}", description=verb.__doc__, epilog=f"examples:\n{examples}", formatter_class=FoldedHelp
    )
    found._negative_number_matcher = re.compile(r"-\.?\d")  # -1,0,1.2 is a set-point, and no option
    verb.add(found)
    for more in added:
        more.add(found)
    return found


def _run(arguments: list[str]) -> int:
    name, *rest = arguments or [""]
    if name in ("", "-h", "--help"):
        print(HELP + _table(), file=sys.stdout if name else sys.stderr)
        return 0 if name else 2
    if name == "--version":
        print(__version__)
        return 0
    verb = find(name)
    reader = parser(name, verb)
    options, unknown = reader.parse_known_args(rest)
    if unknown:
        known = re.findall(r"--?\w[\w-]*", reader.format_usage())
        wrong = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
        if line := plug_ins.missing("verb_options", wrong):
            reader.error(line)
        reader.error(f"unrecognized arguments: {' '.join(unknown)}{meant(wrong, known)}")
    for more in plug_ins.every("verb_options", f"{name}."):  # `run` gives an exit code where it has done the work
        if (done := more.run(options)) is not None:
            return int(done)
    code: int = verb.run(options)
    return code


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("found no path, wanted one")
    return Path(text)


def _table() -> str:
    """The verbs with their summaries, by groups; a group of a plug-in's own comes last, then what cannot be loaded."""
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    broken = []
    for name in names():
        try:
            verb = find(name)
            row = folded(f"  {name:<12}{(verb.__doc__ or '').partition(chr(10))[0]}", 14)
            groups.setdefault(getattr(verb, "GROUP", "other"), []).append(row)
        except UsageError as error:
            broken.append(folded(f"  {error}", 4))
    groups |= {"not available": broken} if broken else {}
    return "\n".join("\n".join(["", group, *rows]) for group, rows in groups.items() if rows)


def _own() -> set[str]:
    found = {module.name for module in pkgutil.iter_modules(cli.__path__)}
    return {name for name in found if name != "main" and not name.startswith("_")}


def _folded_help(paragraph: str) -> str:
    lines, width = paragraph.splitlines(), output_width()
    if max(map(len, lines)) > width and not any(line.startswith(" ") for line in lines):
        return folded(" ".join(lines), 0, width)
    if lines[0] == "examples:":
        return "\n".join(_folded_command(line, width) for line in lines)
    tabled = (re.match(r" *\S+ {2,}", line) for line in lines)  # a word, whose meaning begins after the match
    return "\n".join(folded(line, word.end() if word else 0, width) for line, word in zip(lines, tabled, strict=True))


def _folded_command(line: str, width: float) -> str:
    """A command goes on after a backslash; its comment goes above it."""
    if len(line) <= width:
        return line
    command, _, comment = line.partition("  # ")
    lines = folded(command.rstrip(), 6, width - 2).replace("\n", " \\\n")
    return f"{folded(f'  # {comment.strip()}', 4, width)}\n{lines}" if comment else lines


def _missing_package(error: Exception) -> str | None:
    """One line on the package that an import did not find. None for any other error, and for a module of our own."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    for line in metadata.requires("spike_ctrl") or ():
        asked = re.match(r"""([\w.-]+).*extra\s*==\s*["'](\w+)["']""", line)
        if asked and asked[1].lower().replace("-", "_") == name.lower() and importlib.util.find_spec(name) is None:
            wanted = f"wanted for this: pip install {name}; the extra '{asked[2]}' has it, too"
            return f"{name}: the package is not installed, {wanted}"
    return None


if __name__ == "__main__":
    sys.exit(main())
