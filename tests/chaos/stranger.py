"""A stranger works on the door: what a proven sender, and whoever asks /healthz, notice of it.

The sender posts every 20 ms over a connection of its own; /healthz is asked over a new connection each time. The
stranger's clients are processes of their own and give way to others, for in earnest they run on other machines.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import multiprocessing
import os
import select
import shutil
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.chaos.stage import REPOSITORY, Stage, end, free_port, is_open, start, until

LASTS_S = 15.0
EVERY_S = 0.02
PATIENCE_S = 5.0
CLIENTS, SILENT, SLOW = 16, 2_000, 3_000
SLOW_EVERY_S = 1.0
SECRETS = {
    "SOURCE_WEBSITE_TOKEN": "website-token-of-the-scene",
    "SOURCE_GITHUB_SECRET": "github-secret-of-the-scene",
    "RELAY_SECRET_KEY": "secret-key-of-the-scene-and-long-enough",
    "RELAY_DASHBOARD_PASSWORD": "dashboard-password-of-the-scene",
    "RELAY_API_TOKEN": "api-token-of-the-scene-and-long-enough",
}
WIDE = "\n  wide:\n    verify: {kind: none}\n    max_body: 1MB\n"
SIGNATURES = (
    "X-Hub-Signature-256", "X-Hub-Signature", "X-Signature", "X-Signature-256", "X-Signature-Sha256", "Signature",
    "X-Webhook-Signature", "Webhook-Signature", "X-Hmac-Signature", "X-Hmac-Sha256", "X-Shopify-Hmac-Sha256",
    "Stripe-Signature", "X-Slack-Signature", "Typeform-Signature",
)  # fmt: skip


@dataclass
class Felt:
    """Milliseconds of what was answered, and how often nothing came in time."""

    times: list[float] = field(default_factory=list)
    failures: int = 0

    def row(self) -> str:
        if len(self.times) < 2:
            return f"   shut      ({self.failures} failed)"
        p99 = statistics.quantiles(self.times, n=100)[98]
        return f"{statistics.median(self.times):7.1f} {p99:8.1f} ({self.failures} failed of {len(self.times)})"


def post(path: str, body: bytes, content_type: str, more: dict[str, str] | None = None) -> bytes:
    """A request as it goes over the wire."""
    headers = {"Host": "relay", "Content-Type": content_type, "Content-Length": str(len(body)), **(more or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def almost_signed() -> bytes:
    """B2: 64 KB of JSON with a wrong signature in every header that may hold one."""
    rows = [{"id": number, "text": "word"} for number in range(2_000)]
    body = json.dumps(rows)[:63_990].rpartition("},")[0] + "}]"
    signatures = {name: f"sha256={number:064x}" for number, name in enumerate(SIGNATURES)}
    return post("/hooks/github", body.encode(), "application/json", signatures)


def nested() -> bytes:
    """B3: 1 MB of form fields, each forty levels deep."""
    body = "&".join(f"a{number}{'[]' * 40}=1" for number in range(9_999))[:999_000].rpartition("&")[0]
    return post("/hooks/wide", body.encode(), "application/x-www-form-urlencoded")


def crumbs() -> bytes:
    """B5: 900 KB with a wrong token, in chunks of one byte each."""
    head = post("/hooks/website", b"", "application/json", {"X-Relay-Token": "wrong"})
    return head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 900_000 + b"0\r\n\r\n"


def packed(request: bytes) -> bytes:
    """The same request, packed: a megabyte in some kilobytes."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    inside = gzip.compress(body)
    lines += [b"Content-Encoding: gzip", b"Content-Length: %d" % len(inside)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + inside


def bomb() -> bytes:
    """A kilobyte that is a megabyte, with a wrong signature."""
    return packed(post("/hooks/github", bytes(1_000_000), "application/json", {SIGNATURES[0]: f"sha256={1:064x}"}))


def press(port: int, request: bytes, clients: int) -> None:
    """Post the same thing over and over. The target of a process."""
    os.nice(10)

    def client() -> None:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                while True:
                    connection.sendall(request)
                    if not _read_answer(connection):
                        break

    for _ in range(clients):
        threading.Thread(target=client, daemon=True).start()
    threading.Event().wait()


def fall_silent(port: int, count: int, every_s: float = 0) -> None:
    """B4: announce bodies and send none, or a byte every so often; whoever is sent away comes back. The target of a
    process.
    """
    os.nice(10)
    request = post("/hooks/website", b"x" * 1000, "application/json")[:-1000]
    waiting = select.epoll()
    held: dict[int, socket.socket] = {}
    due = time.monotonic() + every_s
    while True:
        if every_s and time.monotonic() > due:
            due += every_s
            for connection in held.values():
                with contextlib.suppress(OSError):
                    connection.send(b"x")
        for _ in range(min(50, count - len(held))):
            with contextlib.suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", port), timeout=1)
                connection.sendall(request)
                held[connection.fileno()] = connection
                waiting.register(connection, select.EPOLLIN | select.EPOLLHUP)
        for number, _ in waiting.poll(0.05):
            waiting.unregister(number)
            held.pop(number).close()


def send_proven(port: int, stop: threading.Event, felt: Felt) -> None:
    """A proven sender with a connection of its own, which it opens again where it breaks."""
    headers = {"Content-Type": "application/json", "X-Relay-Token": SECRETS["SOURCE_WEBSITE_TOKEN"]}
    body = json.dumps({"lead": {"id": 1}, "user": 1})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    due = time.perf_counter()
    while not stop.is_set():
        begin = time.perf_counter()
        try:
            connection.request("POST", "/hooks/website", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                felt.times.append((time.perf_counter() - begin) * 1000)
            else:
                felt.failures += 1
        except (OSError, http.client.HTTPException):
            felt.failures += 1
            connection.close()
        due = max(due + EVERY_S, time.perf_counter())
        stop.wait(due - time.perf_counter())


def ask_health(port: int, stop: threading.Event, felt: Felt) -> None:
    """/healthz, each time as somebody new."""
    while not stop.wait(0.1):
        begin = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            felt.times.append((time.perf_counter() - begin) * 1000)
        except (OSError, http.client.HTTPException):
            felt.failures += 1
        finally:
            connection.close()


ATTACKS: dict[str, list[tuple[Callable[..., None], tuple[object, ...]]]] = {
    "nobody": [],
    "almost signed, 64 KB, 16 clients": [(press, (almost_signed(), CLIENTS // 4))] * 4,
    "nested form, 1 MB, 16 clients": [(press, (nested(), CLIENTS // 4))] * 4,
    "1 MB packed in 1 KB, 16 clients": [(press, (bomb(), CLIENTS // 4))] * 4,
    "nested form, packed, 16 clients": [(press, (packed(nested()), CLIENTS // 4))] * 4,
    "2,000 bodies that never come": [(fall_silent, (SILENT // 2,))] * 2,
    "3,000 bodies, a byte a second": [(fall_silent, (SLOW // 4, SLOW_EVERY_S))] * 4,
    "900 KB in one-byte chunks, 2 clients": [(press, (crumbs(), 1))] * 2,
}


def stranger(wanted: str = "") -> Iterator[str]:
    """A row an attack; wanted: a word of its name."""
    yield f"{'a stranger':37} sender: p50, p99 (ms)              /healthz: p50, p99 (ms)"
    for name, parts in ATTACKS.items():
        if wanted not in name:
            continue
        with Stage() as stage:
            yield f"{name:37} {_measured(stage, parts)}"


def _measured(stage: Stage, parts: list[tuple[Callable[..., None], tuple[object, ...]]]) -> str:
    config = shutil.copytree(REPOSITORY / "config", stage.folder / "config")
    with (config / "sources.yaml").open("a") as file:
        file.write(WIDE)
    port = free_port()
    environ = {**os.environ, **SECRETS, "REDIS_URL": stage.url, "RELAY_CONFIG": str(config), "RELAY_PORT": str(port)}
    web = start(["relay", "serve"], environ, stage.folder / "web.log")
    until(lambda: is_open(port), "the door is open")
    stop, sender, health = threading.Event(), Felt(), Felt()
    watchers = [
        threading.Thread(target=watch, args=(port, stop, felt))
        for watch, felt in ((send_proven, sender), (ask_health, health))
    ]
    context = multiprocessing.get_context("spawn")
    attackers = [context.Process(target=attack, args=(port, *more), daemon=True) for attack, more in parts]
    for one in attackers:
        one.start()
    time.sleep(3.0)  # until the attack is at its height
    for watcher in watchers:
        watcher.start()
    time.sleep(LASTS_S)
    stop.set()
    for watcher in watchers:
        watcher.join()
    for one in attackers:
        one.kill()
        one.join()
    end(web)
    return f"{sender.row():36} {health.row()}"


def _read_answer(connection: socket.socket) -> bool:
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        if not piece:
            return False
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            return False
        body += piece
    return b"connection: close" not in lines


if __name__ == "__main__":
    for row in stranger(*sys.argv[1:]):
        print(row, flush=True)
    sys.exit(0)
