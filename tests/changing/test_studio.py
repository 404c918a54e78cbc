"""The studio's pages: a draft, values put to use, mistakes by line, a trial on stored events, activation and undo."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as some

from relay.cli.main import main
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.core.templates import PortalTemplate, TemplateParameter
from relay.operations import preview
from relay.operations.preview import left_over, preview_on_record, read_draft
from relay.operations.replay import NotReplayableError
from relay.rules import load_rules
from relay.store.operators.drafts import KEPT_FOR, MOST_DRAFTS, Draft
from relay.store.portals.questions import Asked
from relay.web.app import put_in_force
from relay.web.presenters.differences import kind_of_change
from relay.web.presenters.yaml_colours import coloured
from relay.web.services import services_of
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.making import bring_to, make_entry, write
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


@pytest.fixture
def of_elementor(folder):
    """A source with a profile that knows where values are, and has a doubt."""
    sources = folder / "sources.yaml"
    sources.write_text(f"{sources.read_text()}\n  site: {{profile: elementor, secrets: [SOURCE_WEBSITE_TOKEN]}}\n")


def test_what_the_senders_profile_knows_is_offered_first_and_put_where_the_page_says(of_elementor, record, operator):
    content = {"fields": {"email": {"value": "ada@example.com"}, "name": {"value": "Ada"}}}
    event_id = store(record, content, source="site")
    page = read(operator.get(f"/studio?event_id={event_id}"))

    offered, *_ = page.root.findall(".//ul[@class='tree']")
    assert ["".join(one.itertext()).split()[0] for one in offered] == ["name", "email"]
    assert "compare them with your first event" in page.text(".//section[@class='notice']")
    assert "ada@example.com" not in page.text()

    number = next(one.get("value") for one in offered.iter("button") if "email" in "".join(one.itertext()))
    page = press(operator, page, onto="value", put=number)

    assert "email: {from: body.fields.email.value, type: email}" in text_of(page)


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


def test_a_masked_difference_says_what_kind_of_change_it_is_and_is_revealed_by_a_press(app, record, operator):
    said = {"document": "deal", "id": 7, "note": "ada@example.com", "email": "ADA@example.com"}
    event_id = store(record, said, EventState.REJECTED)
    page = read(operator.get("/studio?rule=document-deal"))
    text = text_of(page).replace('Note: "{note}"', 'Note: "{email}"')

    page = press(operator, page, text=text, act="try")

    found = page.text(".//*[@id='preview']")
    assert "a•••@e•••.com → A•••@e•••.com other capitals" in found or "other capitals" in found
    assert "ada@example.com" not in found
    page = press(operator, page, reveal=event_id)
    found = page.text(".//*[@id='preview']")
    assert "ada@example.com → ADA@example.com" in found
    assert "other capitals" not in found
    assert text_of(page) == text
    assert services_of(app).store.operators.acts(1)[0].what == "reveal"


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (None, "a", "is added"),
        ("a", None, "is left out"),
        ("+7 999 123", "+7999123", "the same digits, written differently"),
        ("a b", " a  b", "other blanks"),
        ("a", "ab", "more text around it"),
        ("ab", "b", "a part of it"),
        ("a", 1, "another type of value"),
        (1, 2, "another value"),
        ("a", "b", "another value"),
    ],
)
def test_the_kind_of_a_change_is_told_without_its_values(before, after, kind):
    assert kind_of_change(before, after) == kind


def test_a_trial_shows_the_calls_and_that_of_this_event_first(record, operator):
    event_id = store(record, {"kind": "new", "id": 41})
    others = [store(record, {"kind": "new", "id": number}) for number in (7, 8)]
    page = read(operator.get(f"/studio?event_id={event_id}"))

    found = press(operator, page, text=RULE, act="try").text(".//*[@id='preview']")

    assert found.startswith("The call of this event")
    assert found.index("Lead 41") < found.index("Calls of other events") < found.index("Lead 8") < found.index("Lead 7")
    assert all(one in found for one in others)


@given(some.text(some.sampled_from("aZ9_: {}'\"#,.-[]\n\\") | some.characters(), max_size=60))
def test_colours_leave_the_text_as_it_is(text):
    assert "\n".join("".join(part for _, part in line) for line in coloured(text)) == text


def test_a_rule_is_coloured_by_what_its_words_are():
    (line,) = coloured('  phone: {from: body.phone, required: true, title: "Call {name}"}  # as in Russia')

    assert [(kind, part) for kind, part in line if kind] == [
        ("k", "phone"),
        ("k", "from"),
        ("k", "required"),
        ("d", "true"),
        ("k", "title"),
        ("s", '"Call '),
        ("v", "{name}"),
        ("s", '"'),
        ("c", "# as in Russia"),
    ]


# A draft is kept for its person.


def test_what_was_written_is_there_after_a_reload_and_in_force_only_after_it_was_activated(record, operator, folder):
    before = (folder / "rules" / "callback.yaml").read_text("utf-8")
    page = read(operator.get("/studio?rule=callback"))
    assert "Kept at" not in page.text()
    press(operator, page, text=before + "# mine\n")

    page = read(operator.get("/studio?rule=callback"))

    assert text_of(page) == before + "# mine\n"
    assert "1 line changed. Kept at" in page.text(".//*[@id='standing']")
    assert (folder / "rules" / "callback.yaml").read_text("utf-8") == before
    assert "callback" in read(operator.get("/rules")).text(".//p[@class='notice']")
    press(operator, page, "/studio/activate", 303)
    assert "Kept at" not in read(operator.get("/studio?rule=callback")).text()
    assert read(operator.get("/rules")).root.findall(".//p[@class='notice']") == []


def test_a_new_rule_of_an_event_and_one_of_a_source_are_two_drafts(record, operator):
    event_id = store(record, {"kind": "new"})
    press(operator, read(operator.get(f"/studio?event_id={event_id}")), text=RULE)

    assert text_of(read(operator.get(f"/studio?event_id={event_id}"))) == RULE
    assert text_of(read(operator.get("/studio?source=website"))) != RULE


def test_a_session_that_ended_in_mid_edit_loses_nothing(app, record, operator, folder):
    before = (folder / "rules" / "callback.yaml").read_text("utf-8")
    page = read(operator.get("/studio?rule=callback"))
    operator.post("/logout", headers=SAME)

    answer = operator.post(
        "/studio", data=fields_of(page) | {"text": before + "# mine\n", "act": "check"}, headers=SAME
    )

    assert answer.status_code == 401
    ended = read(answer)
    assert "nothing that you wrote is lost" in ended.text(".//*[@id='ended']")
    (form,) = [one for one in ended.root.findall(".//form") if one.get("action") == "/studio"]
    kept = {one.get("name"): one.get("value") for one in form.iter("input")}
    again = enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])
    assert text_of(read(again.post("/studio", data=kept, headers=SAME))) == before + "# mine\n"
    assert text_of(read(again.get("/studio?rule=callback"))) == before + "# mine\n"


@pytest.mark.parametrize("answer", ["mine", "theirs"])
def test_two_windows_in_mid_edit_are_told_of_each_other_and_lose_nothing(record, operator, folder, answer):
    before = (folder / "rules" / "callback.yaml").read_text("utf-8")
    first, second = (read(operator.get("/studio?rule=callback")) for _ in range(2))
    press(operator, first, text=before + "# one\n")

    told = press(operator, second, text=before + "# two\n")

    assert "changed in another window" in told.text(".//*[@id='conflict']")
    assert [told.text(f".//pre[@class='diff']/span[@class='{mark}']") for mark in ("taken", "added")] == [
        "- # one",
        "+ # two",
    ]
    assert text_of(told) == before + "# two\n"
    assert text_of(read(operator.get("/studio?rule=callback"))) == before + "# one\n"
    decided = press(operator, told, act=answer)
    mine, theirs = ("# two", "# one") if answer == "mine" else ("# one", "# two")
    assert text_of(decided) == f"{before}{mine}\n"
    assert decided.root.findall(".//*[@id='conflict']") == []
    assert text_of(read(operator.get("/studio?rule=callback"))) == f"{before}{mine}\n"
    assert text_of(press(operator, decided, act="undo")) == f"{before}{theirs}\n"


def test_a_window_that_has_changed_nothing_follows_the_other_one(record, operator, folder):
    before = (folder / "rules" / "callback.yaml").read_text("utf-8")
    first, second = (read(operator.get("/studio?rule=callback")) for _ in range(2))
    press(operator, first, text=before + "# one\n")

    page = press(operator, second)

    assert text_of(page) == before + "# one\n"
    assert page.root.findall(".//*[@id='conflict']") == []


@pytest.mark.parametrize("answer", ["keep-mine", "take-file"])
def test_a_file_that_was_changed_meanwhile_is_shown_beside_the_draft(record, operator, folder, answer):
    file = folder / "rules" / "callback.yaml"
    before = file.read_text("utf-8")
    page = press(operator, read(operator.get("/studio?rule=callback")), text=before + "# mine\n")
    file.write_text(before + "# by hand\n", "utf-8")

    page = press(operator, page)

    assert "The file was changed meanwhile" in page.text(".//*[@id='conflict']")
    page = press(operator, page, act=answer)
    assert page.root.findall(".//*[@id='conflict']") == []
    mine = before + ("# mine\n" if answer == "keep-mine" else "# by hand\n")
    assert text_of(page) == mine
    if answer == "keep-mine":
        press(operator, page, "/studio/activate", 303)
        assert file.read_text("utf-8") == mine
    else:
        assert text_of(press(operator, page, act="undo")) == before + "# mine\n"


def test_each_press_and_each_run_of_typing_is_one_step_back(record, operator):
    event_id = store(record, {"kind": "new", "mail": "ada@example.com"})
    page = read(operator.get(f"/studio?event_id={event_id}"))
    begun = text_of(page)
    assert "Undo" not in page.text(".//*[@id='acts']")
    page = press(operator, page, onto="when", put=number_of(page, "body.mail"))
    pressed = text_of(page)
    page = press(operator, page, text=pressed + "# a")
    page = press(operator, page, text=pressed + "# ab\n")

    texts = []
    while "Undo" in page.text(".//*[@id='acts']"):
        page = press(operator, page, act="undo")
        texts.append(text_of(page))

    assert texts == [pressed, begun]


def test_a_draft_that_is_thrown_away_is_the_file_again_and_can_be_undone(record, operator, folder):
    before = (folder / "rules" / "callback.yaml").read_text("utf-8")
    page = press(operator, read(operator.get("/studio?rule=callback")), text="name: callback\n")

    page = press(operator, page, act="discard")

    assert text_of(page) == before
    assert "Kept at" not in page.text()
    assert text_of(press(operator, page, act="undo")) == "name: callback\n"


def test_a_person_keeps_so_many_drafts_and_the_oldest_goes(redis, app):
    drafts = services_of(app).store.operators.drafts
    for number in range(MOST_DRAFTS + 2):
        drafts.keep("ann", Draft(f"rule:r{number}", "text", "", utc_now() + timedelta(seconds=number)))
    drafts.keep("bob", Draft("rule:r0", "his", "", utc_now()))

    kept = [one.subject for one in drafts.all("ann")]

    assert kept == [f"rule:r{number}" for number in range(MOST_DRAFTS + 1, 1, -1)]
    assert [one.text for one in drafts.all("bob")] == ["his"]
    assert all(0 < redis.ttl(key) <= KEPT_FOR.total_seconds() for key in redis.keys("relay:drafts:*"))


def test_of_two_that_keep_a_draft_at_once_one_is_told_of_the_other(app):
    drafts = services_of(app).store.operators.drafts
    one = drafts.keep("ann", Draft("rule:r", "begun", "", utc_now()))

    first = drafts.keep("ann", one.changed("first", utc_now()))
    second = drafts.keep("ann", one.changed("second", utc_now()))

    assert (first.text, second.text) == ("first", "first")
    assert not drafts.forget("ann", one)
    assert drafts.forget("ann", second)
    assert drafts.read("ann", "rule:r") is None


# What the studio says before anybody has done anything, and asks of the portal.


def test_a_new_form_says_what_is_to_come_and_has_no_red_mistake(record, operator):
    event_id = store(record, {"kind": "new"})

    page = read(operator.get(f"/studio?event_id={event_id}"))

    assert page.root.findall(".//*[@class='mistakes']") == []
    assert page.root.findall(".//ol[@id='gutter']/li[@class='bad']") == []
    assert "Still to come: start.template_id, start.document_id" in page.text(".//*[@id='mistakes']")
    press(operator, page, "/studio/activate", 422)


def test_the_portal_is_asked_once_a_minute_and_the_log_does_not_tell(app, redis, record, operator):
    event_id = store(record, {"kind": "new"})
    page = read(operator.get(f"/studio?event_id={event_id}"))
    asked = fields_of(press(operator, page, "/studio/templates"))["question_id"]

    for _ in range(3):
        page = press(operator, read(operator.get("/studio?source=website")), "/studio/templates")
        assert fields_of(page)["question_id"] == asked

    assert redis.llen("relay:questions:main") == 1
    assert 0 < redis.pttl("relay:question:templates:main") <= 60_000
    assert services_of(app).store.operators.acts(5) == []


def test_a_template_that_the_portal_does_not_have_is_a_mistake_and_can_be_activated_anyway(
    app, record, operator, folder
):
    page = press(operator, read(operator.get("/studio?source=website")), "/studio/templates")
    answer_question(app, page)
    text = RULE.replace("template_id: 1", "template_id: 77")

    page = press(operator, page, "/studio/activate", 422, text=text)

    assert "nothing was written" in page.text(".//*[@id='said']")
    line = text.splitlines().index("  template_id: 77") + 1
    assert page.text(".//ol[@id='gutter']/li[@class='bad']") == str(line)
    assert f"Line {line} start.template_id: the portal main has no template 77" in page.text(".//*[@id='mistakes']")
    assert not (folder / "rules" / "trying.yaml").exists()
    press(operator, page, "/studio/activate", 303, anyway="1")
    assert (folder / "rules" / "trying.yaml").read_text("utf-8") == text


def test_the_studio_of_a_need_opens_on_the_value_that_failed_with_the_events_values_at_hand(record, operator):
    said = {"form": "callback", "name": "Ada", "contact": {"phone": "8 999 123-45-67"}}
    event_id = store(record, said, EventState.REJECTED)

    page = read(operator.get(f"/studio?rule=callback&event_id={event_id}"))

    assert fields_of(page)["onto"] == "from:phone"
    assert "Values that this event does not fill phone body.phone missing" in page.text(".//*[@id='slots']").replace(
        "required", "missing"
    )
    page = press(operator, page, put=number_of(page, "body.contact.phone"))
    assert "phone:   {from: [body.phone, body.contact.phone], type: phone" in text_of(page)
    assert "Values that this event does not fill" not in page.text()
    assert "The call of this event" in press(operator, page, act="try").text(".//*[@id='preview']")


def test_by_two_presses_the_contact_is_found_or_made_first(app, record, operator):
    event_id = store(record, {"kind": "new", "name": "Ada", "phone": "+49 30 1234567"})
    page = press(operator, read(operator.get(f"/studio?event_id={event_id}")), "/studio/templates")
    answer_question(app, page)
    page = press(operator, page, template="2", act="template")

    page = press(operator, page, act="contact")
    page = press(operator, page, act="document")

    assert "unless: client" in text_of(page)
    assert 'contactId: "{contact}"' in text_of(page)
    assert "No mistakes." in page.text(".//*[@id='mistakes']")
    assert "ada" not in page.text(".//*[@id='slots']").lower().replace("data", "")


# Rules are disabled, enabled and deleted.


def test_a_rule_is_disabled_by_a_press_wants_nothing_and_is_enabled_by_undoing_it(app, record, operator):
    answer = operator.post("/rules/callback/disable", headers=SAME)
    look_at_files(app)

    assert "callback: disabled" in read(operator.get(answer.location)).text()
    rules = services_of(app).rules
    assert "callback" not in [rule.name for rule in rules.for_source("website")]
    assert not rules.get("callback").is_enabled
    assert "callback disabled" in read(operator.get("/rules")).text()
    assert "callback" not in [one.rule for one in services_of(app).store.rules.read()[1]]
    operator.post(f"{answer.location}/undo", headers=SAME)
    look_at_files(app)
    assert services_of(app).rules.get("callback").is_enabled


def test_a_shipped_rule_is_deleted_by_a_press_and_comes_back_by_another(app, record, operator, folder):
    before = (folder / "rules" / "callback.yaml").read_text("utf-8")

    answer = operator.post("/rules/callback/delete", headers=SAME)

    assert not (folder / "rules" / "callback.yaml").exists()
    assert "callback: deleted" in read(operator.get(answer.location)).text()
    assert operator.post("/rules/callback/delete", headers=SAME).status_code == 404
    operator.post(f"{answer.location}/undo", headers=SAME)
    assert (folder / "rules" / "callback.yaml").read_text("utf-8") == before


def test_a_replay_with_the_rule_of_today_says_that_it_is_disabled(app, record, operator):
    dead = bring_to(record, State.DEAD, utc_now(), rules=["callback"])
    operator.post("/rules/callback/disable", headers=SAME)
    look_at_files(app)

    with pytest.raises(NotReplayableError, match="the rule callback is disabled"):
        services_of(app).operator_acts.replay(dead.id, "ann", current_rules=True)
    page = operator.get(f"/deliveries/{dead.id}/acts/replay-current", headers=SAME).text
    assert "the rule callback is disabled" in page
    assert "no rule callback any more" not in page


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
