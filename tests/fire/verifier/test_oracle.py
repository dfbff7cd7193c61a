"""The oracle and the readers of bytes, against answers that were worked out by hand."""

import struct
import unittest

import batches
import oracle
import rows
import spec as specification

TABLE = {
    "application": "a",
    "group": "a",
    "topics": {"input": "in", "changes": "out", "outbox": "box", "dead_letters": "dead"},
    "formats": {"input": "json", "changes": "json", "outbox": "json"},
    "latest": {"store": "changes", "changelog": "changes-log", "watch": ["title", "views", "likes"]},
    "rules": [
        {"name": "likes", "kind": "differs", "field": "likes", "chat_id": "7", "text": "{previous.likes} => {current.likes}. {current.title}"},
        {
            "name": "views", "kind": "milestone", "field": "views", "every": 200, "chat_id": "7", "text": "{previous.views} => {current.views}",
            "store": "views", "changelog": "views-log",
        },
    ],
}


def spec(**more):
    return specification.parse(TABLE | more)


def fold(values, key=b"k", table=None):
    """An oracle that was told of these values, one a second: tables, None for a tombstone."""
    made = oracle.Oracle(table or spec())
    for offset, value in enumerate(values):
        made.fold(oracle.Input(0, offset, 1000 * (offset + 1), key, b"raw", value))
    return made


def video(title=None, views=None, likes=None):
    return {"title": title, "views": views, "likes": likes}


class TheOracle(unittest.TestCase):
    def changed(self, values):
        return [(change.offset, change.value["changed"]) for change in fold(values).changes]

    def texts(self, values):
        return [(message.offset, message.text) for message in fold(values).messages]

    def test_the_first_sight_is_no_change_and_a_repetition_is_none(self):
        self.assertEqual(self.changed([video("A", 1, 1), video("A", 1, 1)]), [])

    def test_a_null_leaves_a_field_as_it_was(self):
        made = fold([video("A", 1, 5), video("A", 2, None), video("B", 2, 6)])
        self.assertEqual([(change.offset, change.value["changed"]) for change in made.changes], [(1, ["views"]), (2, ["title", "likes"])])
        value = made.changes[0].value
        self.assertEqual((value["likes_previous"], value["likes_current"]), (5, 5))
        self.assertEqual((made.changes[1].value["likes_previous"], made.changes[1].value["likes_current"]), (5, 6))
        self.assertEqual((value["observed_at_previous"], value["observed_at_current"]), (1000, 2000))

    def test_the_first_known_value_of_a_field_is_no_change(self):
        self.assertEqual(self.changed([video("A", 1), video("A", 1, 5), video("A", 1, 6)]), [(2, ["likes"])])

    def test_a_value_that_goes_and_comes_back_is_two_changes(self):
        self.assertEqual(self.texts([video("A", 1, 5), video("A", 1, 6), video("A", 1, 5)]), [(1, "5 => 6. A"), (2, "6 => 5. A")])

    def test_a_tombstone_forgets_the_key_and_says_so_once(self):
        made = fold([video("A", 1, 5), None, None, video("A", 1, 9)])
        self.assertEqual([(change.offset, change.value["removed"]) for change in made.changes], [(1, True)])
        value = made.changes[0].value
        self.assertEqual((value["likes_previous"], value["likes_current"], value["changed"], value["title"]), (5, 5, [], "A"))
        self.assertEqual(made.messages, [])

    def test_a_milestone_is_told_once_and_outlives_a_tombstone(self):
        views = [150, 201, 199, 202, 1000, None, 900, 1100, 1250]
        told = self.texts([views and video("A", views) for views in views])
        self.assertEqual(told, [(1, "150 => 201"), (4, "202 => 1000"), (8, "1100 => 1250")])

    def test_what_cannot_be_read_is_a_dead_letter_and_leaves_no_trace(self):
        table = spec(poison=[{"field": "title", "contains": "poison"}])
        bad = oracle.Bad("torn")
        made = fold([video("A", 1, 1), bad, video("poison", 1, 2), video("A", 1, 1)], table=table)
        self.assertEqual((made.letters, made.changes), ({(0, 1), (0, 2)}, []))
        by_key = spec(poison=[{"key": "panics"}])
        self.assertEqual(fold([video("A"), video("B")], table=by_key, key=b"panics").letters, {(0, 0), (0, 1)})
        self.assertEqual(fold([video("panics"), video("B")], table=by_key).letters, set())
        self.assertEqual(fold([video("A")], key=None).letters, {(0, 0)})
        self.assertEqual(fold([video("A")], key=b"\xff").letters, {(0, 0)})

    def test_an_event_has_the_name_that_is_documented(self):
        record = oracle.Input(3, 41, 1_762_217_777_823, b"k", b"value", None)
        self.assertEqual(oracle.event_id("youtube_videos", record, "likes"), "6fedcfb8536a8d9d1795e8b0d378abe2")
        record = oracle.Input(3, 41, 1_762_217_777_823, b"k", None, None)
        self.assertEqual(oracle.event_id("youtube_videos", record, "likes"), "6a1006301abf65e6c8ef0ce77f9f0576")

    def test_keys_lie_where_java_puts_them(self):
        # Apache Kafka's own UtilsTest.
        cases = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
        for key, hashed in cases.items():
            self.assertEqual(oracle.partition_of(key, 1 << 31), hashed & 0x7FFFFFFF, key)


