"""Whoever config/alerts.yaml names is told what is wrong: once, again after a while, and when it is over."""

from __future__ import annotations

import base64
import email
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from redis import Redis

from relay.cli.main import main
from relay.configuration.alerts import Alerting, Chat, Hook, Mail, load_alerting
from relay.core.errors import ConfigError
from relay.core.ids import utc_now
from relay.core.lifecycle import EventState, State
from relay.core.templates import Drift, DriftKind
from relay.operations.ingest import REFUSALS
from relay.store import Store
from relay.store.portals.gate import Gate
from relay.store.portals.portal import PortalRecord
from relay.store.record import open_issues
from relay.store.redis import keys
from tests.delivering.contexts import make_context, use_webhook
from tests.support.folders import copy_config
from tests.support.making import DAY, NOON, bring_to, hold, make_entry, write, write_one
from tests.support.processes import refusing_address
from tests.support.waiting import until
from workers.alerts.alerter import AWAY, Alerter
from workers.alerts.messengers import (
    Message,
    News,
    UnsentError,
    _for_chat,
    notify,
    open_channels,
    open_chats,
    post,
    say,
    sign,
)
from workers.alerts.messengers import write as write_mail

SECRET = "whsec_" + base64.b64encode(b"secret-of-the-test").decode()
HOUR = timedelta(hours=1)
EMAIL, LEAD_ID = (f"website: cannot be filled: {name}" for name in ("email", "lead_id"))
NEWS = News({"dead:": "1 delivery is dead"}, {}, {}, {})


class Receiver(ThreadingHTTPServer):
    """Takes webhooks, or answers with a status that is no acceptance."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.refused = 0
        self.status = 204

    class Handler(BaseHTTPRequestHandler):
        server: Receiver

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.server.status < 300:
                self.server.taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
            else:
                self.server.refused += 1
            self.send_response(self.server.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Quiet."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"

    @property
    def contents(self) -> list[dict]:
        return [json.loads(body) for _, body in self.taken]


class PostOffice(socketserver.ThreadingTCPServer):
    """A mail server that speaks as much SMTP as a letter needs, and keeps what it is given."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.letters: list[tuple[list[str], bytes]] = []

    class Handler(socketserver.StreamRequestHandler):
        server: PostOffice

        def handle(self) -> None:
            self.say("220 here")
            to: list[str] = []
            for line in self.rfile:
                word = line.strip().decode().upper()
                if word.startswith("RCPT TO"):
                    to.append(line.decode().partition("<")[2].partition(">")[0])
                if word == "DATA":
                    self.say("354 go on")
                    self.server.letters.append((to, self.read_letter()))
                self.say("221 bye" if word == "QUIT" else "250 yes")
                if word == "QUIT":
                    return

        def read_letter(self) -> bytes:
            lines = []
            while (line := self.rfile.readline()) not in {b".\r\n", b""}:
                lines.append(line)
            return b"".join(lines)

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())


def running(server: socketserver.TCPServer) -> Iterator[socketserver.TCPServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from running(Receiver())


@pytest.fixture
def office() -> Iterator[PostOffice]:
    yield from running(PostOffice())


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self):
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def alerting_for(receiver=None, office=None, **changes) -> Alerting:
    hooks = (Hook("on-call", receiver.url, SECRET),) if receiver else ()
    mails = ()
    if office:
        port = office.server_address[1]
        mails = (Mail("team", "127.0.0.1", port, "none", "relay@example.com", ("a@example.com", "b@example.com")),)
    settings = {
        "repeat": 4 * HOUR, "oldest_waiting": timedelta(minutes=15), "quiet": HOUR, "silent_after": {},
        "hooks": hooks, "mails": mails,
    }  # fmt: skip
    return Alerting(**(settings | changes))


