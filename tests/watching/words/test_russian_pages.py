"""Every page in Russian, over a record with every fault, reason, alert, finding and act: no English but names.

Latin letters may stand in code, in what is marked `translate="no"`, in names, and where the catalogue has them itself.
`tests/meta/test_words.py` holds the catalogue to its list of such words.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from relay.configuration.files import Mistakes
from relay.core.catalogue import BODIES, MESSAGES, NEAR_MISSES, NOTES, SKIPPED, VALUES
from relay.core.errors import ConfigError, Mistake
from relay.core.events import PROOF
from relay.core.faults import Fault, as_text
from relay.core.findings import WORDS as FINDINGS
from relay.core.findings import Finding, as_lines
from relay.core.ids import utc_now
from relay.core.labels import REASONS
from relay.core.lifecycle import EventState, State, Verdict
from relay.core.phrases import Moment
from relay.core.plan import SOUGHT_BY
from relay.core.templates import Drift, DriftKind
from relay.operations.configure import load_config
from relay.operations.drafting import MADE
from relay.rules.schemas import FORMS
from relay.store import Store
from relay.store.operators.audit_log import Act, log_act
from relay.store.operators.bulk_replays import Bulk, BulkState
from relay.store.operators.kept_files import MOST_MISTAKES
from relay.store.portals.gate import Gate
from relay.store.record.search import Filter
from relay.store.redis import keys
from relay.web.dashboard.frame import PAGES
from relay.web.presenters.audit import DEEDS
from tests.mapping import test_every_mistake as many_mistakes
from tests.support.making import bring_to, hold, make_entry, write
from tests.support.pages import SAME, Page
from tests.support.words import is_name, read, strings_of
from tests.watching.words.test_uncertain_wording import ALERTS

PLACE = re.compile(r"%\((\w+)\)[sr]|%%")
CODE = {"code", "pre", "script", "style", "textarea", "kbd", "samp"}
"""What stands in these is as somebody has written it."""
SHOWN = ("title", "aria-label", "placeholder", "alt", "data-label")
SAID_LATER = ("data-copy", "data-copied", "data-live", "data-old", "data-unanswered")
"""Attributes that a reader sees or hears; the latter are put on the page by a script."""
WORD = re.compile(r"[\w{}\[\]*@&=./:+•-]*[A-Za-z][\w{}\[\]*@&=./:+•-]*")
QUOTED = re.compile(r"'[^']*'|`[^`]*`")
"""What a message quotes of a file, or tells to type."""
CLOSE = (5, 12, 25)
"""Characters beside a word by which a text of the catalogue is recognised."""
TEMPLATE = '[{"id": 1, "name": "Лид", "type": ["crm", "CCrmDocumentLead", "LEAD"], "parameters": [%s]}]'
PARAMETERS = '["Parameter1", "Кому", "user", true, true], ["P", "P", "string", false, false]'
RULE = """\
name: one
source: website
when: body.lead
extract: {id: {from: body.lead.id, type: integer, required: true}}
start: {portal: main, template_id: 1, document_id: {lead: "{id}"}, parameters: {P: x, Q: y}}
"""
DRAFTS = ("", "name: [", "name: a\nsource: website\nwhen: [\n", RULE)


RECORDED = ("a-rule", "b", "one", "because", "P", "token")
"""Names of this record: of rules, a portal's code, a parameter, a query parameter."""
SENDERS = ("Stripe", "Tilda", "GitHub", "shop", "stripe-signature")
"""Names of senders, of a source that is added, and of a header."""


def fault_of_every_value(code: str, message: str) -> Fault:
    names = {match[1] for match in PLACE.finditer(message)} - {None}
    values = {name: Moment(utc_now()) if name in {"until", "opened"} else "7" for name in names}
    return Fault(code, values)


def finding_of_every_value(kind: str, message: str) -> Finding:
    values: dict[str, Any] = {match[1]: "7" for match in PLACE.finditer(message)}
    if kind == "trouble":
        values = {"reason": "access_denied", "verdict": Verdict.HELD, "status": 403, "code": "'ACCESS_DENIED'"}
    return Finding(kind, values)


