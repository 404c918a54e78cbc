"""What an earlier delivery has made on the portal is not made again by a replay; what it has found is asked anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.configuration.portals import load_portals
from relay.core.lifecycle import State
from relay.core.plan import How, StepKind, StepResult
from relay.operations.deciding import decide, deliveries_of
from relay.operations.replay import Replayer
from relay.rules import load_rules
from relay.sources import build_context, load_sources
from relay.store.record.persons import PersonIndex
from tests.support.folders import SECRETS, copy_config
from tests.support.making import NOON, claim_one, make_entry, write
from tests.support.senders import dump

FORM = {"form": "callback", "name": "Nina", "phone": "+7 900 000-00-99"}
CLIENT = StepResult("client", StepKind.FIND, "contact", 3, 17, How.FOUND, NOON)
OWNER = StepResult("owner", StepKind.FIND, "user", None, 1, How.NOTHING, NOON)
LEAD = StepResult("lead", StepKind.MAKE, "lead", 1, 5, How.MADE, NOON, attempts=2)
STEPLESS = """\
name: callback
source: website
when: body.form == 'callback'
start: {portal: main, template_id: 1, document_id: {lead: 7}}
"""


class Rules:
    """The shipped configuration, whose rule `callback` may be written anew."""

    def __init__(self, record, folder):
        self.record, self.folder = record, folder
        self.path = folder / "rules" / "callback.yaml"
        self.shipped = self.path.read_text("utf-8")

    def write(self, text):
        self.path.write_text(text, "utf-8")
        self.sources = load_sources(self.folder / "sources.yaml", SECRETS)
        self.portals = load_portals(self.folder / "portals.yaml")
        self.book = load_rules(self.folder / "rules", sources=self.sources, portals=None)

    def change(self, *replacements):
        text = self.shipped
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        self.write(text)

    def dead(self, *results):
        """A dead delivery of the rule as it is now, whose steps have come to this."""
        entry = make_entry([], body=dump(FORM))
        context = build_context("website", entry.event, FORM, NOON)
        (made,) = deliveries_of(entry.event.id, decide(self.book, "website", context).intents, NOON)
        made = replace(made, results=results)
        write(self.record, replace(entry, event=replace(entry.event, deliveries=(made.id,)), deliveries=[made]))
        return self.bury(made)

    def bury(self, delivery):
        claimed = claim_one(self.record, delivery)
        self.record.settle(claimed, State.DEAD, NOON, reason="because")
        return self.record.delivery(delivery.id)

    def replay(self, delivery, rules="original"):
        replayer = Replayer(self.record, self.sources, self.book, PersonIndex("key"))
        (fresh,) = replayer.replay(delivery.id, current_rules=rules == "current")
        assert self.record.delivery(fresh.id) == fresh
        return fresh


@pytest.fixture
def rules(record, tmp_path):
    rules = Rules(record, copy_config(tmp_path))
    rules.write(rules.shipped)
    return rules


def test_the_first_delivery_of_a_chain_gives_its_id_to_what_is_made(rules):
    first = rules.dead()
    second = rules.bury(rules.replay(first))
    third = rules.replay(second, "current")

    assert first.plan.origin == second.plan.origin == third.plan.origin == first.id


@pytest.mark.parametrize("which", ["original", "current"])
def test_what_was_made_is_carried_over_and_what_was_found_is_asked_anew(rules, which):
    fresh = rules.replay(rules.dead(CLIENT, OWNER, LEAD), which)

    assert fresh.results == (replace(LEAD, how=How.CARRIED),)
    assert fresh.next_step.name == "client"
    assert fresh.call.document_id[2] == "LEAD_{lead}"


def test_it_is_carried_over_again_and_again(rules):
    third = rules.replay(rules.bury(rules.replay(rules.dead(CLIENT, OWNER, LEAD))))

    assert third.results == (replace(LEAD, how=How.CARRIED),)


@pytest.mark.parametrize("how", [How.MADE, How.FOUND_AGAIN])
def test_whatever_way_it_is_known_to_be_made(rules, how):
    assert rules.replay(rules.dead(replace(LEAD, how=how))).values == {"lead": 5}


def test_what_was_taken_instead_is_not_carried_over_for_it_was_only_found(rules):
    assert rules.replay(rules.dead(replace(LEAD, how=How.TAKEN))).results == ()


ON_ANOTHER = ('{lead: "{lead}"}', "{lead: 7}")
ELSEWHERE = {
    "another name": [("  lead:\n    lead:", "  other:\n    lead:"), ON_ANOTHER],
    "another kind": [("  lead:\n    lead:", "  lead:\n    company:"), ON_ANOTHER],
    "another portal": [("portal: main", "portal: second")],
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_it_is_nothing_to_a_rule_that_makes_another_thing_or_elsewhere(rules, change):
    old = rules.dead(CLIENT, OWNER, LEAD)
    rules.change(*change)

    assert rules.replay(old, "current").results == ()


def test_a_rule_that_has_no_steps_any_more_starts_at_once(rules):
    old = rules.dead(CLIENT, OWNER, LEAD)
    rules.write(STEPLESS)

    fresh = rules.replay(old, "current")

    assert (fresh.plan, fresh.results, fresh.call.document_id[2]) == (None, (), "LEAD_7")


def test_a_rule_that_has_steps_only_now_takes_them(rules):
    rules.write(STEPLESS)
    old = rules.dead()
    rules.write(rules.shipped)

    fresh = rules.replay(old, "current")

    assert (fresh.plan.origin, fresh.results, fresh.next_step.name) == (fresh.id, (), "client")


def test_a_delivery_without_steps_in_between_does_not_make_the_chain_forget_what_was_made(rules):
    first = rules.dead(CLIENT, OWNER, LEAD)
    rules.write(STEPLESS)
    second = rules.bury(rules.replay(first, "current"))
    rules.write(rules.shipped)

    third = rules.replay(second, "current")

    assert (third.plan.origin, third.values) == (first.id, {"lead": 5})
