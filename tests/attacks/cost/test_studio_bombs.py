"""A rule that an operator tries or activates holds no process up: its YAML, its expressions and its templates end."""

from __future__ import annotations

import cProfile
import itertools
import json
from contextlib import contextmanager

import pytest
import yaml

from relay.configuration import files
from relay.configuration.expressions import MOST_VALUES, Expression, ExpressionError, Steps
from relay.configuration.files import MAX_DEPTH, Mistakes, nodes_of
from relay.core.errors import ConfigError, InvalidEventError
from relay.operations.deciding import decide
from relay.operations.preview import PATIENCE_S, preview_on_record
from relay.operations.rule_text import content_of
from relay.rules import load_rules
from relay.rules.compose import MOST_UNKNOWN, Template, TemplateError
from relay.web.dashboard.lists import person_in
from relay.web.services import services_of
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.making import make_entry, write

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
START = {"portal": "main", "template_id": 1, "document_id": {"lead": 1}}
ROOTS = ("body",)
DOUBLING = "body.lead | [@,@]" + " | [@,@][]" * 60
EVENT = {
    "body": {"lead": {"id": 1}, "numbers": [1] * 3000, "texts": ["x" * 100] * 3000, "long": "y" * 100_000},
    "headers": {},
}


@contextmanager
def calls(most):
    """So many calls of functions are made at most, by the code or within it: however busy the machine is, as many."""
    with cProfile.Profile() as profile:
        yield
    assert sum(entry.callcount for entry in profile.getstats()) < most


def rule_text(**parts):
    return yaml.safe_dump({"name": "evil", "source": "website", "start": START} | parts, sort_keys=False, width=10**9)


def rules_of(folder, *texts):
    for number, text in enumerate(texts):
        (folder / f"r{number}.yaml").write_text(text)
    return load_rules(folder, sources=["website"], portals=["main"])


def context(body):
    return {"body": body, "headers": {}, "query": {}, "source": "website", "received_at": ""}


# Expressions


@pytest.mark.parametrize(
    "text",
    [
        f"{DOUBLING} | length(@) > `0`",
        "body | [@,@]" + " | [@,@]" * 60,
        "body | {a:@,b:@}" + " | {a:@,b:@}" * 60,
        "body | [@,@]" + " | [@,@]" * 60 + " | to_string(@)",
        "body.numbers | [:]" + " | [:]" * 150,
        f"join('{'x' * 9000}', body.texts)",
        "join(body.long, body.texts)",
        f"body.[{', '.join(['contains(texts, long)'] * 400)}]",
        f"body.[{', '.join(['numbers == numbers'] * 400)}]",
        f"body.[{', '.join(['sort(texts)'] * 700)}]",
        f"body.[{', '.join(['length(numbers)'] * 500)}]",
        f"body.numbers[?{' || '.join(['@ == `2`'] * 190)}]",
    ],
)
def test_no_expression_goes_on_for_long(text):
    expression, steps = Expression.parse(text, ROOTS), Steps()

    with calls(10_000_000):
        assert expression.find(EVENT, steps) is None

    assert steps.is_spent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("length(body.items)", 2000),
        ("length(body.items[?price > `3` && contains(name, 'item')])", 2000),
        ("length(body.items[].[id, name, to_string(price)][])", 6000),
        ("sum(body.items[*].price)", 10_000),
        ("length(join(', ', body.items[*].name))", 17_998),
        ("sort_by(body.items, &id)[0].id", 0),
        ("length(body.items[?tags[?@ == 'a']])", 2000),
        ("body.items == body.items", True),
    ],
)
def test_the_largest_event_is_not_given_up(text, expected):
    items = [{"id": number, "name": "an item", "price": 5, "tags": ["a"]} for number in range(MOST_VALUES // 5)]
    steps = Steps()

    assert Expression.parse(text, ROOTS).find({"body": {"items": items}}, steps) == expected
    assert not steps.is_spent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("body" + ".a" * 6000, "at most 10000 characters"),
        ("(" * 9000, "at most 200 levels"),
        ("!" * 9000 + "body", "at most 200 levels"),
        ("body" + "||body" * 1000, "at most 200 levels"),
        ("body" + " | @" * 2000, "at most 200 levels"),
        ("`" + "[" * 9000 + "`", "at most 200 levels"),
        ("body[" + "9" * 5000 + "]", "too many digits"),
    ],
)
def test_an_expression_without_end_is_a_mistake_and_no_error(tmp_path, text, expected):
    with calls(1_000_000), pytest.raises(ExpressionError, match=expected):
        Expression.parse(text, ROOTS)

    with calls(1_000_000), pytest.raises(ConfigError, match=expected):
        rules_of(tmp_path, rule_text(when=text))


