"""The guard stands before every route: the tests find the routes by themselves, those of tomorrow included."""

from __future__ import annotations

import pytest

from relay.core.lifecycle import State
from relay.web.dashboard.frame import SAFE, blueprint, for_anybody, for_viewers
from tests.support.making import bring_to

SAME = {"Origin": "http://localhost", "Accept": "text/html"}
OTHER = {"Origin": "https://evil.test", "Accept": "text/html"}
WITHOUT_SESSION = {"dashboard.login", "dashboard.check_login", "dashboard.logout", "dashboard.choose_language"}
POSTS_FOR_VIEWERS = {"dashboard.try_body"}


@pytest.fixture
def routes(app, record):
    """Every route of the dashboard as (endpoint, method, a path that leads somewhere)."""
    dead = bring_to(record, State.DEAD)
    names = {
        "event_id": dead.event_id,
        "delivery_id": dead.id,
        "name": "replay",
        "wanted": dead.id,
        "switch": "pause",
        "kind": "csv",
        "bulk_id": "rpl_1",
        "question_id": "ask_1",
        "change_id": "chg_1-0",
        "word": "accept",
    }
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith(f"{blueprint.name}."):
            continue
        path = rule.rule
        for argument in rule.arguments:
            value = "main" if path.startswith("/portals") and argument == "name" else names[argument]
            path = path.replace(f"<{argument}>", value)
        found += [(rule.endpoint, method, path) for method in sorted(rule.methods - {"HEAD", "OPTIONS"})]
    return found


def changing(routes):
    return [route for route in routes if route[1] not in SAFE]


def test_every_route_is_seen(routes):
    assert len(changing(routes)) >= 10
    assert {method for _, method, _ in routes} == {"GET", "POST"}


def test_without_a_session_everything_leads_to_the_login(app, routes):
    for endpoint, method, path in routes:
        answer = app.test_client().open(path, method=method, headers=SAME)
        if endpoint in WITHOUT_SESSION:
            continue
        if hasattr(app.view_functions[endpoint], "longest_form"):  # the form is kept beside the way to the login
            assert answer.status_code == 401, (method, path)
            assert 'href="/login"' in answer.text, (method, path)
            continue
        assert answer.status_code == 303, (method, path)
        assert answer.headers["Location"].startswith("/login"), (method, path)


@pytest.mark.parametrize("headers", [OTHER, {"Origin": "null"}, {}])
def test_a_change_that_another_site_caused_is_refused_to_everybody(app, operator, routes, headers):
    for _, method, path in changing(routes):
        assert operator.open(path, method=method, headers=headers).status_code == 403, (method, path)
        assert app.test_client().open(path, method=method, headers=headers).status_code == 403, (method, path)


def test_a_viewer_changes_nothing(viewer, routes, record):
    before = record.counts()

    for endpoint, method, path in changing(routes):
        if endpoint not in WITHOUT_SESSION | POSTS_FOR_VIEWERS:
            assert viewer.open(path, method=method, headers=SAME).status_code == 403, (method, path)

    assert record.counts() == before
    assert record.redis.xlen("relay:acts") == 0


def test_a_viewer_sees_every_page_that_is_not_for_operators(app, viewer, routes):
    for endpoint, method, path in routes:
        if method == "GET":
            answer = viewer.get(path, headers=SAME)
            is_for_operators = getattr(app.view_functions[endpoint], "asks", None) == "operator"
            expected = {403} if is_for_operators else {200, 303, 404}
            assert answer.status_code in expected, (path, answer.status_code)
            assert answer.data is not None  # a file is read to its end


def test_a_viewer_is_offered_nothing_to_do(viewer, operator, record):
    events = [bring_to(record, state).event_id for state in State]

    for path in ["/portals", "/bulk?state=dead", *(f"/events/{event}" for event in events)]:
        seen = viewer.get(path, headers=SAME).text
        assert "/acts/" not in seen
        assert "/pause" not in seen
        assert "/ping" not in seen
        assert "Reveal" not in seen
        assert [part for part in seen.split("<form")[1:] if 'method="post"' in part.partition(">")[0]] == [
            part for part in seen.split("<form")[1:] if {"/logout", "/language"} & set(part.split('"'))
        ]
    assert "/acts/" in operator.get(f"/events/{events[-1]}", headers=SAME).text


def test_a_view_asks_for_a_session_and_an_operator_unless_it_says_otherwise(app):
    relaxed = {
        name
        for name, view in app.view_functions.items()
        if name.startswith("dashboard.") and getattr(view, "asks", None) in {"nothing", "session"}
    }
    assert relaxed == WITHOUT_SESSION | POSTS_FOR_VIEWERS | {"dashboard.sessions"}
    assert for_anybody(lambda: None).asks == "nothing"
    assert for_viewers(lambda: None).asks == "session"


def test_a_session_of_a_role_that_has_no_password_any_more_has_ended(make_app, valkey, viewer):
    without = make_app(valkey, viewer_password=None).test_client()
    without.set_cookie("relay_session", viewer.get_cookie("relay_session").value)

    assert without.get("/").status_code == 303


def test_a_viewer_cannot_make_an_operator_of_the_session(viewer):
    cookie = viewer.get_cookie("relay_session").value
    viewer.set_cookie("relay_session", cookie.swapcase())

    assert viewer.get("/").status_code == 303
