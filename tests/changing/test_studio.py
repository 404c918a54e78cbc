"""The studio's pages: a draft, values put to use, mistakes by line, a trial on stored events, activation and undo."""

from __future__ import annotations

import json
from functools import partial

import pytest

from relay.cli.main import main
from relay.core.lifecycle import EventState
from relay.core.templates import PortalTemplate, TemplateParameter
from relay.operations import preview
from relay.operations.preview import left_over, preview_on_record, read_draft
from relay.rules import load_rules
from relay.store.portals.questions import Asked
from relay.web.app import put_in_force
from relay.web.services import services_of
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.making import make_entry, write
from tests.support.pages import Page

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
RULE = """name: trying
source: website
when: body.kind == 'new'
extract:
  id: {from: body.id, type: integer, required: true, min: 1}
start:
  portal: main
  template_id: 1
  document_id: {lead: "{id}"}
"""
WRONG = "template_id: none"
TEMPLATE = PortalTemplate(
    2,
    "Deal: follow up",
    ("crm", "CCrmDocumentDeal", "DEAL"),
    (TemplateParameter("Email", "E-mail", "string", is_required=True, is_multiple=False),),
)


@pytest.fixture
def folder(tmp_path):
    return copy_config(tmp_path)


@pytest.fixture
def app(make_app, valkey, folder, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return make_app(valkey, config=folder)


@pytest.fixture
def operator(app):
    return enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])


def enter(app, password):
    client = app.test_client()
    assert client.post("/login", data={"password": password}, headers=SAME).status_code == 303
    return client


def store(record, content, state=EventState.IGNORED, **more):
    entry = make_entry([], state=state, body=json.dumps(content).encode(), **more)
    write(record, entry)
    return entry.event.id


def read(answer):
    return Page(answer.get_data(as_text=True))


def fields_of(page):
    return page.fields("studio")


def press(client, page, path="/studio", status=200, **more):
    answer = client.post(path, data=fields_of(page) | more, headers=SAME)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return read(answer) if status != 303 else answer.location


def number_of(page, path):
    return page.at(f".//bdi[@title='{path}']/..").get("value")


def text_of(page):
    return fields_of(page)["text"]


def answer_question(app, page, templates=(TEMPLATE,)):
    """As a worker does."""
    answer = json.dumps([one.to_wire() for one in templates])
    services_of(app).questions.answer(fields_of(page)["question_id"], done=True, answer=answer, longest=len(answer))


def look_at_files(app):
    """As the process does every second; what is the same for two looks is taken up."""
    for _ in range(2):
        services_of(app).in_force.look(partial(put_in_force, app))


def test_a_value_is_put_where_the_page_says_without_javascript(app, record, operator):
    event_id = store(record, {"kind": "new", "deal": {"id": 5}, "mail": "ada@example.com"})
    page = press(operator, read(operator.get(f"/studio?event_id={event_id}")), "/studio/templates")
    assert "No worker has answered yet" in page.text()
    answer_question(app, page)
    page = press(operator, page, template="2", act="template")
    assert "E-mail is required by the template" in page.text()

    page = press(operator, page, onto="parameter:Email", put=number_of(page, "body.mail"))

    assert 'Email: "{mail}"' in text_of(page)
    assert "mail: {from: body.mail, type: email, required: true}" in text_of(page)
    assert "No mistakes." in page.text()


def test_mistakes_are_said_by_line_and_their_lines_are_marked(record, operator):
    page = read(operator.get("/studio?source=website"))

    page = press(operator, page, text=RULE.replace("template_id: 1", WRONG), act="check")

    line = RULE.splitlines().index("  template_id: 1") + 1
    assert page.text(".//ol[@id='gutter']/li[@class='bad']") == str(line)
    assert f"Line {line} start.template_id: found 'none', expected a whole number" in page.text(".//*[@id='mistakes']")


def test_a_name_that_another_rule_has_is_a_mistake(record, operator):
    page = press(operator, read(operator.get("/studio?source=website")), text=RULE.replace("trying", "callback"))
    assert "Line 1 there is a rule callback: expected another name" in page.text(".//*[@id='mistakes']")


def test_what_is_masked_does_not_come_into_a_condition_by_a_press(record, operator):
    event_id = store(record, {"email": "ada@example.com"})
    page = read(operator.get(f"/studio?event_id={event_id}"))

    page = press(operator, page, onto="when", put=number_of(page, "body.email"))

    assert "ada@example.com" not in page.text()
    assert "when: body.email\n" in text_of(page)


def test_a_trial_says_what_the_draft_would_start_and_why_not(record, operator):
    for number in range(3):
        store(record, {"kind": "new", "id": number})
    store(record, {"kind": "new", "id": 9}, EventState.REJECTED)
    store(record, {"kind": "old"})
    store(record, {"kind": "new", "id": 1}, source="github")
    page = read(operator.get("/studio?source=website"))

    said = press(operator, page, text=RULE, act="try").text(".//*[@id='preview']")

    assert "Looked at: the last 5 events of this source. The condition holds for 4; a call comes of 3." in said
    assert "Rejected: of 1, 1 would now start." in said
    assert "Ignored: of 4, 2 would now start." in said
    assert "1 \N{MULTIPLICATION SIGN} id: expected at least 1" in said