@pytest.fixture
def watch(record, clock):
    """Makes an alerter; its link is an address of nobody."""

    def make(alerting: Alerting) -> Alerter:
        return Alerter(
            Store(record.redis), alerting, ["main"], open_channels(alerting), "https://relay.example.com", clock
        )

    return make


def kinds(content, group):
    return [(one["kind"], one["subject"]) for one in content["data"][group]]


def test_nothing_is_said_while_nothing_is_wrong(watch, record, receiver):
    bring_to(record, State.STARTED)
    watch(alerting_for(receiver)).look()

    assert receiver.taken == []


def test_a_held_portal_is_told_once_then_again_after_a_while_then_that_it_is_over(watch, redis, receiver, clock):
    alerter, gate = watch(alerting_for(receiver)), Gate(redis, "main")
    gate.hold(gate.look(), "INVALID_CREDENTIALS", clock())
    for _ in range(3):
        alerter.look()
        clock.now += timedelta(minutes=1)
    clock.now += 4 * HOUR
    alerter.look()
    gate.open(gate.look(), clock())
    alerter.look()
    clock.now += AWAY
    alerter.look()
    alerter.look()

    first, again, over = receiver.contents
    assert [kinds(first, group) for group in ("new", "still", "resolved")] == [[("portal_held", "main")], [], []]
    assert "Make a new one" in first["text"]
    assert "https://relay.example.com" in first["text"]
    assert (kinds(again, "new"), kinds(again, "still")) == ([], [("portal_held", "main")])
    assert (kinds(over, "new"), kinds(over, "resolved")) == ([], [("portal_held", "main")])


def test_what_comes_and_goes_is_one_trouble(watch, redis, receiver, clock):
    alerter, gate = watch(alerting_for(receiver)), Gate(redis, "main")
    for _ in range(5):
        gate.hold(gate.look(), "x", clock())
        alerter.look()
        gate.open(gate.look(), clock())
        clock.now += timedelta(minutes=1)
        alerter.look()

    assert len(receiver.taken) == 1


def test_everything_that_is_wrong_comes_in_one_message(watch, record, redis, receiver, clock):
    alerter = watch(alerting_for(receiver, silent_after={"github": HOUR, "never": HOUR}))
    alerter.look()
    bring_to(record, State.UNCERTAIN, clock.now)
    bring_to(record, State.DEAD, clock.now)
    write_one(record, clock.now - timedelta(minutes=16))
    write(record, make_entry([], source="github", at=clock.now - 2 * HOUR))
    redis.zadd(keys.UNDECIDED, {"dlv_lost": 0})
    PortalRecord(redis, "main").keep_drift([Drift(DriftKind.NO_TEMPLATE, "a", 1).to_wire()])
    alerter.look()

    (content,) = receiver.contents
    assert kinds(content, "new") == [
        ("ledger", ""), ("uncertain", ""), ("waiting", "main"), ("drift", "main"), ("silent", "github"),
        ("dead", "a-rule → main, template 1: because"),
    ]  # fmt: skip
    assert "1 delivery is dead" in content["text"]
    assert "for 16 min" in content["text"]


def test_deaths_are_new_ones_and_over_when_none_came_for_a_while(watch, record, receiver, clock):
    left = bring_to(record, State.DEAD)
    record.leave(left.id)
    alerter = watch(alerting_for(receiver))
    alerter.look()
    assert receiver.taken == []
    for _ in range(2):
        bring_to(record, State.DEAD)
        alerter.look()
        clock.now += timedelta(minutes=59)
    alerter.look()
    assert len(receiver.taken) == 1
    clock.now += HOUR
    alerter.look()
    clock.now += AWAY
    alerter.look()

    assert len(receiver.taken) == 2
    assert kinds(receiver.contents[-1], "resolved") == [("dead", "")]
    assert "RESOLVED: no delivery has died for a while" in receiver.contents[-1]["text"]


