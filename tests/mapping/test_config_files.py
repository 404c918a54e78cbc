"""YAML an operator wrote: every mistake with its line, all of them at once."""

from pathlib import Path

import pytest

from relay.configuration.fields import BYTES, SECONDS, quantity
from relay.configuration.files import Mistakes, read_yaml
from relay.configuration.portals import load_portals
from relay.core.errors import ConfigError


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_portals(path)
    return [str(mistake).removeprefix(f"{path}") for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("portals: [", ":1: not valid YAML"),
        ("portals:\n  main: {plan: standard}\nportals: {}\n", ":3: 'portals' is here twice, first in line 1"),
        ("portals:\n  main: !!python/object:os.system {}\n", ":2: tags such as"),
        ("portals:\n  main: &a [*a]\n", ":2: more than"),
        ("portals:\n  ? [a]\n  : b\n", ":2: a key is not a word"),
        ("portals:\n  main: *nobody\n", ":2: not valid YAML: an alias such as *name without &name before it"),
        ("a: 1\n---\nb: 1\n", ":2: not valid YAML: a second document"),
        ("a: b: c\n", ":1: not valid YAML: a colon where no value can begin"),
        ("a: 1\nb\nc: 1\n", ":3: not valid YAML: a key without its colon"),
        ("a:\n  b: 1\n c: 1\n", ":3: not valid YAML: it does not stand below"),
        ("a: [1\nb: 2\n", ":2: not valid YAML: a comma or a closing bracket is missing"),
        ("a: [\n", ":2: not valid YAML: a value or a closing bracket is missing"),
        ('a: "b\n', ":2: not valid YAML: a quotation mark is not closed"),
        ("a:\n\tb: 1\n", ":2: not valid YAML: a value cannot begin with this"),
        ("a: - b\n", ":1: not valid YAML: a list cannot begin here"),
        ('a: "\\d"\n', ":1: not valid YAML: no such escape in double quotes"),
        ("a: &b 1\nc: &b 2\n", ":2: not valid YAML: an anchor such as &name is here twice"),
        ("%YAML 9.9\n---\na: 1\n", ":1: not valid YAML: its reader stops here (found incompatible YAML document"),
        ("[" * 5000, ":1: not valid YAML: more than 32 levels"),
        ("\x00", ": not valid YAML: a character that YAML does not allow"),
        ("", ":1: missing: expected a map"),
        ("- 1", ":1: found a list, expected a map"),
        ("portals:\n", ":1: portals: found nothing, expected a map from names"),
        ("portals:\n  main: 5\n", ":2: portals.main: found 5, expected a map"),
        ("portals:\n  main:\n    batch: 1\n", ":2: portals.main.plan: missing: expected one of standard, enterprise"),
        ("portals:\n  main:\n    plan: big\n", ":3: portals.main.plan: found 'big', expected one of"),
        (
            "portals:\n  main:\n    plan: standard\n    bach: 1\n",
            ":4: portals.main.bach: unknown key; did you mean 'batch'?",
        ),
        (
            "portals:\n  main: {plan: standard, batch: 51}\n",
            ":2: portals.main.batch: found 51, expected a whole",
        ),
        ("portals:\n  main: {plan: standard, batch: true}\n", ":2: portals.main.batch: found true, expected"),
        ("portals:\n  main: {plan: standard, settle_after: 60}\n", ":2: portals.main.settle_after: found 60, expected"),
        ("portals:\n  Main: {plan: standard}\n", ":2: portals.Main: not a name"),
        (
            "portals: {a-b: {plan: standard}, a_b: {plan: standard}}",
            ":1: portals.a_b: shares the variables PORTAL_A_B_*",
        ),
        (
            "portals:\n  a: {plan: standard, card: [lead]}",
            ":2: portals.a.card: is shown by an application: expected `application: local.…` beside it",
        ),
        (
            "portals: {a: {plan: standard, application: app.1}}",
            ":1: portals.a.application: found 'app.1', expected the client_id of a local application",
        ),
        (
            "portals: {a: {plan: standard, application: local.1, card: [feed]}}",
            ":1: portals.a.card: found a list, expected a list of lead, deal,",
        ),
        (
            "portals: {a: {plan: standard, application: local.1, card: ['dynamic:127']}}",
            ":1: portals.a.card: found a list, expected a list of lead, deal,",
        ),
        (
            "portals: {a: {plan: standard, application: local.1, expect: 'https://acme.bitrix24.com'}}",
            ":1: portals.a.expect: found 'https://acme.bitrix24.com', expected the portal's host alone",
        ),
        (
            "portals: {a: {plan: standard, application: local.1}, b: {plan: standard, application: local.1}}",
            ":1: portals.b.application: is the application of 'a', too",
        ),
    ],
)
def test_a_mistake_names_its_line_what_was_found_and_what_was_expected(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "portals.yaml"
    path.write_text(text)
    assert [line for line in mistakes(path) if line.startswith(expected)]


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "portals.yaml"
    path.write_text("portals:\n  a: {plan: x}\n  b: {plan: standard, batch: 0}\n  c: {}\nextra: 1\n")
    assert len(mistakes(path)) == 4


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "nowhere.yaml") == [": no such file: expected a YAML file here"]


