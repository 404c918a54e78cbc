"""The rules of a folder, read and checked as a whole, and the choice of those that can want an event.

Reading the files is the only I/O; afterwards nothing changes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.configuration.expressions import Expression, Steps, value_at
from relay.configuration.fields import suggestion
from relay.configuration.files import SUFFIXES, ConfigFile, Mistakes, collecting, read_yaml, yaml_files
from relay.core.errors import InvalidEventError, Mistake, NotFoundError
from relay.core.events import CallbackSettings, Intent, OnUncertain, Policy
from relay.core.faults import fault
from relay.core.phrases import phrase
from relay.core.placeholders import Placeholder
from relay.core.plan import Plan, Requirement
from relay.rules.assembly import Assembly
from relay.rules.compose import Composer, StepTemplate, Template, TriggerTemplate, check_length
from relay.rules.schemas import RuleSchema
from relay.rules.values import Extractor

_LAST_NAME = re.compile(r'[A-Za-z_]\w*|"[^"]+"')


class Candidates:
    """Finds the rules of a source that can want an event, by the texts that their `when` needs.

    `when: body.type == 'order'` can only be true if that text is there; with 200 such rules, one look finds the few.
    The rule itself decides. whens: the conditions of the rules, in order; None: the rule wants every event.
    """

    def __init__(self, whens: Sequence[Expression | None]) -> None:
        self._always: list[int] = []
        self._by_text: dict[tuple[str, ...], dict[str, list[int]]] = {}
        for place, when in enumerate(whens):
            needs = when.texts_needed if when else ()
            if not needs:
                self._always.append(place)
            for path, text in needs:
                self._by_text.setdefault(path, {}).setdefault(text, []).append(place)

    def of(self, context: Mapping[str, Any]) -> list[int]:
        """The indexes of the rules that can want this event, in order."""
        places = set(self._always)
        for path, by_text in self._by_text.items():
            found = value_at(context, path)
            if isinstance(found, str):
                places.update(by_text.get(found, ()))
        return sorted(places)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule decides whether it wants an event of its source, and which call it makes of it."""

    name: str
    source: str
    file: str
    when: Expression | None
    policy: Policy
    extractor: Extractor = field(repr=False)
    composer: Composer = field(repr=False)
    steps: tuple[StepTemplate | TriggerTemplate, ...] = field(default=(), repr=False)
    is_enabled: bool = True
    """A disabled rule wants no event; deliveries that it has made go on."""
    title: Template | None = None
    """The title of an event of this rule in lists; None: it has no title of its own."""
    personal_names: frozenset[str] = field(init=False, repr=False, compare=False)
    """Keys of an event and fields of a call whose values belong to a person, in lower case."""
    _uses: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "personal_names", frozenset(name.casefold() for name in self._personal_names()))
        object.__setattr__(self, "_uses", Counter(name for part in (self.composer, *self.steps) for name in part.names))

    @property
    def requirement(self) -> Requirement:
        """Its requirements on the portal."""
        composer = self.composer
        document = composer.document_id.requirement
        watched = [self.policy.watch.parameter] if self.policy.watch else []
        parameters, steps = (*composer.parameters, *watched), tuple(step.requirement for step in self.steps)
        has_comment = composer.comment is not None
        return Requirement(self.name, composer.portal, composer.template_id, document, parameters, steps, has_comment)

    def matches(self, context: Mapping[str, Any], left: Steps | None = None) -> bool:
        """Whether `when` is true for this event. An expression that cannot be applied is false."""
        return self.when is None or self.when.holds(context, left)

    def intent_of(self, context: Mapping[str, Any]) -> Intent | None:
        """The intent of the rule for this event; None if it does not want it. Raises InvalidEventError.

        It also raises when its expressions need too many steps: an undecided event is not ignored.
        """
        left = Steps()
        if not self.matches(context, left) and not left.is_spent:
            return None
        return self.to_intent(context, left)

    def to_intent(self, context: Mapping[str, Any], left: Steps | None = None) -> Intent:
        """The call with the rule's policy and a person's texts in it. Raises InvalidEventError.

        If the rule has steps, also a plan: the steps, and the call with placeholders for their results. left: the steps
        that its expressions may still take.
        """
        values = self.extractor.extract(context, left)
        texts = tuple(self.extractor.personal_texts(values))
        known = values | {step.name: Placeholder(step.name) for step in self.steps} if self.steps else values
        try:
            check_length(self._uses, values)
            call = self.composer.compose(known)
            steps = tuple([step.compose(known) for step in self.steps])
        except InvalidEventError as error:
            raise InvalidEventError(error.errors, texts) from None
        if not steps:
            return Intent(self.name, call, self.policy, texts)
        plan = Plan(origin="", steps=steps, call=call)
        return Intent(self.name, plan.shown(), self.policy, texts, plan)

    def _personal_names(self) -> Iterable[str]:
        """The names of personal values, the last words of their paths, and the fields that are filled with them."""
        personal = set(self.extractor.personal)
        for name in personal:
            yield name
            for expression in self.extractor.picks[name]:
                words = _LAST_NAME.findall(expression.text)
                if words:
                    yield words[-1].strip('"')
        for fields in (self.composer.parameters, *(step.fields for step in self.steps)):
            for name, parameter in fields.items():
                if any(personal & set(template.names) for template in _templates_in(parameter)):
                    yield name


def _templates_in(parameter: Any) -> Iterable[Template]:
    if isinstance(parameter, Template):
        yield parameter
    elif isinstance(parameter, list):
        for part in parameter:
            yield from _templates_in(part)