def test_the_same_dead_delivery_is_told_once(watch, record, receiver, clock):
    alerter = watch(alerting_for(receiver))
    alerter.look()
    bring_to(record, State.DEAD, clock.now, rules=["one"])
    alerter.look()
    bring_to(record, State.DEAD, clock.now, rules=["one"])
    clock.now += timedelta(minutes=1)
    alerter.look()

    (content,) = receiver.contents
    assert kinds(content, "new") == [("dead", "one → main, template 1: because")]


def test_deaths_in_a_group_that_was_told_before_are_told_as_a_run(watch, record, receiver, clock):
    alerter = watch(alerting_for(receiver))
    bring_to(record, State.DEAD, clock.now, rules=["one"])
    alerter.look()
    bring_to(record, State.DEAD, clock.now, rules=["one"])
    clock.now += timedelta(minutes=1)
    alerter.look()

    assert kinds(receiver.contents[-1], "new") == [("dead", "")]
    assert "1 delivery is dead in this run" in receiver.contents[-1]["text"]


def refuse(record, count, at, source="website", reason="signature_mismatch"):
    for _ in range(count):
        entry = make_entry([], state=EventState.REFUSED, source=source, at=at)
        write(record, replace(entry, event=replace(entry.event, reason=reason), bounds=REFUSALS))


def test_a_refused_sender_is_told_once_with_its_share_and_cause(watch, record, receiver, clock):
    alerter = watch(alerting_for(receiver, repeat=timedelta(minutes=2)))
    refuse(record, 4, clock.now)
    alerter.look()
    assert receiver.taken == [], "a few may be a stranger's"
    for _ in range(3):
        refuse(record, 3, clock.now)
        alerter.look()
        clock.now += timedelta(minutes=3)

    (content,) = receiver.contents
    assert kinds(content, "new") == [("refused", "website")]
    told = "7 of 7 requests from source website were refused in the last hour (signature does not fit)"
    assert told in content["text"]
    assert "The sender has another secret than the one configured here" in content["text"]


TOLD_APART = {
    ("signature_mismatch", 0): "has another secret",
    ("signature_mismatch", 3): "the body of these was changed on its way",
    ("digest_mismatch", 0): "the body is not the one that was signed",
    ("token_missing", 0): "carried no token",
}
"""By the reason of five refusals, and how many other requests were right: what is told."""


@pytest.mark.parametrize(("reason", "right"), TOLD_APART)
def test_a_changed_body_and_another_secret_are_told_apart(watch, record, receiver, reason, right):
    for _ in range(right):
        write(record, make_entry([], at=utc_now()))
    refuse(record, 5, utc_now(), reason=reason)

    watch(alerting_for(receiver)).look()

    assert TOLD_APART[reason, right] in receiver.contents[0]["text"]


def test_a_channel_that_does_not_get_through_is_told_to_the_others(watch, record, receiver, office, clock):
    alerter = watch(alerting_for(receiver, office))
    receiver.status = 500
    hold(record.redis, "main", "x", clock())
    for _ in range(3):
        alerter.look()
        clock.now += timedelta(minutes=1)
    receiver.status = 200
    for _ in range(2):
        alerter.look()
        clock.now += timedelta(seconds=30)

    letters = [email.message_from_bytes(letter, policy=policy.default).get_content() for _, letter in office.letters]
    assert ["alerts do not get through to the channel on-call" in one for one in letters] == [False, True]
    assert [kinds(one, "new") for one in receiver.contents] == [[("portal_held", "main")]]


