"""What a person asks in a terminal: can deliveries succeed, does the portal honour our ids, wait, go on."""

from __future__ import annotations

import pytest

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.core.plan import Requirement
from relay.core.templates import templates_of
from relay.operations.configure import load_config
from relay.sandbox import bizproc
from relay.store.portals.gate import Gate, GateState
from relay.store.portals.questions import PublishedRules, Questions
from tests.delivering.contexts import LEAD, SECRET, add, alerts, methods, send, use_webhook
from tests.support.processes import refusing_address
from workers.__main__ import main
from workers.checks import drift
from workers.checks.drift import check
from workers.checks.ping import ping, probe, read_document
from workers.checks.questions import answer
from workers.delivery.worker import step
from workers.portal.pace import HONOURED, IGNORED

PARAMETERS = ("Parameter1", "Email", "Phone", "Note")
DYNAMIC = ("crm", r"Bitrix\Crm\Integration\BizProc\Document\Dynamic")
FITTING = Requirement("seed-example", "main", 1, (*LEAD[:2], "LEAD_"), PARAMETERS)
DRIFTED = {
    "no_such_template": (Requirement("r", "main", 99, (*LEAD[:2], "LEAD_"), PARAMETERS), "no such template"),
    "another_document": (Requirement("r", "main", 2, (*LEAD[:2], "LEAD_"), PARAMETERS), "is for DEAL"),
    "another_dynamic": (Requirement("r", "main", 7, (*DYNAMIC, "DYNAMIC_148_"), PARAMETERS), "is for DYNAMIC_147"),
    "not_declared": (Requirement("r", "main", 1, (*LEAD[:2], "LEAD_"), (*PARAMETERS, "Nope")), "does not declare it"),
}  # fmt: skip
FITTING_OTHERS = [
    Requirement("sends-less", "main", 1, (*LEAD[:2], "LEAD_"), PARAMETERS[:1]),
    Requirement("any", "main", 1, (*LEAD[:2], ""), PARAMETERS),
    Requirement("dynamic", "main", 7, (*DYNAMIC, "DYNAMIC_"), PARAMETERS),
    Requirement("feed", "main", 8, ("lists", "BizprocDocument", ""), PARAMETERS),
    Requirement("elsewhere", "second", 99, (*LEAD[:2], ""), ()),
]


def publish(record, *requirements):
    PublishedRules(record.redis).publish("digest", requirements, utc_now())


