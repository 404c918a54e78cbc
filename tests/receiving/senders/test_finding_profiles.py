"""A sender's profile is found by what people call it, and says where its values are, and what is doubtful."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.cli.main import main
from relay.configuration.files import Mistakes
from relay.core.events import Event
from relay.core.ids import new_event_id, utc_now
from relay.core.lifecycle import EventState
from relay.operations.deciding import contexts_of
from relay.operations.drafting import tree_of, type_of
from relay.operations.sampling import sample_event
from relay.sources.finding import find_profiles
from relay.sources.loading import Profile, Profiles, load_sources
from relay.sources.schemas import KINDS, PLACED
from tests.support.golden import Golden, goldens

EVERY = Profiles(None).every(Mistakes())
EVENTS = [one for one in goldens() if one.is_event]


def names(text="", **more):
    return [one.name for one in find_profiles(EVERY, text, **more)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tilda", ["tilda"]),
        ("TILDA shop", ["tilda"]),
        ("тильда", ["tilda"]),
        ("  Тильда ", ["tilda"]),
        ("яндекс касса", ["yookassa"]),
        ("ЮKassa", ["yookassa"]),
        ("вконтакте", ["vk"]),
        ("дживо", ["jivosite"]),
        ("ámocrm", ["amocrm"]),
        ("contact 7", ["contact-form-7"]),
        ("no such sender", []),
    ],
)
def test_a_sender_is_found_by_any_of_its_names_in_latin_and_cyrillic(text, found):
    assert names(text) == found


def test_without_words_every_profile_is_found():
    assert sorted(names()) == Profiles(None).names


def test_a_sender_that_is_used_in_a_country_comes_before_those_that_are_used_everywhere():
    found = names(country="kz", kind="payments")

    assert {"cloudpayments", "robokassa", "stripe"} <= set(found)
    assert found.index("robokassa") < found.index("coinbase")
    assert not {"yookassa", "square", "tilda"} & set(found)


def test_every_profile_is_found_by_exactly_one_kind():
    assert sorted(name for kind in KINDS for name in names(kind=kind)) == Profiles(None).names
    assert "typeform" in names(kind="forms")


@pytest.mark.parametrize("profile", EVERY, ids=lambda one: one.name)
def test_a_profile_finds_the_values_that_it_says_an_event_has(tmp_path: Path, profile: Profile):
    """In its sample or in one of the golden requests; an e-mail address and a telephone number look like one."""
    (tmp_path / "sources.yaml").write_text(f"sources:\n{profile.entry('it')}\n", "utf-8")
    source = load_sources(tmp_path / "sources.yaml", None)["it"]
    events = [sample_event(source, profile, utc_now())] + [
        event_of(one) for one in EVENTS if one.profile == profile.name
    ]
    contexts = [context for event in events for context in contexts_of(source, event)] if profile.places else []
    placed = {node.name: node for context in contexts for node in tree_of(context, places=profile.places).placed}

    assert placed.keys() == profile.places.keys()
    for name in placed.keys() & {"email", "phone"}:
        assert type_of(placed[name].value, name) == name


def event_of(one: Golden) -> Event:
    headers = {name.lower(): value for name, value in one.headers}
    return Event(
        id=new_event_id(one.at),
        source="it",
        state=EventState.ACCEPTED,
        received_at=one.at,
        method=one.method,
        content_type=headers.get("content-type", ""),
        query=one.target.partition("?")[2],
        headers=headers,
        body=one.body,
    )


def test_values_are_proposed_in_one_order_for_every_sender():
    for profile in EVERY:
        assert list(profile.places) == [name for name in PLACED if name in profile.places]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--profiles", "тильда"], ["tilda"]),
        (["--profiles", "касса", "робокас", "--country", "RU"], ["robokassa"]),
        (["--profiles", "тильда", "--country", "DE", "--kind", "forms"], []),
        (["--profiles", "--kind", "booking"], None),
    ],
)
def test_the_command_lists_the_profiles_that_fit(capsys, options, found):
    assert main(["sources", "list", *options]) == (0 if found != [] else 1)

    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == (names(kind="booking") if found is None else found)


def test_the_command_says_what_takes_a_sender_without_a_profile(capsys):
    assert main(["sources", "list", "--profiles", "no", "such", "sender"]) == 1
    assert "sources show inbox" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--profiles", "--kind", "form"], "--kind 'form': expected one of telephony, forms"),
        (["--profiles", "--country", "Russia"], "--country 'Russia': expected two letters"),
        (["--kind", "forms"], "expected with --profiles"),
    ],
)
def test_a_choice_of_profiles_that_cannot_be_made_is_a_mistake_in_usage(capsys, options, expected):
    with pytest.raises(SystemExit) as caught:
        main(["sources", "list", *options])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_what_is_doubtful_is_said_beside_the_steps(capsys):
    assert main(["sources", "show", "elementor"]) == 0

    shown = capsys.readouterr().out
    assert [doubt for doubt in Profiles(None).get("elementor", Mistakes()).doubts if doubt not in shown] == []
    assert "not certain:" in shown