def test_a_new_group_of_failures_is_told_once_and_when_nobody_is_needed_for_it(watch, record, receiver, clock):
    alerter = watch(alerting_for(receiver))
    events = []
    for errors in ({"lead_id": ["missing"]}, {"lead_id": ["too small"]}, {"email": ["no"]}):
        entry = make_entry([], state=EventState.REJECTED, at=clock.now)
        write(record, replace(entry, event=replace(entry.event, reason="rule_not_filled", errors=errors)))
        events.append(entry.event.id)
        for _ in range(3):
            alerter.look()
            clock.now += 12 * HOUR
    for event_id in events:
        record.leave(event_id)
    alerter.look()
    clock.now += AWAY
    alerter.look()

    first, second, over = receiver.contents
    assert kinds(first, "new") == [("rejected", LEAD_ID)]
    assert "1 event was rejected (website: cannot be filled: lead_id)" in first["text"]
    assert (kinds(second, "new"), kinds(second, "still")) == ([("rejected", EMAIL)], [])
    assert kinds(over, "resolved") == [
        ("rejected", EMAIL),
        ("rejected", LEAD_ID),
    ]


def test_a_source_that_is_silent_for_longer_than_events_are_kept_stays_an_alarm(watch, record, receiver, clock):
    alerter = watch(alerting_for(receiver, silent_after={"github": HOUR}))
    heard = make_entry([], source="github", at=clock.now - 2 * HOUR)
    write(record, heard)
    alerter.look()
    record.prune(heard.event.id)

    for _ in range(3):
        clock.now += AWAY
        alerter.look()

    assert [kinds(one, "new") for one in receiver.contents] == [[("silent", "github")]]


def test_a_group_that_is_no_longer_among_the_newest_is_not_over(watch, record, receiver, clock, monkeypatch):
    monkeypatch.setattr("workers.alerts.alerter.MOST_GROUPS", 2)
    monkeypatch.setattr(open_issues, "MOST_GROUPS", 3)
    alerter = watch(alerting_for(receiver, quiet=DAY))
    for number in range(5):
        bring_to(record, State.DEAD, NOON + timedelta(seconds=number), rules=[f"rule-{number}"])
        alerter.look()
        clock.now += 2 * AWAY

    assert [kinds(one, "resolved") for one in receiver.contents] == [[]] * 5
    for delivery_id in record.page(keys.BURIED):
        record.leave(delivery_id)
    alerter.look()
    clock.now += AWAY
    alerter.look()
    assert len(kinds(receiver.contents[-1], "resolved")) == 5


def test_what_a_person_has_given_up_is_no_death_to_be_told_of(watch, record, receiver, clock):
    alerter = watch(alerting_for(receiver))
    alerter.look()
    waiting = write_one(record, clock.now)
    uncertain = bring_to(record, State.UNCERTAIN, clock.now)
    record.settle(waiting, State.DEAD, clock.now, reason="cancelled")
    record.settle(uncertain, State.DEAD, clock.now, reason="settled_by_person")

    alerter.look()

    assert receiver.taken == []


def test_a_trouble_that_began_and_ended_while_a_channel_was_away_is_told(watch, redis, receiver, clock):
    alerter, gate = watch(alerting_for(receiver)), Gate(redis, "main")
    receiver.status = 500
    gate.hold(gate.look(), "x", clock())
    alerter.look()
    gate.open(gate.look(), clock())
    for _ in range(3):
        clock.now += AWAY
        alerter.look()
    receiver.status = 200

    alerter.look()
    clock.now += timedelta(seconds=30)
    alerter.look()
    alerter.look()

    began, ended = receiver.contents
    assert (kinds(began, "new"), kinds(ended, "resolved")) == ([("portal_held", "main")], [("portal_held", "main")])


def test_the_signature_is_that_of_standard_webhooks(receiver, clock):
    # The example of its specification (spec/standard-webhooks.md).
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    assert sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == (
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )

    post(Hook("on-call", receiver.url, SECRET), Message("msg_1", clock(), NEWS))

    ((headers, sent),) = receiver.taken
    assert headers["webhook-id"] == "msg_1"
    assert headers["webhook-timestamp"] == str(int(clock().timestamp()))
    assert headers["webhook-signature"] == "v1," + sign(SECRET, "msg_1", headers["webhook-timestamp"], sent)
    assert json.loads(sent)["type"] == "relay.alert"


