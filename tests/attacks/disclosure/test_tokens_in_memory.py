"""Nothing that the web process can read has a token of a portal once it is sealed: environment, record, memory."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
import requests

from tests.support.frames import FIELDS, PUBLIC_KEY, QUERY, with_application

OPENINGS = 20
PIECE = 1 << 22


@pytest.fixture(scope="module")
def web(start_web, config, tmp_path_factory):
    return start_web(with_application(config, tmp_path_factory.mktemp("memory")), RELAY_SEAL_PUBLIC_KEY=PUBLIC_KEY)


def found_in_memory(pid: int, tokens: list[str]) -> set[str]:
    """Of these tokens, those that stand anywhere in the memory of a process, and in its environment."""
    wanted, found = [token.encode() for token in tokens], set()
    overlap = max(map(len, wanted)) - 1
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            if "w" not in rights:
                continue
            begin, end = (int(part, 16) for part in place.split("-"))
            tail = b""
            for at in range(begin, end, PIECE):
                memory.seek(at)
                try:
                    piece = tail + memory.read(min(PIECE, end - at))
                except OSError:
                    break
                found |= {token for token in wanted if token in piece}
                tail = piece[-overlap:]
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    return {token.decode() for token in found | {token for token in wanted if token in environ}}


def test_no_token_of_a_portal_is_left_in_the_web_process_or_on_record(web, shared_valkey):
    tokens, session = [], requests.Session()
    for _ in range(OPENINGS):
        access, refresh = secrets.token_hex(35), secrets.token_hex(35)
        tokens += [access, refresh]
        form = FIELDS | {"AUTH_ID": access, "REFRESH_ID": refresh}
        assert session.post(f"{web.url}/app/main", params=QUERY, data=form, timeout=10).status_code == 200

    assert {pid: found for pid in web.family() if (found := found_in_memory(pid, tokens))} == {}
    shared_valkey.redis.config_set("rdbcompression", "no")
    for key in shared_valkey.redis.scan_iter():
        dumped = shared_valkey.redis.dump(key) or b""
        assert not [token for token in tokens if token.encode() in dumped], key


def test_the_search_finds_a_token_that_is_there():
    kept = secrets.token_hex(35)

    assert found_in_memory(os.getpid(), [kept]) == {kept}
