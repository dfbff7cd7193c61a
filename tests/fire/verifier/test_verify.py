"""The verifier against runs made by hand: a right one is all right, and one with any single fault is red for just that reason."""

import json
import os
import struct
import tempfile
import unittest
from dataclasses import replace

import checks
import oracle
import rows
import verify
from batches import Outcomes
from findings import KINDS, Findings
from reading import Record
from test_oracle import spec, video, zigzag

PARTITIONS = 2
#: The keys that lie in each partition.
KEYS = {partition: [key for key in (b"v%d" % number for number in range(6)) if oracle.partition_of(key, PARTITIONS) == partition] for partition in range(PARTITIONS)}


def json_bytes(value):
    return None if value is None else json.dumps(value).encode()


def row_of(known):
    """A row of a `latest` node, every time spelt out."""

    def value(content):
        return (rows.LONG, zigzag(content)) if isinstance(content, int) else (rows.STRING, zigzag(len(content)) + content.encode())

    def seen(at):
        return zigzag(known.last[0] - at[0]) + zigzag(known.last[1] - at[1])

    row = bytes([1, 1 if known.before else 0]) + zigzag(known.last[0]) + zigzag(known.last[1])
    row += seen(known.before) if known.before else b""
    for name, (last, before) in known.fields.items():
        tag, content = value(last[0])
        earlier_tag, earlier = value(before[0]) if before else (rows.NONE, b"")
        row += struct.pack("<I", rows.path_hash(name)) + bytes([tag | earlier_tag << 4, 2 | 2 << 2]) + seen(last[1]) + content
        row += seen(before[1]) + earlier if before else b""
    return row


def mark_of(number):
    return b"\x01" + struct.pack("<I", rows.path_hash("views")) + b"\x02" + zigzag(number)


class Log:
    """A topic: the records of each partition, what became of them, and where the partition ends."""

    def __init__(self):
        self.records = {partition: [] for partition in range(PARTITIONS)}
        self.aborted = {partition: [] for partition in range(PARTITIONS)}
        self.open = {partition: [] for partition in range(PARTITIONS)}

    def append(self, partition, key, value, timestamp=0, headers=()):
        records = self.records[partition]
        # Every record is followed by a marker.
        records.append(Record(partition, 2 * len(records), timestamp, key, value, headers))

    def end(self, partition):
        return max((record.offset + 2 for record in self.records[partition]), default=0)