@pytest.mark.parametrize("status", [301, 400, 410, 500])
def test_a_channel_that_takes_no_message_is_told_when_it_does_and_the_other_is_told_once(
    watch, receiver, office, clock, status
):
    alerter = watch(alerting_for(receiver, office))
    hold(alerter.store.record.redis, "main", "x", clock())
    receiver.status = status
    for _ in range(3):
        alerter.look()
        clock.now += timedelta(seconds=30)
    receiver.status = 200
    alerter.look()
    alerter.look()

    assert receiver.refused == 3
    assert len(receiver.taken) == 1
    assert len(office.letters) == 1


def test_a_second_try_has_the_id_of_the_first_and_the_same_trouble_has_another_one_later(watch, redis, receiver, clock):
    alerter, gate = watch(alerting_for(receiver)), Gate(redis, "main")
    for _ in range(2):
        gate.hold(gate.look(), "x", clock())
        known = redis.hgetall(keys.ALERT_STATE + "on-call")
        alerter.look()
        redis.delete(keys.ALERT_STATE + "on-call")  # as if this process had died before it could write it down
        if known:
            redis.hset(keys.ALERT_STATE + "on-call", mapping=known)
        alerter.look()
        gate.open(gate.look(), clock())
        alerter.look()
        clock.now += AWAY
        alerter.look()

    ids = [headers["webhook-id"] for headers, _ in receiver.taken]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_a_letter_says_what_is_wrong_to_everybody(watch, redis, office, clock):
    hold(redis, "main", "x", clock())
    watch(alerting_for(office=office)).look()

    ((to, raw),) = office.letters
    letter = email.message_from_bytes(raw, policy=policy.default)
    assert to == ["a@example.com", "b@example.com"]
    assert (letter["Subject"], letter["From"]) == ("relay: 1 new", "relay@example.com")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content().startswith("NEW: portal main is held (x)")


def test_a_channel_that_is_away_is_unsent_without_its_address(clock):
    with refusing_address() as address:
        host, _, port = address.partition(":")
        hook = Hook("on-call", f"http://{address}/a-secret-path", SECRET)
        mail = Mail("team", host, int(port), "none", "a@example.com", ("b@example.com",))
        for send in (
            lambda: post(hook, Message("m", clock(), NEWS)),
            lambda: write_mail(mail, Message("m", clock(), NEWS)),
        ):
            with pytest.raises(UnsentError) as caught:
                send()
            assert "a-secret-path" not in str(caught.value)


def test_the_watchman_looks_from_a_thread_until_it_is_stopped_and_one_process_at_a_time(watch, redis, receiver, clock):
    hold(redis, "main", "x", clock())
    stops = [threading.Event() for _ in range(2)]
    threads = [threading.Thread(target=watch(alerting_for(receiver)).run, args=(stop,)) for stop in stops]
    for thread in threads:
        thread.start()
    until(lambda: receiver.taken, "the message")
    for stop, thread in zip(stops, threads, strict=True):
        stop.set()
        thread.join(10)

    assert len(receiver.taken) == 1
    assert not redis.exists(f"{keys.LEASE}alerts"), "it ends with the look"


def test_a_test_goes_out_within_seconds_while_nothing_is_wrong(watch, receiver, clock):
    alerter, stop = watch(alerting_for(receiver)), threading.Event()
    thread = threading.Thread(target=alerter.run, args=(stop,))
    thread.start()
    kept = alerter.store.operators.alerts
    until(lambda: kept.channels(clock()), "the channel to be on record")
    kept.ask_test("on-call")
    until(lambda: receiver.taken, "the test")
    stop.set()
    thread.join(10)

    (content,) = receiver.contents
    assert kinds(content, "new") == [("test", "")]
    assert content["text"].startswith("TEST: ")
    assert [(told.channel, told.is_test) for told in kept.sent()] == [("on-call", True)]


