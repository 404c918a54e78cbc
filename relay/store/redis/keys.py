"""Every key of the record, drawn. Names only: no I/O.

    relay:event:{evt_}               hash    the event: request, state, receipt           until retention
    relay:delivery:{dlv_}            hash    the delivery: call, state, turn, outcome     until retention
    relay:attempts:{dlv_}            list    one JSON an attempt, oldest first            until it is packed
    relay:dedup:{source}:{digest}    string  the event that claimed this dedup key or signature
                                             TTL: the source's window; of a signature, its validity
    relay:events                     zset    every event id
    relay:events:state:{state}       zset    event ids by state; but `accepted`, which are counted
    relay:events:source:{source}     zset    periods with events of a source
    relay:unproven:{source}          list    size and id of its unproven events without deliveries,
                                             newest last                                  capped
    relay:unproven-bytes             hash    source -> the sum of these sizes
    relay:spent:{source}:{n}         hash    events and bytes of a source with a limit in one minute since 1970;
                                             `refused:` before the minute: of refusals          TTL: two minutes
    relay:at-work:{source}           zset    slots: requests of a source with `at_once` in work, scored with the time at
                                             which the slot lapses                      TTL: the longest slot
    relay:probes:{source}            hash    number of answered probes of a source, and the time of the last
    relay:given-secret:{source}      hash    the secret that a sender gave at run time, when, and whether it was shown
    relay:deliveries                 zset    every delivery id
    relay:deliveries:state:{state}   zset    delivery ids by state; but `started`, which are counted
    relay:deliveries:by:document:{id}    zset  delivery ids by document
    relay:deliveries:by:{facet}:{value}  zset  periods with deliveries of a rule, a portal, a template_id or a reason
    relay:facets                     set     the names of all indexes of periods
    relay:marks:{digest}             zset    person index: event ids by a value that rules extracted (keyed hash)
    relay:marks:any:{digest}         zset    the same for several values, for a search      TTL: a minute
    relay:portals                    set     every portal that ever had a delivery
    relay:order:{portal}:{digest}    zset    open deliveries of one document that go one after the other
    relay:buried                     zset    unresolved dead ids: not replayed, cancelled, given up or left
    relay:unmended                   zset    unresolved rejected event ids: not replayed or left
    relay:workflows                  hash    workflow id -> the delivery that started it
    relay:addresses                  hash    digest of a one-time address -> the delivery whose start carries it
    relay:awaited                    zset    started ids with an awaited end, scored with the time it is overdue
    relay:overdue                    zset    ids without a completion callback in time, that nobody has left
    relay:comments:{portal}          zset    started ids whose comment waits, scored with the time it may be sent
    An open delivery is in exactly one of these (times in milliseconds):
    relay:waiting:{portal}           zset    pending and retrying ids, scored with the time they may be sent
    relay:blocked:{portal}           zset    the same, behind an older one of their order
    relay:sending                    zset    claimed ids, scored with the time at which the claim lapses
    relay:doubtful:{portal}          zset    uncertain ids, scored with the time of reconciliation; with inf, behind
                                             an older one of their order
    relay:undecided                  zset    unresolved uncertain ids, which only a person can decide

    relay:claim:{claim}              string  deliveries of a claim, in case its answer is lost   TTL: the hard deadline
    relay:told-before:{call}         string  answer to a script's call, in case it is lost                TTL: a minute
    relay:archives                   hash    folder of an archive -> its host, its fault, the time of the report
    relay:waited                     channel without listeners: a message makes WAIT cover earlier writes
    relay:wakes                      string  number of jobs made, for their ids
    relay:full                       string  whether the server was full a moment ago (lua/common.lua)
                                                                                          TTL: 100 ms
    relay:retention                  hash    time of the last look at the clock, and when events may be forgotten
                                             (lua/forgetting.lua)
    relay:format                     string  the layout of the record (store/record/upgrade.py)
    relay:high-water                 hash    the mark (store/portals/rollback.py): the record's name, the number of its
                                             promises, and of its rollbacks
    relay:ledger                     hash    counts since the beginning: events by state, duplicates, deliveries
    relay:standing                   hash    counters of ids on record: accepted events, started deliveries, events by
                                             source, deliveries by rule
    relay:last-heard                 hash    a source without events -> time of its last one, in ms
    relay:lease:{task}               string  the holder of a periodic task                TTL: the lease
    relay:minute:{n}                 hash    counts of one minute since 1970: events by state and source,
                                             deliveries by outcome, latency, started by portal   TTL: three hours
    relay:hour:{n}                   hash    the same of one hour                                TTL: eight days
    relay:numbers:{n}                hash    hourly statistics, by source, rule, portal and template: deliveries made,
                                             uncertain, dead, and started within each latency bound; events by
                                             source, state and as duplicates                     until retention
    relay:numbered                   zset    the hours with such statistics, scored with themselves
    relay:session:{digest}           hash    an open session of the dashboard, by a digest of its id
                                                                                  TTL: the longest pause in its use
    relay:session-list:{role}        zset    their digests, scored with the time they were opened
    relay:tries:{digest}             hash    wrong tries at passwords and tokens of an address, a browser or all
                                             strangers (keyed hash), and when the next may come       TTL: an hour
    relay:gate:{portal}              hash    the gate: whether the portal may be called now; its number of moves
    relay:bucket:{portal}            hash    the leaky bucket of the portal               TTL: an hour unused
    relay:pace:{portal}              hash    the knowledge: own id honoured, site, host, durations by template and by
                                             method, operating time and blocks by method
    relay:found:{portal}:{digest}    string  id found for a question (keyed hash)                TTL: the rule's `keep`
    relay:codes:{portal}             list    time and reason of the last twenty failed attempts,
                                             newest first                                 TTL: a week unused
    relay:tokens:{portal}            hash    the OAuth pair in force
    relay:tokens-of:{portal}         hash    user id of an administrator -> the pair in force of the application, which
                                             only the workers' key opens
    relay:tokens-sent:{id}           string  the box of an opening: tokens of whoever opened the application, which only
                                             the workers' key opens                       TTL: ten minutes
    relay:opening:{id}               hash    an opening of the application, and what a worker says of it
                                                                                          TTL: ten minutes, then 15
    relay:openings:{portal}          zset    openings without an answer, scored with the time they may be taken
                                                                                          TTL: ten minutes
    relay:application:{portal}       hash    the installation that is bound to the portal
    relay:application-waits:{portal}  hash   an installation on an unexpected portal, for an operator   TTL: a week
    relay:application-word:{portal}  hash    member_id -> what an operator said of it
    relay:administrators:{portal}    hash    user id -> name of an administrator whose pair is kept, and since when;
                                             `trouble:` before it: what is wrong with the pair
    relay:rules                      hash    digest and requirements of the rules in force
    relay:rule-changes               stream  texts of rule files before and after each change, newest last  capped
    relay:drafts:{digest}            hash    unfinished rules of a person (digest of the name): what it is about -> its
                                             text and earlier ones (store/operators/drafts.py)    TTL: two weeks
    relay:in-force                   hash    the files of the configuration in force, packed, their digest, since when
    relay:waiting-files              hash    process and host -> which changed files it cannot use, why, since when
    relay:removed-rules              hash    a removed rule -> the time of its removal
    relay:drift:{portal}             string  the drift of the rules, as JSON
    relay:template-names:{portal}    hash    number -> name of the templates that were read last
    relay:checked-rules              hash    portal -> the digest of the rules that were checked last
    relay:question:{ask_}            hash    a question about a portal, and its answer           TTL: a day
    relay:question:{act}:{portal}    string  the last question of this kind, which is not asked again   TTL: a minute
    relay:questions:{portal}         list    questions that no worker has taken yet              TTL: a day
    relay:acts                       stream  the audit log, newest last                   capped
    relay:agent-calls                stream  requests of agents to the API, newest last   capped
    relay:once:{digest}              string  the answer to a POST with this Idempotency-Key      TTL: a day
    relay:bulk:{rpl_}                string  a bulk replay as JSON; `:stop` beside it ends or holds it   TTL: a week
    relay:bulk:asked:{digest}        string  the last bulk replay with this filter and act    TTL: a week
    relay:bulks                      set     ids of the bulk replays that run
    relay:held-bulks                 set     ids of those that a rollback has held
    relay:made:{rpl_}                zset    deliveries that a bulk replay has made, or settled      TTL: a week
    relay:alerts                     stream  alerts, newest last                          capped
    relay:channels                   zset    channels of alerts.yaml, scored with the time a worker last had them
    relay:channel:{channel}          hash    its kind, its address for pages, its last message and its fault
    relay:channel-test:{channel}     string  test requested                               TTL: ten minutes
    relay:messages                   stream  messages sent to channels, newest last       capped
    relay:events-out                 hash    an address that is told of deliveries -> until when it is subscribed,
                                             and the states
    relay:outbox:{channel}           zset    what it is still to be told, as JSON, scored with the time it may be sent
                                                                                          TTL: the subscription
    relay:events-lost                hash    an address -> how many of these it was never told
    relay:told:{channel}             hash    the alert state of a channel, as JSON
    relay:deaths                     string  the run of dead deliveries, for alerts, as JSON

Minutes after its end, the fields of an event or a delivery that no script reads are one field `z`
(store/record/codec.py).

The other zsets hold ids with score 0: ids sort by time, so ZRANGE BYLEX pages them and an id is the cursor. A period is
half a minute: the first seven digits of the time in an id. An index of periods may hold some forgotten ones, but misses
none. No key of the record has a TTL unless the drawing says so, and the server
must not evict.
"""

