"""Whoever has made eleven mistakes reads of all eleven at once, and of nothing that only follows from one of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from relay.cli.main import main
from relay.configuration.files import Mistakes
from relay.core.errors import ConfigError, Mistake

PORTALS = """\
portals:
  main: {plan: golden}
  shop: {plan: standard, batch: 500}
"""
SOURCES = """\
sources:
  site:
    verify: {kind: token, header: X-Relay-Token, secrets: [SOURCE_SITE_TOKEN]}
    max_body: 1TB
  signed:
    verify: {kind: token, header: X-Relay-Token, secrets: [SOURCE_SITE_TOKEN]}
    dedup: {header: X-Relay-Token}
    colour: red
"""
ALERTS = """\
repeat: often
sources:
  sight: {silent_after: 1h}
"""
FIRST = """\
name: first
source: sight
whem: body.id
extract:
  id: {from: body.id, type: integer}
start:
  portal: mian
  template_id: 1
  document_id: {lead: "LEAD_{id}"}
"""
SECOND = """\
name: first
source: site
extract:
  id: {from: body.id, type: integer}
start:
  portal: main
  template_id: 1
  document_id: {lead: "{id}"}
  parameters: {TargetUser: "{ip}"}
"""
BROKEN = "name: [\n"
ALL = {
    "portals.yaml": PORTALS,
    "sources.yaml": SOURCES,
    "alerts.yaml": ALERTS,
    "rules/a.yaml": FIRST,
    "rules/b.yaml": SECOND,
    "rules/c.yaml": BROKEN,
}


def write(folder: Path, files: dict[str, str]) -> Path:
    shutil.rmtree(folder / "rules", ignore_errors=True)
    (folder / "rules").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture
def check(tmp_path, capsys):
    """What `rules check` says, without the folder's name."""

    def run(*paths: Path) -> list[str]:
        main(["rules", "check", *map(str, paths or [tmp_path])])
        return [line.removeprefix(f"{tmp_path}/") for line in capsys.readouterr().out.splitlines()]

    return run


def test_the_mistakes_of_every_file_are_shown_in_one_round_by_file_and_line(tmp_path, check):
    write(tmp_path, ALL)

    lines = check()

    expected = [
        ("alerts.yaml:1: ", "repeat: found 'often'"),
        ("alerts.yaml:3: ", "no such source; did you mean 'site'?"),
        ("portals.yaml:2: ", "found 'golden', expected one of"),
        ("portals.yaml:3: ", "found 500, expected a whole number from 1 to 50"),
        ("rules/a.yaml:2: ", "unknown source 'sight'; did you mean 'site'?"),
        ("rules/a.yaml:3: ", "unknown key; did you mean 'when'?"),
        ("rules/a.yaml:7: ", "unknown portal 'mian'; did you mean 'main'?"),
        ("rules/a.yaml:9: ", "found 'LEAD_{id}', which is never a number: expected {lead: \"{id}\"}"),
        ("rules/b.yaml:1: ", "'first' is also the name of the rule in "),
        ("rules/b.yaml:9: ", "Bitrix24 keeps this name for itself"),
        ("rules/b.yaml:9: ", "{ip} is not among the values of this rule; expected one of id"),
        ("rules/c.yaml:2: ", "not valid YAML"),
        ("sources.yaml:4: ", "found '1TB', expected a whole number with one of"),
        ("sources.yaml:7: ", "this header is a secret and is not kept"),
        ("sources.yaml:8: ", "unknown key"),
    ]
    assert len(lines) == len(expected), lines
    for line, (place, words) in zip(lines, expected, strict=True):
        assert line.startswith(place)
        assert words in line


@pytest.mark.parametrize("unreadable", ["sources.yaml", "portals.yaml"])
@pytest.mark.parametrize("text", [None, "sources: [", "- a\n- b\n", "portals: {", ""])
def test_a_name_of_a_file_that_could_not_be_read_is_not_called_unknown(tmp_path, check, unreadable, text):
    write(tmp_path, {**ALL, "portals.yaml": "portals: {main: {plan: standard}}\n", "rules/c.yaml": SECOND})
    (tmp_path / unreadable).write_text(text, "utf-8") if text is not None else (tmp_path / unreadable).unlink()

    lines = check()

    word = unreadable.removesuffix("s.yaml")
    assert any(line.startswith(unreadable) for line in lines)
    assert not any(f"unknown {word}" in line or f"no such {word}" in line for line in lines), lines
    assert any("rules/a.yaml:9:" in line for line in lines), (
        "what is wrong with the rules themselves is said all the same"
    )


