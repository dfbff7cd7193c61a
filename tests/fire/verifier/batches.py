"""What lies in a partition, batch by batch, as the broker has it: read over the wire protocol, not through a client that leaves out what it holds to be aborted.

Only the heads of batches and the control records are read, which are never compressed. So it is known of every offset whether its transaction was
committed, aborted, or is still open.
"""

import bisect
import socket
import struct
from dataclasses import dataclass, field

FETCH, FETCH_VERSION = 1, 4
CLIENT = b"verifier"
FETCH_BYTES = 8 << 20
TIMEOUT_SECONDS = 30
HEAD = struct.Struct(">qiibIhiqqqhii")
HEAD_BEHIND_LENGTH = 12
TRANSACTIONAL, CONTROL = 0x10, 0x20
ABORT, COMMIT = 0, 1


class WireError(Exception):
    """A broker that does not answer, or says no."""


@dataclass(frozen=True)
class Batch:
    base: int
    last: int
    producer: int
    attributes: int
    count: int
    #: The outcome that a control batch writes down; None for data.
    outcome: int | None = None


@dataclass
class Outcomes:
    """Ranges of offsets (first, last, number of records) by what became of them."""

    committed: list = field(default_factory=list)
    aborted: list = field(default_factory=list)
    open: list = field(default_factory=list)
    #: Whether offsets are missing, between batches or in one: the topic was compacted.
    compacted: bool = False
    start: int | None = None

    def seal(self):
        self.committed.sort()
        self.firsts = [first for first, _, _ in self.committed]
        return self

    def is_committed(self, offset):
        place = bisect.bisect_right(self.firsts, offset) - 1
        return place >= 0 and offset <= self.committed[place][1]

    @property
    def committed_records(self):
        return sum(count for _, _, count in self.committed)


def parse(data):
    """The batches of a record set; the last one may be cut off."""
    at = 0
    while at + HEAD.size <= len(data):
        head = HEAD.unpack_from(data, at)
        base, length, magic = head[0], head[1], head[3]
        end = at + HEAD_BEHIND_LENGTH + length
        if magic != 2:
            raise WireError(f"a batch of version {magic}")
        if end > len(data):
            return
        attributes, delta, producer, count = head[5], head[6], head[9], head[12]
        outcome = control(data[at + HEAD.size : end]) if attributes & CONTROL else None
        yield Batch(base, base + delta, producer, attributes, count, outcome)
        at = end


def control(records):
    """What a control batch says: its only record's key is a version and a type."""
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = records[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)

    number()  # length
    at += 1  # attributes
    number()  # time
    number()  # offset
    if number() < 4:
        raise WireError("a control record without a type")
    return struct.unpack_from(">hh", records, at)[1]


def outcomes(batches):
    """What became of each batch of data."""
    result, pending, expected = Outcomes(), {}, None
    for batch in batches:
        if result.start is None:
            result.start = batch.base
        elif batch.base != expected:
            result.compacted = True
        if batch.outcome is None and batch.count != batch.last - batch.base + 1:
            result.compacted = True
        expected = batch.last + 1
        span = (batch.base, batch.last, batch.count)
        if batch.outcome in (ABORT, COMMIT):
            into = result.committed if batch.outcome == COMMIT else result.aborted
            into.extend(pending.pop(batch.producer, []))
        elif batch.attributes & CONTROL:
            continue
        elif batch.attributes & TRANSACTIONAL:
            pending.setdefault(batch.producer, []).append(span)
        else:
            result.committed.append(span)
    for spans in pending.values():
        result.open.extend(spans)
    return result.seal()


class Connection:
    """To one broker."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), TIMEOUT_SECONDS)
        self.socket.settimeout(TIMEOUT_SECONDS)
        self.number = 0

    def close(self):
        self.socket.close()

    def ask(self, api, version, body):
        self.number += 1
        head = struct.pack(">hhih", api, version, self.number, len(CLIENT)) + CLIENT
        self.socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        answer = self.read(struct.unpack(">i", self.read(4))[0])
        if struct.unpack_from(">i", answer)[0] != self.number:
            raise WireError("an answer to another question")
        return answer[4:]

    def read(self, length):
        parts = []
        while length:
            part = self.socket.recv(min(length, 1 << 20))
            if not part:
                raise WireError("the broker closed the connection")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def fetch(self, topic, partition, offset, size):
        """High watermark, last stable offset, and what lies from an offset on, whatever became of it."""
        name = topic.encode()
        body = struct.pack(">iiiibi", -1, 0, 0, size, 0, 1) + struct.pack(">h", len(name)) + name + struct.pack(">iiqi", 1, partition, offset, size)
        answer = self.ask(FETCH, FETCH_VERSION, body)
        at = 4 + 4 + 2 + struct.unpack_from(">h", answer, 8)[0]
        _, _, error, high, stable, aborted = struct.unpack_from(">iihqqi", answer, at)
        if error:
            raise WireError(f"{topic}-{partition}: error {error} at offset {offset}")
        at += struct.calcsize(">iihqqi") + 16 * max(aborted, 0)
        length = struct.unpack_from(">i", answer, at)[0]
        return high, stable, answer[at + 4 : at + 4 + max(length, 0)]


class Wire:
    """To the leaders of partitions, which `leader` names as (host, port)."""

    def __init__(self, leader):
        self.leader = leader
        self.connections = {}

    def fetch(self, topic, partition, offset, size):
        address = self.leader(topic, partition)
        if address not in self.connections:
            self.connections[address] = Connection(*address)
        try:
            return self.connections[address].fetch(topic, partition, offset, size)
        except (OSError, WireError):
            self.connections.pop(address).close()
            raise

    def ends(self, topic, partition, at):
        """High watermark and last stable offset; `at` is any offset that the log has."""
        high, stable, _ = self.fetch(topic, partition, at, 1)
        return high, stable

    def outcomes(self, topic, partition, low, high):
        return outcomes(self.batches(topic, partition, low, high))

    def batches(self, topic, partition, low, high):
        offset = low
        while offset < high:
            _, _, data = self.fetch(topic, partition, offset, FETCH_BYTES)
            found = [batch for batch in parse(data) if batch.last >= offset]
            if not found:
                raise WireError(f"{topic}-{partition}: nothing at {offset} of {high}")
            yield from found
            offset = found[-1].last + 1
