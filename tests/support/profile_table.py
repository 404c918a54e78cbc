"""The table of profiles in config/README.md; `python -m tests.support.profile_table` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from relay.sources.profile_files import SHIPPED
from tests.support.folders import CONFIG

README = CONFIG / "README.md"
BEGIN, END = "<!-- profiles: begin -->", "<!-- profiles: end -->"
COLUMNS = ("profile", "sender", "proof", "the same event", "answer", "waits", "repeats", "what is missing")


def table() -> str:
    """A row for each shipped profile."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    return "\n".join([*head, *map(_row, sorted(SHIPPED.glob("*.yaml")))])


def with_table(readme: str) -> str:
    """The README with the table of today between its markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}\n{table()}\n{end}{after}"


def _row(file: Path) -> str:
    profile = yaml.safe_load(file.read_text("utf-8"))
    cells = [
        f"`{file.stem}`",
        profile["title"],
        _proof(profile["verify"]),
        _dedup(profile),
        _answer(profile),
        profile.get("budget", ""),
        profile["repeats"] + (" (spooled)" if profile.get("spool") else ""),
        profile.get("thin", ""),
    ]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


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
    names = {"hmac": f"HMAC-{way.get('algorithm', 'sha256').upper()}", "ed25519": "Ed25519", "ecdsa": "ECDSA"}
    name = names.get(kind, f"{way.get('algorithm', 'sha256').upper()} with the secret in it")
    words = f"{name} in {_place(way)}"
    if signed := way.get("signed"):
        words += f" over `{signed}`"
    if parameter := way.get("body_digest"):
        words += f", with the body's digest as `{parameter}` in it"
    return words + (f", at most {way['timestamp'].get('tolerance', '5m')} old" if "timestamp" in way else "")


def _place(way: Mapping[str, Any]) -> str:
    words = {"header": "the header", "query": "the query's", "field": "the field"}
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
        f"`{yaml.safe_dump(body, default_flow_style=True).strip() if isinstance(body, dict) else body}`"
        if body
        else "empty"
    )


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