def test_an_expression_as_deep_as_may_be_is_found():
    for text in (
        "(" * 150 + "body" + ")" * 150,
        "body.x" + " || body.x" * 190 + " || body",
        "!(" * 90 + "body" + ")" * 90,
    ):
        assert Expression.parse(text, ROOTS).find({"body": {"a": 1}})


def test_an_event_that_a_rule_gives_up_is_rejected_and_not_passed_over(tmp_path):
    kind_and_more = rule_text(name="honest", when="body.lead.id == `1`", extract={"id": {"from": "body.lead.id"}})
    rules = rules_of(tmp_path, rule_text(when=f"{DOUBLING} | length(@) > `0`"), kind_and_more)

    with calls(100_000):
        decision = decide(rules, "website", context({"lead": {"id": 1}}))

    assert [intent.rule for intent in decision.intents] == ["honest"]
    assert decision.errors == {"expressions": ["the rule's expressions need too many steps for an event of this size"]}


def test_all_expressions_of_a_rule_together_have_an_end(tmp_path):
    values = {f"v{number}": {"from": f"{DOUBLING} | length(@)"} for number in range(100)}
    rule = rules_of(tmp_path, rule_text(extract=values)).get("evil")

    with calls(100_000), pytest.raises(InvalidEventError):
        rule.to_intent(context({"lead": {"id": 1}}))


# Templates


def test_a_long_value_is_not_written_out_of_proportion(tmp_path):
    parameters = {"P": "{text}" * 5000, **{f"Q{number}": ["{text}"] * 20 for number in range(100)}}
    start = START | {"parameters": parameters}
    rule = rules_of(tmp_path, rule_text(extract={"text": {"from": "body.text"}}, start=start)).get("evil")

    with calls(100_000), pytest.raises(InvalidEventError) as caught:
        rule.to_intent(context({"text": "x" * 500_000}))

    assert caught.value.errors == {"text": ["too long to be written 7000 times"]}
    assert rule.to_intent(context({"text": "x" * 100})).call.parameters["P"] == "x" * 500_000


def test_a_long_value_is_written_a_few_times_and_many_long_ones_once(tmp_path):
    values = {f"v{number}": {"from": f"body.v{number}"} for number in range(8)}
    parameters = {name: f"<{{{name}}}>" for name in values} | {"again": "{v0}", "more": ["{v0}", "{v1}"]}
    rule = rules_of(tmp_path, rule_text(extract=values, start=START | {"parameters": parameters})).get("evil")

    call = rule.to_intent(context({name: name + "x" * 400_000 for name in values})).call

    assert call.parameters["v7"] == f"<v7{'x' * 400_000}>"


def test_names_that_nobody_knows_are_not_all_looked_up():
    known = [f"value_{number}" for number in range(1000)]
    text = "".join(f"{{valu_{number}}}" for number in range(9000))

    with calls(200_000), pytest.raises(TemplateError) as caught:
        Template.parse(text, known)

    assert len(caught.value.messages) == MOST_UNKNOWN


def test_a_file_of_mistakes_is_not_compared_with_everything(tmp_path):
    values = {f"value_{number}": {"from": "body.a"} for number in range(400)}
    parameters = {f"P{number}": f"{{valu_{number}}}" for number in range(600)}

    with calls(6_000_000), pytest.raises(ConfigError) as caught:
        rules_of(tmp_path, rule_text(extract=values, start=START | {"parameters": parameters}))

    assert len(caught.value.mistakes) == 600


# YAML

BOMBS = {
    "brackets": "name: evil\nwhen: " + "[" * 20_000,
    "braces": "name: evil\nx: " + "{a: " * 12_000,
    "blocks": "name: evil\n" + "".join(" " * depth + "a:\n" for depth in range(300)),
    "dashes": "name: evil\nx:\n" + "- " * 15_000,
    "questions": "name: evil\n" + "? " * 20_000,
    "entries": "name: evil\nx: [" + "a," * 29_000 + "]",
    "anchors": "name: evil\nx: [" + ",".join(f"&a{number} 1" for number in range(7000)) + "]",
    "the same key": "name: evil\n" + "k: 1\n" * 10_000,
    "aliases": "a: &a [x,x,x]\n"
    + "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}' if n else '*a'] * 9)}]\n" for n in range(9)),
    "itself": "name: evil\na: &a [*a]\n",
    "half a character": 'name: evil\nwhen: "\\ud800"\n',
    "a character too far": 'name: evil\nwhen: "\\Uffffffff"\n',
    "turned text": "name: evil\nwhen: 'body.\u202eevil'\n",
    "turned text escaped": 'name: evil\nwhen: "body.\\u2067evil"\n',
    "many documents": "---\nname: evil\n" * 4000,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_no_yaml_takes_long_or_is_an_error(tmp_path, text):
    with calls(10_000_000):
        assert isinstance(content_of(text), dict)

    with calls(10_000_000), pytest.raises(ConfigError, match=r"r0\.yaml:\d+: "):
        rules_of(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (f"a: 1\nb: {'[' * MAX_DEPTH}{']' * MAX_DEPTH}", 0, ""),
        (f"a: 1\nb: {'[' * (MAX_DEPTH + 1)}", 2, "more than 32 levels"),
        ("- " * 40 + "a", 1, "more than 32 levels"),
        ("a: 1\n" * 8000, 7500, "more than 30000 words and signs"),
        ("a: 1\n# \u202e\n", 2, "an invisible character that reverses the text around it"),
        ('a: 1\nb: "\\udc00"\n', 2, "half a character"),
        ("a: \u200f\u05e9\u05dc\u200e\nb: \u0645\u06cc\u200c\u062e", 0, ""),
    ],
)
def test_a_text_is_read_up_to_its_bounds_and_the_line_is_told(text, line, problem):
    nodes = nodes_of(text)

    assert (nodes.problem, nodes.line) == (problem, line)
    assert (nodes.root is None) == bool(problem)


