"""What a visitor's page says, in the visitor's language. The translations are in relay/web/translations/*.po.

They have the context "visitor" there. A language may have these alone: then forms speak it, and the dashboard does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay.core.faults import Fault
from relay.core.phrases import listed
from relay.web.language import ENGLISH, catalogue_of, catalogues

CONTEXT = "visitor"
LANGUAGES = (ENGLISH, *catalogues())
"""As in Accept-Language and `lang` (BCP 47); the first is spoken where a visitor's is none of them."""
SAYINGS: Mapping[str, tuple[str, str]] = {
    "thanks": ("Thank you", "Your form has arrived."),
    "fields": (
        "Please check your entries",
        "The form was not accepted. These entries are missing or not right:",
    ),
    "unreadable": ("The form could not be read", "Please send it again. If that does not help, tell the site."),
    "incomplete": ("The form did not arrive in full", "Please check your connection and send it again."),
    "large": (
        "That is too large",
        "Please shorten your text or choose smaller files, and send the form again.",
    ),
    "busy": ("Too many forms are arriving", "Yours was not saved. Please send it again in a minute."),
    "away": ("The form could not be saved", "Please send it again in a few minutes."),
    "refused": (
        "The form was not accepted",
        "It cannot be sent from this page. Please tell the site’s owner.",  # noqa: RUF001 - as it is printed
    ),
}
"""Title and text, by what has happened."""
BACK = "Back to the site"
WAY_BACK = "Your browser’s Back button takes you to the form; what you typed is usually still there."  # noqa: RUF001
ENTRIES: Mapping[str, str] = {
    "missing": "please fill this in",
    "missing_for_document": "please fill this in",
    "expected_email": "please enter an e-mail address",
    "expected_phone": "please enter a phone number of %(least)s to %(most)s digits",
    "expected_url": "please enter an address that begins with http:// or https://",
    "expected_whole_number": "please enter a whole number",
    "expected_number": "please enter a number",
    "expected_date": "please enter a date",
    "expected_datetime": "please enter a date",
    "expected_choice": "please choose one of: %(names)s",
    "expected_between": "please enter a number from %(least)s to %(most)s",
    "expected_at_least": "please enter at least %(least)s",
    "expected_at_most": "please enter at most %(most)s",
    "expected_at_most_characters": "at most %(most)s characters, please",
    "expected_at_most_entries": "please choose at most %(most)s",
}
"""What is wrong with an entry, by the code of the fault (core/catalogue.py)."""
OTHER = "this does not fit"
"""Of any other fault."""


@dataclass(frozen=True, slots=True)
class Words:
    """One language."""

    language: str

    def say(self, text: str) -> str:
        """One of the texts above."""
        return catalogue_of(self.language).pgettext(CONTEXT, text)

    def of_entry(self, fault: str) -> str:
        """What is wrong with an entry. What an operator has written, such as choices, stays as it is."""
        if not isinstance(fault, Fault):
            return self.say(OTHER)
        return self.say(ENTRIES.get(fault.code, OTHER)) % {name: listed(value) for name, value in fault.values.items()}