def test_what_a_channel_was_told_and_what_is_wrong_with_it_is_on_record(watch, redis, receiver, clock):
    alerter = watch(alerting_for(receiver))
    kept = alerter.store.operators.alerts
    hold(redis, "main", "x", clock())
    receiver.status = 500
    alerter.look()

    (channel,) = kept.channels(clock())
    assert (channel.kind, channel.where, channel.fault, channel.told_at) == ("webhook", "127.0.0.1", "HTTP 500", None)
    receiver.status = 204
    alerter.look()

    (channel,) = kept.channels(clock())
    assert (channel.fault, channel.fault_at) == ("", None)
    assert [told.text for told in kept.sent()] == [receiver.contents[0]["text"]]


def open_line(record, url, clock, **options):
    return make_context(record, use_webhook(url, **options), clock).client


def messages(sandbox):
    return [(one.dialog_id, one.text) for one in sandbox.portal.messages]


def test_a_chat_says_what_is_wrong_and_when_it_is_over(record, sandbox, clock):
    alerting = alerting_for(chats=(Chat("chat", "main", "chat12"), Chat("far", "second", "chat13")))
    channels = open_chats(alerting, {"main": open_line(record, sandbox.url, clock)})
    alerter, gate = (
        Alerter(Store(record.redis), alerting, ["main"], channels, clock=clock),
        Gate(record.redis, "main"),
    )
    gate.hold(gate.look(), "x", clock())
    for _ in range(2):
        alerter.look()
    gate.open(gate.look(), clock())
    alerter.look()
    clock.now += AWAY
    alerter.look()

    (_, first), (_, over) = messages(sandbox)
    assert {dialog for dialog, _ in messages(sandbox)} == {"chat12"}
    assert first.startswith("NEW: portal main is held (x)")
    assert over.startswith("RESOLVED: portal main is no longer held")


def notices(sandbox):
    """The notifications that a user sees: who, and what."""
    return [(one.user_id, one.text) for one in sandbox.portal.comments if not one.replaced]


def test_a_user_is_notified_of_each_trouble_in_one_line_that_its_news_replace(record, sandbox, clock):
    alerting = alerting_for(chats=(Chat("bell", "main", notify=1), Chat("other", "main", notify=2)))
    channels = open_chats(alerting, {"main": open_line(record, sandbox.url, clock)})
    assert [channel.where for channel in channels] == ["user 1 of main", "user 2 of main"]
    alerter = Alerter(Store(record.redis), alerting, ["main", "second"], channels, "https://relay.example.com", clock)
    for name in ("main", "second"):
        gate = Gate(record.redis, name)
        gate.hold(gate.look(), "x", clock())
    alerter.look()
    assert [user for user, _ in notices(sandbox)] == [1, 1, 2, 2]
    assert notices(sandbox)[0][1].startswith("NEW: portal main is held (x)")
    assert notices(sandbox)[0][1].endswith("\nhttps://relay.example.com")

    gate.open(gate.look(), clock())
    alerter.look()
    clock.now += AWAY
    alerter.look()

    mine = [text.partition("\n")[0] for user, text in notices(sandbox) if user == 1]
    assert [text.partition(" (")[0] for text in mine] == [
        "NEW: portal main is held",
        "RESOLVED: portal second is no longer held",
    ]


def test_a_notification_whose_answer_was_lost_does_not_stand_there_twice(record, sandbox, clock):
    line, news = open_line(record, sandbox.url, clock), Message("m", clock(), NEWS)
    sandbox.portal.add_faults({"kind": "drop_after_start", "times": 1})
    with pytest.raises(UnsentError, match="cut"):
        notify(Chat("bell", "main", notify=1), line, news)

    notify(Chat("bell", "main", notify=1), line, news)

    assert len(notices(sandbox)) == len(news.lines)


def test_a_user_who_is_not_there_is_named(record, sandbox, clock):
    with pytest.raises(UnsentError, match="no user 99"):
        notify(Chat("bell", "main", notify=99), open_line(record, sandbox.url, clock), Message("m", clock(), NEWS))