from __future__ import annotations

# The names of keys on the server stay, where a constant has a newer name: a rename would lay out every record anew.
PREFIX = "relay:"
EVENT = f"{PREFIX}event:"
DELIVERY = f"{PREFIX}delivery:"
ATTEMPTS = f"{PREFIX}attempts:"
DEDUP = f"{PREFIX}dedup:"
EVENTS = f"{PREFIX}events"
EVENTS_BY_STATE = f"{PREFIX}events:state:"
EVENTS_BY_SOURCE = f"{PREFIX}events:source:"
UNPROVEN = f"{PREFIX}unproven:"
UNPROVEN_BYTES = f"{PREFIX}unproven-bytes"
SPENT = f"{PREFIX}spent:"
AT_WORK = f"{PREFIX}at-work:"
PROBES = f"{PREFIX}probes:"
GIVEN_SECRET = f"{PREFIX}given-secret:"
DELIVERIES = f"{PREFIX}deliveries"
DELIVERIES_BY_STATE = f"{PREFIX}deliveries:state:"
DELIVERIES_BY = f"{PREFIX}deliveries:by:"
DELIVERIES_BY_DOCUMENT = f"{DELIVERIES_BY}document:"
FACETS = f"{PREFIX}facets"
PERSON_INDEX = f"{PREFIX}marks:"
WAITING = f"{PREFIX}waiting:"
ORDER = f"{PREFIX}order:"
BLOCKED = f"{PREFIX}blocked:"
SENDING = f"{PREFIX}sending"
DOUBTFUL = f"{PREFIX}doubtful:"
UNDECIDED = f"{PREFIX}undecided"
PORTALS = f"{PREFIX}portals"
CLAIM = f"{PREFIX}claim:"
TOLD_BEFORE = f"{PREFIX}told-before:"
WAITED = f"{PREFIX}waited"
WAKES = f"{PREFIX}wakes"
FORMAT = f"{PREFIX}format"
CLOCK = f"{PREFIX}clock"
"""A key of the first layout only (store/record/upgrade.py)."""
ARCHIVES = f"{PREFIX}archives"
BURIED = f"{PREFIX}buried"
UNMENDED = f"{PREFIX}unmended"
WORKFLOWS = f"{PREFIX}workflows"
ADDRESSES = f"{PREFIX}addresses"
AWAITED = f"{PREFIX}awaited"
OVERDUE = f"{PREFIX}overdue"
COMMENTS = f"{PREFIX}comments:"
HIGH_WATER = f"{PREFIX}high-water"
LEDGER = f"{PREFIX}ledger"
COUNTERS = f"{PREFIX}standing"
LAST_HEARD = f"{PREFIX}last-heard"
LEASE = f"{PREFIX}lease:"
GATE = f"{PREFIX}gate:"
BUCKET = f"{PREFIX}bucket:"
PACE = f"{PREFIX}pace:"
FOUND = f"{PREFIX}found:"
CODES = f"{PREFIX}codes:"
TOKENS = f"{PREFIX}tokens:"
TOKENS_OF = f"{PREFIX}tokens-of:"
TOKENS_SENT = f"{PREFIX}tokens-sent:"
OPENING = f"{PREFIX}opening:"
OPENINGS = f"{PREFIX}openings:"
APPLICATION = f"{PREFIX}application:"
APPLICATION_WAITS = f"{PREFIX}application-waits:"
APPLICATION_WORD = f"{PREFIX}application-word:"
ADMINISTRATORS = f"{PREFIX}administrators:"
RULES = f"{PREFIX}rules"
RULE_CHANGES = f"{PREFIX}rule-changes"
DRAFTS = f"{PREFIX}drafts:"
IN_FORCE = f"{PREFIX}in-force"
WAITING_FILES = f"{PREFIX}waiting-files"
REMOVED_RULES = f"{PREFIX}removed-rules"
DRIFT = f"{PREFIX}drift:"
TEMPLATE_NAMES = f"{PREFIX}template-names:"
CHECKED_RULES = f"{PREFIX}checked-rules"
QUESTION = f"{PREFIX}question:"
QUESTIONS = f"{PREFIX}questions:"
AUDIT_LOG = f"{PREFIX}acts"
AGENT_CALLS = f"{PREFIX}agent-calls"
ONCE = f"{PREFIX}once:"
BULK = f"{PREFIX}bulk:"
BULKS = f"{PREFIX}bulks"
HELD_BULKS = f"{PREFIX}held-bulks"
MADE = f"{PREFIX}made:"
ALERTS = f"{PREFIX}alerts"
CHANNELS = f"{PREFIX}channels"
CHANNEL = f"{PREFIX}channel:"
CHANNEL_TEST = f"{PREFIX}channel-test:"
MESSAGES = f"{PREFIX}messages"
SUBSCRIBERS = f"{PREFIX}events-out"
OUTBOX = f"{PREFIX}outbox:"
EVENTS_LOST = f"{PREFIX}events-lost"
ALERT_STATE = f"{PREFIX}told:"
DEATHS = f"{PREFIX}deaths"
MINUTE = f"{PREFIX}minute:"
HOUR = f"{PREFIX}hour:"
HOURLY = f"{PREFIX}numbers:"
HOURS_COUNTED = f"{PREFIX}numbered"
SESSION = f"{PREFIX}session:"
SESSIONS = f"{PREFIX}session-list:"
TRIES = f"{PREFIX}tries:"
FULL = f"{PREFIX}full"
RETENTION = f"{PREFIX}retention"

