"""The command line: every command with its options and its help.

Commands are in relay/runtime/up.py (processes), commands.py, bulk_commands.py, events.py and backup.py (the record),
configuration.py (rules and sources), and agents.py (tools for agents). A module is imported only when its command runs:
`serve` must patch the standard library before a socket is opened.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime

from relay import __version__
from relay.core.errors import ConfigError, RecordUnavailableError, RelayError
from relay.core.lifecycle import BulkAct
from relay.core.printing import say

MADE = ("lead", "deal", "contact", "company")
SCHEMAS = ("sources", "profiles", "portals", "rules", "alerts")
SINCE = "an age or a time in UTC: 30m, 24h, 7d, yesterday, '26.11.2026 14:00'"
HIGHEST_PORT = 65_535
BAD = 1
PIPE_CLOSED = 141
"""The exit status that a shell gives a process that SIGPIPE ended: the reader, such as `head`, has seen enough."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where something is wrong, 2 for bad usage."""
    options = build_parser().parse_args(arguments)
    if options.run is None:  # a call without a command asks what there is, as with git, docker and cargo: no mistake
        options.parser.print_help()
        return 0
    module, _, name = options.run.partition(":")
    command: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
    try:
        return _run(command, options)
    except BrokenPipeError:
        # What is still in the buffer would be written, and fail, once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except ConfigError as error:
        say(error, error=True)
    except RecordUnavailableError as error:
        say(f"the record cannot be reached ({error}): is REDIS_URL right, and is the server up?", error=True)
    except RelayError as error:
        say(error, error=True)
    except OSError as error:  # a file, a folder or a port that is not as the command needs it
        place = f"{error.filename}: " if error.filename else ""
        say(f"{place}{error.strerror or error}", error=True)
    except KeyboardInterrupt:
        say("stopped", error=True)
    return BAD