class TheSpecification(unittest.TestCase):
    def test_what_would_ask_for_nothing_is_refused(self):
        wrong = [
            {"rules": [{**TABLE["rules"][0], "kind": "never"}]},
            {"rules": [{**TABLE["rules"][1], "every": 0}]},
            {"rules": [{**TABLE["rules"][0], "field": "shares"}]},
            {"topics": {**TABLE["topics"], "outbox": None}},
            {"topics": {**TABLE["topics"], "outpost": "x"}},
            {"formats": {}},
            {"folow": "seen"},
            {"latest": {"store": "changes"}},
        ]
        for more in wrong:
            with self.assertRaises(specification.SpecError, msg=more):
                spec(**more)


def zigzag(number):
    number = (number << 1) ^ (number >> 63)
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


class TheRows(unittest.TestCase):
    def entry(self, name, tags, places, *parts):
        return struct.pack("<I", rows.path_hash(name)) + bytes([tags, places]) + b"".join(parts)

    def test_a_row_of_a_latest_node(self):
        # Observed at offset 9 and time 5000, before that at 7 and 4000; the title equal at both, the likes known once, at offset 2 and time 1000.
        text = zigzag(3) + b"abc"
        row = b"\x01\x01" + b"".join(map(zigzag, (9, 5000, 2, 1000)))
        row += self.entry("title", rows.STRING | rows.EQUAL << 4, 0 | 1 << 2, text)
        row += self.entry("views", rows.LONG | rows.LONG << 4, 0 | 2 << 2, zigzag(-3), zigzag(6), zigzag(3500), zigzag(1 << 40))
        row += self.entry("likes", rows.LONG | rows.NONE << 4, 2, zigzag(7), zigzag(4000), zigzag(12))
        known = rows.latest(row, ["title", "views", "likes"])
        self.assertEqual((known.last, known.before), ((9, 5000), (7, 4000)))
        self.assertEqual(known.fields["title"], (("abc", (9, 5000)), ("abc", (7, 4000))))
        self.assertEqual(known.fields["views"], ((-3, (9, 5000)), (1 << 40, (3, 1500))))
        self.assertEqual(known.fields["likes"], ((12, (2, 1000)), None))
        for cut in range(len(row) - 1):
            try:
                self.assertNotEqual(rows.latest(row[: cut + 1], ["title", "views", "likes"]), known)
            except (rows.RowError, IndexError, struct.error):
                pass

    def test_a_mark(self):
        row = b"\x01" + struct.pack("<I", rows.path_hash("views")) + b"\x02" + zigzag(1201)
        self.assertEqual(rows.mark(row, "views"), 1201)
        with self.assertRaises(rows.RowError):
            rows.mark(row, "likes")
        with self.assertRaises(rows.RowError):
            rows.mark(row + b"\0", "views")


def batch(base, count, producer=-1, attributes=0, body=b"x"):
    head = (base, 49 + len(body), 0, 2, 0, attributes, count - 1, 0, 0, producer, 0, 0, count)
    return batches.HEAD.pack(*head) + body


def marker(base, producer, kind):
    key = struct.pack(">hh", 0, kind)
    record = b"\0" + zigzag(0) + zigzag(0) + zigzag(len(key)) + key + zigzag(6) + bytes(6) + zigzag(0)
    return batch(base, 1, producer, batches.TRANSACTIONAL | batches.CONTROL, zigzag(len(record)) + record)


class TheBatches(unittest.TestCase):
    def test_the_head_of_a_batch_has_61_bytes(self):
        self.assertEqual(batches.HEAD.size, 61)

    def test_each_offset_is_known_for_what_became_of_it(self):
        data = batch(0, 2)
        data += batch(2, 3, 11, batches.TRANSACTIONAL) + batch(5, 1, 12, batches.TRANSACTIONAL)
        data += marker(6, 11, batches.COMMIT) + marker(7, 12, batches.ABORT) + batch(8, 4, 12, batches.TRANSACTIONAL)
        found = batches.outcomes(batches.parse(data + batch(12, 1)[:-1]))
        self.assertEqual((found.committed, found.aborted, found.open), ([(0, 1, 2), (2, 4, 3)], [(5, 5, 1)], [(8, 11, 4)]))
        self.assertEqual([offset for offset in range(13) if found.is_committed(offset)], [0, 1, 2, 3, 4])
        self.assertEqual((found.committed_records, found.compacted), (5, False))

    def test_a_compacted_log_is_known_as_one(self):
        self.assertTrue(batches.outcomes(batches.parse(batch(0, 2) + batch(5, 1))).compacted)


if __name__ == "__main__":
    unittest.main()