def test_bytes_that_are_no_text_are_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "portals.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as UTF-8" in mistakes(path)[0]


def test_aliases_cannot_make_a_small_file_large(tmp_path: Path) -> None:
    path = tmp_path / "portals.yaml"
    lines = ["a0: &a0 [1,2,3,4,5,6,7,8,9]", *(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
    path.write_text("\n".join(lines))
    assert "with every alias written out" in mistakes(path)[0]


def test_an_alias_is_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "portals.yaml"
    path.write_text("portals:\n  a: &same {plan: standard}\n  b: *same\n")
    assert load_portals(path)["b"].plan == "standard"


def test_a_portal_by_application_says_which_cards_have_its_tab(tmp_path: Path) -> None:
    path = tmp_path / "portals.yaml"
    path.write_text(
        "portals:\n  a: {plan: standard, application: local.65f0c0ffee.12345678, expect: acme.bitrix24.com,\n"
        "      card: [lead, 'dynamic:147', lead], menu: true}\n  b: {plan: standard}\n"
    )
    portals = load_portals(path)
    assert (portals["a"].application, portals["a"].expect) == ("local.65f0c0ffee.12345678", "acme.bitrix24.com")
    assert (portals["a"].card, portals["a"].menu) == (("lead", "dynamic:147"), True)
    assert (portals["b"].application, portals["b"].expect, portals["b"].card, portals["b"].menu) == ("", "", (), False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("no", "no"), ("012", "012"), ("1:30", "1:30"), ("2026-01-31", "2026-01-31"), ("1e3", "1e3"),
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("-7", -7), ("1.5", 1.5),
        ("'5'", "5"), (".inf", ".inf"), ("9" * 5000, "9" * 5000), ("<<", "<<"),
    ],
)  # fmt: skip
def test_only_plain_numbers_true_false_and_null_are_not_text(tmp_path: Path, text: str, value: object) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(f"key: {text}")
    assert read_yaml(path, Mistakes()).content  # type: ignore[union-attr] == {"key": value}


def test_portals_have_the_pace_of_their_plan_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "portals.yaml"
    path.write_text(
        "portals:\n  a: {plan: standard}\n  b: {plan: enterprise, own_id: echo, batch: 1, settle_after: 2m}\n"
        "  c: {plan: standard, rate: 0.5, burst: 3, own_id: off}\n"
    )
    portals = load_portals(path)
    assert (portals["a"].rate_per_s, portals["a"].burst, portals["a"].own_id) == (2.0, 40, "off")
    assert (portals["a"].batch, portals["a"].settle_after_s) == (50, 60.0)
    assert (portals["b"].rate_per_s, portals["b"].burst, portals["b"].own_id) == (5.0, 200, "echo")
    assert (portals["b"].batch, portals["b"].settle_after_s) == (1, 120.0)
    assert (portals["c"].rate_per_s, portals["c"].burst, portals["c"].own_id) == (0.5, 3, "off")


@pytest.mark.parametrize(
    ("text", "amount"), [("500ms", 0.5), ("60s", 60), ("5m", 300), ("24h", 86_400), ("3d", 259_200)]
)
def test_durations_are_read_as_seconds(text: str, amount: float) -> None:
    assert quantity(text, SECONDS) == amount


@pytest.mark.parametrize(("text", "amount"), [("7B", 7), ("1KB", 1000), ("1 MB", 1_000_000), ("2MiB", 2_097_152)])
def test_sizes_are_read_as_bytes(text: str, amount: float) -> None:
    assert quantity(text, BYTES) == amount


@pytest.mark.parametrize("text", ["60", "s", "-1s", "1.5h", "1w", "", None, 60, True])
def test_a_quantity_without_a_known_unit_is_refused(text: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it carries no message
        quantity(text, SECONDS)