def test_a_name_whose_entry_has_a_mistake_is_known_all_the_same(tmp_path, check):
    write(tmp_path, {"portals.yaml": PORTALS, "sources.yaml": SOURCES, "rules/a.yaml": SECOND})

    assert not [line for line in check() if "unknown source" in line or "unknown portal" in line]


ONE_RULE = """\
name: one
source: site
when: form == 'x' && bodi.id && lenght(body)
whem: x
extract:
  id: {from: [bodi.id, "body..a"], typ: integer}
  day: {from: body.day, type: date, min: 1, required: yes}
  note: {from: body.note, type: integer, choices: [x], default: y, max_length: 5}
start:
  portal: main
  template_id: 0
  document_id: {lead: "{day}"}
  parameters: {"a[b]": "{x} {y}", TargetUser: {a: 1}, Note: "{note"}
"""
ONE_SOURCES = """\
sources:
  Site:
    verify: {kind: token, secrets: nothing}
  site:
    verify: {kind: hmac, header: X-Signature, signed: "{id}.{timestamp}.{body}", secrets: [A], colour: red}
    verify: {kind: none}
    dedup: {window: 100d}
  other: {verify: {kind: hmac, header: X-S, signed: "{id}.{timestamp}.{body}", secrets: [], timestamp: {unit: s}}}
  tagged: {verify: !none {kind: none}, limit: {events: 0}}
"""


def test_one_mistake_in_a_file_hides_no_other_one_in_it(tmp_path, check):
    write(
        tmp_path,
        {"portals.yaml": "portals: {main: {plan: standard}}\n", "sources.yaml": ONE_SOURCES, "rules/a.yaml": ONE_RULE},
    )

    lines = check()

    for place, words in (
        ("rules/a.yaml:3: when: ", "'form' is not in an event"),
        ("rules/a.yaml:3: when: ", "'bodi' is not in an event; did you mean 'body'?"),
        ("rules/a.yaml:3: when: ", "unknown function 'lenght'"),
        ("rules/a.yaml:4: whem: ", "unknown key"),
        ("rules/a.yaml:6: extract.id.from.0: ", "'bodi' is not in an event"),
        ("rules/a.yaml:6: extract.id.from.1: ", "breaks at column 6"),
        ("rules/a.yaml:6: extract.id.typ: ", "unknown key"),
        ("rules/a.yaml:7: extract.day.required: ", "true or false"),
        ("rules/a.yaml:7: extract.day.min: ", "is for integer and number, not for date"),
        ("rules/a.yaml:8: extract.note.choices: ", "a whole number"),
        ("rules/a.yaml:8: extract.note.default: ", "a whole number"),
        ("rules/a.yaml:8: extract.note.max_length: ", "is for string and list, not for integer"),
        ("rules/a.yaml:11: start.template_id: ", "a whole number from 1"),
        ("rules/a.yaml:12: start.document_id: ", "{day} has the type date"),
        ("rules/a.yaml:13: start.parameters.a[b]: ", "not a parameter's name"),
        ("rules/a.yaml:13: start.parameters.a[b]: ", "{x} is not among"),
        ("rules/a.yaml:13: start.parameters.a[b]: ", "{y} is not among"),
        ("rules/a.yaml:13: start.parameters.TargetUser: ", "found a map"),
        ("rules/a.yaml:13: start.parameters.Note: ", "a lone '{'"),
        ("sources.yaml:2: sources.Site: ", "not a name"),
        ("sources.yaml:3: sources.Site.verify.secrets: ", "expected a list of environment variables"),
        ("sources.yaml:3: sources.Site.verify: ", "expected one of header: NAME, query: NAME or field: PATH"),
        ("sources.yaml:6: ", "'verify' is here twice"),
        ("sources.yaml:5: sources.site.verify.colour: ", "unknown key"),
        ("sources.yaml:7: sources.site.dedup.window: ", "at most 30d"),
        ("sources.yaml:7: sources.site.dedup: ", "expected one of from: body.x"),
        ("sources.yaml:8: sources.other.verify.secrets: ", "expected a list"),
        ("sources.yaml:8: sources.other.verify.signed: ", "expected {id} and id_header together"),
        ("sources.yaml:8: sources.other.verify.timestamp: ", "expected the time in one place"),
        ("sources.yaml:9: ", "tags such as !name are not read"),
        ("sources.yaml:9: sources.tagged.limit.events: ", "a whole number"),
        ("sources.yaml:9: sources.tagged.limit.bytes: ", "missing"),
    ):
        assert [line for line in lines if line.startswith(place) and words in line], (place, words, lines)
    assert len(lines) == 32, lines


