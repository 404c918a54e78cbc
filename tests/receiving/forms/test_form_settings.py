"""What sources.yaml may say of forms and of the pages that send them; everything else is a mistake, with its line."""

from __future__ import annotations

import pytest

from relay.core.errors import ConfigError
from relay.sources import load_sources
from relay.sources.source import Limit
from relay.sources.visitors import Form

HEAD = "sources:\n  contact:\n    verify: {kind: none}\n"


def load(tmp_path, *lines):
    path = tmp_path / "sources.yaml"
    path.write_text(HEAD + "".join(f"    {line}\n" for line in lines), "utf-8")
    return load_sources(path, {})["contact"]


def mistakes(tmp_path, *lines):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, *lines)
    return [(mistake.line, mistake.text) for mistake in caught.value.mistakes]


def test_a_form_may_say_nothing_but_that_it_is_one(tmp_path):
    source = load(tmp_path, "form: {}")

    assert (source.form, source.thanks, source.origins) == (Form(None, 0.0), None, ())


def test_everything_that_can_be_said_of_a_form(tmp_path):
    source = load(
        tmp_path,
        "form: {honeypot: _gotcha, min_fill: 1500ms}",
        'thanks: "https://site.example/thanks?a=b#c"',
        'origins: ["https://site.example", "http://localhost:8000", "https://xn--e1aybc.example"]',
        "limit: {events: 10, bytes: 1MB, at_once: 3}",
    )

    assert source.form == Form("_gotcha", 1.5)
    assert source.thanks == "https://site.example/thanks?a=b#c"
    assert source.origins == ("https://site.example", "http://localhost:8000", "https://xn--e1aybc.example")
    assert source.limit == Limit(10, 1_000_000, 3)


@pytest.mark.parametrize("local", ["http://localhost/thanks", "http://127.0.0.1:8000/", "http://[::1]:8000/"])
def test_a_page_on_this_machine_needs_no_https(tmp_path, local):
    assert load(tmp_path, "form: {}", f'thanks: "{local}"').thanks == local


@pytest.mark.parametrize(
    "address",
    [
        "http://site.example/thanks",
        "//site.example",
        "/thanks",
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://site.example",
        "https://",
        "https:///thanks",
        "https://user:word@site.example/",
        "https://site.example@evil.example/",
        "https://site.example\\\\@evil.example/",
        "https://SITE.example/",
        "https://site.example:0/",
        "https://site.example:99999/",
        "https://site.example:/",
        "https://site.example/a b",
        "https://site.example/\\n",
        "https://пример.example/",
        "https://127.0.0.1.nip.io\\thttp://",
        "http://localhost.evil.example/",
    ],
)
def test_what_is_no_address_for_a_visitor_is_a_mistake(tmp_path, address):
    ((line, text),) = mistakes(tmp_path, "form: {}", f'thanks: "{address}"')

    assert line == 5
    assert text.endswith("expected an address that begins with https:// (http:// to this machine only)")


@pytest.mark.parametrize(
    "origins",
    [
        "[]",
        "'https://site.example'",
        '["*"]',
        '["null"]',
        '["https://site.example/"]',
        '["https://site.example/page"]',
        '["https://site.example?"]',
        '["https://site.example:443"]',
        '["http://site.example:80"]',
        '["https://*.site.example"]',
        '["site.example"]',
        '["HTTPS://site.example"]',
        '["https://Site.example"]',
        '["https://user@site.example"]',
        '["https://пример.example"]',
        '["https://site.example", 1]',
    ],
)
def test_what_no_browser_would_call_an_origin_is_a_mistake(tmp_path, origins):
    ((line, text),) = mistakes(tmp_path, "form: {}", f"origins: {origins}")

    assert line == 5
    assert "a list of origins such as [https://site.example]" in text


def test_thanks_without_a_form_would_thank_nobody(tmp_path):
    ((line, text),) = mistakes(tmp_path, 'thanks: "https://site.example/"')

    assert line == 4
    assert text.endswith("expected form beside it: only a browser is sent somewhere")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("form: yes", "expected a map"),
        ("form: {honeypott: a}", "did you mean 'honeypot'?"),
        ("form: {honeypot: ''}", "the name of a form field"),
        ("form: {min_fill: 2}", "a whole number with one of ms, s"),
        ("form: {min_fill: 2h}", "at most 1h"),
        ("limit: {events: 1, bytes: 1MB, at_once: 0}", "a whole number from 1 to 1000"),
        ("limit: {at_once: 5}", "expected a whole number"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, line, words):
    found = mistakes(tmp_path, line)

    assert {number for number, _ in found} == {4}
    assert words in found[0][1]
