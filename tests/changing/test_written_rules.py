"""A rule's file is written whole or not at all, only over what its writer saw, and can be made what it was."""

import errno
import os
import threading

import pytest

from relay.configuration.files import FileSet
from relay.core.errors import ChangedError, ConfigError, NotFoundError, NotWritableError, RecordUnavailableError
from relay.core.ids import utc_now
from relay.operations.rule_files import RuleFiles, remember_by_hand
from relay.store import Store
from tests.support.folders import copy_config

RULE = """name: new-lead
source: website
when: body.form == 'new'
extract:
  id: {from: body.id, type: integer, required: true}
start: {portal: main, template_id: 1, document_id: {lead: "{id}"}}
"""
ANOTHER = RULE.replace("template_id: 1", "template_id: 2")


@pytest.fixture
def folder(tmp_path):
    return copy_config(tmp_path)


@pytest.fixture
def files(redis, folder):
    return RuleFiles(Store(redis), folder)


def leftovers(folder):
    return [path.name for path in (folder / "rules").iterdir() if path.suffix != ".yaml"]


def test_a_new_rule_is_written_into_a_file_of_its_name(files, folder):
    change = files.write("new-lead", RULE, "ann", None)
    assert (folder / "rules" / "new-lead.yaml").read_text() == RULE
    assert files.read("new-lead").text == RULE
    assert (change.who, change.name, change.before, change.after) == ("ann", "new-lead", None, RULE)
    assert leftovers(folder) == []


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{RULE}",
        RULE.replace("name:", '"name":', 1),
        RULE.replace("name:", "name :", 1),
        RULE.replace("name: new-lead", "? name\n: 'new-lead' # it", 1),
        f"---\n{RULE}",
        "{name: new-lead, source: website, start: {portal: main, template_id: 1, document_id: {lead: 1}}}\n",
        RULE.replace("\n", "\r\n"),
        f"source: [\n{RULE}",
    ],
    ids=["mark", "quoted", "space", "question", "document", "braces", "crlf", "broken"],
)
def test_a_rule_is_found_however_its_name_is_written_and_has_no_second_file(files, folder, text):
    (folder / "rules" / "zz.yaml").write_text(text, "utf-8", newline="")

    found = files.read("new-lead")
    files.write("new-lead", ANOTHER, "ann", found.digest)

    assert found.file == "zz.yaml"
    assert not (folder / "rules" / "new-lead.yaml").exists()
    assert files.read("new-lead").file == "zz.yaml"


def test_a_file_with_cr_lf_keeps_them_and_what_is_saved_unchanged_is_no_change(files, folder):
    path = folder / "rules" / "new-lead.yaml"
    path.write_bytes(RULE.replace("\n", "\r\n").encode())
    found = files.read("new-lead")

    same = files.write("new-lead", RULE, "ann", found.digest)
    other = files.write("new-lead", ANOTHER, "ann", found.digest)

    assert (same.id, other.after) == (None, ANOTHER.replace("\n", "\r\n"))
    assert path.read_bytes() == ANOTHER.replace("\n", "\r\n").encode()


def test_what_was_changed_meanwhile_is_not_written_over(files, folder):
    files.write("new-lead", RULE, "ann", None)
    seen = files.read("new-lead").digest
    files.write("new-lead", ANOTHER, "bob", seen)
    with pytest.raises(ChangedError):
        files.write("new-lead", RULE, "ann", seen)
    with pytest.raises(ChangedError):
        files.write("new-lead", RULE, "ann", None)
    assert files.read("new-lead").text == ANOTHER


def test_of_two_who_write_at_once_one_is_told(redis, folder):
    RuleFiles(Store(redis), folder).write("new-lead", RULE, "ann", None)
    seen, told = RuleFiles(Store(redis), folder).read("new-lead").digest, []

    def write(number):
        try:
            text = RULE.replace("template_id: 1", f"template_id: {number}")
            RuleFiles(Store(redis), folder).write("new-lead", text, "ann", seen)
        except ChangedError:
            told.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 5
    assert len(RuleFiles(Store(redis), folder).history("new-lead", 10)) == 2


def test_a_text_with_mistakes_is_not_written_and_each_is_told_by_its_line(files, folder):
    wrong = RULE.replace("source: website", "source: websites").replace("template_id: 1", "template_id: one")
    with pytest.raises(ConfigError) as error:
        files.write("new-lead", wrong, "ann", None)
    assert [mistake.line for mistake in error.value.mistakes] == [2, 6]
    assert not (folder / "rules" / "new-lead.yaml").exists()
    assert files.history(None, 10) == []


def test_a_mistake_in_another_file_is_no_reason_to_refuse_a_rule(files, folder):
    (folder / "rules" / "broken.yaml").write_text("name: [")
    files.write("new-lead", RULE, "ann", None)
    assert files.read("new-lead").text == RULE


def test_a_rule_is_not_renamed_by_writing_it(files):
    with pytest.raises(ConfigError, match="expected 'new-lead'"):
        files.write("new-lead", RULE.replace("new-lead", "other-lead"), "ann", None)


