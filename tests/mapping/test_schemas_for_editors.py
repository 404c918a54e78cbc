"""What an editor says by JSON Schema is what `rules check` says: no false alarm, and what a schema can see is seen.

The mistakes are those of the tests of `rules check`; the files without one are all that the project ships.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from relay.cli.configuration import AnySecret
from relay.configuration.alerts import load_alerting
from relay.configuration.files import Mistakes, names_in, read_yaml
from relay.core.errors import Mistake
from relay.core.faults import Fault
from relay.operations.configure import load_config
from relay.operations.editor_schemas import FILES, schema_text
from relay.sources.loading import SHIPPED
from tests.e2e import test_alerts
from tests.mapping import test_config_files, test_every_mistake, test_rule_files, test_steps_of_rules
from tests.receiving.door import test_door_config
from tests.receiving.forms import test_form_settings
from tests.receiving.senders import test_profiles
from tests.support.folders import CONFIG

SCHEMAS = {name: jsonschema_rs.Draft7Validator(json.loads(schema_text(name))) for name in FILES}
WHY: Mapping[str, str] = {
    "it stands in another file, or in none": "unknown_source unknown_portal unknown_profile no_such_source"
    " no_such_portal name_of_rule",
    "it is in an expression": "argument_count argument_missing argument_type expected_ampersand_in_call"
    " expected_brackets_after_not expected_expression_breaks expected_lower_case expected_number_not_text not_in_event"
    " unknown_function",
    "it is a name that another part of the rule gives": "callback_is_parameter expected_number_or_name"
    " find_never_nothing find_of_other_kind list_as_document list_to_look_for may_be_nothing name_of_find"
    " name_of_trigger name_of_value never_a_number no_find no_such_find no_value_yet not_among_values other_document"
    " own_field_is_written too_late_for_order user_as_document",
    "two values are compared": "application_twice channel_twice expected_at_least expected_choice"
    " expected_portal_of_start expected_whole_number header_is_secret min_above_max query_is_secret shared_variables",
    "the profile or the proof decides": "expected_sender_makes expected_variables secret_unneeded secrets_unneeded",
    "a number is in a text": "expected_address expected_origins expected_quantity",
    "a pattern of it would have no end": "lone_brace no_document_of_crm no_timeline reserved_name",
    "YAML's own values do not have it": "yaml_key yaml_twice",
}
UNSEEN = {code: why for why, codes in WHY.items() for code in codes.split()}
"""The faults that a schema cannot see, or not each of them, by code: why."""
SITE = "sources: {site: {verify: {kind: none}}, other: {verify: {kind: none}}}\n"
MAIN = "portals: {main: {plan: standard}, other: {plan: standard}}\n"
AROUND = {"sources.yaml": SITE, "portals.yaml": MAIN}


@dataclass(frozen=True)
class Checked:
    """A file as a person has it, and what the checks say of it."""

    schema: str
    content: Any
    mistakes: tuple[Mistake, ...]


def schema_of(file: str) -> str:
    """The schema of a file by its place: `rules/a.yaml`, `sources.yaml`."""
    return file.partition("/")[0].removesuffix(".yaml")


def checked(folder: Path, files: Mapping[str, str]) -> list[Checked]:
    """These files as `rules check` sees them; those that are not YAML are left out."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    (folder / "rules").mkdir(exist_ok=True)
    mistakes = Mistakes()
    load_config(folder, None, mistakes)
    load_alerting(
        folder,
        AnySecret(),
        names_in(folder / "sources.yaml", "sources"),
        names_in(folder / "portals.yaml", "portals"),
        mistakes,
    )
    found = []
    for name in files:
        own = tuple(one for one in mistakes if one.file == str(folder / name))
        read = read_yaml(folder / name, Mistakes())
        if read is not None:
            found.append(Checked(schema_of(name), read.content, own))
    return found


def table_of(test: Any) -> list[Any]:
    """The rows of a test's first table."""
    return list(test.pytestmark[0].args[1])


def corpus() -> Iterator[Mapping[str, str]]:
    """The files of every mistake that tests have for `rules check`."""
    yield from mistakes_in_rules()
    yield from mistakes_in_sources()
    for text, _ in table_of(test_config_files.test_a_mistake_names_its_line_what_was_found_and_what_was_expected):
        if "\x00" not in text:
            yield {"sources.yaml": SITE, "portals.yaml": text}
    for text, _ in table_of(test_alerts.test_each_mistake_in_the_file_of_alerts_is_named):
        yield {**AROUND, "alerts.yaml": text}
    for case in test_door_config.CASES:
        path = CONFIG / case.file
        yield {**AROUND, case.file: case.change(path.read_text("utf-8") if path.exists() else "")}
    every = test_every_mistake
    yield every.ALL
    yield {**AROUND, "sources.yaml": every.ONE_SOURCES, "rules/a.yaml": every.ONE_RULE}
    yield every.MISSPELLED


