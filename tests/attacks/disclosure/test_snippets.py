"""The command that the page of the sources prints does not lie: a real shell runs it, and a real door takes it."""

from __future__ import annotations

import base64
import html
import re
import shutil
import subprocess
from itertools import product

import pytest
import requests

from tests.support.folders import SECRETS, WEB_SECRETS
from tests.support.processes import Processes

TEXT = 'It\'s "a" $ecret: `of` \\the test & more'
KEY = "whsec_" + base64.b64encode(bytes(range(0, 250, 5))).decode()
HMAC = "kind: hmac, header: X-Signature, secrets: [SOURCE_{}]"
SOURCES = {
    "token": "kind: token, header: X-Token, secrets: [SOURCE_TEXT]",
    "bearer": "kind: token, header: Authorization, secrets: [SOURCE_TEXT]",
    "in-query": "kind: token, query: the token, secrets: [SOURCE_TEXT]",
    "none": "kind: none",
    **{
        f"{algorithm}-{encoding}-{key}": HMAC.format(name)
        + f", algorithm: {algorithm}, encoding: {encoding}, key: {key}"
        for algorithm, encoding, (key, name) in product(
            ("sha1", "sha256", "sha384", "sha512", "md5"),
            ("hex", "base64", "base64url"),
            (("text", "TEXT"), ("base64", "KEY")),
        )
    },
    "prefixed": f"{HMAC.format('TEXT')}, prefix: 'sha256='",
    "slack": f"{HMAC.format('TEXT')}, prefix: 'v0=', "
    "signed: 'v0:{timestamp}:{body}', timestamp: {header: X-Time}",
    "in-ms": f"{HMAC.format('TEXT')}, signed: '{{timestamp}}{{body}}', timestamp: {{header: X-Time, unit: ms}}",
    "in-iso": f"{HMAC.format('TEXT')}, signed: '{{timestamp}}{{body}}', timestamp: {{header: X-Time, unit: iso}}",
    "basic": "kind: basic, secrets: [SOURCE_TEXT]",
    "stripe": f"{HMAC.format('TEXT')}, signed: '{{timestamp}}.{{body}}', timestamp: {{}}, "
    "parts: {signature: v1, timestamp: t}",
    "standard": f"{HMAC.format('KEY')}, key: base64, encoding: base64, prefix: 'v1,', separator: ' ', "
    "signed: '{id}.{timestamp}.{body}', id_header: webhook-id, timestamp: {header: webhook-timestamp}",
    "of-url": f'{HMAC.format("TEXT")}, signed: "{{method}} it\'s {{url}} {{body}}", encoding: base64',
}


@pytest.fixture(scope="module")
def snippets(shared_valkey, config, tmp_path_factory):
    """What the page of a running relay prints, by source."""
    shared_valkey.make_fresh()
    folder = tmp_path_factory.mktemp("snippets")
    copied = shutil.copytree(config, folder / "config")
    shutil.rmtree(copied / "rules")
    (copied / "rules").mkdir()
    lines = "".join(f"  {name}: {{verify: {{{verify}}}}}\n" for name, verify in SOURCES.items())
    (copied / "sources.yaml").write_text(f"sources:\n{lines}", "utf-8")
    secrets = SECRETS | WEB_SECRETS | {"SOURCE_TEXT": TEXT, "SOURCE_KEY": KEY}
    starter = Processes(folder, copied, secrets)
    running = starter.start("relay", "serve", REDIS_URL=shared_valkey.url)
    running.wait_for_url()
    with requests.Session() as session:
        login = {"password": WEB_SECRETS["RELAY_DASHBOARD_PASSWORD"]}
        page = session.post(f"{running.url}/login?", login, headers={"Origin": running.url}, timeout=10)
        assert page.status_code == 200
        pages = [session.get(f"{running.url}/sources?open={name}", timeout=10).text for name in SOURCES]
    yield {
        name: html.unescape(snippet)
        for name, snippet in re.findall(
            r'aria-label="A command that sends a sample to ([\w-]+)">(.*?)</pre>', "".join(pages), re.DOTALL
        )
    }
    starter.clean_up()


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_printed_is_not_refused(snippets, name):
    assert TEXT not in snippets[name]
    secret = KEY if "SOURCE_KEY" in SOURCES[name] else TEXT

    run = subprocess.run(
        ["sh", "-euc", snippets[name].replace("curl ", "curl --silent --show-error ")],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "SECRET": secret, "TOKEN": TEXT},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert '"state":"ignored"' in run.stdout.replace(" ", ""), f"{run.stdout}\n{snippets[name]}"