def test_what_is_too_long_for_a_chat_says_that_it_was_cut():
    assert _for_chat("x" * 10_000) == "x" * 10_000
    cut = _for_chat("x" * 10_001)
    assert len(cut) == 10_000
    assert cut.endswith("more: see the dashboard")


@pytest.mark.parametrize(
    ("dialog", "secret", "words"),
    [
        ("chat404", "sandbox", "CHAT_ID"),
        ("chat403", "sandbox", "ACCESS_ERROR"),
        ("99", "sandbox", "USER_NOT_FOUND"),
        ("chat1", "another-secret", "INVALID_CREDENTIALS"),
    ],
)
def test_a_chat_that_takes_no_message_says_why(record, sandbox, dialog, secret, words):
    line = open_line(record, sandbox.url, utc_now, secret=secret)

    with pytest.raises(UnsentError) as caught:
        say(Chat("chat", "main", dialog), line, Message("m", utc_now(), NEWS))

    assert words in str(caught.value)
    assert "another-secret" not in str(caught.value)
    assert messages(sandbox) == []


def test_a_portal_that_is_away_is_told_when_it_is_back(record, sandbox, clock):
    alerting = alerting_for(chats=(Chat("chat", "main", "1"),))
    channels = open_chats(alerting, {"main": open_line(record, sandbox.url, clock)})
    alerter = Alerter(Store(record.redis), alerting, ["main"], channels, clock=clock)
    sandbox.portal.add_faults({"kind": "html_502", "times": 2})
    hold(record.redis, "main", "x", clock())

    for _ in range(4):
        alerter.look()

    assert len(messages(sandbox)) == 1


def test_without_the_scope_the_log_says_so(record, sandbox, clock):
    sandbox.portal.configure(scope=["bizproc"])

    with pytest.raises(UnsentError, match="insufficient_scope"):
        say(Chat("chat", "main", "chat1"), open_line(record, sandbox.url, clock), Message("m", clock(), NEWS))


ALERTS = """
repeat: 2h
oldest_waiting: 5m
sources:
  website: {silent_after: 24h}
webhooks:
  on-call: {url: ALERT_ON_CALL_URL, secret: ALERT_ON_CALL_SECRET}
mail:
  team: {host: smtp.example.com, user: relay, password: ALERT_MAIL_PASSWORD, from: r@example.com, to: [a@example.com]}
bitrix24:
  chat: {portal: main, dialog_id: chat12}
  bell: {portal: main, notify: 1}
"""
ENVIRON = {
    "ALERT_ON_CALL_URL": "https://chat.example.com/hooks/1",
    "ALERT_ON_CALL_SECRET": SECRET,
    "ALERT_MAIL_PASSWORD": "password-of-the-test",
}


def write_file(folder, text):
    (folder / "alerts.yaml").write_text(text, "utf-8")
    return folder


def test_the_file_says_whom_to_tell_what_and_how_often(tmp_path):
    alerting = load_alerting(write_file(tmp_path, ALERTS), ENVIRON, ["website"])

    assert alerting.repeat == 2 * HOUR
    assert alerting.silent_after == {"website": 24 * HOUR}
    assert alerting.hooks == (Hook("on-call", ENVIRON["ALERT_ON_CALL_URL"], SECRET),)
    (mail,) = alerting.mails
    assert (mail.port, mail.security, mail.password) == (587, "starttls", "password-of-the-test")
    assert [channel.name for channel in open_channels(alerting)] == ["on-call", "team"]
    assert alerting.chats == (Chat("chat", "main", "chat12"), Chat("bell", "main", notify=1))
    assert SECRET not in repr(alerting)
    assert "chat.example.com" not in repr(alerting)
    assert "password-of-the-test" not in repr(alerting)


