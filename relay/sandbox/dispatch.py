"""One REST call from "is there such a method" to the answer with its `time` block.

The order is that of CRestServer::processCall (rest/classes/general/rest.php): the method is looked up before the
caller is. May not know HTTP. Processing time is reckoned, not measured, so a test controls it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from relay.sandbox.answers import RestError
from relay.sandbox.batch import run_batch
from relay.sandbox.calls import Caller, RestCall, upper_names
from relay.sandbox.faults import refusal
from relay.sandbox.limits import BATCH_WEIGHT
from relay.sandbox.methods import BATCH, find_method
from relay.sandbox.portal import Portal
from relay.sandbox.workflows import iso_time


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
    if not method.is_open_to(portal.settings.scope):
        raise RestError("insufficient_scope")
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