RECOVERY_MS = 8_000
"""Time in which a portal's slowed pace doubles again (lua/take.lua)."""

IN_LUA = {
    "event": EVENT,
    "delivery": DELIVERY,
    "attempts": ATTEMPTS,
    "events": EVENTS,
    "events_by_state": EVENTS_BY_STATE,
    "events_by_source": EVENTS_BY_SOURCE,
    "unproven": UNPROVEN,
    "unproven_bytes": UNPROVEN_BYTES,
    "spent": SPENT,
    "deliveries": DELIVERIES,
    "deliveries_by_state": DELIVERIES_BY_STATE,
    "deliveries_by": DELIVERIES_BY,
    "deliveries_by_document": DELIVERIES_BY_DOCUMENT,
    "facets": FACETS,
    "person_index": PERSON_INDEX,
    "waiting": WAITING,
    "order": ORDER,
    "blocked": BLOCKED,
    "sending": SENDING,
    "doubtful": DOUBTFUL,
    "undecided": UNDECIDED,
    "portals": PORTALS,
    "wakes": WAKES,
    "gate": GATE,
    "questions": QUESTIONS,
    "openings": OPENINGS,
    "opening": OPENING,
    "tokens_sent": TOKENS_SENT,
    "application_waits": APPLICATION_WAITS,
    "buried": BURIED,
    "unmended": UNMENDED,
    "workflows": WORKFLOWS,
    "addresses": ADDRESSES,
    "awaited": AWAITED,
    "overdue": OVERDUE,
    "comments": COMMENTS,
    "clock": CLOCK,
    "full": FULL,
    "subscribers": SUBSCRIBERS,
    "outbox": OUTBOX,
    "events_lost": EVENTS_LOST,
    "told": TOLD_BEFORE,
    "high_water": HIGH_WATER,
    "ledger": LEDGER,
    "counters": COUNTERS,
    "last_heard": LAST_HEARD,
    "codes": CODES,
    "minute": MINUTE,
    "hour": HOUR,
    "hourly": HOURLY,
    "hours_counted": HOURS_COUNTED,
}
"""Prefixes that scripts complete by themselves: a script that claims a batch learns its keys only while it runs. So the
record needs one Redis server or a Sentinel group, as RQ does, and not a cluster."""


def dedup(source: str, digest: str) -> str:
    """The key with the event that claimed this dedup key. `digest`: never the value itself."""
    return f"{DEDUP}{source}:{digest}"


def bulk_word(bulk_id: str) -> str:
    """The key with the order that a bulk replay is to end, or to be held."""
    return f"{BULK}{bulk_id}:stop"


def bulk_asked(digest: str) -> str:
    """The key with the bulk replay of this order."""
    return f"{BULK}asked:{digest}"
