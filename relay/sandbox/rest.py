"""REST: a request is read, its method found, the call run, a fault applied, the answer sent. In this order.

Waiting happens here, after the portal's lock is given back. Processing time is reckoned, not measured, so a test
controls it. May not know what a method does.

Facts: getRequestData, ParseBatchQuery (rest_util.php), getAuthKey (rest/lib/oauth/auth.php) for the order of sources;
CRestServer::processCall (rest/classes/general/rest.php) for the order of checks: the method is looked up before the
caller is; settings/how-to-call-rest-api/batch.md (docs) and methodsBatch (rest/classes/general/rest_provider.php) for
batches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from flask import Blueprint, Request, Response, request

from relay.sandbox import php
from relay.sandbox.answers import (
    CONNECTION,
    PhpError,
    Reply,
    RestError,
    Result,
    as_xml,
    error_reply,
    html_reply,
    json_reply,
)
from relay.sandbox.application_methods import (
    bind_event,
    bind_placement,
    list_bound_events,
    list_bound_placements,
    list_events,
    list_placements,
    send_test_event,
    unbind_event,
    unbind_placement,
)
from relay.sandbox.bizproc import kill_workflow, list_instances, list_templates, start_workflow, terminate_workflow
from relay.sandbox.callers import OWNERS, Caller, RestCall, upper_names
from relay.sandbox.crm_methods import (
    add_item,
    describe_fields,
    find_duplicates,
    fire_trigger,
    get_item,
    import_item,
    list_items,
    list_statuses,
    list_types,
    show_mode,
)
from relay.sandbox.faults import Fault, refusal, spoil
from relay.sandbox.limits import BATCH_WEIGHT
from relay.sandbox.portal import SECRET, Entry, Portal
from relay.sandbox.talking import add_comment, add_log_message, notify
from relay.sandbox.users import (
    SCOPES,
    list_users,
    say_whether_admin,
    say_whether_available,
    send_message,
    show_app,
    show_feature,
    show_profile,
    show_scope,
    show_time,
    show_user,
)
from relay.sandbox.workflows import iso_time, utc_time


@dataclass(frozen=True, slots=True)
class Incoming:
    """A REST request, read but not judged.

    method: lower case without suffix; "" where the address has no sensible form.
    webhook: (user, secret) from the address. token: from the header or the parameters.
    client: the caller's network address. is_private: came by https, or over loopback.
    wants_xml: the method's name ended in .xml.
    """

    method: str
    parameters: Mapping[str, object]
    webhook: tuple[str, str] | None
    token: str | None
    client: str
    is_private: bool
    wants_xml: bool = False

    def recognise(self, portal: Portal) -> Caller:
        """The caller. Raises RestError for the credential, and for what the plan or the application does not allow."""
        if not self.is_private:
            raise RestError("INVALID_REQUEST")
        if self.webhook is not None:
            return _webhook_owner(portal, *self.webhook)
        if self.token is None:
            raise RestError("NO_AUTH_FOUND")
        return _holder_of(portal, self.token)

    def known_user(self, portal: Portal) -> int | None:
        """The caller's number for the log; None where the credential is no good."""
        try:
            return self.recognise(portal).user.id
        except RestError:
            return None


def read_request(request: Request, tail: str) -> Incoming:
    """tail: the address after /rest/ ."""
    query = php.parse_query(request.query_string.decode("utf-8", "replace"))
    merged = query | _read_body(request)
    parameters = upper_names(merged)
    if isinstance(upper_names(query).get("DOCUMENT_ID"), list):
        parameters["DOCUMENT_ID"] = upper_names(query)["DOCUMENT_ID"]  # an old fix of theirs: the query's array wins
    wants_xml = tail.rstrip("/").lower().endswith(".xml")
    method, webhook = _read_address(tail)
    client = request.remote_addr or ""
    token = _bearer(request) or _text_or_none(merged.get("auth")) or _text_or_none(merged.get("access_token"))
    return Incoming(method, parameters, webhook, token, client, request.is_secure or _is_loopback(client), wants_xml)


def _read_body(request: Request) -> dict[str, object]:
    """JSON only if its content type says so; what cannot be parsed counts as nothing at all.

    A GET has no body, whatever was sent: a method then misses its parameters (bitrix-tools/b24-rest-docs#223).
    """
    if request.method == "GET":
        return {}
    if request.mimetype != "application/json":
        return php.nest(request.form.items(multi=True))
    try:
        body = php.settle(json.loads(request.get_data()))
    except (ValueError, RecursionError):
        return {}
    return php.as_map(body) or {}


