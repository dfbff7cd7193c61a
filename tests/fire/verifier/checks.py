"""The checks of results: pure functions over what was read, so that each can be shown to fail."""

import hashlib
import json
from collections import Counter, defaultdict

from oracle import partition_of


def digest(key, value):
    """Tells contents apart."""
    parts = [b"\0" if part is None else b"\1" + len(part).to_bytes(4, "big") + part for part in (key, value)]
    return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()


def canonical(value):
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def compare(findings, what, wanted, beyond, found):
    """Holds a sequence of results against the one that the input asks for. `beyond`: what input asks for that is not committed yet."""
    findings.checked(len(wanted))
    missing, extra = Counter(wanted), Counter()
    extras = []
    for item in found:
        if missing[item] > 0:
            missing[item] -= 1
        else:
            extra[item] += 1
            extras.append(item)
    missing = +missing
    asked, later = set(wanted), set(beyond)
    for item in extras:
        if item in asked:
            findings.add("duplicated", f"{what}: {item}")
        elif item in later:
            findings.add("inconsistent_offset", f"{what}: its input is not committed: {item}")
        else:
            findings.add("unexpected", f"{what}: {item}")
    lost = Counter(missing)
    for item in wanted:
        if lost[item] > 0:
            lost[item] -= 1
            findings.add("lost", f"{what}: {item}")
    order(findings, what, wanted, found, missing, extra)


def order(findings, what, wanted, found, missing, extra):
    """The order of those that are on both sides: of those that came too often, some one occurrence has to be in its place."""
    wanted, found = without(wanted, missing), without_any(wanted, found, extra)
    for place, (left, right) in enumerate(zip(wanted, found)):
        if left != right:
            findings.add("out_of_order", f"{what}: record {place} is {right} instead of {left}")
            return


def without(items, fewer):
    """The items, of which the last so many occurrences are left out."""
    fewer, kept = Counter(fewer), []
    for item in reversed(items):
        if fewer[item] > 0:
            fewer[item] -= 1
        else:
            kept.append(item)
    return kept[::-1]


def without_any(wanted, found, extra):
    """What was found, without what is too much: the first occurrences stay, unless the last ones are in order."""
    first = without(found, extra)
    last = without(found[::-1], extra)[::-1]
    allowed = without(wanted, Counter(wanted) - Counter(first))
    return last if first != allowed and last == allowed else first


def changes(findings, oracle, committed, found):
    """The changes: per partition of the input and in its order, none left out, no extras, each where its key belongs."""
    partition_of_key = {change.key: change.partition for change in oracle.changes}
    wanted, beyond, there = defaultdict(list), defaultdict(list), defaultdict(list)
    for change in oracle.changes:
        into = wanted if change.offset < committed.get(change.partition, 0) else beyond
        into[change.partition].append((change.key, change.timestamp, canonical(change.value)))
    for partition, records in found.items():
        for record, value in records:
            if record.key is not None and partition_of(record.key, len(found)) != partition:
                findings.add("misplaced", f"changes-{partition}@{record.offset}: {record.key}")
            there[partition_of_key.get(record.key)].append((record.key, record.timestamp, canonical(value)))
    for partition in set(wanted) | set(beyond) | set(there):
        compare(findings, f"changes of input {partition}", wanted[partition], beyond[partition], there[partition])


def messages(findings, oracle, committed, found):
    """The messages: each event once, each chat's in the order of each partition of the input."""
    source = {message.event_id: message for message in oracle.messages}
    wanted, beyond, there = defaultdict(list), defaultdict(list), defaultdict(list)
    seen = set()
    for message in sorted(oracle.messages, key=lambda message: (message.partition, message.offset, message.rule)):
        into = wanted if message.offset < committed.get(message.partition, 0) else beyond
        place = (message.partition, partition_of(message.chat_id.encode(), len(found)))
        into[place].append((message.event_id, message.timestamp, canonical(fields_of(message))))
    for partition, records in found.items():
        for record, value in records:
            identity = value.get("event_id") if isinstance(value, dict) else None
            if record.key is None or partition_of(record.key, len(found)) != partition:
                findings.add("misplaced", f"outbox-{partition}@{record.offset}: {record.key}")
            if isinstance(value, dict) and record.key != value.get("chat_id", "").encode():
                findings.add("unexpected", f"outbox-{partition}@{record.offset}: its key is {record.key}, its chat {value.get('chat_id')}")
            known = source.get(identity)
            if identity in seen and known is None:
                findings.add("duplicated", f"outbox-{partition}@{record.offset}: event {identity} is there twice")
            seen.add(identity)
            there[(known.partition if known else None, partition)].append((identity, record.timestamp, canonical(value)))
    for place in set(wanted) | set(beyond) | set(there):
        compare(findings, f"messages of input {place[0]} in outbox-{place[1]}", wanted[place], beyond[place], there[place])


