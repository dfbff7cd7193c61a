"""The rows of the stores, read byte by byte as their layout is written down in `processors/latest/state.rs` and `processors/milestone`."""

import struct

import xxhash

from oracle import Known

NULL, BOOLEAN, LONG, TIMESTAMP, DOUBLE, STRING, BYTES = range(7)
EQUAL, NONE = 14, 15


class RowError(Exception):
    """Bytes that are no row."""


class Cursor:
    def __init__(self, row):
        self.row = row
        self.at = 0

    def take(self, length):
        if length < 0 or self.at + length > len(self.row):
            raise RowError("the row ends early")
        self.at += length
        return self.row[self.at - length : self.at]

    def byte(self):
        return self.take(1)[0]

    def number(self):
        """Zig-zag, seven bits a byte, the lowest first."""
        number, shift = 0, 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            if shift > 63:
                raise RowError("a number has no end")

    def value(self, tag):
        if tag == NULL:
            return None
        if tag == BOOLEAN:
            return self.byte() != 0
        if tag in (LONG, TIMESTAMP):
            return self.number()
        if tag == DOUBLE:
            return struct.unpack("<d", self.take(8))[0]
        if tag == STRING:
            return self.take(self.number()).decode()
        if tag == BYTES:
            return self.take(self.number())
        raise RowError(f"unknown tag {tag}")

    def before(self, seen):
        return (seen[0] - self.number(), seen[1] - self.number())

    def seen(self, known, place):
        if place == 0:
            return known.last
        if place == 1:
            return known.before
        return self.before(known.last)


def path_hash(path):
    """The stable name of a field: the upper half of the XXH3-64 of its path."""
    return xxhash.xxh3_64(path.encode()).intdigest() >> 32


def latest(row, watch):
    """What a row of a `latest` node remembers."""
    names = {path_hash(name): name for name in watch}
    cursor = Cursor(row)
    if cursor.byte() != 1:
        raise RowError("not version 1")
    flags = cursor.byte()
    known = Known(last=(cursor.number(), cursor.number()))
    if flags:
        known.before = cursor.before(known.last)
    while cursor.at < len(row):
        identity = struct.unpack("<I", cursor.take(4))[0]
        tags, places = cursor.byte(), cursor.byte()
        seen = cursor.seen(known, places & 3)
        last = (cursor.value(tags & 0xF), seen)
        earlier = None
        if tags >> 4 != NONE:
            seen = cursor.seen(known, places >> 2)
            earlier = (last[0] if tags >> 4 == EQUAL else cursor.value(tags >> 4), seen)
        known.fields[names.get(identity, f"unknown field {identity:08x}")] = (last, earlier)
    return known


def mark(row, field):
    """The high-water mark that a row of a `milestone` node holds."""
    cursor = Cursor(row)
    if cursor.byte() != 1 or struct.unpack("<I", cursor.take(4))[0] != path_hash(field) or cursor.byte() != LONG:
        raise RowError(f"no mark of {field}")
    number = cursor.number()
    if cursor.at != len(row):
        raise RowError("there is more than a mark")
    return number