@pytest.fixture
def environ(monkeypatch, valkey, config, sandbox):
    """What `python -m workers` is told from outside."""
    values = {
        "REDIS_URL": valkey.url,
        "RELAY_CONFIG": str(config),
        "PORTAL_MAIN_WEBHOOK_URL": f"{sandbox.url}/rest/1/{SECRET}/",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return monkeypatch.setenv


def test_ping_says_that_all_is_well_and_starts_nothing(context, record, portal, capsys):
    publish(record, FITTING, *FITTING_OTHERS)

    assert ping(context) == 0

    said = capsys.readouterr().out
    assert "main: the credential is accepted by 127.0.0.1:" in said
    assert "main: 10 templates can be started" in said
    assert "main: 5 rules, 0 that do not fit" in said
    assert portal.started() == []
    assert SECRET not in said


def test_the_shipped_configuration_pings_clean(context, record, config, capsys):
    publish(record, *(rule.requirement for rule in load_config(config, None).rules.all()))

    assert ping(context) == 0, capsys.readouterr().out


def test_ping_before_the_first_rules_says_so(context, capsys):
    assert ping(context) == 0
    assert "no rules are on record yet" in capsys.readouterr().out


@pytest.mark.parametrize("what", DRIFTED)
def test_ping_names_each_rule_that_does_not_fit(context, record, capsys, what):
    requirement, words = DRIFTED[what]
    publish(record, FITTING, requirement)

    assert ping(context) == 1

    said = capsys.readouterr().out
    assert f"main: rule r, template {requirement.template_id}: " in said
    assert words in said
    assert "2 rules, 1 that do not fit" in said


def test_a_required_parameter_is_called_so(context, record, portal, capsys):
    document_type = ["crm", "CCrmDocumentLead", "LEAD"]
    portal.add_templates({"id": 20, "document_type": document_type, "parameters": {"Must": {"Required": "1"}}})
    publish(record, Requirement("r", "main", 20, (*LEAD[:2], "LEAD_"), ()))

    assert ping(context) == 1
    assert "requires Must" in capsys.readouterr().out


def test_ping_reads_every_page_of_templates(context, portal, capsys):
    portal.add_templates([{"document_type": ["crm", "CCrmDocumentLead", "LEAD"]} for _ in range(120)])

    assert ping(context) == 0
    assert "130 templates can be started" in capsys.readouterr().out


def test_a_template_beyond_what_is_read_is_no_drift(context, record, portal, capsys, monkeypatch):
    portal.add_templates([{"document_type": ["crm", "CCrmDocumentLead", "LEAD"]} for _ in range(120)])
    monkeypatch.setattr(drift, "PAGES", 2)
    publish(record, Requirement("r", "main", 125, (*LEAD[:2], "LEAD_"), ()))
    assert ping(context) == 0

    monkeypatch.setattr(drift, "PAGES", 3)
    publish(record, Requirement("r", "main", 999, (*LEAD[:2], "LEAD_"), ()))
    assert ping(context) == 1
    assert "999" in capsys.readouterr().out


@pytest.mark.parametrize(
    "case",
    [
        (1, "wrong", {}, "webhook was deleted, or its secret is wrong"),
        (9, SECRET, {}, "webhook was deleted, or its secret is wrong"),
        (2, SECRET, {}, "no administrator"),
        (1, SECRET, {"scope": ["crm"]}, "lacks the scope bizproc"),
        (1, SECRET, {"bizproc_available": False}, "plan has no business processes"),
    ],
)
def test_ping_says_what_is_wrong_with_a_credential(open_context, sandbox, capsys, case):
    user, secret, settings, words = case
    sandbox.portal.configure(**settings)
    context = open_context(address=use_webhook(sandbox.url, user, secret))

    assert ping(context) == 1

    said = capsys.readouterr().out
    assert words in said
    assert SECRET not in said.replace("sandbox_", "")


def test_ping_says_that_a_portal_is_away(open_context, capsys):
    with refusing_address() as address:
        assert ping(open_context(f"http://{address}")) == 1

    assert "No connection to the portal" in capsys.readouterr().out


def test_ping_says_that_the_portal_stands_still_as_the_first_page_does(context, capsys):
    context.gate.pause_by_person(utc_now())

    assert ping(context) == 1
    assert "portal main is paused by a person for 0 s" in capsys.readouterr().out


def test_ping_says_for_how_long_the_first_in_line_has_waited(context, record, clock, capsys):
    add(record)
    clock.advance(1_200)

    assert ping(context) == 1
    assert "portal main: 1 delivery is waiting, the first in line for 20 min" in capsys.readouterr().out


@pytest.mark.parametrize("profile", ["a", "b"])
def test_probe_starts_one_workflow_and_sees_its_id_refused_the_second_time(context, portal, capsys, profile):
    portal.configure(profile=profile)

    assert probe(context, 1, LEAD) == 0

    assert "own ids are honoured" in capsys.readouterr().out
    assert len(portal.started()) == 1
    assert context.pace.read().own_id == HONOURED


def test_probe_says_that_a_portal_ignores_our_ids(context, portal, capsys, monkeypatch):
    monkeypatch.setattr(bizproc, "OWN_ID", "SomethingElse")

    assert probe(context, 1, LEAD) == 1

    assert "own ids are ignored" in capsys.readouterr().out
    assert context.pace.read().own_id == IGNORED


@pytest.mark.parametrize(
    ("template", "document", "words"),
    [(99, LEAD, "no such template"), (1, (*LEAD[:2], "LEAD_404"), "has no such document")],
)
def test_probe_says_why_nothing_started(context, capsys, template, document, words):
    assert probe(context, template, document) == 1
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("crm,CCrmDocumentLead,LEAD_1", LEAD),
        ('["crm", "CCrmDocumentLead", "LEAD_1"]', LEAD),
        ("crm,CCrmDocumentLead", None),
        ("crm,,LEAD_1", None),
        ("[1, 2, 3]", None),
        ("[", None),
        ("", None),
    ],
)
def test_a_document_is_named_by_three_parts(text, document):
    assert read_document(text) == document


