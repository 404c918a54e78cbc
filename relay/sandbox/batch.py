"""The commands of a `batch`: read, filled from earlier results, run in order, gathered.

Facts: settings/how-to-call-rest-api/batch.md (docs), methodsBatch in rest/classes/general/rest_provider.php and
ParseBatchQuery in rest_util.php (source). May not run a method itself: it is handed a function that does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from relay.sandbox import php
from relay.sandbox.answers import RestError

MAX_COMMANDS = 50
EXCLUDED = frozenset({"batch", "download", "upload"})
_REFERENCE = re.compile(r"\$(result|error|total|next|time)((?:\[[^\]]*\])+)")
_KEY = re.compile(r"\[([^\]]*)\]")

RunCommand = Callable[[str, Mapping[str, object]], tuple[Mapping[str, object], float]]
"""(lower-case method, parameters) -> (success answer with `result`, `time`, ...; its seconds). May raise RestError."""


@dataclass(slots=True)
class _Sections:
    """The five maps of the answer, by the commands' keys."""

    result: dict[str, object] = field(default_factory=dict)
    error: dict[str, object] = field(default_factory=dict)
    total: dict[str, object] = field(default_factory=dict)
    next: dict[str, object] = field(default_factory=dict)
    time: dict[str, object] = field(default_factory=dict)

    def add(self, key: str, answer: Mapping[str, object]) -> None:
        """Distribute a success answer."""
        self.result[key] = answer["result"]
        for section, name in ((self.total, "total"), (self.next, "next"), (self.time, "time")):
            if name in answer:
                section[key] = answer[name]

    def to_json(self) -> dict[str, object]:
        """Empty sections are `[]`, and keys 0..n make a list: PHP's json_encode()."""
        return {
            "result": php.as_array(self.result),
            "result_error": php.as_array(self.error),
            "result_total": php.as_array(self.total),
            "result_next": php.as_array(self.next),
            "result_time": php.as_array(self.time),
        }

    def look_up(self, section: str, path: list[str]) -> object:
        """What `$section[path...]` stands for; None where there is no such thing."""
        found: object = getattr(self, section)
        for key in path:
            found = (php.as_map(found) or {}).get(key)
        return found


def run_batch(parameters: Mapping[str, object], run: RunCommand) -> tuple[dict[str, object], float]:
    """Run the commands of CMD in order. Returns the five sections and the seconds that all took together.

    A command that is not a text is passed over and appears nowhere; after a `halt` stop the rest appears nowhere.
    """
    commands = php.as_map(parameters.get("CMD")) or {}
    halts = php.is_truthy(parameters.get("HALT"))  # plain truthiness: the text "false" halts
    sections, seconds = _Sections(), 0.0
    for position, (key, command) in enumerate(commands.items()):
        if not isinstance(command, str):
            continue
        try:
            answer, took = _run_command(position, command, sections, run)
        except RestError as error:
            sections.error[key] = error.body()
            if halts:
                break
            continue
        sections.add(key, answer)
        seconds += took
    return sections.to_json(), seconds


def count_commands(parameters: Mapping[str, object]) -> int:
    """How many commands were sent, for the log."""
    return len(php.as_map(parameters.get("CMD")) or {})


def _run_command(
    position: int, command: str, sections: _Sections, run: RunCommand
) -> tuple[Mapping[str, object], float]:
    if position >= MAX_COMMANDS:
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED")
    name, _, query = command.partition("#")[0].partition("?")  # parse_url(): a fragment is cut off
    method = name.strip("/").lower()
    if method in EXCLUDED:
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED")
    filled = {key: _fill(value, sections) for key, value in php.parse_query(query).items()}
    return run(method, filled)


def _fill(value: object, sections: _Sections) -> object:
    """Replace `$result[key]` and its kin in every text below; there is no way to quote one."""
    if isinstance(value, list):
        return [_fill(item, sections) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, sections) for key, item in value.items()}
    if not isinstance(value, str) or "$" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return sections.look_up(whole[1], _KEY.findall(whole[2]))
    return _REFERENCE.sub(lambda match: _text(sections.look_up(match[1], _KEY.findall(match[2]))), value)


def _text(value: object) -> str:
    return php.to_string(value) or ""