class RuleBook:
    """Every rule, by name; the enabled ones by source too. `digest` changes whenever a rule does."""

    def __init__(self, rules: Iterable[Rule], digest: str) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._by_source: dict[str, tuple[Rule, ...]] = {}
        for rule in self.enabled():
            self._by_source[rule.source] = (*self._by_source.get(rule.source, ()), rule)
        self._candidates = {
            source: Candidates([rule.when for rule in of_source]) for source, of_source in self._by_source.items()
        }
        self.digest = digest

    def for_source(self, name: str) -> tuple[Rule, ...]:
        """The enabled rules of a source, in the order of their files."""
        return self._by_source.get(name, ())

    def candidates(self, source: str, context: Mapping[str, Any]) -> Sequence[Rule]:
        """The enabled rules of a source that can want this event, in the same order."""
        rules = self.for_source(source)
        return [rules[place] for place in self._candidates[source].of(context)] if rules else ()

    def get(self, name: str) -> Rule:
        """The rule of this name. Raises NotFoundError."""
        try:
            return self._rules[name]
        except KeyError:
            hint = suggestion(name, self._rules)
            raise NotFoundError(phrase("no rule %(name)r%(hint)s", name=name, hint=hint)) from None

    def all(self) -> tuple[Rule, ...]:
        """Every rule, disabled ones too, in the order of their files."""
        return tuple(self._rules.values())

    def enabled(self) -> tuple[Rule, ...]:
        """The rules that events are decided by, in the order of their files."""
        return tuple(rule for rule in self._rules.values() if rule.is_enabled)


def load_rules(
    path: Path,
    *,
    sources: Collection[str] | None,
    portals: Collection[str] | None,
    mistakes: Mistakes | None = None,
    base: str | None = None,
) -> RuleBook:
    """The rules of a folder's *.yaml and *.yml, or of one file, without those that have a mistake.

    sources, portals: the names that a rule may use; None: unknown here, so any. base: the relay's own address
    (RELAY_PUBLIC_URL), under which a completion callback gets its one-time address; None: unknown here; empty: there is
    none. mistakes: a collector; without one, ConfigError is raised with the mistakes of all files.
    """
    with collecting(mistakes) as found:
        files = [path] if path.suffix in SUFFIXES else yaml_files(path)
        if not files and not path.is_dir():
            found.add(Mistake(str(path), 0, fault("rules_folder_missing")))
        reader = _Reader(sources, portals, found, base)
        rules = [rule for file in files if (rule := reader.read(file))]
        digest = hashlib.sha256(json.dumps(reader.contents, sort_keys=True).encode()).hexdigest()
        return RuleBook(rules, digest)


class _Reader:
    """Reads one file after another, and continues after a mistake."""

    def __init__(
        self,
        sources: Collection[str] | None,
        portals: Collection[str] | None,
        mistakes: Mistakes,
        base: str | None,
    ) -> None:
        self.known = {"source": sources, "portal": portals}
        self.base = base
        self.mistakes = mistakes
        self.files_by_name: dict[str, str] = {}
        self.contents: list[Any] = []

    def read(self, path: Path) -> Rule | None:
        """The rule of a file; None if it has a mistake."""
        config = read_yaml(path, self.mistakes)
        if config is None:
            return None
        content = config.check(RuleSchema())
        self._check_names(config, content)
        self._check_watch(config, content)
        assembly = Assembly(config, content)
        steps, trigger = assembly.steps(), assembly.trigger()
        composer, title = assembly.composer(trigger), assembly.title()
        if composer is None or not config.is_right:
            return None
        self.contents.append(config.content)
        return Rule(
            name=content["name"],
            source=content["source"],
            file=config.file,
            when=content["when"],
            policy=_policy_of(content),
            extractor=Extractor.build(content["extract"]),
            composer=composer,
            steps=(*steps, *([trigger] if trigger else [])),
            is_enabled=content["enabled"],
            title=title,
        )

    def _check_names(self, config: ConfigFile, content: Mapping[str, Any]) -> None:
        if name := content.get("name"):
            first = self.files_by_name.setdefault(name, config.file)
            if first != config.file:
                config.add_mistake(("name",), fault("name_of_rule", name=repr(name), file=first))
        self._check_known(config, ("source",), content.get("source"))
        for section in ("trigger", "start"):
            self._check_known(config, (section, "portal"), content.get(section, {}).get("portal"))

    def _check_watch(self, config: ConfigFile, content: Mapping[str, Any]) -> None:
        """The portal must be able to reach the one-time address: it calls no host without a dot.

        Source: bizproc/activities/bitrix/webhookactivity; it has no page in the docs.
        """
        if self.base is None or not content.get("start", {}).get("watch"):
            return
        if not self.base:
            config.add_mistake(("start", "watch"), fault("no_public_url"))
        elif "." not in (host := urlsplit(self.base).hostname or ""):
            config.add_mistake(("start", "watch"), fault("public_url_without_dot", host=repr(host)))

    def _check_known(self, config: ConfigFile, place: tuple[str, ...], name: str | None) -> None:
        kind = place[-1]
        known = self.known[kind]
        if name is not None and known is not None and name not in known:
            code = "unknown_source" if kind == "source" else "unknown_portal"
            config.add_mistake(place, fault(code, name=repr(name), hint=suggestion(name, known)))


def _policy_of(content: Mapping[str, Any]) -> Policy:
    given = content.get("start", {}).get("watch")
    watch = CallbackSettings(given["callback"], int(given["within"])) if given else None
    return Policy(OnUncertain(content["on_uncertain"]), content["order_by"] == "document", watch)
