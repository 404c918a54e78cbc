"""The rules of a folder, read and checked as a whole. Reading them is the only I/O; afterwards nothing changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.configuration.expressions import Expression
from relay.configuration.fields import suggestion
from relay.configuration.files import ConfigFile, Place, read_yaml
from relay.configuration.mistakes import Mistakes, collecting
from relay.core.errors import InvalidEventError, Mistake, NotFoundError
from relay.core.events import Call, Intent, OnUncertain, Policy
from relay.core.requirements import Requirement
from relay.rules.candidates import Candidates
from relay.rules.compose import Composer, DocumentTemplate, Parameter
from relay.rules.documents import NUMBER, is_reserved
from relay.rules.extract import Extractor
from relay.rules.schemas import RuleSchema
from relay.rules.templates import Template, TemplateError
from relay.rules.values import NEVER_NUMBERS


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
        self._candidates = {
            source: Candidates([rule.when for rule in of_source]) for source, of_source in self._by_source.items()
        }
        self.digest = digest

    def for_source(self, name: str) -> tuple[Rule, ...]:
        """The rules of a source, in the order of their files."""
        return self._by_source.get(name, ())

    def candidates(self, source: str, context: Mapping[str, Any]) -> Sequence[Rule]:
        """The rules of a source that can want this event, in the same order; the others do not."""
        rules = self.for_source(source)
        return [rules[place] for place in self._candidates[source].of(context)] if rules else ()

    def get(self, name: str) -> Rule:
        """The rule of this name. Raises NotFoundError."""
        try:
            return self._rules[name]
        except KeyError:
            raise NotFoundError(f"no rule {name!r}") from None

    def all(self) -> tuple[Rule, ...]:
        """Every rule, in the order of their files."""
        return tuple(self._rules.values())


def load_rules(
    path: Path,
    *,
    sources: Collection[str] | None,
    portals: Collection[str] | None,
    mistakes: Mistakes | None = None,
) -> RuleBook:
    """The rules of a folder's *.yaml and *.yml, or of one file, without those that have a mistake.

    sources, portals: the names a rule may use; None: not known here, so any may. Mistakes are added to those that were
    handed down; else ConfigError is raised with those of all files together.
    """
    with collecting(mistakes) as found:
        files = [path]
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"})
        elif path.suffix not in {".yaml", ".yml"}:
            found.add(Mistake(str(path), 0, "no such folder: expected one with a file for each rule"))
            files = []
        reader = _Reader(sources, portals, found)
        rules = [rule for file in files if (rule := reader.read(file))]
        digest = hashlib.sha256(json.dumps(reader.contents, sort_keys=True).encode()).hexdigest()
        return RuleBook(rules, digest)


class _Reader:
    """Reads one file after another, and goes on after a mistake."""

    def __init__(self, sources: Collection[str] | None, portals: Collection[str] | None, mistakes: Mistakes) -> None:
        self.known = {"source": sources, "portal": portals}
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
        composer = _Starts(config, content).composer(content.get("start", {}))
        if composer is None or not config.is_right:
            return None
        self.contents.append(config.content)
        return Rule(
            name=content["name"],
            source=content["source"],
            file=config.file,
            when=content["when"],
            policy=Policy(OnUncertain(content["on_uncertain"]), content["order_by"] == "document"),
            extractor=Extractor.build(content["extract"]),
            composer=composer,
        )

    def _check_names(self, config: ConfigFile, content: Mapping[str, Any]) -> None:
        if name := content.get("name"):
            first = self.files_by_name.setdefault(name, config.file)
            if first != config.file:
                config.add_mistake(("name",), f"{name!r} is also the name of the rule in {first}")
        self._check_known(config, ("source",), content.get("source"))
        self._check_known(config, ("start", "portal"), content.get("start", {}).get("portal"))

    def _check_known(self, config: ConfigFile, place: tuple[str, ...], name: str | None) -> None:
        kind = place[-1]
        known = self.known[kind]
        if name is not None and known is not None and name not in known:
            config.add_mistake(place, f"unknown {kind} {name!r}{suggestion(name, known)}")


class _Starts:
    """Parses the templates of one rule's `start` against the names of its `extract`."""

    def __init__(self, config: ConfigFile, content: Mapping[str, Any]) -> None:
        self.config = config
        self.names = _value_names(config.content)
        self.specs = content.get("extract", {})

    def composer(self, start: Mapping[str, Any]) -> Composer | None:
        """None where something is missing, which has been noted then. Every mistake in what is there is noted."""
        document = self._document(*start["document_id"]) if "document_id" in start else None
        parameters = {name: self._parameter(name, given) for name, given in start.get("parameters", {}).items()}
        if document is None or not start.keys() >= {"portal", "template_id"}:
            return None
        return Composer(start["portal"], start["template_id"], document, parameters)

    def _document(self, form: str | None, members: Sequence[str]) -> DocumentTemplate:
        place: Place = ("start", "document_id")
        templates = tuple(self._template(place, member) for member in members)
        if form:
            for template in templates:
                self._check_number(place, form, template, members)
        return DocumentTemplate(form, templates)

    def _check_number(self, place: Place, form: str, member: Template, members: Sequence[str]) -> None:
        """A short form wants numbers: note what can never be one, whatever arrives."""
        if not member.names:
            if not NUMBER.fullmatch(member.text):
                wrong = f"found {member.text!r}, expected a number above 0 or a {{name}}"
                self.config.add_mistake(place, wrong)
            return
        around = "".join(part for is_name, part in member.parts if not is_name)
        if member.text.startswith("0") or (around and not (around.isascii() and around.isdecimal())):
            alone = [f"{{{member.names[0]}}}" if text == member.text else text for text in members]
            expected = f"expected {{{form}: {_shown(alone)}}}"
            self.config.add_mistake(place, f"found {member.text!r}, which is never a number: {expected}")
        for name in member.names:
            kind = self.specs.get(name, {}).get("type")
            if kind in NEVER_NUMBERS:
                self.config.add_mistake(
                    place, f"{{{name}}} has the type {kind} and is never a number: expected integer"
                )

    def _parameter(self, name: str, given: Any) -> Parameter:
        place: Place = ("start", "parameters", name)
        if is_reserved(name):
            self.config.add_mistake(place, "Bitrix24 keeps this name for itself: expected another")
        if not name or len(name) > 100 or not name.isprintable() or set(name) & set("[]&="):
            self.config.add_mistake(place, "not a parameter's name: expected its id in the template")
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
            for message in error.messages:
                self.config.add_mistake(place, message)
            return Template(text, ())


def _shown(members: Sequence[str]) -> str:
    """The members of a short form as a rule has them."""
    texts = [text if text.isdecimal() else json.dumps(text) for text in members]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _value_names(content: Any) -> Collection[str] | None:
    """The names under `extract`, whatever is wrong with them; None where it may be there under a misspelled key."""
    written = content if isinstance(content, dict) else {}
    values = written.get("extract", {} if RuleSchema().has_read({}, written) else None)
    return values.keys() if isinstance(values, dict) else None
