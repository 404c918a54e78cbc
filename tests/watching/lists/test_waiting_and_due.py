"""One word does not mean two things: `waiting` is the whole line, `due` what may be sent now, everywhere."""

from __future__ import annotations

import re
from datetime import timedelta

from relay.core.ids import to_ms, utc_now
from relay.core.lifecycle import State
from relay.store.redis import keys
from tests.support.folders import WEB_SECRETS
from tests.support.making import bring_to
from tests.watching.conftest import enter

TOKEN = {"Authorization": f"Bearer {WEB_SECRETS['RELAY_API_TOKEN']}"}


def test_the_api_the_metrics_and_the_pages_do_not_count_different_things(app, record):
    now = utc_now() - timedelta(minutes=1)
    bring_to(record, State.PENDING, now)
    bring_to(record, State.PENDING, now)
    retrying = bring_to(record, State.RETRYING, now)
    record.redis.zadd(keys.WAITING + "main", {retrying.id: to_ms(now + timedelta(days=1))})
    for state in (State.SENDING, State.UNCERTAIN, State.STARTED, State.DEAD):
        bring_to(record, state, now)

    client = enter(app, WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"])
    (portal,) = client.get("/api/v1/portals", headers=TOKEN).json["portals"]
    metrics = dict(re.findall(r'^(\w+)\{portal="main"\} ([\d.]+)$', client.get("/metrics").text, re.MULTILINE))

    assert (portal["waiting"], portal["due"]) == (3, 2)
    assert (float(metrics["relay_waiting"]), float(metrics["relay_due"])) == (3, 2)
    assert "3 waiting" in client.get("/").text
    assert re.search(r">3</a> <small>2 of them due", client.get("/portals").text)
