"""What must be in the results and in the stores: the input, folded record by record. Written from the documentation, without any of the engine's code.

A key's observations count in the order of their offsets. A null leaves a field as it was. The first known value of a field is no change. A record that changes
a watched field makes one change with the previous and the current value of every watched field; a tombstone of a known key makes one that says `removed`, with
the last known values on both sides, and forgets the key. The rules look at the changes; a milestone's mark outlives the tombstone.
"""

import struct
from dataclasses import dataclass, field

import xxhash


class Bad:
    """A value that cannot be read."""

    def __init__(self, reason):
        self.reason = reason


@dataclass(frozen=True)
class Input:
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    raw: bytes | None
    #: A table, None for a tombstone, or `Bad`.
    value: object
    headers: tuple = ()


@dataclass(frozen=True)
class Change:
    partition: int
    offset: int
    key: bytes
    timestamp: int
    value: dict


@dataclass(frozen=True)
class Message:
    partition: int
    offset: int
    rule: int
    chat_id: str
    timestamp: int
    text: str
    event_id: str


@dataclass
class Known:
    """What is remembered of a key: when it was observed last and before that, as (offset, timestamp); per field the last value and the one before,
    each as (value, seen)."""

    last: tuple
    before: tuple | None = None
    fields: dict = field(default_factory=dict)


class Oracle:
    """Folds the input of one application."""

    def __init__(self, spec):
        self.spec = spec
        self.changes = []
        self.messages = []
        #: (partition, offset) of the input records that have to be dead letters.
        self.letters = set()
        #: (store, partition) -> key -> what is remembered.
        self.stores = {}

    def store(self, name, partition):
        return self.stores.setdefault((name, partition), {})

    def fold(self, record):
        if self.is_bad(record):
            self.letters.add((record.partition, record.offset))
            return
        known = self.store(self.spec.latest.store, record.partition)
        before = known.get(record.key)
        if record.value is None:
            if before is not None:
                del known[record.key]
                self.removed(record, before)
            return
        seen = (record.offset, record.timestamp)
        now = Known(last=seen, before=before.last if before else None)
        previous, current, changed = {}, {}, []
        for name in self.spec.latest.watch:
            pair = before.fields.get(name) if before else None
            value = record.value.get(name)
            last = pair[0] if pair else None
            if value is not None:
                if last is not None and last[0] != value:
                    changed.append(name)
                pair = ((value, seen), last)
            if pair:
                now.fields[name] = pair
            previous[name] = last[0] if last else None
            current[name] = pair[0][0] if pair else None
        known[record.key] = now
        if changed:
            self.changed(record, before, (previous, current, changed), None)

    def is_bad(self, record):
        if record.key is None or isinstance(record.value, Bad):
            return True
        try:
            record.key.decode()
        except UnicodeDecodeError:
            return True
        if record.value is None:
            return False
        def meets(name, text):
            return record.key == text.encode() if name is None else text in (record.value.get(name) or "")

        return any(meets(name, text) for name, text in self.spec.poison)

    def removed(self, record, before):
        values = {name: before.fields[name][0][0] if name in before.fields else None for name in self.spec.latest.watch}
        reason = next((value for name, value in reversed(record.headers) if name == "reason"), None)
        try:
            reason = reason.decode()[:200] if reason else None
        except UnicodeDecodeError:
            reason = None
        self.changed(record, before, (values, values, []), (reason,))

    def changed(self, record, before, what, removed):
        previous, current, changed = what
        value = {
            "video_id": record.key.decode(),
            "title": current.get("title"),
            "changed": changed,
            "observed_at_previous": before.last[1] if before else None,
            "observed_at_current": record.timestamp,
            "removed": removed is not None,
            "removed_reason": removed[0] if removed else None,
        }
        for name in self.spec.latest.watch:
            value[f"{name}_previous"] = previous[name]
            value[f"{name}_current"] = current[name]
        self.changes.append(Change(record.partition, record.offset, record.key, record.timestamp, value))
        if removed is None:
            for place, rule in enumerate(self.spec.rules):
                if self.fires(rule, record, previous, current):
                    self.tell(place, rule, record, previous, current)

    def fires(self, rule, record, previous, current):
        was, now = previous[rule.field], current[rule.field]
        if rule.kind == "differs":
            return was is not None and now is not None and was != now
        if now is None:
            return False
        marks = self.store(rule.store, record.partition)
        stored = marks.get(record.key)
        mark = stored if stored is not None else was
        reached = mark is not None and now // rule.every > mark // rule.every
        if reached or stored is None:
            marks[record.key] = now if reached or mark is None else mark
        return reached

    def tell(self, place, rule, record, previous, current):
        text = rendered(rule.text, previous, current)
        identity = event_id(self.spec.input, record, rule.name)
        self.messages.append(Message(record.partition, record.offset, place, rule.chat_id, record.timestamp, text, identity))


def rendered(template, previous, current):
    """A text with `{previous.x}` and `{current.x}` filled in; null is nothing."""
    text, rest = "", template
    while "{" in rest:
        plain, rest = rest.split("{", 1)
        path, rest = rest.split("}", 1)
        side, name = path.split(".", 1)
        value = {"previous": previous, "current": current}[side][name]
        text += plain + ("" if value is None else str(value))
    return text + rest


def event_id(topic, record, rule):
    """The name of an event: XXH3-128 of where its record lies and what it says, and of the rule; each part behind its length."""

    def part(content):
        return struct.pack("<I", 0xFFFFFFFF) if content is None else struct.pack("<I", len(content)) + content

    numbers = [struct.pack("<i", record.partition), struct.pack("<q", record.offset), struct.pack("<q", record.timestamp)]
    parts = [topic.encode(), *numbers, record.raw, rule.encode()]
    return xxhash.xxh3_128(b"".join(map(part, parts))).hexdigest()


def partition_of(key, partitions):
    """Where Java's clients put a key: murmur2, its sign bit off."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for place in range(0, whole, 4):
        k = int.from_bytes(key[place : place + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    rest = key[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions
