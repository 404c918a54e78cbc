"""A file that is no backup is refused in one line, before anything is changed, whatever stands in it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from relay.cli.main import main
from relay.core.ids import iso, utc_now
from relay.runtime.backup import VERSION
from tests.support.making import write_one

ESCAPE = "\x1b]0;pwned\x07"


def about(dump, **more):
    wire = {"version": VERSION, "taken_at": iso(utc_now()), "events": 0, "deliveries": 0, "bytes": len(dump)}
    return json.dumps(wire | {"sha256": hashlib.sha256(dump).hexdigest()} | more).encode()


def pack(*members):
    """A tar of name, content, and maybe kind and what it is linked to."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content, *more in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.type, info.linkname = more or (tarfile.REGTYPE, "")
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def backup_of(dump, **more):
    return pack(("about.json", about(dump, **more)), ("dump.rdb", dump))


DUMP = b"REDIS0011\xff\xff\xff"
ODD = {
    "nothing": b"",
    "zeros": bytes(20_000),
    "no tar": b"about.json" * 2000,
    "half a tar": backup_of(b"x" * 100_000)[:30_000],
    "a packed one": gzip.compress(backup_of(DUMP)),
    "no list": pack(("about.json", b"[]"), ("dump.rdb", DUMP)),
    "deep": pack(("about.json", b"[" * 9_000), ("dump.rdb", DUMP)),
    "long": pack(("about.json", about(DUMP, more="x" * 100_000)), ("dump.rdb", DUMP)),
    "no text": pack(("about.json", b"\xff\xfe{"), ("dump.rdb", DUMP)),
    "many digits": pack(("about.json", b'{"version": ' + b"9" * 9_000 + b"}"), ("dump.rdb", DUMP)),
    "another version": backup_of(DUMP, version=ESCAPE),
    "something more": backup_of(DUMP, evil=1),
    "something less": pack(("about.json", b'{"version": 1}'), ("dump.rdb", DUMP)),
    "words for counts": backup_of(DUMP, events=ESCAPE),
    "a fraction": backup_of(DUMP, deliveries=1e300),
    "true": backup_of(DUMP, events=True),
    "an odd time": backup_of(DUMP, taken_at=ESCAPE),
    "an odd digest": backup_of(DUMP, sha256="../x"),
    "another size": backup_of(DUMP, bytes=5),
    "another digest": backup_of(DUMP, sha256="0" * 64),
    "no dump": pack(("about.json", about(b""))),
    "a link": pack(("about.json", about(b"")), ("dump.rdb", b"", tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link": pack(("about.json", about(b"")), ("dump.rdb", b"", tarfile.LNKTYPE, "about.json")),
    "a pipe": pack(("about.json", about(b"")), ("dump.rdb", b"", tarfile.FIFOTYPE, "")),
    "a folder": pack(("about.json", b"", tarfile.DIRTYPE, ""), ("dump.rdb", DUMP)),
    "no snapshot": backup_of(b"x"),
    "a broken snapshot": backup_of(DUMP),
    "a snapshot that speaks": backup_of(ESCAPE.encode() * 100),
}


@pytest.fixture
def here(valkey, tmp_path, monkeypatch):
    monkeypatch.setenv("REDIS_URL", valkey.url)
    monkeypatch.setenv("RELAY_STATE", str(tmp_path / "state"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_an_odd_file_is_refused_in_one_line_and_the_record_stays(record, tmp_path, capfd, content):
    delivery = write_one(record)
    file = tmp_path / "odd.tar"
    file.write_bytes(content)

    assert main(["restore", "--yes", str(file)]) == 1

    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert "\x1b" not in said.out + said.err
    assert str(file) in said.out + said.err
    assert record.delivery(delivery.id) == delivery
    assert not [*tmp_path.glob(".relay-*")]


def test_a_file_with_holes_does_not_fill_the_disk(tmp_path, capfd):
    """A member of 1 TB in a file of 2 KB, as GNU tar writes what is sparse."""
    info = tarfile.TarInfo("dump.rdb")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398], header[398:410] = b"%011o\0" % 0, b"%011o\0" % 0
    header[483:495] = b"%011o\0" % (8**11 - 1)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    file = tmp_path / "holes.tar"
    file.write_bytes(pack(("about.json", about(b"")))[:1024] + bytes(header) + bytes(1024))

    assert main(["restore", "--yes", str(file)]) == 1

    assert "is no backup" in capfd.readouterr().err
