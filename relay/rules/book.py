"""The rules of a folder, read and checked as a whole. Reading them is the only I/O; afterwards nothing changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.configuration.files import ConfigFile, Place, read_yaml, suggestion
from relay.core.errors import ConfigError, InvalidEventError, Mistake, NotFoundError
from relay.core.events import Call, Intent, OnUncertain, Policy
from relay.core.requirements import Requirement
from relay.rules.compose import Composer, DocumentTemplate, Parameter
from relay.rules.documents import NUMBER, is_reserved
from relay.rules.expressions import Expression
from relay.rules.extract import Extractor
from relay.rules.schemas import RuleSchema
from relay.rules.templates import Template, TemplateError


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides: whether it wants an event of its source, and what it asks of a portal then."""

    name: str
    source: str
    file: str
    when: Expression | None
    policy: Policy
    extractor: Extractor = field(repr=False)
    composer: Composer = field(repr=False)

    @property
    def requirement(self) -> Requirement:
        """What it asks of its portal."""
        composer = self.composer
        document = composer.document_id.requirement
        return Requirement(self.name, composer.portal, composer.template_id, document, tuple(composer.parameters))

    def matches(self, context: Mapping[str, Any]) -> bool:
        """Whether `when` holds for this event; an expression that cannot be applied to it does not."""
        return self.when is None or self.when.holds(context)

    def to_call(self, context: Mapping[str, Any]) -> Call:
        """The call for this event. Raises InvalidEventError with messages by field; no value is in them."""
        return self.to_intent(context).call

    def to_intent(self, context: Mapping[str, Any]) -> Intent:
        """The call with the rule's policy, and the texts in it that belong to a person. Raises InvalidEventError."""
        values = self.extractor.extract(context)
        texts = tuple(self.extractor.personal_texts(values))
        try:
            return Intent(self.name, self.composer.compose(values), self.policy, texts)
        except InvalidEventError as error:
            raise InvalidEventError(error.errors, texts) from None


class RuleBook:
    """Every rule, by name and by source. `digest` changes whenever a rule does."""

    def __init__(self, rules: Iterable[Rule], digest: str) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._by_source: dict[str, tuple[Rule, ...]] = {}
        for rule in self._rules.values():
            self._by_source[rule.source] = (*self._by_source.get(rule.source, ()), rule)
        self.digest = digest

    def for_source(self, name: str) -> tuple[Rule, ...]:
        """The rules of a source, in the order of their files."""
        return self._by_source.get(name, ())

    def get(self, name: str) -> Rule:
        """The rule of this name. Raises NotFoundError."""
        try:
            return self._rules[name]
        except KeyError:
            raise NotFoundError(f"no rule {name!r}") from None

    def all(self) -> tuple[Rule, ...]:
        """Every rule, in the order of their files."""
        return tuple(self._rules.values())


def load_rules(folder: Path, *, sources: Collection[str], portals: Collection[str]) -> RuleBook:
    """The rules of a folder's *.yaml and *.yml. Raises ConfigError with the mistakes of all files together.

    sources and portals: the names a rule may use.
    """
    if not folder.is_dir():
        raise ConfigError([Mistake(str(folder), 0, "no such folder: expected one with a file for each rule")])
    loader = _Loader(sources, portals)
    files = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
    rules = [rule for path in files if (rule := loader.load(path))]
    if loader.mistakes:
        raise ConfigError(loader.mistakes)
    return RuleBook(rules, hashlib.sha256(json.dumps(loader.contents, sort_keys=True).encode()).hexdigest())


class _Loader:
    """Reads one file after another and remembers what was wrong."""

    def __init__(self, sources: Collection[str], portals: Collection[str]) -> None:
        self.sources = sources
        self.portals = portals
        self.names: dict[str, str] = {}
        self.contents: list[Any] = []
        self.mistakes: list[Mistake] = []

    def load(self, path: Path) -> Rule | None:
        try:
            config = read_yaml(path)
            content = config.check(RuleSchema())
        except ConfigError as error:
            self.mistakes.extend(error.mistakes)
            return None
        self.contents.append(config.content)
        self._check_names(config, content)
        return Rule(
            name=content["name"],
            source=content["source"],
            file=config.file,
            when=content["when"],
            policy=Policy(OnUncertain(content["on_uncertain"]), content["order_by"] == "document"),
            extractor=Extractor.build(content["extract"]),
            composer=_Starts(config, content["extract"], self.mistakes).composer(content["start"]),
        )

    def _check_names(self, config: ConfigFile, content: Mapping[str, Any]) -> None:
        name, source, portal = content["name"], content["source"], content["start"]["portal"]
        first = self.names.setdefault(name, config.file)
        if first != config.file:
            self.mistakes.append(config.mistake(("name",), f"{name!r} is also the name of the rule in {first}"))
        if source not in self.sources:
            wrong = f"unknown source {source!r}{suggestion(source, self.sources)}"
            self.mistakes.append(config.mistake(("source",), wrong))
        if portal not in self.portals:
            wrong = f"unknown portal {portal!r}{suggestion(portal, self.portals)}"
            self.mistakes.append(config.mistake(("start", "portal"), wrong))


class _Starts:
    """Parses the templates of one rule's `start` against the names of its `extract`."""

    def __init__(self, config: ConfigFile, names: Collection[str], mistakes: list[Mistake]) -> None:
        self.config = config
        self.names = names
        self.mistakes = mistakes

    def composer(self, start: Mapping[str, Any]) -> Composer:
        return Composer(
            portal=start["portal"],
            template_id=start["template_id"],
            document_id=self._document(*start["document_id"]),
            parameters={name: self._parameter(name, given) for name, given in start["parameters"].items()},
        )

    def _document(self, form: str | None, members: Iterable[str]) -> DocumentTemplate:
        place: Place = ("start", "document_id")
        templates = tuple(self._template(place, member) for member in members)
        for template in templates:
            if form and not template.names and not NUMBER.fullmatch(template.text):
                wrong = f"found {template.text!r}, expected a number above 0 or a {{name}}"
                self.mistakes.append(self.config.mistake(place, wrong))
        return DocumentTemplate(form, templates)

    def _parameter(self, name: str, given: Any) -> Parameter:
        place: Place = ("start", "parameters", name)
        if is_reserved(name):
            self.mistakes.append(self.config.mistake(place, "Bitrix24 keeps this name for itself: expected another"))
        if not name or len(name) > 100 or not name.isprintable() or set(name) & set("[]&="):
            self.mistakes.append(self.config.mistake(place, "not a parameter's name: expected its id in the template"))
        if isinstance(given, list):
            return [self._constant(place, entry) for entry in given]
        constant: Parameter = self._constant(place, given)
        return constant

    def _constant(self, place: Place, given: Any) -> Any:
        if isinstance(given, bool):
            return "Y" if given else "N"
        return self._template(place, given) if isinstance(given, str) else given

    def _template(self, place: Place, text: str) -> Template:
        try:
            return Template.parse(text, self.names)
        except TemplateError as error:
            self.mistakes.append(self.config.mistake(place, str(error)))
            return Template(text, ())