def _read_address(tail: str) -> tuple[str, tuple[str, str] | None]:
    """`<method>` with a token, or `<user>/<secret>/<method>`; `.json` or `.xml` may follow, and a slash."""
    parts = tail.removesuffix("/").split("/")
    method = parts[-1].lower().removesuffix(".json").removesuffix(".xml")
    if len(parts) == 1:
        return method, None
    if len(parts) == 3 and parts[0].isdecimal():
        return method, (parts[0], parts[1])
    return "", None


def _webhook_owner(portal: Portal, user_id: str, secret: str) -> Caller:
    number = php.to_int(user_id)
    user = portal.person(number) if number in OWNERS else None
    if user is None or secret != SECRET:
        raise RestError("INVALID_CREDENTIALS")
    if not portal.settings.rest_available:
        raise RestError("ACCESS_DENIED", "REST is available only by subscription.")
    return Caller(user, f"webhook:{user.id}", "webhook", portal.settings.scope)


def _holder_of(portal: Portal, token: str) -> Caller:
    """The user and the application of an access token; checked in the order of rest/lib/oauth/auth.php."""
    settings = portal.settings
    if not settings.oauth_available:
        raise RestError("CONNECTION_ERROR")
    if not settings.rest_available:
        raise RestError("ACCESS_DENIED", "REST is available only on commercial plans.")
    grant = portal.tokens.grant_of(token)
    if grant is None:
        raise RestError("invalid_token")
    if not grant.application.is_installed:
        raise RestError("APPLICATION_NOT_FOUND")
    if not portal.tokens.is_fresh(token):
        raise RestError("expired_token")
    user = portal.person(grant.user_id)
    if user is None or not user.is_active:
        raise RestError("authorization_error")
    if user.id in settings.users_without_access and not user.is_admin:
        raise RestError("user_access_error")
    credential = f"app:{grant.application.number}"
    return Caller(user, credential, credential, grant.application.scope(settings), grant.application)


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _is_loopback(client: str) -> bool:
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return False


BATCH = "batch"
BIZPROC = "bizproc"
CRM = "crm"
PLACEMENT = "placement"


@dataclass(frozen=True, slots=True)
class Method:
    """run: called with the portal's lock held. scopes: any of them suffices; none where any credential will do."""

    run: Callable[[Portal, RestCall], Result]
    scopes: tuple[str, ...] = ()

    def is_open_to(self, scope: Collection[str]) -> bool:
        """Whether a credential of this scope may call it."""
        return not self.scopes or any(name in scope for name in self.scopes)


def _list_methods(_portal: Portal, call: RestCall) -> Result:
    """`methods`: those that the scope allows."""
    return Result([name for name, method in METHODS.items() if method.is_open_to(call.caller.scope)])


def _get_method(_portal: Portal, call: RestCall) -> Result:
    available = {name: method.is_open_to(call.caller.scope) for name, method in METHODS.items()}
    return say_whether_available(call, available)


