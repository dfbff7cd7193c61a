"""What is to be verified: the topics of an application, and what it promises about them in neutral words. Unknown keys are refused."""

import json
from dataclasses import dataclass, field


class SpecError(Exception):
    """The run cannot be judged."""


@dataclass(frozen=True)
class Rule:
    """A rule that makes messages: `differs` (a known value became another) or `milestone` (a multiple was reached for the first time)."""

    name: str
    kind: str
    field: str
    chat_id: str
    text: str
    every: int = 0
    store: str = ""
    changelog: str = ""


@dataclass(frozen=True)
class Latest:
    """The node that remembers: which fields, and where its state lies."""

    store: str
    changelog: str
    watch: tuple


@dataclass(frozen=True)
class Faults:
    """What the harness had planned, and its log of what fired."""

    planned: tuple
    log: str
    open_at_kills_percent: int = 80


@dataclass(frozen=True)
class Spec:
    application: str
    group: str
    input: str
    changes: str
    outbox: str | None
    dead_letters: str | None
    latest: Latest
    rules: tuple
    registry: str | None = None
    formats: dict = field(default_factory=dict)
    poison: tuple = ()
    follow: str | None = None
    exports: tuple = ()
    faults: Faults | None = None
    quiet_seconds: float = 60.0

    @property
    def outputs(self):
        """The topics that it writes to, its changelogs aside."""
        return [topic for topic in (self.changes, self.outbox, self.dead_letters) if topic]

    @property
    def stores(self):
        """The changelog of each store."""
        marks = {rule.store: rule.changelog for rule in self.rules if rule.kind == "milestone"}
        return {self.latest.store: self.latest.changelog} | marks

    @property
    def topics(self):
        return [self.input, *self.outputs, *self.stores.values()]

    def format(self, role):
        return self.formats.get(role, "avro")


def take(table, allowed, where):
    """A table that has no key but the allowed ones."""
    if not isinstance(table, dict):
        raise SpecError(f"{where} is not a table")
    unknown = set(table) - set(allowed)
    if unknown:
        raise SpecError(f"{where}: unknown keys {sorted(unknown)}")
    return table


def made(kind, table, where, **more):
    """A value of a dataclass out of a table."""
    take(table, kind.__dataclass_fields__, where)
    try:
        return kind(**(table | more))
    except TypeError as error:
        raise SpecError(f"{where}: {error}") from error


def poisoned(rule):
    """A field and what it contains; or no field, and the key itself."""
    take(rule, ["key"] if "key" in rule else ["field", "contains"], "poison")
    return (None, rule["key"]) if "key" in rule else (rule["field"], rule["contains"])


def parse(table):
    keys = ["application", "group", "registry", "topics", "formats", "latest", "rules", "poison", "follow", "exports", "faults", "quiet_seconds"]
    take(table, keys, "the specification")
    try:
        topics = take(table["topics"], ["input", "changes", "outbox", "dead_letters"], "topics")
        latest = made(Latest, table["latest"], "latest", watch=tuple(table["latest"]["watch"]))
        rules = tuple(made(Rule, rule, f"rule {place}") for place, rule in enumerate(table.get("rules", [])))
        faults = table.get("faults")
        spec = Spec(
            application=table["application"],
            group=table["group"],
            input=topics["input"],
            changes=topics["changes"],
            outbox=topics.get("outbox"),
            dead_letters=topics.get("dead_letters"),
            latest=latest,
            rules=rules,
            registry=table.get("registry"),
            formats=take(table.get("formats", {}), ["input", "changes", "outbox"], "formats"),
            poison=tuple(poisoned(rule) for rule in table.get("poison", [])),
            follow=table.get("follow"),
            exports=tuple(table.get("exports", [])),
            faults=faults and made(Faults, faults, "faults", planned=tuple(faults["planned"])),
            quiet_seconds=float(table.get("quiet_seconds", 60)),
        )
    except KeyError as error:
        raise SpecError(f"{error} is missing") from error
    check(spec)
    return spec


def check(spec):
    """What would make a run look good because nothing was asked."""
    for rule in spec.rules:
        if rule.kind not in ("differs", "milestone"):
            raise SpecError(f"rule {rule.name}: unknown kind {rule.kind}")
        if rule.kind == "milestone" and not (rule.every > 0 and rule.store and rule.changelog):
            raise SpecError(f"rule {rule.name}: a milestone has every, store and changelog")
        if rule.field not in spec.latest.watch:
            raise SpecError(f"rule {rule.name}: {rule.field} is not watched")
    if spec.rules and not spec.outbox:
        raise SpecError("there are rules and no outbox")
    avro = [role for role in ("input", "changes", "outbox") if spec.format(role) == "avro"]
    if avro and not spec.registry:
        raise SpecError(f"{avro} are Avro and there is no registry")


def load(path):
    with open(path, encoding="utf-8") as file:
        try:
            return parse(json.load(file))
        except json.JSONDecodeError as error:
            raise SpecError(f"{path}: {error}") from error