@pytest.fixture
def places(app, record, redis, tmp_path) -> dict[str, str]:
    """Everything that pages have words for is on record; what stands in the paths of the table of pages."""
    store, now = Store(redis), utc_now()
    gate = Gate(redis, "main")
    for kind, values in ALERTS:
        gate.alert(kind, now, **values)
    for what in DEEDS:
        log_act(redis, Act(now, "operator", what, "main", ""))
    for code, message in NOTES.items():
        log_act(redis, Act(now, "operator", "replay", "main", "", fault_of_every_value(code, message)))
    errors = {f"field{n}": [fault_of_every_value(code, text)] for n, (code, text) in enumerate(VALUES.items())}
    rejected = make_entry([], state=EventState.REJECTED, at=now)
    write(record, replace(rejected, event=replace(rejected.event, reason="rule_not_filled", errors=errors)))
    for code, text in BODIES.items():
        entry = make_entry([], state=EventState.REJECTED, at=now)
        write(record, replace(entry, event=replace(entry.event, reason=fault_of_every_value(code, text))))
    for code, text in NEAR_MISSES.items():
        entry = make_entry([], state=EventState.REFUSED, at=now)
        near = {PROOF: [fault_of_every_value(code, text)]}
        write(record, replace(entry, event=replace(entry.event, reason="token_mismatch", errors=near)))
    write(record, make_entry([], state=EventState.IGNORED, at=now))
    skipped = {as_text(fault_of_every_value(code, text)): 1 for code, text in SKIPPED.items()}
    for number, state in enumerate(BulkState):
        store.operators.bulk_replays.keep(Bulk(f"rpl_{number}", state, "original", skipped=skipped))
    for number, mistakes in enumerate(batched([*every_mistake(), *many(tmp_path)], MOST_MISTAKES)):
        store.files.say_waiting(f"workers@host-{number}", mistakes, now)
    store.portal("main").keep_drift([Drift(kind, "a-rule", 1, "P", "lead").to_wire() for kind in DriftKind])
    dead: dict[str, Any] = {}
    for state, reason in product((State.DEAD, State.UNCERTAIN), REASONS):
        dead[reason + state] = bring_to(record, state, now)
        redis.hset(keys.DELIVERY + dead[reason + state].id, "reason", reason)
    others = {state: bring_to(record, state, now) for state in State if state not in {State.DEAD, State.UNCERTAIN}}
    for one in others.values():
        redis.hset(keys.DELIVERY + one.id, "reason", "timed_out")
    hold(redis, "main", "expired_token", now)
    services = app.extensions["services"]
    found = [finding_of_every_value(kind, text) for kind, text in FINDINGS.items()]
    asked = services.operator_acts.ping("main", "operator")
    services.questions.answer(asked.id, done=False, answer=as_lines(found))
    templates = services.operator_acts.ask_templates("main")
    services.questions.answer(templates.id, done=True, answer=TEMPLATE % PARAMETERS)
    one = next(iter(dead.values()))
    return {
        "event": one.event_id,
        "delivery": one.id,
        "uncertain": [*dead.values()][-1].id,
        "rejected": rejected.event.id,
        "bulk": services.bulk.begin(Filter(state=State.DEAD), "original", "operator").id,
        "question": asked.id,
        "templates": templates.id,
    }


def every_mistake() -> Iterator[Mistake]:
    for number, (code, text) in enumerate(MESSAGES.items()):
        yield Mistake("rules/a.yaml", number, fault_of_every_value(code, text), ("start",))


def many(folder) -> list[Mistake]:
    """Those of files in which all is wrong that the tests of files have thought of at once."""
    mistakes = Mistakes()
    try:
        load_config(many_mistakes.write(folder, many_mistakes.ALL), None, mistakes)
    except ConfigError as error:
        return list(error.mistakes)
    return list(mistakes)


def names_of(mistakes: Iterable[str]) -> set[str]:
    """Keys and names that messages list: their values of one word."""
    words = set()
    for one in mistakes:
        values = [part for value in one.values.values() for part in (value if isinstance(value, tuple) else (value,))]
        words |= names_of(part for part in values if isinstance(part, Fault))
        words |= {word for part in values for word in str(part).split(", ") if not isinstance(part, Fault)}
    return {word for word in words if " " not in word}