METHODS: Mapping[str, Method] = {
    "bizproc.workflow.start": Method(start_workflow, (BIZPROC,)),
    "bizproc.workflow.instances": Method(list_instances, (BIZPROC,)),
    "bizproc.workflow.instance.list": Method(list_instances, (BIZPROC,)),
    "bizproc.workflow.terminate": Method(terminate_workflow, (BIZPROC,)),
    "bizproc.workflow.kill": Method(kill_workflow, (BIZPROC,)),
    "bizproc.workflow.template.list": Method(list_templates, (BIZPROC,)),
    "crm.duplicate.findbycomm": Method(find_duplicates, (CRM,)),
    "crm.item.add": Method(add_item, (CRM,)),
    "crm.item.import": Method(import_item, (CRM,)),
    "crm.item.list": Method(list_items, (CRM,)),
    "crm.item.get": Method(get_item, (CRM,)),
    "crm.item.fields": Method(describe_fields, (CRM,)),
    "crm.type.list": Method(list_types, (CRM,)),
    "crm.status.list": Method(list_statuses, (CRM,)),
    "crm.settings.mode.get": Method(show_mode, (CRM,)),
    "crm.automation.trigger": Method(fire_trigger, (CRM,)),
    "crm.timeline.logmessage.add": Method(add_log_message, (CRM,)),
    "crm.timeline.comment.add": Method(add_comment, (CRM,)),
    "placement.bind": Method(bind_placement, (PLACEMENT,)),
    "placement.unbind": Method(unbind_placement, (PLACEMENT,)),
    "placement.get": Method(list_bound_placements, (PLACEMENT,)),
    "placement.list": Method(list_placements, (PLACEMENT,)),
    "event.bind": Method(bind_event),
    "event.unbind": Method(unbind_event),
    "event.get": Method(list_bound_events),
    "event.test": Method(send_test_event),
    "events": Method(list_events),
    "user.get": Method(list_users, SCOPES),
    "user.current": Method(show_user, SCOPES),
    "im.message.add": Method(send_message, ("im",)),
    "im.notify.system.add": Method(notify, ("im",)),
    "user.admin": Method(say_whether_admin),
    "profile": Method(show_profile),
    "scope": Method(show_scope),
    "methods": Method(_list_methods),
    "method.get": Method(_get_method),
    "app.info": Method(show_app),
    "feature.get": Method(show_feature),
    "server.time": Method(show_time),
}


def find_method(portal: Portal, name: str) -> Method:
    """The method of this lower-case name; ERROR_METHOD_NOT_FOUND (404) where there is none, or none in this plan."""
    method = METHODS.get(name)
    if method is None or (BIZPROC in method.scopes and not portal.settings.bizproc_available):
        raise RestError("ERROR_METHOD_NOT_FOUND")
    return method


MAX_COMMANDS = 50
EXCLUDED = frozenset({"batch", "download", "upload"})
_REFERENCE = re.compile(r"\$(result|error|total|next|time)((?:\[[^\]]*\])+)")
_KEY = re.compile(r"\[([^\]]*)\]")

RunCommand = Callable[[str, Mapping[str, object]], tuple[Mapping[str, object], float]]
"""(lower-case method, parameters) -> (success answer with `result`, `time`, ...; its seconds). May raise RestError."""


@dataclass(slots=True)
class _Sections:
    """The five maps of the answer, by the commands' keys."""

    result: dict[str, object] = field(default_factory=dict)
    error: dict[str, object] = field(default_factory=dict)
    total: dict[str, object] = field(default_factory=dict)
    next: dict[str, object] = field(default_factory=dict)
    time: dict[str, object] = field(default_factory=dict)

    def add(self, key: str, answer: Mapping[str, object]) -> None:
        """Distribute a success answer."""
        self.result[key] = answer["result"]
        for section, name in ((self.total, "total"), (self.next, "next"), (self.time, "time")):
            if name in answer:
                section[key] = answer[name]

    def to_json(self) -> dict[str, object]:
        """Empty sections are `[]`, and keys 0..n make a list: PHP's json_encode()."""
        return {
            "result": php.as_array(self.result),
            "result_error": php.as_array(self.error),
            "result_total": php.as_array(self.total),
            "result_next": php.as_array(self.next),
            "result_time": php.as_array(self.time),
        }

    def look_up(self, section: str, path: list[str]) -> object:
        """The value of `$section[path...]`; None where there is none."""
        found: object = getattr(self, section)
        for key in path:
            found = (php.as_map(found) or {}).get(key)
        return found


def run_batch(parameters: Mapping[str, object], run: RunCommand) -> tuple[dict[str, object], float]:
    """Run the commands of CMD in order. Returns the five sections and the seconds that all took together.

    A command that is not a text is passed over and appears nowhere; after a `halt` stop the rest appears nowhere.
    """
    commands = php.as_map(parameters.get("CMD")) or {}
    halts = php.is_truthy(parameters.get("HALT"))  # plain truthiness: the text "false" halts
    sections, seconds = _Sections(), 0.0
    for position, (key, command) in enumerate(commands.items()):
        if not isinstance(command, str):
            continue
        try:
            answer, took = _run_command(position, command, sections, run)
        except RestError as error:
            sections.error[key] = error.body()
            if halts:
                break
            continue
        sections.add(key, answer)
        seconds += took
    return sections.to_json(), seconds