@pytest.mark.parametrize("name", ["../portals", "/etc/passwd", "New", "", "a/b", "x" * 65])
def test_no_name_leads_out_of_the_folder(files, name):
    with pytest.raises(ConfigError):
        files.write(name, RULE.replace("new-lead", name), "ann", None)
    with pytest.raises(NotFoundError):
        files.read(name)


def test_a_rule_is_found_in_a_file_of_another_name(files, folder):
    (folder / "rules" / "old.yaml").write_text(RULE)
    seen = files.read("new-lead")
    assert seen.file == "old.yaml"
    files.write("new-lead", ANOTHER, "ann", seen.digest)
    assert (folder / "rules" / "old.yaml").read_text() == ANOTHER
    assert not (folder / "rules" / "new-lead.yaml").exists()


def test_each_change_can_be_undone_and_that_again(files, folder):
    first = files.write("new-lead", RULE, "ann", None)
    second = files.write("new-lead", ANOTHER, "bob", first.digest_after)
    undone = files.undo(second.id, "eve")
    assert files.read("new-lead").text == RULE
    files.undo(undone.id, "eve")
    assert files.read("new-lead").text == ANOTHER
    assert [change.who for change in files.history("new-lead", 10)] == ["eve", "eve", "bob", "ann"]


def test_what_made_a_file_is_undone_by_removing_it(files, folder):
    first = files.write("new-lead", RULE, "ann", None)
    undone = files.undo(first.id, "ann")
    assert not (folder / "rules" / "new-lead.yaml").exists()
    files.undo(undone.id, "ann")
    assert files.read("new-lead").text == RULE


@pytest.mark.parametrize("name", ["callback", "document-file"])
def test_a_shipped_rule_that_was_deleted_is_kept_and_comes_back_by_undoing_it(files, folder, name):
    file = folder / "rules" / f"{name}.yaml"
    before = file.read_text("utf-8")

    removed = files.remove(name, "ann")

    assert not file.exists()
    assert (removed.name, removed.before, removed.after) == (name, before, None)
    assert files.undo(removed.id, "ann").after == before
    assert file.read_text("utf-8") == before


def test_a_file_with_mistakes_can_be_deleted(files, folder):
    (folder / "rules" / "callback.yaml").write_text("name: callback\nsource: nobody\n", "utf-8")
    assert files.remove("callback", "ann").after is None
    with pytest.raises(NotFoundError):
        files.remove("callback", "ann")


def test_a_rule_is_disabled_and_enabled_and_the_rest_of_its_file_stays(files, folder):
    file = folder / "rules" / "callback.yaml"
    before = file.read_text("utf-8")

    files.enable("callback", "ann", on=False)

    assert file.read_text("utf-8") == before.replace("source: website\n", "source: website\nenabled: false\n")
    files.enable("callback", "ann", on=True)
    assert file.read_text("utf-8") == before.replace("source: website\n", "source: website\nenabled: true\n")


def test_what_was_changed_since_is_not_undone(files):
    first = files.write("new-lead", RULE, "ann", None)
    files.write("new-lead", ANOTHER, "bob", first.digest_after)
    with pytest.raises(ChangedError):
        files.undo(first.id, "ann")
    with pytest.raises(NotFoundError):
        files.undo("chg_1-1", "ann")


def test_a_process_that_is_behind_does_not_take_what_it_has_read_for_a_change_by_hand(files, redis, folder):
    files.write("new-lead", RULE, "ann", None)
    before = FileSet.read(folder)
    change = files.write("new-lead", ANOTHER, "ann", files.read("new-lead").digest)
    read_late = FileSet.read(folder)
    files.undo(change.id, "ann")

    remember_by_hand(Store(redis), before, read_late, utc_now())

    assert [one.who for one in files.history("new-lead", 10)] == ["ann"] * 3


def test_the_audit_log_says_who_wrote_what(files, redis):
    change = files.write("new-lead", RULE, "ann", None)
    (act,) = Store(redis).operators.acts()
    assert (act.who, act.what, act.subject, act.note) == ("ann", "write rule", "new-lead", change.id)


def test_a_folder_that_cannot_be_written_is_said(files, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    # Faults, for no mode of a folder stops root.
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr("os.access", lambda _path, mode: mode != os.W_OK)
    assert not files.is_writable
    with pytest.raises(NotWritableError, match="Permission denied"):
        files.write("new-lead", RULE, "ann", None)
    assert files.history(None, 10) == []


def test_what_cannot_be_remembered_is_not_written(own_valkey, folder):
    files = RuleFiles(Store(own_valkey.redis), folder)
    own_valkey.stop()
    with pytest.raises(RecordUnavailableError):
        files.write("new-lead", RULE, "ann", None)
    assert not (folder / "rules" / "new-lead.yaml").exists()
    assert leftovers(folder) == []


def test_what_a_browser_sends_has_the_line_ends_of_a_file(files):
    files.write("new-lead", RULE.replace("\n", "\r\n"), "ann", None)
    assert files.read("new-lead").text == RULE


def test_a_draft_is_checked_without_being_written(files, folder):
    assert files.mistakes_in("new-lead", RULE) == []
    (mistake,) = files.mistakes_in("new-lead", RULE.replace("main", "man"))
    assert (mistake.line, "unknown portal 'man'" in mistake.text) == (6, True)
    assert not (folder / "rules" / "new-lead.yaml").exists()