def mistakes_in_rules() -> Iterator[Mapping[str, str]]:
    for parts, _ in table_of(test_rule_files.test_a_rule_that_could_not_work_is_a_mistake_with_its_line):
        yield {**AROUND, "rules/one.yaml": test_rule_files.rule_text(**parts)}
    steps = test_steps_of_rules
    for test, end in (
        (steps.test_a_step_that_could_not_work_is_a_mistake_with_its_line, [steps.START]),
        (steps.test_an_end_that_does_not_fit_the_steps_is_a_mistake_with_its_line, []),
    ):
        for parts, _ in table_of(test):
            yield {**AROUND, "rules/one.yaml": "".join([steps.EXTRACT, *parts, *end])}


def mistakes_in_sources() -> Iterator[Mapping[str, str]]:
    for line, _ in table_of(test_form_settings.test_a_mistake_is_named_with_its_line):
        yield {"portals.yaml": MAIN, "sources.yaml": f"{test_form_settings.HEAD}    {line}\n"}
    for name, test in (
        ("thanks", test_form_settings.test_what_is_no_address_for_a_visitor_is_a_mistake),
        ("origins", test_form_settings.test_what_no_browser_would_call_an_origin_is_a_mistake),
    ):
        for value in table_of(test):
            written = f'"{value}"' if name == "thanks" else value
            yield {
                "portals.yaml": MAIN,
                "sources.yaml": f"{test_form_settings.HEAD}    form: {{}}\n    {name}: {written}\n",
            }
    own = test_profiles.PROFILE
    for entry, _ in table_of(test_profiles.test_what_cannot_work_is_a_mistake_with_its_place):
        yield with_profile({"one": entry}, own)
    for changes, _ in table_of(test_profiles.test_a_mistake_in_an_own_profile_has_its_file_and_line):
        yield with_profile({"one": test_profiles.SOURCE}, {**own, **changes})


def with_profile(sources: Mapping[str, Any], profile: Mapping[str, Any]) -> Mapping[str, str]:
    texts = {"sources.yaml": yaml.safe_dump({"sources": sources}), "profiles/own.yaml": yaml.safe_dump(profile)}
    return {"portals.yaml": MAIN, **texts}


def code_of(mistake: Mistake) -> str:
    """The code of what was expected, or of the fault."""
    fault = mistake.fault
    if not isinstance(fault, Fault):
        return str(fault)  # marshmallow's own
    inner = fault.values.get("expected")
    return inner.code if isinstance(inner, Fault) else fault.code


def is_near(place: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether one of two places in a file is in the other, or beside it: what does not fit together is two keys."""
    size = min(len(place), len(other))
    return place[:size] == other[:size] or place[:-1] == other[:-1]


def shipped() -> list[tuple[str, Path]]:
    """Every file that the project ships, with the name of its schema."""
    files = [("profiles", path) for path in SHIPPED.glob("*.yaml")] + [
        ("rules", path) for path in CONFIG.glob("rules/*.yaml")
    ]
    return [*sorted(files), *((path.stem, path) for path in sorted(CONFIG.glob("*.yaml")))]


@pytest.mark.parametrize(("name", "path"), shipped(), ids=lambda one: one if isinstance(one, str) else one.stem)
def test_a_shipped_file_is_right_and_names_its_schema(name, path):
    read = read_yaml(path, Mistakes())

    assert [error.message for error in SCHEMAS[name].iter_errors(read.content)] == []
    head = path.read_text("utf-8").splitlines()[0]
    assert head.startswith("# yaml-language-server: $schema=")
    assert (path.parent / head.partition("=")[2]).resolve() == CONFIG / "schemas" / f"{name}.json"


def test_every_mistake_is_seen_by_the_schema_or_is_one_that_no_schema_can_see(tmp_path):
    missed, seen, alone = [], set(), set()
    for number, files in enumerate(corpus()):
        for one in checked(tmp_path / str(number), files):
            places = [tuple(error.instance_path) for error in SCHEMAS[one.schema].iter_errors(one.content)]
            assert one.mistakes or not places, (one.content, places)
            for mistake in one.mistakes:
                code = code_of(mistake)
                if any(is_near(mistake.keys, place) for place in places):
                    seen.add(code)
                else:
                    alone.add(code)
                    missed += [] if code in UNSEEN else [f"{code}: {mistake.text}"]

    assert missed == []
    assert UNSEEN.keys() - alone == set(), "seen by now, or in no test: take it out of the table"
    assert len(seen) > 30