def test_on_the_command_line_ping_and_probe_do_the_same(environ, record, portal, capsys):
    publish(record, FITTING)

    assert main(["ping"]) == 0
    assert main(["ping", "main"]) == 0
    assert main(["probe", "main", "--template", "1", "--document", "crm,CCrmDocumentLead,LEAD_1"]) == 0

    assert "own ids are honoured" in capsys.readouterr().out
    assert len(portal.started()) == 1


def test_pause_and_resume_close_and_open_the_gate(environ, context, record, portal, capsys):
    delivery = add(record)

    assert main(["pause", "main"]) == 0
    assert Gate(record.redis, "main").look().by_person
    assert send(context, delivery).state is State.PENDING
    assert main(["resume", "main"]) == 0
    assert main(["resume", "main"]) == 0

    said = capsys.readouterr().out
    assert ["main: paused" in said, "main: open again" in said, "main: was open" in said] == [True] * 3
    assert Gate(record.redis, "main").look().state is GateState.OPEN
    assert send(context, record.delivery(delivery.id)).state is State.STARTED


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["pause"],
        ["probe", "main"],
        ["probe", "main", "--template", "x", "--document", "a,b,c"],
        ["--unknown"],
        ["probe", "main", "--template", "1", "--document", "crm,LEAD_1"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2_and_says_what_was_expected(environ, capsys, arguments):
    try:
        status = main(arguments)
    except SystemExit as error:  # argparse ends the process
        status = error.code

    assert status == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORTAL_MAIN_WEBHOOK_URL", "", "PORTAL_MAIN_WEBHOOK_URL is not set"),
        ("PORTAL_MAIN_WEBHOOK_URL", "https://portal.example/", "has the wrong shape"),
        (
            "PORTAL_MAIN_WEBHOOK_URL",
            "https://portal.example/rest/api/1/secret-word/",
            "REST 3.0, which has no business",
        ),
        (
            "PORTAL_MAIN_WEBHOOK_URL",
            "https://portal.example/rest/api/1/secret-word",
            "expected https://PORTAL/rest/USER",
        ),
        ("PORTAL_MAIN_WEBHOOK_URL", "https://portal.example/rest/api/", "leave out /api"),
        ("PORTAL_MAIN_WEBHOOK_URL", "http://portal.example/rest/1/secret-word/", "begins with http"),
        ("REDIS_URL", "", "REDIS_URL is not set"),
        ("REDIS_URL", "unix:///nowhere/v.sock", "RecordUnavailableError"),
    ],
)
def test_what_cannot_work_ends_with_1_and_is_said_without_the_secret(environ, capsys, name, value, words):
    environ(name, value)

    assert main(["pause", "main"]) == 1

    said = capsys.readouterr().err
    assert words in said
    assert "secret-word" not in said


def test_a_portal_that_is_not_configured_is_named_with_those_that_are(environ, capsys):
    assert main(["ping", "second"]) == 1
    assert "expected one of main" in capsys.readouterr().err


# A person asks on the dashboard.


def test_a_ping_of_the_dashboard_is_answered_with_what_the_terminal_says(context, record, portal, capsys):
    publish(record, FITTING, DRIFTED["not_declared"][0])
    asked = Questions(record.redis).ask("main", "ping", "", utc_now())

    answer(context, asked.id)

    capsys.readouterr()
    assert ping(context) == 1
    said = capsys.readouterr().out.splitlines()
    answered = Questions(record.redis).read(asked.id)
    assert answered.state == "failed"
    assert [f"main: {text}" for text in answered.lines] == said
    assert portal.started() == []