class World:
    """A cluster on which an application did what it promises, so far."""

    def __init__(self, folder):
        self.folder = folder
        self.spec = spec(quiet_seconds=0)
        self.logs = {topic: Log() for topic in (*self.spec.topics, "__consumer_offsets")}
        self.wire = self
        self.unstable = set()
        self.input()
        self.offsets = {partition: self.logs["in"].end(partition) for partition in range(PARTITIONS)}
        self.results()
        self.seen = self.follow()
        self.exports = self.export()
        self.fired = [{"id": "1", "kind": "kill", "transaction": "open", "input_end": 3}, {"id": "2", "kind": "cut", "input_end": 5}]

    def input(self):
        for partition, keys in KEYS.items():
            for round_ in range(6):
                for key in keys:
                    value = video(f"T{round_ // 4}", 150 + 60 * round_, round_ if round_ % 2 else None)
                    self.logs["in"].append(partition, key, json_bytes(value), 1000 * round_)
            self.logs["in"].append(partition, keys[0], None, 7000, (("reason", b"gone"),))
            self.logs["in"].append(partition, keys[1], b"not json", 8000)

    def results(self):
        values = verify.Values(None)
        self.oracle = oracle.Oracle(self.spec)
        for records in self.logs["in"].records.values():
            for record in records:
                value = values.read(record.value, "json")
                self.oracle.fold(oracle.Input(record.partition, record.offset, record.timestamp, record.key, record.value, value, record.headers))
        for change in self.oracle.changes:
            self.logs["out"].append(change.partition, change.key, json_bytes(change.value), change.timestamp)
        for message in self.oracle.messages:
            partition = oracle.partition_of(message.chat_id.encode(), PARTITIONS)
            self.logs["box"].append(partition, message.chat_id.encode(), json_bytes(checks.fields_of(message)), message.timestamp)
        for partition, offset in self.oracle.letters:
            record = self.logs["in"].records[partition][offset // 2]
            origin = [("topic", b"in"), ("partition", str(partition).encode()), ("offset", str(offset).encode())]
            headers = tuple((f"__streams.errors.{name}", value) for name, value in origin)
            self.logs["dead"].append(0, record.key, record.value, 0, headers)
        for (store, partition), content in self.oracle.stores.items():
            log = self.logs[self.spec.stores[store]]
            for key, known in content.items():
                log.append(partition, key, b"an earlier row")
                log.append(partition, key, row_of(known) if store == "changes" else mark_of(known))
            log.append(partition, b"gone", b"a row")
            log.append(partition, b"gone", None)

    def follow(self):
        committed = dict(self.offsets)
        lines = []
        for topic in ("out", "box", "dead", "changes-log", "views-log"):
            for partition, records in self.logs[topic].records.items():
                lines += [[topic, partition, record.offset, checks.digest(record.key, record.value)] for record in records]
        ends = [[topic, partition, self.logs[topic].end(partition)] for topic in ("out", "box", "dead") for partition in range(PARTITIONS)]
        nothing = [[topic, partition, 0] for topic, partition, _ in ends]
        first = {"stable_before": nothing, "committed": dict.fromkeys(committed, 0), "ends_after": nothing}
        return [first, *lines, {"stable_before": ends, "committed": committed, "ends_after": ends}]

    def export(self):
        lines = []
        for store, topic in self.spec.stores.items():
            for partition, records in self.logs[topic].records.items():
                lines.append({"store": store, "partition": partition, "checkpoint": self.logs[topic].end(partition)})
                content = {}
                for record in records:
                    content[record.key] = record.value
                for key, value in content.items():
                    if value is not None:
                        lines.append({"store": store, "partition": partition, "key_hex": key.hex(), "value_hex": value.hex()})
        return lines

    def write(self, name, lines):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        return path

    # What a cluster answers.

    def exists(self, topic):
        return topic in self.logs

    def partitions(self, topic):
        return list(range(PARTITIONS))

    def watermarks(self, topic, partition):
        return 0, self.logs[topic].end(partition)

    def committed(self, group, topic, partitions):
        return dict(self.offsets)

    def read(self, topic):
        return {partition: list(records) for partition, records in self.logs[topic].records.items()}

    def ends(self, topic, partition, at):
        return at, at - ((topic, partition) in self.unstable)

    def outcomes(self, topic, partition, low, high):
        log = self.logs[topic]
        bad = log.aborted[partition] + log.open[partition]
        committed = [(record.offset,) * 2 + (1,) for record in log.records[partition] if record.offset not in bad]
        spans = [[(offset, offset, 1) for offset in offsets] for offsets in (log.aborted[partition], log.open[partition])]
        return Outcomes(committed, *spans, compacted=False, start=0).seal()

    def judged(self):
        faults = {"planned": ["1", "2"], "log": self.write("faults", self.fired)}
        more = {"follow": self.write("seen", self.seen), "exports": [self.write("exports", self.exports)], "faults": faults}
        findings = Findings()
        verify.Run(self, spec(quiet_seconds=0, **more), findings).judge()
        return findings


class OneFault(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.world = World(self.folder.name)

    def found(self):
        """The kinds that were found."""
        return {kind for kind, count in self.world.judged().counts.items() if count}

    def assert_found(self, *kinds):
        self.assertEqual(self.found(), set(kinds))

    def records(self, topic, at_least=2):
        """Those of a partition that has some."""
        return next(records for records in self.world.logs[topic].records.values() if len(records) >= at_least)

    def unfollowed(self):
        """Leaves the concurrent reader out of what a fault is seen by."""
        self.world.seen = self.world.follow()

    def test_a_right_run_is_all_right(self):
        findings = self.world.judged()
        self.assertEqual(findings.lines, {kind: [] for kind in KINDS})
        self.assertTrue(findings.ok)
        self.assertGreater(findings.figures["checked"], 100)
        self.assertGreater(findings.figures["messages"], 4)

    def test_a_run_in_which_nothing_was_compared_is_red(self):
        self.assertFalse(Findings().ok)

    # V1

    def test_a_transaction_without_an_end(self):
        self.world.unstable.add(("__consumer_offsets", 1))
        self.assert_found("hanging_transactions")

    def test_a_transaction_without_a_marker(self):
        log = self.world.logs["out"]
        partition = next(partition for partition, records in log.records.items() if records)
        log.open[partition].append(1)
        self.assert_found("hanging_transactions")

    # V2

    def test_a_lost_change(self):
        del self.records("out")[1]
        self.unfollowed()
        self.assert_found("lost")

    def test_a_lost_message(self):
        del self.records("box")[0]
        self.unfollowed()
        self.assert_found("lost")

    def test_a_change_too_many(self):
        records = self.records("out")
        records.append(replace(records[0], offset=records[-1].offset + 1))
        self.unfollowed()
        self.assert_found("duplicated")

    def test_a_message_too_many(self):
        records = self.records("box")
        records.append(replace(records[0], offset=records[-1].offset + 1))
        self.unfollowed()
        self.assert_found("duplicated")

    def test_a_message_that_the_input_does_not_ask_for(self):
        records = self.records("box")
        value = json.loads(records[0].value) | {"event_id": "0" * 32}
        records.append(replace(records[0], offset=records[-1].offset + 1, value=json_bytes(value)))
        self.unfollowed()
        self.assert_found("unexpected")

    def test_a_change_that_says_something_else(self):
        records = self.records("out")
        value = json.loads(records[0].value) | {"views_previous": 1}
        records[0] = replace(records[0], value=json_bytes(value))
        self.unfollowed()
        self.assert_found("lost", "unexpected")

    def test_changes_in_another_order(self):
        records = self.records("out")
        first, second = records[:2]
        records[:2] = [replace(second, offset=first.offset), replace(first, offset=second.offset)]
        self.world.seen = [line for line in self.world.follow() if isinstance(line, list)] + self.world.seen[:1]
        self.assert_found("out_of_order")

    def test_messages_of_one_input_in_another_order(self):
        records = self.records("box")
        source = {message.event_id: message.partition for message in self.world.oracle.messages}
        places = [place for place, record in enumerate(records) if source[json.loads(record.value)["event_id"]] == 0][:2]
        one, two = (records[place] for place in places)
        records[places[0]], records[places[1]] = replace(two, offset=one.offset), replace(one, offset=two.offset)
        self.world.seen = [line for line in self.world.follow() if isinstance(line, list)] + self.world.seen[:1]
        self.assert_found("out_of_order")

    def test_a_change_in_a_partition_that_is_not_its_keys(self):
        log = self.world.logs["out"]
        records = self.records("out")
        moved = records.pop()
        other = log.records[1 - moved.partition]
        other.append(replace(moved, partition=1 - moved.partition, offset=other[-1].offset + 2 if other else 0))
        self.unfollowed()
        self.assertIn("misplaced", self.found())

    def test_an_input_that_was_not_processed(self):
        # The group is behind, the results are not: they belong together.
        self.world.offsets[0] = self.world.logs["in"].records[0][-2].offset
        self.world.seen[-1]["committed"][0] = self.world.offsets[0]
        self.assertIn("lag", self.found())

    def test_a_result_whose_input_is_not_committed(self):
        changed = next(change for change in reversed(self.world.oracle.changes) if change.partition == 0)
        self.world.offsets[0] = changed.offset
        kinds = self.found()
        self.assertLessEqual({"inconsistent_offset", "lag"}, kinds)
        self.assertNotIn("lost", kinds)

    def test_a_committed_input_without_its_results(self):
        for records in self.world.logs["out"].records.values():
            records.clear()
        self.unfollowed()
        self.assertIn("lost", self.found())

    # P3

    def test_a_dead_letter_that_is_missing_there_twice_or_altered(self):
        records = self.world.logs["dead"].records[0]
        whole = list(records)
        for wrong, kind in [
            (whole[1:], "dead_letter_mismatch"),
            (whole + [replace(whole[0], offset=99)], "duplicated"),
            ([replace(whole[0], value=b"else"), *whole[1:]], "dead_letter_mismatch"),
        ]:
            records[:] = wrong
            self.unfollowed()
            self.assert_found(kind)

    def test_a_dead_letter_of_what_can_be_processed(self):
        headers = tuple((f"__streams.errors.{name}", value) for name, value in (("topic", b"in"), ("partition", b"0"), ("offset", b"0")))
        self.world.logs["dead"].append(0, b"a", b"x", 0, headers)
        self.unfollowed()
        self.assert_found("dead_letter_mismatch")

    # V3

    def test_a_record_of_an_aborted_transaction(self):
        log = self.world.logs["out"]
        partition = next(partition for partition, records in log.records.items() if records)
        log.aborted[partition].append(log.records[partition][0].offset)
        self.assert_found("aborted_read")

    def test_a_reader_that_goes_backwards(self):
        records = self.records("dead")
        records[0], records[1] = records[1], records[0]
        self.assert_found("non_monotonic")

    def test_a_concurrent_reader_that_was_given_what_is_not_there_in_the_end(self):
        place = next(place for place, line in enumerate(self.world.seen) if isinstance(line, list))
        line = self.world.seen[place]
        self.world.seen.insert(place + 1, [line[0], line[1], line[2] + 1, "0" * 16])
        self.assert_found("aborted_read")

    def test_a_concurrent_reader_that_was_given_other_bytes(self):
        line = next(line for line in self.world.seen if isinstance(line, list))
        line[3] = "0" * 16
        self.assert_found("aborted_read")

    def test_a_concurrent_reader_that_was_not_given_a_record(self):
        place = next(place for place, line in enumerate(self.world.seen) if isinstance(line, list))
        del self.world.seen[place]
        self.assert_found("lost")

    def test_a_concurrent_reader_that_goes_backwards(self):
        places = [place for place, line in enumerate(self.world.seen) if isinstance(line, list)][:2]
        self.world.seen[places[0]], self.world.seen[places[1]] = self.world.seen[places[1]], self.world.seen[places[0]]
        self.assert_found("non_monotonic")

    def test_a_concurrent_reader_that_was_not_there(self):
        self.world.seen = self.world.seen[:1]
        self.assert_found("lost")

    def test_a_group_that_goes_backwards(self):
        self.world.seen.append(self.world.seen[0])
        self.assert_found("non_monotonic")

    def test_a_result_that_is_readable_before_its_input_is_committed(self):
        last = self.world.seen[-1]
        self.world.seen.insert(-1, last | {"committed": dict.fromkeys(last["committed"], 0)})
        self.assert_found("inconsistent_offset")

    def test_an_input_that_is_committed_before_its_result_is_written(self):
        first, last = self.world.seen[0], self.world.seen[-1]
        self.world.seen.insert(1, first | {"committed": last["committed"]})
        self.assert_found("inconsistent_offset")

    # V4

    def test_a_changelog_that_lags_leads_or_says_something_else(self):
        log = self.world.logs["views-log"].records
        partition = next(partition for partition, records in log.items() if len(records) > 3)
        whole = list(log[partition])
        for wrong in (
            [record for record in whole if record.key != whole[0].key],
            whole + [replace(whole[1], offset=whole[-1].offset + 2, value=mark_of(9999))],
            whole + [replace(whole[1], offset=whole[-1].offset + 2, value=None)],
            whole + [replace(whole[1], offset=whole[-1].offset + 2, value=b"torn")],
            whole[:-1],
        ):
            log[partition][:] = wrong
            self.world.exports = self.world.export()
            self.unfollowed()
            self.assert_found("store_mismatch")

    def test_a_row_that_remembers_another_time_of_observation(self):
        records = self.records("changes-log")
        known = rows.latest(records[1].value, self.world.spec.latest.watch)
        known.last = (known.last[0], known.last[1] + 1)
        records[1] = replace(records[1], value=row_of(known))
        self.world.exports = self.world.export()
        self.unfollowed()
        self.assert_found("store_mismatch")

    def test_a_store_that_is_not_its_changelog(self):
        row = next(line for line in self.world.exports if "value_hex" in line)
        row["value_hex"] += "00"
        self.assert_found("store_mismatch")

    def test_a_store_with_a_row_too_many_or_too_few(self):
        place = next(place for place, line in enumerate(self.world.exports) if "value_hex" in line)
        row = self.world.exports.pop(place)
        self.assert_found("store_mismatch")
        self.world.exports[place:place] = [row, row | {"key_hex": b"stranger".hex()}]
        self.assert_found("store_mismatch")

    def test_a_partition_that_nobody_has_up_to_date(self):
        # An older copy that is right as of its checkpoint is no fault, but it is not enough.
        heads = [place for place, line in enumerate(self.world.exports) if "checkpoint" in line]
        stale = {"store": "views", "partition": self.world.exports[heads[-1]]["partition"], "checkpoint": 0}
        self.world.exports[heads[-1] :] = [stale]
        findings = self.world.judged()
        self.assertEqual(findings.lines["store_mismatch"], [f"nobody has views-{stale['partition']} up to date"])

    # V5

    def test_a_fault_that_did_not_fire(self):
        del self.world.fired[1]
        self.assert_found("faults_missing")

    def test_kills_that_met_no_transaction(self):
        self.world.fired[0]["transaction"] = "none"
        self.assert_found("open_at_kills")

    def test_an_input_that_was_at_its_end_before_the_last_fault(self):
        self.world.fired[1]["input_end"] = sum(self.world.logs["in"].end(partition) for partition in range(PARTITIONS))
        self.assert_found("input_exhausted")


if __name__ == "__main__":
    unittest.main()
