"""Docstrings as Markdown: a `>>>` session, and a command on a line of its own, become listings. Griffe loads this file."""

import re

import griffe

SESSION = re.compile(r"(?:^>>> .*\n?)(?:^(?!\s*$).*\n?)*", re.MULTILINE)
COMMANDS = re.compile(r"(?:^(?:python|pip|spike-ctrl|make) .*\n?)+", re.MULTILINE)


def markdown(docstring: str) -> str:
    text = SESSION.sub(lambda found: fenced("pycon", found[0]), docstring)
    return COMMANDS.sub(lambda found: fenced("sh", found[0]), text)


def fenced(language: str, text: str) -> str:
    return f"\n```{language}\n{text.rstrip()}\n```\n"


class Listings(griffe.Extension):
    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        rewrite(pkg)


def rewrite(found: griffe.Object) -> None:
    """All docstrings of a module or class and of what it defines."""
    if found.docstring:
        found.docstring.value = markdown(found.docstring.value)
    for member in found.members.values():
        if not member.is_alias:
            rewrite(member)