def count_commands(parameters: Mapping[str, object]) -> int:
    """Number of commands sent, for the log."""
    return len(php.as_map(parameters.get("CMD")) or {})


def _run_command(
    position: int, command: str, sections: _Sections, run: RunCommand
) -> tuple[Mapping[str, object], float]:
    if position >= MAX_COMMANDS:
        raise RestError("ERROR_BATCH_LENGTH_EXCEEDED")
    name, _, query = command.partition("#")[0].partition("?")  # parse_url(): a fragment is cut off
    method = name.strip("/").lower()
    if method in EXCLUDED:
        raise RestError("ERROR_BATCH_METHOD_NOT_ALLOWED")
    filled = {key: _fill(value, sections) for key, value in php.parse_query(query).items()}
    return run(method, filled)


def _fill(value: object, sections: _Sections) -> object:
    """Replace `$result[key]` and its kin in every text below; there is no way to quote one."""
    if isinstance(value, list):
        return [_fill(item, sections) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, sections) for key, item in value.items()}
    if not isinstance(value, str) or "$" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return sections.look_up(whole[1], _KEY.findall(whole[2]))
    return _REFERENCE.sub(lambda match: _text(sections.look_up(match[1], _KEY.findall(match[2]))), value)


def _text(value: object) -> str:
    return php.to_string(value) or ""


def answer_call(
    portal: Portal, method: str, parameters: Mapping[str, object], authorise: Callable[[], Caller]
) -> tuple[dict[str, object], float]:
    """Run a call. Returns the success answer and the seconds it takes; raises RestError or PhpError.

    method: lower case. parameters: the top level under upper-case names.
    authorise: recognises the caller or raises RestError; asked only if the method exists.
    """
    with portal.lock:
        if method != BATCH:
            find_method(portal, method)
        call = RestCall(method, parameters, authorise())
        if method == BATCH:
            return _answer_batch(portal, call)
        answer, seconds, _ = _answer_one(portal, call)
        return answer, seconds


def _answer_one(portal: Portal, call: RestCall) -> tuple[dict[str, object], float, float]:
    """The answer, the seconds until it is due, and those that it is billed."""
    method = find_method(portal, call.method)
    if not method.is_open_to(call.caller.scope):
        raise _too_narrow(call)
    _refuse_blocked(portal, call)
    fault = portal.faults.take_command(call.method)
    if fault is not None and not fault.executed:
        raise refusal(fault)
    result = method.run(portal, call)
    if fault is not None:
        raise refusal(fault)
    seconds = result.seconds + portal.settings.call_cost_s
    billed = seconds + result.billed_s
    portal.limiter.charge(call.meter, portal.clock(), billed, portal.settings.operating_window_s)
    counts = {"next": result.next, "total": result.total}
    answer = {"result": result.value} | {name: count for name, count in counts.items() if count is not None}
    return answer | {"time": _time_block(portal, call, billed)}, seconds, billed


def _too_narrow(call: RestCall) -> RestError:
    if call.caller.application is None:
        return RestError("insufficient_scope")
    text = "The request requires higher privileges than provided by the access token"
    return RestError("insufficient_scope", text)


def _answer_batch(portal: Portal, call: RestCall) -> tuple[dict[str, object], float]:
    is_billed = portal.settings.profile == "b"
    if is_billed:
        _refuse_blocked(portal, call)
    bills: list[float] = []

    def run(method: str, parameters: Mapping[str, object]) -> tuple[Mapping[str, object], float]:
        nested = RestCall(method, upper_names(parameters), call.caller, nested=True)
        answer, seconds, billed = _answer_one(portal, nested)
        bills.append(billed)
        return answer, seconds

    sections, seconds = run_batch(call.parameters, run)
    billed = sum(bills)
    if is_billed:
        weighed = billed * BATCH_WEIGHT
        portal.limiter.charge(call.meter, portal.clock(), weighed, portal.settings.operating_window_s)
    return {"result": sections, "time": _time_block(portal, call, billed)}, seconds


def _refuse_blocked(portal: Portal, call: RestCall) -> None:
    settings = portal.settings
    if settings.operating_limit_s is None:
        return
    window_s, limit_s = settings.operating_window_s, settings.operating_limit_s
    if portal.limiter.is_blocked(call.meter, portal.clock(), limit_s, window_s, settings.profile):
        raise RestError("OPERATION_TIME_LIMIT")


