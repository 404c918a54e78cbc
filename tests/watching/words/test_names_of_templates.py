"""A template is shown by the name that it has on its portal, and a document by its kind and number."""

from __future__ import annotations

from relay.core.ids import utc_now
from relay.core.lifecycle import State
from relay.store.portals.portal import PortalRecord
from tests.support.making import bring_to
from tests.support.pages import Page, ask

CALL = ".//table[@class='data call']/tbody/tr"


def test_every_page_that_shows_a_call_names_its_template_and_its_document(operator, record):
    PortalRecord(record.redis, "main").keep_template_names({1: "First call"})
    dead = bring_to(record, State.DEAD, utc_now(), rules=["document-lead"])

    for path in (f"/events/{dead.event_id}", f"/deliveries/{dead.id}/acts/replay"):
        page = Page(ask(operator, path))
        rows = {row.findtext("th"): row for row in page.root.iterfind(CALL)}
        template, document = rows["Template"].find("td[2]/bdi"), rows["Document"].find("td[2]/bdi")
        assert (template.text, template.attrib["title"]) == ("First call (1)", "1")
        assert (document.text, document.attrib["title"]) == ("Lead 1", "crm · CCrmDocumentLead · LEAD_1")


def test_lists_name_the_template_of_a_group_a_rule_and_a_portal(operator, record):
    portal = PortalRecord(record.redis, "main")
    bring_to(record, State.DEAD, utc_now(), rules=["document-lead"])
    assert "Template 1<" in ask(operator, "/portals"), "it has not been asked for its names yet"
    portal.keep_template_names({1: "First call"})

    for path in ("/needs", "/portals", "/rules"):
        assert "First call (1)" in ask(operator, path), path