def _run(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run the command and flush its output. Returns its exit status."""
    telemetry = importlib.import_module("relay.core.telemetry")  # late, for `--help` is answered without it
    telemetry.log_to_stderr()
    status = command(options)
    sys.stdout.flush()
    return status


def build_parser() -> argparse.ArgumentParser:
    """Every command with its help."""
    parser = argparse.ArgumentParser("python -m relay", description="Webhooks in, Bitrix24 workflows out.")
    parser.add_argument("--version", action="version", version=f"relay {__version__}")
    parser.set_defaults(run=None, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    _add_beginning(commands)
    _add_running(commands)
    _add_rules(commands)
    _add_sources(commands)
    _add_record(commands)
    _add_bulk(commands)
    _add_agents(commands)
    _add_completion(commands, parser)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: str, text: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  python -m relay {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def _group(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    """Commands of two words, such as `rules check`."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(parser=parser)
    return parser.add_subparsers(metavar="ACTION")


def _since(text: str) -> datetime:
    since: Callable[[str], datetime] = importlib.import_module("relay.cli.events").since
    return since(text)


def _state(text: str) -> str:
    return str(importlib.import_module("relay.cli.events").state_named(text))


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number up to {HIGHEST_PORT}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 on")
    return int(text)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name and a value, such as 'X-GitHub-Event: push'")
    return name.strip(), value.strip()


def _add_beginning(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "write a configuration of your own: portal, first source, first rule, secrets; asks for what is not given"
    begun = _command(commands, "init", "relay.cli.init:init", text, "init my-relay --profile stripe --source shop")
    begun.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="default: this one")
    begun.add_argument("--portal", metavar="NAME", help="the portal's name here; default main")
    address = "a file with the address of its inbound webhook, - for standard input; or set PORTAL_<NAME>_WEBHOOK_URL"
    begun.add_argument("--portal-url-file", metavar="FILE", help=address)
    begun.add_argument("--source", metavar="NAME", help="who sends, as in /hooks/NAME; default website")
    begun.add_argument("--profile", metavar="PROFILE", help="the kind of sender (`sources show`); default html-form")
    begun.add_argument("--public-url", metavar="URL", help="the relay's address as senders see it")
    begun.add_argument("--template", metavar="N", type=int, help="the workflow template that the first rule starts")
    begun.add_argument("--document", choices=MADE, help="what the first rule makes, and starts it on; default lead")
    begun.add_argument("--no-ping", action="store_true", help="do not call the portal")
    begun.add_argument("--yes", action="store_true", help="ask nothing: take the defaults, and change no file")
    text = "print the JSON Schema of a kind of file, for an editor"
    schema = _command(commands, "schema", "relay.cli.configuration:print_schema", text, "schema rules")
    schema.add_argument("name", metavar="NAME", choices=SCHEMAS, help=", ".join(SCHEMAS))


def _add_running(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = _command(commands, "demo", "relay.runtime.up:demo", "everything at once, with sample events", "demo --once")
    demo.add_argument("--once", action="store_true", help="end when every sample event has its workflow")
    up = _command(commands, "up", "relay.runtime.up:up", "all of it on this machine, until Ctrl-C", "up --sandbox")
    up.add_argument("--sandbox", action="store_true", help="with a pretend portal that every portal name leads to")
    _command(commands, "serve", "relay.runtime.up:serve", "the web process alone", "serve")
    sandbox = _command(
        commands, "sandbox", "relay.runtime.up:sandbox", "the pretend Bitrix24 portal alone", "sandbox --port 8090"
    )
    sandbox.add_argument("--port", type=_port, default=8090, help="default 8090; 0 takes a free one")
    sandbox.add_argument("--profile", choices=("a", "b"), default="a", help="the generation of the portal's server")


def _add_rules(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "rules", "check the rules, try one, see how they changed, undo a change")
    check = _command(
        actions, "check", "relay.cli.configuration:check_rules", "find mistakes in the configuration", "rules check"
    )
    check.add_argument("paths", nargs="*", metavar="PATH", help="configuration folders or rule files; default: config")
    text = "show the call that a rule makes of a body; changes nothing"
    tried = _command(actions, "try", "relay.cli.configuration:try_rule", text, "rules try demo-request body.json")
    tried.add_argument("rule", metavar="RULE", nargs="?", help="with --event, every rule of its source if left out")
    tried.add_argument("body", metavar="BODY.json", nargs="?", help="a file, or - for standard input")
    tried.add_argument("--event", metavar="ID", help="instead of a body: an event on record, as it came")
    tried.add_argument(
        "--header", action="append", default=[], type=_header, metavar="K:V", help="a header of the webhook"
    )
    text = "draft a rule from an event that has come, with the paths and types of its values; writes no file"
    drafted = _command(
        actions, "draft", "relay.cli.configuration:draft_rule", text, "rules draft evt_01m8a7hzf5b0xv7p8yk1bsmt6f"
    )
    drafted.add_argument("event", metavar="EVENT")
    drafted.add_argument("--name", metavar="NAME", help="of the rule; default: made of the source and the event's kind")
    drafted.add_argument("--portal", metavar="PORTAL", help="default: the first one")
    given = "what a step comes to, which only the portal knows: an id, or nothing"
    tried.add_argument("--given", action="append", default=[], metavar="STEP=ID", help=given)
    _add_history(actions)


def _add_history(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    module = "relay.cli.configuration"
    text = "show who changed which rule when, newest first"
    history = _command(actions, "history", f"{module}:history", text, "rules history seed-example --text")
    history.add_argument("rule", metavar="RULE", nargs="?", help="absent: every rule")
    history.add_argument("--limit", type=_count, metavar="N", default=20, help="default 20")
    history.add_argument("--text", action="store_true", help="with the lines that were changed")
    text = "make a rule's file what it was before a change; this is a change too"
    undone = _command(actions, "undo", f"{module}:undo", text, "rules undo chg_1780315200000-0")
    undone.add_argument("change", metavar="CHANGE")
    text = "compare the files here with those in force; 1 if they differ"
    _command(actions, "diff", f"{module}:diff", text, "rules diff")


def _add_sources(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "sources", "who may send: list them, set one up, send a sample")
    module = "relay.cli.configuration"
    text = "list the sources: address, proof, last event, problems; or the profiles of senders"
    listed = _command(actions, "list", f"{module}:list_sources", text, "sources list --profiles tilda --country RU")
    listed.add_argument("--profiles", metavar="TEXT", nargs="*", help="list the profiles whose names have these words")
    listed.add_argument("--country", metavar="CC", help="only profiles of senders that are used there, such as RU")
    listed.add_argument("--kind", help="only profiles of this kind, such as forms")
    text = "show what to enter at a sender, step by step; without a name, list the profiles"
    shown = _command(actions, "show", f"{module}:show_profile", text, "sources show stripe")
    shown.add_argument("profile", metavar="PROFILE", nargs="?")
    text = "send a signed sample to the running relay, and show what becomes of it; 1 if it does not get through"
    tested = _command(actions, "test", f"{module}:test_source", text, "sources test website")
    tested.add_argument("source", metavar="SOURCE")
    tested.add_argument("--url", metavar="URL", help="where the relay listens; default: RELAY_HOST and RELAY_PORT")
    text = "say which sender the event of an inbox looks like, and how to configure it"
    guessed = _command(actions, "guess", f"{module}:guess_sender", text, "sources guess evt_01m8a7hzf5b0xv7p8yk1bsmt6f")
    guessed.add_argument("event", metavar="EVENT")
    text = "forget the secret that a sender gave, so that its next handshake gives another"
    forgotten = _command(actions, "forget", f"{module}:forget_secret", text, "sources forget asana")
    forgotten.add_argument("source", metavar="SOURCE")


def _add_record(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    example = "events --state dead --since 24h"
    events = _command(commands, "events", "relay.cli.events:events", "list events, newest first", example)
    events.add_argument(
        "--state",
        type=_state,
        metavar="STATE",
        help="of a delivery (pending, dead, ...) or an event (accepted, rejected, ...)",
    )
    events.add_argument("--source", help="who has sent it")
    events.add_argument("--rule", help="which rule has made a delivery of it")
    events.add_argument("--portal", help="where a delivery of it goes")
    person = "whose value a rule has found in it: an e-mail, a phone number"
    events.add_argument("--person", metavar="TEXT", help=person)
    events.add_argument("--since", metavar="TIME", type=_since, help=SINCE)
    events.add_argument("--limit", type=_count, metavar="N", default=50, help="default 50")
    events.add_argument("--json", action="store_true", help="one JSON object a line")
    events.add_argument("--follow", action="store_true", help="show what comes from now on, until Ctrl-C")
    in_archive = "among those that the record has forgotten, in the folder RELAY_ARCHIVE"
    events.add_argument("--archive", action="store_true", help=in_archive)
    text = "show an event or a delivery, whole"
    show = _command(commands, "show", "relay.cli.events:show", text, "show dlv_01kaz5t0x8n2c4v6b8m0q2s4d6")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true")
    show.add_argument("--archive", action="store_true", help=in_archive)
    text = "remove a person from the record, everywhere, and search again to prove it"
    erase = _command(commands, "erase", "relay.cli.commands:erase", text, "erase --value someone@example.com")
    erase.add_argument("--value", required=True, metavar="TEXT", help="an e-mail, a phone number, a name")
    erase.add_argument("--cancel", action="store_true", help="give up deliveries that are not final yet")
    erase.add_argument("--yes", action="store_true", help="do not ask before it is done")
    text = "make a new delivery of a dead or started one, or of an event that no rule could use"
    replay = _command(commands, "replay", "relay.cli.commands:replay", text, "replay dlv_01kaz5t0x8n2c4v6b8m0q2s4d6")
    replay.add_argument("id", metavar="ID")
    replay.add_argument(
        "--rules", choices=("original", "current"), default="original", help="the same call, or what today's rules make"
    )
    replay.add_argument("--yes", action="store_true", help="do not ask before starting a started workflow again")
    replay.add_argument("--archive", action="store_true", help=f"{in_archive}: it is put back on record first")
    text = "save the record in a file, while all goes on"
    saved = _command(commands, "backup", "relay.cli.backup:backup", text, "backup relay.tar")
    saved.add_argument("file", metavar="FILE")
    saved.add_argument("--yes", action="store_true", help="replace the file without asking")
    text = "put the record of a file into the server, while nothing else runs"
    put = _command(commands, "restore", "relay.cli.backup:restore", text, "restore relay.tar")
    put.add_argument("file", metavar="FILE")
    put.add_argument("--moved", action="store_true", help="nothing was received or sent since the backup was taken")
    put.add_argument("--yes", action="store_true", help="replace a record that is not empty without asking")
    audit = _command(
        commands, "audit", "relay.cli.commands:audit", "add up the ledger; 1 if it does not balance", "audit"
    )
    audit.add_argument("--json", action="store_true")


def _add_bulk(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    module = "relay.cli.bulk_commands"
    text = "list what failed and waits for a person, in groups; 1 if there is anything"
    needs = _command(commands, "needs", f"{module}:needs", text, "needs")
    needs.add_argument("--json", action="store_true", help="one JSON object a line")
    text = "replay, leave or settle all that a filter finds, after it was counted"
    many = _command(commands, "bulk", f"{module}:bulk", text, "bulk replay --state rejected --needs --source website")
    acts = [act.value for act in BulkAct]
    many.add_argument("act", choices=acts, metavar="ACT", help=", ".join(acts))
    many.add_argument(
        "--state",
        type=_state,
        metavar="STATE",
        default="dead",
        help="dead (default), started, rejected, ignored or uncertain",
    )
    for name in ("source", "rule", "portal", "code"):
        many.add_argument(f"--{name}")
    many.add_argument("--fault", help="what is wrong with rejected events, as `needs` says it")
    many.add_argument("--since", metavar="TIME", type=_since, help=SINCE)
    many.add_argument("--needs", action="store_true", help="only what nobody has dealt with")
    many.add_argument("--note", default="", help="why, for the log; needed for all but a replay")
    many.add_argument(
        "--rules", choices=("original", "current"), default="original", help="for deliveries: events take today's rules"
    )
    many.add_argument("--dry-run", action="store_true", help="only count")
    many.add_argument("--yes", action="store_true", help="do not ask before it is done")


def _add_agents(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "serve tools to an agent by the Model Context Protocol, on standard input and output"
    served = _command(commands, "mcp", "relay.cli.agents:mcp", text, "mcp --url https://relay.example.com")
    served.add_argument("--url", metavar="URL", help="where the relay listens; default: RELAY_HOST and RELAY_PORT")
    served.add_argument(
        "--allow-write", action="store_true", help="also tools that replay and settle, with RELAY_API_TOKEN"
    )


def _add_completion(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], whole: argparse.ArgumentParser
) -> None:
    text = "print what makes the Tab key complete commands and options of `relay`, for a shell to read"
    completed = _command(commands, "completion", "relay.cli.completion:completion", text, "completion bash")
    completed.add_argument("shell", choices=("bash", "zsh"), metavar="SHELL", help="bash or zsh")
    completed.set_defaults(whole=whole)