def _time_block(portal: Portal, call: RestCall, seconds: float) -> dict[str, object]:
    """Success only. Without an operating limiter, as on a self-hosted portal, both `operating` keys are missing."""
    start, zone = float(portal.clock()), portal.settings.utc_offset_h
    block: dict[str, object] = {
        "start": start,
        "finish": start + seconds,
        "duration": float(seconds),
        "processing": float(seconds),
        "date_start": iso_time(start, zone),
        "date_finish": iso_time(start + seconds, zone),
    }
    if portal.settings.operating_limit_s is None:
        return block
    operating, reset_at = portal.limiter.reading(call.meter, portal.clock(), portal.settings.operating_window_s)
    return block | {"operating_reset_at": reset_at, "operating": float(operating)}


_HEADERS = {"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "*"}


def rest_blueprint(portal: Portal) -> Blueprint:
    """/rest/<user>/<secret>/<method> and /rest/<method>, by GET or POST."""
    blueprint = Blueprint("rest", __name__)

    @blueprint.route("/rest/", defaults={"tail": ""}, methods=["GET", "POST"])
    @blueprint.route("/rest/<path:tail>", methods=["GET", "POST"])
    def rest(tail: str) -> Response:
        if request.host != (portal.settings.domain or request.host):
            moved = html_reply(302, "Found")
            location = f"{portal.url}{request.full_path.removesuffix('?')}"
            return Response(moved.body, moved.status, {"Location": location, "Content-Type": moved.content_type})
        incoming = read_request(request, tail)
        reply = _answer(portal, incoming)
        request.environ[CONNECTION] = reply.connection
        headers = {**_HEADERS, **reply.headers, "Content-Type": reply.content_type}
        return Response(reply.body, reply.status, headers)

    return blueprint


def _answer(portal: Portal, incoming: Incoming) -> Reply:
    fits, fault = _enter(portal, incoming)
    if not fits:
        reply, seconds = error_reply(RestError("QUERY_LIMIT_EXCEEDED"), portal.settings.statuses), 0.0
    elif fault is not None:
        reply, seconds = _misbehave(portal, incoming, fault)
    else:
        reply, seconds = _execute(portal, incoming)
    portal.record(_entry(portal, incoming, reply, fault))
    seconds += portal.settings.latency_ms / 1000
    if seconds > 0 and reply.connection != "reset":
        portal.sleep(seconds)
    return reply


def _enter(portal: Portal, incoming: Incoming) -> tuple[bool, Fault | None]:
    """Whether the request fits into its client's bucket, and the fault that hits it. A refused one uses up no fault."""
    with portal.lock:
        settings = portal.settings
        if not portal.buckets.take(incoming.client, portal.clock(), settings.rate, settings.burst):
            return False, None
        return True, portal.faults.take(incoming.method)


def _misbehave(portal: Portal, incoming: Incoming, fault: Fault) -> tuple[Reply, float]:
    reply, seconds = _execute(portal, incoming) if fault.executed else (html_reply(500, "Not executed"), 0.0)
    return spoil(fault, reply, portal.settings.statuses), seconds + fault.delay_s()


def _execute(portal: Portal, incoming: Incoming) -> tuple[Reply, float]:
    """The reply and the seconds until it is due; the front end cuts what takes too long, though it has run."""
    shape = as_xml if incoming.wants_xml else lambda reply: reply
    try:
        answer, seconds = answer_call(portal, incoming.method, incoming.parameters, lambda: incoming.recognise(portal))
    except RestError as error:
        return shape(error_reply(error, portal.settings.statuses)), 0.0
    except PhpError:
        return html_reply(500, "Internal Server Error"), 0.0
    if seconds > portal.settings.cut_after_s:
        return html_reply(504, "Gateway Time-out"), portal.settings.cut_after_s
    return shape(json_reply(200, answer)), seconds


def _entry(portal: Portal, incoming: Incoming, reply: Reply, fault: Fault | None) -> Entry:
    return Entry(
        at=utc_time(portal.clock()),
        method=incoming.method or "(no method)",
        user=incoming.known_user(portal),
        status=None if reply.connection == "reset" else reply.status,
        code=reply.code,
        batch_size=count_commands(incoming.parameters) if incoming.method == BATCH else None,
        fault=None if fault is None else fault.kind,
    )