def test_without_a_file_nobody_is_told(tmp_path):
    assert load_alerting(tmp_path, {}) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("repeat: often", "a whole number with one of"),
        ("colour: red", "unknown key"),
        ("webhooks: {a: {url: 'https://x/y', secret: ALERT_A}}", "begins with ALERT_"),
        ("webhooks: {a: {url: ALERT_A, secret: ALERT_B}}", "the environment has no ALERT_A"),
        ("sources: {websit: {silent_after: 1h}}", "no such source; did you mean 'website'"),
        ("mail: {a: {host: h, from: x@y, to: []}}", "at least one"),
        ("bitrix24: {a: {portal: mian, dialog_id: chat1}}", "no such portal; did you mean 'main'"),
        ("bitrix24: {a: {portal: main, dialog_id: room1}}", "a chat such as chat12"),
        ("bitrix24: {a: {portal: main}}", "expected either dialog_id, a chat, or notify, a user"),
        ("bitrix24: {a: {portal: main, dialog_id: chat1, notify: 1}}", "expected either dialog_id, a chat, or notify"),
        ("bitrix24: {a: {portal: main, notify: chat1}}", "notify: found 'chat1', expected a whole number"),
        (
            "mail: {a: {host: h, from: x@y, to: [b@c]}}\nbitrix24: {a: {portal: main, dialog_id: chat1}}",
            "another channel has this name",
        ),
        ("mail: {a: {host: h, from: nobody, to: [a@b]}}", "an e-mail address"),
        ("mail: {a: {host: h, from: x@y, to: [a@b], security: none, password: ALERT_MAIL_PASSWORD}}", "as it is"),
    ],
)
def test_each_mistake_in_the_file_of_alerts_is_named(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        load_alerting(write_file(tmp_path, text), ENVIRON, ["website"], ["main"])

    assert words in str(caught.value)


def test_the_check_of_the_configuration_reads_the_file_too_and_needs_no_secret(tmp_path, capsys):
    folder = copy_config(tmp_path)
    write_file(folder, ALERTS)
    assert main(["rules", "check", str(folder)]) == 0
    write_file(folder, "repeat: often")
    assert main(["rules", "check", str(folder)]) == 1

    assert "alerts.yaml:1: repeat: found 'often', expected" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["http://chat.example.com/x", "ftp://chat.example.com/x", "chat.example.com"])
def test_a_message_goes_over_https_only_except_on_this_machine(url):
    with pytest.raises(ConfigError) as caught:
        open_channels(alerting_for(hooks=(Hook("on-call", url, SECRET),)))

    assert "chat.example.com" not in str(caught.value)


def test_a_secret_that_is_no_base64_is_a_mistake():
    with pytest.raises(ConfigError):
        open_channels(alerting_for(hooks=(Hook("on-call", "https://x.example.com", "whsec_!"),)))


def test_the_workers_tell_whom_the_file_names(processes, sandbox, own_valkey, receiver):
    redis: Redis = own_valkey.redis
    before, _, after = ALERTS.partition("mail:")
    write_file(processes.config, f"{before}bitrix24:{after.partition('bitrix24:')[2]}")
    try:
        hold(redis, "main", "x", utc_now())
        worker = processes.start(
            "workers",
            REDIS_URL=own_valkey.url,
            PORTAL_MAIN_WEBHOOK_URL=f"{sandbox.url}/rest/1/sandbox/",
            ALERT_ON_CALL_URL=receiver.url,
            ALERT_ON_CALL_SECRET=SECRET,
        )
        until(lambda: receiver.taken and sandbox.portal.messages, "the messages")
        assert worker.stop() == 0
    finally:
        (processes.config / "alerts.yaml").unlink()

    assert kinds(receiver.contents[0], "new") == [("portal_held", "main")]
    ((dialog, text),) = messages(sandbox)
    assert (dialog, text.partition("(")[0]) == ("chat12", "NEW: portal main is held ")