def test_a_trial_of_a_rule_in_force_shows_the_calls_that_change(app, record, operator):
    event_id = store(record, {"document": "deal", "id": 7, "email": "ada@example.com"}, EventState.REJECTED)
    page = read(operator.get("/studio?rule=document-deal"))

    said = press(operator, page, text=text_of(page).replace("template_id: 2", "template_id: 3"), act="try")

    found = said.text(".//*[@id='preview']")
    assert f"1 call changes {event_id} template2 → 3" in found
    assert "ada@example.com" not in found


def test_a_trial_ends_when_its_time_is_over(app, record):
    for number in range(30):
        store(record, {"kind": "new", "id": number + 1})
    parts = services_of(app)
    rule = read_draft("trying", RULE, parts.settings.config)
    ticks = iter(range(1000))

    found = preview_on_record(
        record, parts.sources["website"], rule, None, lambda: next(ticks) * preview.PATIENCE_S / 10
    )

    assert not found.is_whole
    assert 0 < found.looked_at < 30


def test_a_rule_is_activated_put_in_force_and_undone(app, record, operator, folder):
    store(record, {"kind": "new", "id": 4})
    page = read(operator.get("/studio?source=website"))
    file = folder / "rules" / "trying.yaml"

    change = press(operator, page, "/studio/activate", 303, text=RULE)

    assert file.read_text("utf-8") == RULE
    assert "is not in force yet" in read(operator.get(change)).text()
    look_at_files(app)
    assert services_of(app).rules.get("trying").file == str(file)
    source = services_of(app).sources["website"]
    assert left_over(record, source, services_of(app).rules.get("trying"))[EventState.IGNORED].would_start == 1

    undone = operator.post(f"{change}/undo", headers=SAME)

    assert undone.status_code == 303
    assert not file.exists()
    assert "changed since" in read(operator.get(change)).text()
    acts = services_of(app).store.operators.acts(10)
    assert [(act.what, act.subject) for act in acts[:2]] == [("remove rule", "trying"), ("write rule", "trying")]


def test_what_has_a_mistake_is_not_written(record, operator, folder):
    page = read(operator.get("/studio?source=website"))
    page = press(operator, page, "/studio/activate", 422, text=RULE.replace("template_id: 1", WRONG))
    assert "Mend the marked lines first: nothing was written." in page.text()
    assert not (folder / "rules" / "trying.yaml").exists()


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten(record, operator, folder):
    page = read(operator.get("/studio?rule=callback"))
    file = folder / "rules" / "callback.yaml"
    file.write_text(file.read_text("utf-8") + "# by hand\n", "utf-8")

    page = press(operator, page, "/studio/activate", 409, text=text_of(page) + "# in the browser\n")

    assert "changed since you read it" in page.text()
    assert file.read_text("utf-8").endswith("# by hand\n")


def test_where_nothing_can_be_written_the_file_is_given_to_copy(monkeypatch, record, operator):
    monkeypatch.setattr("relay.operations.rule_files.RuleFiles.is_writable", property(lambda _: False))
    page = press(operator, read(operator.get("/studio?source=website")), text=RULE)
    assert "put it into config/rules/" in page.text()
    assert "Activate" not in page.text()

    file = operator.post("/studio/file", data=fields_of(page), headers=SAME)

    assert file.get_data(as_text=True) == RULE
    assert file.headers["Content-Disposition"] == 'attachment; filename="trying.yaml"'


def test_a_viewer_does_not_come_in(app, record):
    viewer = enter(app, "viewer-password-of-the-test")
    assert viewer.get("/studio?source=website", headers=SAME).status_code == 403
    assert viewer.post("/studio", data={"text": RULE}, headers=SAME).status_code == 403
    assert viewer.get("/rules/changes", headers=SAME).status_code == 403


def test_the_templates_of_another_portal_are_not_taken(app, record, operator):
    asked = services_of(app).questions.ask("main", Asked.PING, "", services_of(app).operator_acts.clock())
    page = press(operator, read(operator.get("/studio?source=website")), question_id=asked.id)
    assert page.root.findall(".//select[@name='template']") == []


def test_the_shipped_rules_come_through_the_page_as_they_are(app, record, operator, folder):
    for rule in load_rules(folder / "rules", sources=None, portals=None).all():
        page = read(operator.get(f"/studio?rule={rule.name}"))
        assert text_of(page) == (folder / "rules" / f"{rule.name}.yaml").read_text("utf-8")
        assert "No mistakes." in page.text(".//*[@id='mistakes']")


# In a terminal.


@pytest.fixture
def terminal(valkey, folder, monkeypatch):
    """A terminal on the relay's machine."""
    monkeypatch.setenv("RELAY_CONFIG", str(folder))
    monkeypatch.setenv("REDIS_URL", valkey.url)


def test_a_rule_is_drafted_in_a_terminal(terminal, record, folder, capsys):
    event_id = store(record, {"kind": "new", "deal": {"id": 5}, "mail": "ada@example.com"})

    assert main(["rules", "draft", event_id, "--name", "drafted"]) == 0

    said = capsys.readouterr()
    assert "deal_id: {from: body.deal.id, type: integer, required: true, min: 1}" in said.out
    assert "mail: {from: body.mail, type: email}" in said.out
    assert "ada@example.com" not in said.out
    assert str(folder / "rules" / "drafted.yaml") in said.err
    (folder / "rules" / "drafted.yaml").write_text(said.out, "utf-8")
    assert main(["rules", "check"]) == 0


def test_what_cannot_be_drafted_from_says_why(terminal, record, capsys):
    gone = store(record, {}, source="no-source")

    assert main(["rules", "draft", gone]) == 1
    assert "the source no-source" in capsys.readouterr().err
    assert main(["rules", "draft", "evt_none"]) == 1
