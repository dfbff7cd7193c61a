"""V4: what the stores hold, what their changelogs say, and what the input means, key by key."""

import json
from collections import defaultdict
from dataclasses import dataclass, field

import rows


@dataclass
class Export:
    """The content of one store of one partition, as a stopped instance left it."""

    store: str
    partition: int
    #: The changelog offset up to which it is complete: the next to read.
    checkpoint: int
    origin: str
    rows: dict = field(default_factory=dict)


def exports(path):
    """The exported stores of a file, as `tidewatch state export` prints them: before the rows of each store and partition a line with its checkpoint."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            place = (row["store"], row["partition"])
            if "checkpoint" in row:
                found[place] = Export(*place, row["checkpoint"] or 0, path)
            else:
                found[place].rows[bytes.fromhex(row["key_hex"])] = bytes.fromhex(row["value_hex"])
    return list(found.values())


def compacted(records, end=None):
    """The last value of each key, up to an offset; what was deleted is gone."""
    content = {}
    for record in records:
        if end is not None and record.offset >= end:
            break
        if record.value is None:
            content.pop(record.key, None)
        else:
            content[record.key] = record.value
    return content


def decoder(spec, store):
    """How the rows of a store are read."""
    if store == spec.latest.store:
        return lambda row: rows.latest(row, spec.latest.watch)
    rule = next(rule for rule in spec.rules if rule.store == store)
    return lambda row: rows.mark(row, rule.field)


def changelog(findings, what, decode, records, wanted):
    """The compacted changelog of a partition says what the folded input means."""
    found = compacted(records)
    findings.checked(len(wanted))
    for key in wanted.keys() | found.keys():
        if key not in found:
            findings.add("store_mismatch", f"{what}: {key} is missing, it has to be {wanted[key]}")
            continue
        try:
            row = decode(found[key])
        except (rows.RowError, UnicodeDecodeError) as error:
            findings.add("store_mismatch", f"{what}: {key}: {error}")
            continue
        if key not in wanted:
            findings.add("store_mismatch", f"{what}: {key} is {row}, it has to be gone")
        elif row != wanted[key]:
            findings.add("store_mismatch", f"{what}: {key} is {row}, it has to be {wanted[key]}")


def stored(findings, export, records, is_compacted):
    """A store is its changelog up to its checkpoint, byte by byte. Whether it is up to date."""
    what = f"{export.store}-{export.partition} of {export.origin}"
    end = records[-1].offset + 1 if records else 0
    up_to_date = export.checkpoint >= end
    if not up_to_date and is_compacted:
        # What the changelog said at that time is gone.
        return False
    wanted = compacted(records, export.checkpoint)
    findings.checked(len(wanted))
    for key in wanted.keys() | export.rows.keys():
        if wanted.get(key) != export.rows.get(key):
            findings.add("store_mismatch", f"{what}: {key} differs from the changelog up to {export.checkpoint}")
    return up_to_date


def all_stored(findings, found, logs, compacted_logs):
    """All exports; every partition of every store needs one that is up to date."""
    current = defaultdict(int)
    for export in found:
        place = (export.store, export.partition)
        if place not in logs:
            findings.add("store_mismatch", f"{place} of {export.origin} has no changelog")
        elif stored(findings, export, logs[place], place in compacted_logs):
            current[place] += 1
    for place, records in logs.items():
        if records and not current[place]:
            findings.add("store_mismatch", f"nobody has {place[0]}-{place[1]} up to date")
    findings.figures["stores_compared"] = len(found)
