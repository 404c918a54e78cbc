"""`rules history`, `rules undo` and `rules diff`: how rules have changed, whoever has changed them, and back again."""

import pytest

from relay.configuration.settings import Settings
from relay.core.errors import Mistake
from relay.core.ids import utc_now
from relay.operations.in_force import InForce
from relay.operations.rule_files import RuleFiles
from relay.store import Store
from tests.changing.test_written_rules import ANOTHER, RULE
from tests.support.folders import SECRETS, WEB_SECRETS, copy_config
from tests.support.processes import Processes


@pytest.fixture
def folder(tmp_path):
    return copy_config(tmp_path)


@pytest.fixture
def terminal(folder, tmp_path, valkey):
    starter = Processes(tmp_path, folder, {"REDIS_URL": valkey.url})

    def run(*arguments):
        return starter.run("relay", "rules", *arguments)

    return run


@pytest.fixture
def web(folder, valkey, redis):
    """Puts the files in force, as a web process does that begins."""

    def begin():
        environ = SECRETS | WEB_SECRETS
        InForce(Settings(redis_url=valkey.url, config=folder), environ, Store(redis)).begin()

    return begin


def test_what_was_changed_by_hand_is_remembered_as_well_and_once(folder, redis, web):
    web()
    file = folder / "rules" / "new-lead.yaml"
    for text in (RULE, ANOTHER):
        file.write_text(text)
        web()
        web()
    file.unlink()
    web()

    changes = RuleFiles(Store(redis), folder).history("new-lead", 10)

    assert [(change.who, change.before, change.after) for change in changes] == [
        ("by hand", ANOTHER, None),
        ("by hand", RULE, ANOTHER),
        ("by hand", None, RULE),
    ]


def test_what_was_written_by_a_person_is_not_remembered_a_second_time(folder, redis, web):
    web()
    RuleFiles(Store(redis), folder).write("new-lead", RULE, "ann", None)
    web()
    assert [change.who for change in RuleFiles(Store(redis), folder).history(None, 10)] == ["ann"]


def test_the_terminal_says_who_changed_what_and_undoes_it(folder, redis, terminal):
    files = RuleFiles(Store(redis), folder)
    files.write("new-lead", RULE, "ann", None)
    change = files.write("new-lead", ANOTHER, "bob", files.read("new-lead").digest)

    told = terminal("history", "--text").stdout
    assert [line.split("  ")[-1] for line in told.splitlines() if line.startswith("chg_")] == ["bob", "ann"]
    assert '-start: {portal: main, template_id: 1, document_id: {lead: "{id}"}}' in told

    undone = terminal("undo", change.id)
    assert undone.returncode == 0, undone.stderr
    assert files.read("new-lead").text == RULE
    assert files.history(None, 1)[0].who.startswith("terminal (")

    again = terminal("undo", change.id)
    assert (again.returncode, "was changed since" in again.stderr) == (1, True)


def test_a_rule_that_never_was_has_no_history(terminal):
    asked = terminal("history", "nobody")
    assert (asked.returncode, "no rule 'nobody'" in asked.stderr) == (1, True)


def test_the_files_are_compared_with_what_is_in_force(folder, redis, terminal, web):
    assert terminal("diff").returncode == 1
    web()
    assert terminal("diff").returncode == 0

    (folder / "rules" / "new-lead.yaml").write_text(RULE.replace("main", "nowhere"))
    Store(redis).files.say_waiting("web@here", [Mistake("new-lead.yaml", 6, "unknown portal")], utc_now())
    told = terminal("diff")
    assert told.returncode == 1
    assert "+name: new-lead" in told.stdout
    assert "new-lead.yaml:6: unknown portal" in told.stderr
