"""DOCUMENT_ID: which documents there are, and how their ids may be written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.sandbox.answers import RestError
from relay.sandbox.bizproc import find_document
from relay.sandbox.workflows import ten_templates

CRM = "Bitrix\\Crm\\Integration\\BizProc\\Document\\"
OF_EACH_TEMPLATE = [
    ["crm", "CCrmDocumentLead", "LEAD_777"],
    ["crm", "CCrmDocumentDeal", "DEAL_777"],
    ["crm", "CCrmDocumentContact", "CONTACT_777"],
    ["crm", "CCrmDocumentCompany", "COMPANY_777"],
    ["crm", CRM + "Quote", "QUOTE_777"],
    ["crm", CRM + "SmartInvoice", "SMART_INVOICE_3"],
    ["crm", CRM + "Dynamic", "DYNAMIC_147_1"],
    ["lists", "BizprocDocument", "777"],
    ["lists", "Bitrix\\Lists\\BizprocDocumentLists", "777"],
    ["disk", "Bitrix\\Disk\\BizProcDocument", "777"],
]


@pytest.mark.parametrize(("number", "document"), [*enumerate(OF_EACH_TEMPLATE, start=1)])
def test_each_of_the_ten_templates_starts_on_its_kind_of_document(client, number, document):
    assert client.start(number, document).status_code == 200
    assert client.started()[0]["document"] == document


@pytest.mark.parametrize(
    ("entity", "written", "canonical"),
    [
        ("CCrmDocumentLead", "777", "LEAD_777"),
        ("CCrmDocumentLead", 777, "LEAD_777"),
        ("CCrmDocumentLead", "L_777", "LEAD_777"),
        ("CCrmDocumentLead", "lead_777", "LEAD_777"),
        ("CCrmDocumentDeal", "D_5", "DEAL_5"),
        ("CCrmDocumentContact", "C_5", "CONTACT_5"),
        ("CCrmDocumentCompany", "CO_5", "COMPANY_5"),
        (CRM + "Quote", "Q_5", "QUOTE_5"),
        (CRM + "SmartInvoice", "SI_5", "SMART_INVOICE_5"),
        (CRM + "Invoice", "I_5", "INVOICE_5"),
        (CRM + "Order", "O_5", "ORDER_5"),
        (CRM + "Shipment", "ORDER_SHIPMENT_5", "ORDER_SHIPMENT_5"),
        (CRM + "Dynamic", "T93_5", "DYNAMIC_147_5"),
    ],
)
def test_crm_ids_are_made_canonical(entity, written, canonical):
    assert find_document(["crm", entity, written], ()).element == canonical


@pytest.mark.parametrize("module", ["'crm'", '"crm"', "crm ", "цrm"])
def test_a_module_that_is_no_word_ends_in_an_error_of_the_core(client, module):
    response = client.start(1, [module, "CCrmDocumentLead", "LEAD_1"])

    assert response.status_code == 400
    assert response.json() == {"error": "ERROR_CORE", "error_description": f"Module name '{module}' is not correct"}


def test_the_template_types_are_those_that_their_documents_have():
    for template, document in zip(ten_templates().values(), OF_EACH_TEMPLATE, strict=True):
        assert find_document(document, ()).type_triple == template.document_type


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_any_other_document_id_is_refused_and_never_breaks(document_id):
    with pytest.raises(RestError, match=r"DOCUMENT_ID|Module name"):
        find_document(document_id, ())


KINDS = st.sampled_from([(module, entity) for module, entity, _ in OF_EACH_TEMPLATE])


@given(KINDS, st.text() | st.integers())
def test_an_element_id_of_any_text_is_found_or_refused(kind, element):
    try:
        document = find_document([*kind, element], ())
    except RestError:
        return
    assert find_document(list(document.triple), ()) == document  # canonical ids stay as they are