def test_a_text_is_scanned_once_for_a_page(monkeypatch):
    scanned = []
    loader = files._Loader
    monkeypatch.setattr(files, "_Loader", lambda text: scanned.append(text) or loader(text))
    text = "name: once\nsource: website\nwhen: [\n"
    nodes_of.cache_clear()

    for _ in range(5):
        content_of(text)

    assert len(scanned) == 2, "the text, and what stands above the line that breaks it"
    nodes_of.cache_clear()


# The pages


@pytest.fixture
def app(make_app, valkey, tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return make_app(valkey, config=copy_config(tmp_path))


@pytest.fixture
def operator(app):
    client = app.test_client()
    client.post("/login", data={"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}, headers=SAME)
    return client


@pytest.mark.parametrize("text", [BOMBS["entries"], BOMBS["half a character"], rule_text(when="(" * 9000)])
@pytest.mark.parametrize("act", ["look", "try", "source"])
def test_a_page_with_a_bomb_in_it_is_shown_with_its_mistakes(operator, text, act):
    with calls(15_000_000):
        answer = operator.post("/studio", data={"text": text, "source": "website", "act": act}, headers=SAME)

    assert answer.status_code == 200


@pytest.mark.parametrize("text", [BOMBS["brackets"], BOMBS["half a character"], rule_text(when="!" * 9000 + "body")])
def test_a_bomb_is_not_activated(operator, app, text):
    with calls(15_000_000):
        answer = operator.post("/studio/activate", data={"text": text, "source": "website"}, headers=SAME)

    assert answer.status_code == 422
    assert not (services_of(app).settings.config / "rules" / "evil.yaml").exists()


@pytest.mark.parametrize("number", ["9" * 5000, "²", "-1", "1" * 10])
def test_a_number_that_is_none_is_no_value_and_no_error(operator, record, number):
    entry = make_entry([], body=b'{"lead": {"id": 1}}')
    write(record, entry)

    answer = operator.post(
        "/studio", data={"text": rule_text(), "event_id": entry.event.id, "put": number}, headers=SAME
    )

    assert answer.status_code == 200
    assert "The event has no such value" in answer.get_data(as_text=True)


def test_a_trial_ends_in_the_middle_of_a_batch(app, record, tmp_path):
    batch = json.dumps([{"lead": {"id": number}} for number in range(2000)]).encode()
    source = services_of(app).sources.get("website")
    write(record, make_entry([], body=batch, source="website"))
    folder = tmp_path / "rules"
    folder.mkdir()
    rule = rules_of(folder, rule_text(when=f"{DOUBLING} | length(@) > `0`")).get("evil")
    contexts, ticks = [context(one) for one in json.loads(batch)], itertools.count(0, 0.1)

    with app.app_context(), pytest.MonkeyPatch.context() as patch, calls(2_000_000):
        patch.setattr("relay.operations.preview.contexts_of", lambda *_: contexts)
        trial = preview_on_record(record, source, rule, None, lambda: next(ticks))

    assert not trial.is_whole
    assert trial.took_s < PATIENCE_S + 1
    assert trial.errors["expressions", "the rule's expressions need too many steps for an event of this size"]


def test_a_list_of_events_is_not_held_up_by_a_rule(app, record, tmp_path):
    folder = services_of(app).settings.config / "rules"
    (folder / "evil.yaml").write_text(rule_text(when=f"{DOUBLING} | length(@) > `0`"))
    event = make_entry([], body=json.dumps([1] * 9000).encode(), source="website").event
    rules = load_rules(folder, sources=None, portals=None, mistakes=Mistakes())

    with app.test_request_context(), pytest.MonkeyPatch.context() as patch, calls(1_000_000):
        patch.setattr("relay.web.dashboard.lists._rules", lambda *_: rules.all())
        for _ in range(50):
            person_in(event)
