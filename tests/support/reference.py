"""The parts of the guide that are made from the code: tables of settings, commands, endpoints, profiles; contents.

`make docs` writes them between the markers `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a page. It also writes
the JSON Schemas of config/schemas/.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from flask import Flask

from relay.cli.main import build_parser
from relay.configuration.files import Mistakes
from relay.configuration.settings import Settings
from relay.operations.editor_schemas import FILES, FOLDER, SUFFIX, schema_text
from relay.sources.finding import find_profiles
from relay.sources.loading import SHIPPED, Profile, Profiles
from relay.sources.schemas import KINDS
from relay.web.api import register
from tests.support.folders import CONFIG, REPOSITORY
from workers.__main__ import build_parser as build_workers_parser

GUIDE = CONFIG / "guide"
PAGES = (CONFIG / "README.md", CONFIG / "deploy" / "README.md", *sorted(GUIDE.glob("*.md")))
COLUMNS = ("profile", "sender", "proof", "the same event", "answer", "waits", "repeats", "missing")
LETTERS = (("a", "c"), ("d", "i"), ("j", "o"), ("p", "r"), ("s", "t"), ("u", "z"))
"""The first and the last letter of the profiles on each page."""
TOOLS = ("development", "other")
"""The kinds of senders that a page of their own lists."""
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def written(page: str) -> str:
    """The page with each of its made parts as the code makes it today."""
    found = re.findall(r"<!-- ([a-z -]+): begin -->", page)
    # The contents name the sections that the other parts make.
    for name in sorted(found, key=lambda name: name == "contents"):
        made = contents(page) if name == "contents" else PARTS[name]()
        before, begin, rest = page.partition(f"<!-- {name}: begin -->")
        _, end, after = rest.partition(f"<!-- {name}: end -->")
        page = f"{before}{begin}\n{made}\n{end}{after}"
    return page


def contents(page: str) -> str:
    """A link to each section."""
    return "\n".join(f"- [{title}](#{anchor_of(title)})" for title in HEADING.findall(FENCE.sub("", page)))


def anchor_of(title: str) -> str:
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    head = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join([*head, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def settings() -> str:
    """A row for each field of Settings."""
    return table(("variable", "read by", "default", "means"), map(_setting, fields(Settings)))


def variable_of(field: Any) -> str:
    return "REDIS_URL" if field.name == "redis_url" else f"RELAY_{field.name.upper()}"


def _setting(field: Any) -> tuple[str, ...]:
    said = field.metadata
    default = said["default"] or ("none" if field.default in (None, (), MISSING) else str(field.default))
    return f"`{variable_of(field)}`", said["read_by"], default, said["means"]


def commands(program: str, parser: argparse.ArgumentParser) -> str:
    """A row for each thing that a program does."""
    rows = ((f"`{program}{usage}`", says) for usage, says in _commands(parser, ""))
    return table(("command", "does"), rows)


def _commands(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, str]]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    shows_help = parser.get_default("parser") and not parser.get_default("run")
    if not shows_help:
        yield words + _arguments(parser), "" if words else _lower(parser.description or "")
    for group in groups:
        helps = {one.dest: one.help or "" for one in group._choices_actions}
        for name, child in group.choices.items():
            for usage, says in _commands(child, f"{words} {name}"):
                yield usage, says or helps[name]


def _lower(sentence: str) -> str:
    return (sentence[:1].lower() + sentence[1:]).rstrip(".")


def _arguments(parser: argparse.ArgumentParser) -> str:
    """As --help shows them, options first."""
    shown = ""
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._VersionAction | argparse._SubParsersAction):
            continue
        value = action.metavar or (
            "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
        )
        if action.option_strings:
            flag = action.option_strings[0] + ("" if action.nargs == 0 else f" {value}")
            shown += f" {flag}" if action.required else f" [{flag}]"
        else:
            shown += {"?": f" [{value}]", "*": f" [{value} ...]"}.get(str(action.nargs), f" {value}")
    return shown


def targets() -> str:
    """A row for each target of the Makefile."""
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    found = re.findall(r"^([a-z]+):.*?## (.*)$", makefile, re.MULTILINE)
    return table(("command", "does"), ((f"`make {name}`", says) for name, says in found))


def endpoints() -> str:
    """A row for each operation of the API, out of its own OpenAPI document."""
    app = Flask("reference")
    register(app)
    document: Mapping[str, Any] = app.test_client().get("/api/openapi.json").json or {}
    return table(
        ("request", "does"),
        (
            (f"`{method.upper()} {path}`", _lower(operation["summary"]))
            for path, operations in sorted(document["paths"].items())
            for method, operation in operations.items()
            if method in {"get", "post"}
        ),
    )


def profiles(first: str, last: str) -> str:
    """A row for each shipped profile whose name begins with one of these letters, or one between them."""
    files = (file for file in sorted(SHIPPED.glob("*.yaml")) if first <= file.stem[0] <= last)
    return table(COLUMNS, map(_row, files))


def senders(*kinds: str) -> str:
    """A section for each of these kinds of senders, with a line for each profile."""
    every = find_profiles(Profiles(None).every(Mistakes()))
    sections = ((KINDS[kind], [_sender(one) for one in every if one.kind == kind]) for kind in kinds)
    return "\n\n".join("\n".join([f"## {title}", "", *lines]) for title, lines in sections if lines)


def _sender(profile: Profile) -> str:
    page = next(f"profiles-{first}-{last}.md" for first, last in LETTERS if first <= profile.name[0] <= last)
    names = f" ({', '.join(profile.names)})" if profile.names else ""
    where = f", {'/'.join(profile.countries)}" if profile.countries else ""
    return f"- [{profile.title}]({page}){names}{where}{', *doubtful*' if profile.doubts else ''}"


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "relay": lambda: commands("python -m relay", build_parser()),
    "workers": lambda: commands("python -m workers", build_workers_parser()),
    "make": targets,
    "endpoints": endpoints,
    **{f"profiles {first}-{last}": partial(profiles, first, last) for first, last in LETTERS},
    "senders": partial(senders, *(kind for kind in KINDS if kind not in TOOLS)),
    "tools": partial(senders, *TOOLS),
}


def _row(file: Path) -> tuple[str, ...]:
    profile = yaml.safe_load(file.read_text("utf-8"))
    cells = (
        f"`{file.stem}`",
        profile["title"],
        _proof(profile["verify"]) + (", from listed addresses" if profile.get("addresses") else ""),
        _dedup(profile),
        _answer(profile),
        profile.get("budget", ""),
        profile["repeats"] + (" (spooled)" if profile.get("spool") else ""),
        profile.get("thin", ""),
    )
    return tuple(map(str, cells))


def _proof(verify: Any) -> str:
    ways = verify if isinstance(verify, list) else [verify]
    return "; or ".join(dict.fromkeys(map(_way, ways)))


def _way(way: Mapping[str, Any]) -> str:
    kind = way["kind"]
    if kind == "none":
        return "none"
    if kind == "basic":
        return "HTTP Basic"
    if kind == "token":
        return f"token in {_place(way)}"
    if kind == "jwt":
        return f"JWT ({way.get('algorithm', 'HS256')}) in {_place(way)}"
    digest = way.get("algorithm", "sha256").upper()
    names = {"hmac": f"HMAC-{digest}", "ed25519": "Ed25519", "ecdsa": "ECDSA", "rsa": f"RSA with {digest}"}
    name = names.get(kind, f"{digest} with the secret in it")
    words = f"{name} in {_place(way)}"
    if signed := way.get("signed"):
        words += f" over `{signed}`"
    if parameter := way.get("body_digest"):
        words += f", with the body's digest as `{parameter}` in it"
    return words + (f", at most {way['timestamp'].get('tolerance', '5m')} old" if "timestamp" in way else "")


def _place(way: Mapping[str, Any]) -> str:
    if way.get("whole_body"):
        return "the whole body"
    words = {
        "header": "the header",
        "query": "the query's",
        "field": "each entry's" if way.get("entries") else "the field",
    }
    return next(f"{said} `{way[place]}`" for place, said in words.items() if place in way)


def _dedup(profile: Mapping[str, Any]) -> str:
    dedup, click = profile.get("dedup"), profile.get("double_click")
    words = []
    if dedup:
        what = (
            f"`{dedup['from']}`" if "from" in dedup else f"the header `{dedup['header']}`" if "header" in dedup else ""
        )
        words.append(f"{what or 'equal content'} within {dedup['window']}")
    if click:
        words.append(f"equal content within {click}")
    return "; else ".join(words) or "none is"


def _answer(profile: Mapping[str, Any]) -> str:
    if "form" in profile:
        return "a page, or 303"
    answer = profile.get("answer")
    if answer is None:
        return "the receipt"
    body = answer.get("body")
    return (
        f"`{yaml.safe_dump(body, default_flow_style=True, width=10_000).strip() if isinstance(body, dict) else body}`"
        if body
        else "empty"
    )


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(written(path.read_text("utf-8")), "utf-8")
    for name in FILES:
        (CONFIG / FOLDER / f"{name}{SUFFIX}").write_text(schema_text(name), "utf-8")
