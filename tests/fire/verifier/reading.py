"""Reading topics with Confluent's client, and values as they are written."""

import io
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import fastavro
from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, TopicPartition

from batches import Wire
from oracle import Bad

TIMEOUT_SECONDS = 60


class ReadError(Exception):
    """A topic that cannot be read."""


@dataclass(frozen=True)
class Record:
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple


class Cluster:
    """A cluster, by the addresses that its listener for the verifier advertises."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.watcher = self.consumer("tidewatch-verifier", "read_uncommitted")
        self.known = {}
        self.wire = Wire(self.leader)

    def consumer(self, group, isolation, **more):
        settings = {
            "bootstrap.servers": self.bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": isolation,
            "check.crcs": True,
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": 50,
            "topic.metadata.refresh.interval.ms": 5000,
            "log_level": 0,
        }
        return Consumer(settings | more)

    def exists(self, topic):
        return topic in self.watcher.list_topics(timeout=TIMEOUT_SECONDS).topics

    def partitions(self, topic):
        found = self.watcher.list_topics(topic, TIMEOUT_SECONDS).topics[topic]
        if found.error is not None:
            raise ReadError(f"{topic}: {found.error}")
        return sorted(found.partitions)

    def leader(self, topic, partition):
        metadata = self.watcher.list_topics(topic, TIMEOUT_SECONDS)
        broker = metadata.brokers.get(metadata.topics[topic].partitions[partition].leader)
        if broker is None:
            raise ReadError(f"{topic}-{partition} has no leader")
        return broker.host, broker.port

    def watermarks(self, topic, partition):
        """First offset and end."""
        return self.watcher.get_watermark_offsets(TopicPartition(topic, partition), TIMEOUT_SECONDS, cached=False)

    def committed(self, group, topic, partitions):
        """The group's offsets, once no open transaction can change them any more."""
        consumer = self.consumer(group, "read_committed")
        try:
            found = consumer.committed([TopicPartition(topic, partition) for partition in partitions], TIMEOUT_SECONDS)
        finally:
            consumer.close()
        return {entry.partition: max(entry.offset, 0) for entry in found}

    def read(self, topic):
        """All that is committed, per partition in the order in which it came."""
        consumer = self.consumer("tidewatch-verifier", "read_committed", **{"enable.partition.eof": True})
        try:
            partitions = self.partitions(topic)
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
            found, unfinished, heard = {partition: [] for partition in partitions}, set(partitions), time.monotonic()
            while unfinished:
                for message in consumer.consume(1000, 0.05):
                    heard = time.monotonic()
                    error = message.error()
                    if error is None:
                        found[message.partition()].append(record_of(message))
                    elif error.code() == KafkaError._PARTITION_EOF:
                        unfinished.discard(message.partition())
                    elif not error.retriable():
                        raise ReadError(f"{topic}: {error}")
                if time.monotonic() - heard > TIMEOUT_SECONDS:
                    raise ReadError(f"{topic}: nothing for {TIMEOUT_SECONDS} s, and no end of partitions {sorted(unfinished)}")
            return found
        finally:
            consumer.close()


def record_of(message):
    kind, timestamp = message.timestamp()
    headers = tuple(message.headers() or ())
    return Record(
        message.partition(), message.offset(), -1 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp, message.key(), message.value(), headers
    )


class Values:
    """Reads values: JSON, or Avro in Confluent's wire format with the schemas of a registry."""

    def __init__(self, registry):
        self.registry = registry
        self.schemas = {}

    def read(self, content, form):
        """A table, None where there is no value, `Bad` where it cannot be read."""
        if content is None:
            return None
        try:
            value = self.avro(content) if form == "avro" else json.loads(content)
        except (ValueError, EOFError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
            return Bad(repr(error))
        return value if isinstance(value, dict) else Bad("not a record")

    def avro(self, content):
        if len(content) < 5 or content[0] != 0:
            raise ValueError("no magic byte and schema id")
        schema = self.schema(int.from_bytes(content[1:5], "big"))
        body = io.BytesIO(content[5:])
        value = fastavro.schemaless_reader(body, schema)
        if body.tell() != len(content) - 5:
            raise ValueError("there is more than the value")
        return value

    def schema(self, number):
        if number not in self.schemas:
            try:
                with urllib.request.urlopen(f"{self.registry}/schemas/ids/{number}", timeout=TIMEOUT_SECONDS) as answer:
                    text = json.load(answer)["schema"]
                self.schemas[number] = fastavro.parse_schema(plain(json.loads(text)))
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise ReadError(f"schema {number}: {error}") from error
                self.schemas[number] = None
            except OSError as error:
                raise ReadError(f"schema {number}: {error}") from error
        if self.schemas[number] is None:
            raise ValueError(f"nobody knows schema {number}")
        return self.schemas[number]


def plain(schema):
    """A schema whose times are the numbers that are written."""
    if isinstance(schema, dict):
        return {name: plain(part) for name, part in schema.items() if name != "logicalType"}
    return [plain(part) for part in schema] if isinstance(schema, list) else schema


__all__ = ["Cluster", "KafkaException", "ReadError", "Record", "Values"]