def fields_of(message):
    """A message as it is written."""
    return {
        "chat_id": message.chat_id,
        "text": message.text,
        "parse_mode": "",
        "message_thread_id": 0,
        "disable_notification": False,
        "disable_web_page_preview": False,
        "event_id": message.event_id,
        "edit_key": "",
    }


ORIGIN = ("topic", "partition", "offset")


def dead_letters(findings, oracle, topic, inputs, committed, found):
    """Each input record that cannot be processed is there exactly once and as it was, and no other."""
    wanted = {place for place in oracle.letters if place[1] < committed.get(place[0], 0)}
    findings.checked(len(wanted))
    raw = {(record.partition, record.offset): record for record in inputs if (record.partition, record.offset) in oracle.letters}
    seen = set()
    for partition, records in found.items():
        for record in records:
            what = f"dead-letters-{partition}@{record.offset}"
            origin = {name: value for name, value in record.headers}
            origin = [(origin.get(f"__streams.errors.{name}") or b"").decode() for name in ORIGIN]
            place = (int(origin[1] or -1), int(origin[2] or -1))
            if place in seen:
                findings.add("duplicated", f"{what}: of {place}, once more")
            elif place in oracle.letters and place not in wanted:
                findings.add("inconsistent_offset", f"{what}: of {place}, which is not committed")
            elif origin[0] != topic or place not in wanted:
                findings.add("dead_letter_mismatch", f"{what}: of {origin}, which can be processed")
            elif (record.key, record.value) != (raw[place].key, raw[place].raw):
                findings.add("dead_letter_mismatch", f"{what}: of {place}, but not as it was")
            seen.add(place)
    for place in sorted(wanted - seen):
        findings.add("dead_letter_mismatch", f"{place} is in no result and no dead letter")


def transactions(findings, topic, partition, outcomes, offsets):
    """The final reader against what the log says became of each transaction: nothing aborted, nothing left out, never backwards."""
    last, delivered = -1, 0
    for offset in offsets:
        if offset <= last:
            findings.add("non_monotonic", f"{topic}-{partition}: {offset} after {last}")
        last = offset
        if outcomes.is_committed(offset):
            delivered += 1
        else:
            findings.add("aborted_read", f"{topic}-{partition}@{offset}")
    if delivered != outcomes.committed_records:
        findings.add("lost", f"{topic}-{partition}: the reader was given {delivered} of {outcomes.committed_records} committed records")
    for first, final, _ in outcomes.open:
        findings.add("hanging_transactions", f"{topic}-{partition}: {first} to {final} belong to a transaction without an end")


def keys_move(findings, inputs):
    """A key in two partitions has two states, and nobody could say which of them a change belongs to."""
    home = {}
    for record in inputs:
        if record.key is not None and home.setdefault(record.key, record.partition) != record.partition:
            return record.key
    return None


def faults(findings, planned, fired, final_input_end, open_percent):
    """Every planned fault fired, most kills met an open transaction, and there was input left after the last one."""
    seen = Counter(entry["id"] for entry in fired)
    for identity in planned:
        if not seen[identity]:
            findings.add("faults_missing", f"{identity} was planned and did not fire")
    if not planned:
        findings.add("faults_missing", "no fault was planned")
    kills = [entry for entry in fired if entry.get("kind") == "kill"]
    met = sum(entry.get("transaction") == "open" for entry in kills)
    findings.figures["faults_fired"] = len(fired)
    findings.figures["kills"] = len(kills)
    findings.figures["open_at_kill_percent"] = 100 * met // len(kills) if kills else None
    if kills and 100 * met < open_percent * len(kills):
        findings.add("open_at_kills", f"{met} of {len(kills)} kills met an open transaction, {open_percent} % have to")
    for entry in fired:
        if entry["input_end"] >= final_input_end:
            findings.add("input_exhausted", f"{entry['id']} fired at input end {entry['input_end']}, and nothing came after it")


__all__ = ["canonical", "changes", "compare", "dead_letters", "digest", "faults", "keys_move", "messages", "transactions"]