MISSPELLED = {
    "rules/a.yaml": SECOND.replace("extract:", "extrakt:").replace("TargetUser", "Note"),
    "sources.yaml": "sources:\n  site:\n    verify: {kind: token, haeder: X-Token, secrets: [A]}\n",
    "portals.yaml": "portals: {main: {plan: standard}}\n",
}


def test_what_only_follows_from_a_misspelled_key_is_not_said(tmp_path, check):
    write(tmp_path, MISSPELLED)

    assert [line.partition(": expected")[0] for line in check()] == [
        "rules/a.yaml:3: extrakt: unknown key; did you mean 'extract'?",
        "sources.yaml:3: sources.site.verify.haeder: unknown key; did you mean 'header'?",
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{lead: "LEAD_{id}"}', "found 'LEAD_{id}', which is never a number: expected {lead: \"{id}\"}"),
        ('{deal: "{id} "}', 'expected {deal: "{id}"}'),
        ('{deal: "0{id}"}', 'expected {deal: "{id}"}'),
        ('{dynamic: [147, "D{id}"]}', 'expected {dynamic: [147, "{id}"]}'),
        ('{dynamic: ["T{id}", "{id}"]}', 'expected {dynamic: ["{id}", "{id}"]}'),
        ('{file: "{day}"}', "{day} has the type date and is never a number: expected integer"),
        ('{lead: "1{id}"}', None),
        ('{lead: "{id}{id}"}', None),
        ('{lead: "{text}"}', None),
        ('[crm, CCrmDocumentLead, "LEAD_{id}"]', None),
        ('["{text}", CCrmDocumentLead, "LEAD_{id}"]', None),
        ("""["'crm'", CCrmDocumentLead, "LEAD_{id}"]""", "expected a module such as crm: a word, without quotes"),
    ],
)
def test_a_document_that_no_event_could_name_is_a_mistake(tmp_path, check, document, expected):
    rule = f"""\
name: one
source: site
extract: {{id: {{from: body.id, type: integer}}, day: {{from: body.day, type: date}}, text: {{from: body.text}}}}
start: {{portal: main, template_id: 1, document_id: {document}}}
"""
    write(
        tmp_path,
        {"portals.yaml": MISSPELLED["portals.yaml"], "sources.yaml": "sources: {site: {verify: {kind: none}}}"},
    )
    (tmp_path / "rules/a.yaml").write_text(rule, "utf-8")

    (line,) = check()

    assert line.startswith("rules/a.yaml:4: start.document_id") if expected else line == "1 rule: no mistakes"
    assert (expected or "") in line


def test_a_rule_file_is_checked_alone_against_its_configuration(tmp_path, check, monkeypatch):
    write(tmp_path, {**ALL, "portals.yaml": "portals: {main: {plan: standard}}\n"})
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path))

    lines = check(tmp_path / "rules/b.yaml", tmp_path / "rules/c.yaml")

    assert [line.partition(": ")[0] for line in lines if line.startswith("rules/")] == [
        "rules/b.yaml:9",
        "rules/b.yaml:9",
        "rules/c.yaml:2",
    ]
    assert len(lines) == len(set(lines)), "what both files share is said once"


def test_mistakes_are_sorted_by_file_and_line_and_said_once():
    mistakes = Mistakes()
    for file, line in (("b", 2), ("a", 10), ("b", 1), ("a", 9), ("b", 2)):
        mistakes.add(Mistake(file, line, "wrong"))

    with pytest.raises(ConfigError) as caught:
        mistakes.raise_any()

    assert [(one.file, one.line) for one in caught.value.mistakes] == [("a", 9), ("a", 10), ("b", 1), ("b", 2)]


def test_what_raises_by_itself_is_collected_too():
    mistakes = Mistakes()
    with mistakes.catching():
        raise ConfigError([Mistake("a", 1, "wrong")])
    mistakes.add(Mistake("a", 2, "wrong"))

    assert [one.line for one in mistakes] == [1, 2]


def test_where_there_is_no_mistake_nothing_is_raised():
    mistakes = Mistakes()
    mistakes.raise_any()

    assert not mistakes