def test_a_ping_that_is_well_is_done_and_asked_once(context, record, portal):
    publish(record, FITTING)
    asked = Questions(record.redis).ask("main", "ping", "", utc_now())
    answer(context, asked.id)
    before = methods(portal)

    answer(context, asked.id)
    answer(context, "ask_nobody")

    assert Questions(record.redis).read(asked.id).state == "done"
    assert methods(portal) == before


@pytest.mark.parametrize("act", ["terminate", "kill"])
def test_a_workflow_that_is_unknown_to_the_portal_is_not_ended(context, record, portal, act):
    asked = Questions(record.redis).ask("main", act, "wf-nobody", utc_now())

    answer(context, asked.id)

    answered = Questions(record.redis).read(asked.id)
    assert answered.state == "failed"
    assert answered.answer
    assert methods(portal)[f"bizproc.workflow.{act}"] == 1


def test_a_held_portal_can_be_pinged(context, record):
    context.gate.hold(context.gate.look(), "INVALID_CREDENTIALS", context.clock())
    asked = Questions(record.redis).ask("main", "ping", "", utc_now())

    assert [step(context), step(context)] == [True, False]

    assert Questions(record.redis).read(asked.id).state == "done"


# Drift, which the workers look for by themselves.


def test_drift_is_kept_and_said_once_and_again_when_it_changes(context, record):
    publish(record, FITTING)
    assert check(context) == []
    assert alerts(record) == []

    publish(record, FITTING, DRIFTED["not_declared"][0])
    first = [check(context), check(context), check(context)]
    assert [len(found) for found in first] == [1, 1, 1]
    assert alerts(record) == ["drift"]

    publish(record, DRIFTED["not_declared"][0], DRIFTED["no_such_template"][0])
    assert len(check(context)) == 2
    assert alerts(record) == ["drift", "drift"]

    publish(record, FITTING)
    assert check(context) == []
    assert alerts(record) == ["drift", "drift"]
    assert record.redis.get("relay:drift:main") == b"[]"


def test_a_portal_in_trouble_has_no_drift(context, record, portal):
    publish(record, DRIFTED["not_declared"][0])
    portal.add_faults({"kind": "html_502"})

    assert check(context) == []
    assert not record.redis.exists("relay:drift:main")


def test_without_rules_on_record_nobody_is_asked(context, portal):
    assert check(context) == []
    assert methods(portal) == {}


# The studio asks for templates.


def test_the_templates_of_a_portal_are_listed_with_their_parameters(context, record, portal):
    parameters = {"Must": {"Name": "What must be", "Type": "string", "Required": "1"}}
    kind = [*LEAD[:2], "LEAD"]
    portal.add_templates({"id": 20, "name": "A lead", "document_type": kind, "parameters": parameters})
    asked = Questions(record.redis).ask("main", "templates", "", utc_now())

    answer(context, asked.id)

    answered = Questions(record.redis).read(asked.id)
    found = {one.id: one for one in templates_of(answered.answer)}
    assert (answered.state, len(found)) == ("done", 11)
    assert (found[20].name, found[20].document_type) == ("A lead", (*LEAD[:2], "LEAD"))
    (must,) = found[20].parameters
    assert (must.id, must.title, must.kind, must.is_required) == ("Must", "What must be", "string", True)
    assert portal.started() == []


def test_of_more_templates_than_are_kept_the_list_is_whole_up_to_there(context, record, portal, monkeypatch):
    monkeypatch.setattr("workers.checks.questions.LONGEST_LIST", 3_000)
    portal.add_templates([{"document_type": [*LEAD[:2], "LEAD"]} for _ in range(60)])
    asked = Questions(record.redis).ask("main", "templates", "", utc_now())

    answer(context, asked.id)

    assert 5 < len(templates_of(Questions(record.redis).read(asked.id).answer)) < 60


def test_a_portal_that_lists_no_templates_says_why(context, record, sandbox):
    sandbox.portal.configure(bizproc_available=False)
    asked = Questions(record.redis).ask("main", "templates", "", utc_now())

    answer(context, asked.id)

    answered = Questions(record.redis).read(asked.id)
    assert answered.state == "failed"
    assert "plan has no business processes" in answered.lines[0]