class Reader:
    """Reads pages for Latin letters that are none of ours."""

    def __init__(self, names: set[str]) -> None:
        texts = [text for message in read("ru") if message.id for text in strings_of(message)]
        self.catalogue = "\n".join(re.sub(r"<[^>]*>", "", PLACE.sub("\0", text)) for text in texts)
        self.names = names
        self.known: set[str] = {""}
        """Texts that are right: most stand on every page."""

    def english_in(self, text: str) -> bool:
        """Whether a word in it is neither a name nor said by the catalogue just so."""
        text = QUOTED.sub("", text)
        return any(not self._may_stand(text, match) for match in WORD.finditer(text))

    def _may_stand(self, text: str, match: re.Match[str]) -> bool:
        word = match[0].strip(".,:-")
        if is_name(word) or word in self.names:
            return True
        begin, end = match.span()
        around = [text[slice(*span)] for size in CLOSE for span in ((max(0, begin - size), end), (begin, end + size))]
        return any(re.search("[\u0400-\u04ff]", one) and one in self.catalogue for one in around)

    def english_on(self, page: Page) -> list[str]:
        """Every text on the page with such a word."""
        found = {" ".join(text.split()) for text in texts(page.root)} - self.known
        english = {text for text in found if self.english_in(text)}
        self.known |= found - english
        return sorted(english)


def texts(element: Element, *, is_value: bool = False) -> Iterator[str]:
    """What a reader sees that is ours."""
    given = element.attrib
    is_value = is_value or given.get("translate") == "no"
    yield from (given.get(name, "") for name in (SAID_LATER if is_value else (*SHOWN, *SAID_LATER)))
    is_elsewhere = element.tag in CODE or (element.tag != "html" and "lang" in given)
    if not is_value and not is_elsewhere:
        yield element.text or ""
    for child in element if not is_elsewhere else ():
        yield from texts(child, is_value=is_value)
        if not is_value:
            yield child.tail or ""


def batched(mistakes: list[Mistake], size: int) -> Iterator[list[Mistake]]:
    return (mistakes[begin : begin + size] for begin in range(0, len(mistakes), size))


def kind_of(path: str) -> str:
    """The path without ids, and of its query only what decides over words."""
    path, _, query = path.partition("#")[0].partition("?")
    kept = sorted(re.findall(r"(?:state|span|by|act)=[^&]*", query))
    return re.sub(r"(evt|dlv|rpl|ask|chg)_[\w-]+", r"\1", path) + "".join(kept)


ERRORS = (
    "/nowhere", "/events/evt_none", "/events?state=wrong", "/events?since=never", "/events?watch=x",
    "/events?template_id=x", "/numbers?day=x", "/deliveries/dlv_none/acts/replay",
    "/deliveries/{delivery}/acts/none", "/deliveries/{delivery}/acts/kill", "/portals/none/pause",
    "/portals/main/none", "/rules/try?event=evt_none", "/find", "/edits/{rejected}", "/events/{rejected}/body",
    "/bulk/rpl_none", "/questions/ask_none", "/rules/changes/chg_none", "/studio?source=none", "/studio?rule=none",
)  # fmt: skip
POSTS: tuple[tuple[str, dict[str, str]], ...] = (
    *(("/studio", {"event_id": "{event}", "source": "website", "text": text, "act": act, "portal": "main"})
      for text, act in product(DRAFTS, ("check", "try", "template"))),
    ("/studio", {"text": DRAFTS[-1], "portal": "main", "question_id": "{templates}", "template": "1"}),
    ("/studio", {"text": DRAFTS[-1], "portal": "main", "question_id": "{question}", "act": "template"}),
    ("/studio/templates", {"text": DRAFTS[-1], "portal": "none"}),
    ("/studio/activate", {"text": DRAFTS[1]}),
    ("/rules/try", {"source": "none"}),
    ("/rules/try", {"source": "website", "body": "["}),
    ("/rules/try", {"source": "website", "body": '{"lead": {"id": "x"}, "user": 1}', "given": "x"}),
    ("/rules/try", {"source": "website", "body": '{"lead": {"id": "x"}, "user": 1}'}),
    ("/rules/try", {"source": "website", "body": '{"form": "callback", "phone": "8 999 123-45-67"}'}),
    ("/erase/found", {"value": "1"}),
    ("/erase/found", {"value": "нигде@нигде"}),
    ("/bulk", {}),
    ("/bulk", {"state": "uncertain", "act": "settle-started"}),
    ("/bulk", {"state": "dead", "act": "none"}),
    ("/portals/main/pause", {"lasts": "time"}),
    ("/portals/main/pause", {"lasts": "time", "until": "never"}),
    ("/deliveries/{uncertain}/acts/settle-started", {}),
    ("/deliveries/{uncertain}/acts/replay", {}),
    ("/events/{rejected}/replay", {}),
    ("/events/{event}/leave", {}),
    ("/language", {"language": "xx"}),
    ("/edits/{rejected}/try", {"body": "["}),
    ("/edits/{rejected}/try", {"body": '{"lead": {"id": "x"}, "user": 1}'}),
    ("/edits/{rejected}/try", {"body": '{"lead": {"id": 1}, "user": 1}'}),
    ("/edits/{delivery}/try", {"body": '{"lead": {"id": 1}, "user": 1}'}),
)  # fmt: skip
"""Forms that come to a page and not to another address: what is wrong with them is said there."""


def visit(client, path: str, sent: dict[str, str] | None = None) -> Page | None:
    headers = SAME | {"Accept-Language": "ru"}
    answer = client.get(path, headers=headers) if sent is None else client.post(path, data=sent, headers=headers)
    if answer.status_code == 303 or not answer.content_type.startswith("text/html"):
        answer.close()
        return None
    return Page(answer.text)


def walk(client, begins: list[str]) -> Iterator[tuple[str, Page]]:
    """Every page here, and one of each kind to which one leads."""
    known, waiting = {kind_of(path) for path in begins}, deque(begins)
    while waiting:
        path = waiting.popleft()
        if (page := visit(client, path)) is None:
            continue
        yield path, page
        for link in page.root.iter("a"):
            address = link.attrib.get("href", "")
            if address.startswith("/") and kind_of(address) not in known:
                known.add(kind_of(address))
                waiting.append(address)


def names_in(app) -> set[str]:
    """Names of the configuration, and those that this record has made."""
    services = app.extensions["services"]
    rules = services.rules.all()
    steps = {step.name for rule in rules for step in rule.steps}
    fields = {name for kind in MADE.values() for name in kind} | {*SOUGHT_BY, *FORMS}
    return {*services.sources, *services.portals, *(rule.name for rule in rules), *steps, *fields, *RECORDED, *SENDERS}


def test_every_word_of_ours_on_a_russian_page_is_russian(app, operator, redis, tmp_path, places):
    reader = Reader(names_in(app) | names_of(one.fault for one in many(tmp_path)))
    of_record = [f"/events/{one.decode().removeprefix(keys.EVENT)}" for one in redis.scan_iter(f"{keys.EVENT}*")]
    begins = [path.format(**places) for path in (*ERRORS, *(path for page in PAGES for path in page.paths))]
    for shown in ("rejected", "event"):
        visit(operator, f"/events/{places[shown]}/reveal", {})

    found: dict[str, list[str]] = {}
    seen = []
    for path, page in walk(operator, [*begins, *of_record]):
        seen.append(path)
        found |= {path: english} if (english := reader.english_on(page)) else {}
    for path, sent in POSTS:
        fields = {name: places.get(text.strip("{}"), text) for name, text in sent.items()}
        page = visit(operator, path.format(**places), fields)
        found |= {f"{path} {sent}": english} if page and (english := reader.english_on(page)) else {}

    assert found == {}
    linked = {"/deliveries/dlv/acts/terminate", "/deliveries/dlv/acts/settle-again", "/studio", "/events/evt/leave"}
    assert {kind_of(path) for path in seen} >= linked


@pytest.mark.parametrize(
    ("text", "is_english"),
    [
        ("Состояние: open", True),
        ("done", True),
        ("Nothing yet.", True),
        ("ничего не the", True),
        ("правило website и RELAY_PUBLIC_URL", False),
        ("портал Bitrix24 отвечает HTTP 403", False),
        ("ключ без двоеточия: ожидается `key: value`", False),
        ("key: value", True),
    ],
)
def test_english_is_told_from_names_and_from_what_the_catalogue_says(text, is_english):
    assert Reader({"website"}).english_in(text) is is_english
