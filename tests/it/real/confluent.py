"""Records read and written with Confluent's own client and serializers.

confluent.py read  --config K=V... [--registry URL] --topic T            what is committed in a topic, a line of JSON per record
confluent.py write --config K=V... [--registry URL --schema F] --topic T --records F
    F holds a line of JSON per record: {"key": ..., "value": ..., "timestamp": ms}; without a schema the value is written as JSON
"""

import argparse
import json
import sys
from datetime import datetime, timedelta, timezone

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition, OFFSET_BEGINNING, TIMESTAMP_NOT_AVAILABLE
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

TIMEOUT_SECONDS = 120


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["read", "write"])
    parser.add_argument("--config", action="append", default=[], help="a setting of the client: name=value")
    parser.add_argument("--registry")
    parser.add_argument("--registry-auth", help="user:password")
    parser.add_argument("--registry-ca", help="the authority that signed the registry's certificate")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--schema", help="a file")
    parser.add_argument("--records", help="a file")
    parser.add_argument("--key", choices=["string", "long", "int", "bytes"], default="string")
    return parser.parse_args()


def registry(args):
    config = {"url": args.registry}
    if args.registry_auth:
        config["basic.auth.user.info"] = args.registry_auth
    if args.registry_ca:
        config["ssl.ca.location"] = args.registry_ca
    return SchemaRegistryClient(config)


def client_config(args):
    return dict(setting.split("=", 1) for setting in args.config)


def read_key(kind, key):
    if key is None:
        return None
    if kind in ("long", "int"):
        return int.from_bytes(key, "big", signed=True)
    return key.hex() if kind == "bytes" else key.decode()


def write_key(kind, key):
    if key is None:
        return None
    if kind in ("long", "int"):
        return int(key).to_bytes(8 if kind == "long" else 4, "big", signed=True)
    return bytes.fromhex(key) if kind == "bytes" else key.encode()


def plain(value):
    """What JSON has no word for; times as the milliseconds that were written."""
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
    return value.hex() if isinstance(value, bytes) else str(value)


def read(args):
    decode = AvroDeserializer(registry(args)) if args.registry else lambda value, _: json.loads(value)
    context = SerializationContext(args.topic, MessageField.VALUE)
    consumer = Consumer(
        {"group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed", "enable.partition.eof": True}
        | client_config(args)
    )
    partitions = consumer.list_topics(args.topic, TIMEOUT_SECONDS).topics[args.topic].partitions
    consumer.assign([TopicPartition(args.topic, partition, OFFSET_BEGINNING) for partition in partitions])
    unfinished, records = set(partitions), []
    while unfinished:
        message = consumer.poll(TIMEOUT_SECONDS)
        if message is None:
            sys.exit(f"{args.topic}: nothing for {TIMEOUT_SECONDS} s, and no end of partitions {unfinished}")
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(f"{args.topic}: {message.error()}")
            unfinished.discard(message.partition())
            continue
        kind, timestamp = message.timestamp()
        value = message.value()
        records.append(
            {
                "partition": message.partition(),
                "offset": message.offset(),
                "timestamp": None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
                "key": read_key(args.key, message.key()),
                "value": None if value is None else decode(value, context),
                "headers": {name: (content or b"").decode(errors="replace") for name, content in message.headers() or []},
            }
        )
    consumer.close()
    for record in sorted(records, key=lambda record: (record["partition"], record["offset"])):
        print(json.dumps(record, default=plain, ensure_ascii=False))


def write(args):
    encode = lambda value, _: json.dumps(value, ensure_ascii=False).encode()
    if args.schema:
        with open(args.schema, encoding="utf-8") as file:
            encode = AvroSerializer(registry(args), file.read())
    context = SerializationContext(args.topic, MessageField.VALUE)
    failed = []
    producer = Producer({"partitioner": "murmur2_random"} | client_config(args))
    with open(args.records, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            value = record.get("value")
            more = {name: record[name] for name in ("timestamp", "partition", "headers") if name in record}
            while True:
                try:
                    producer.produce(
                        args.topic,
                        key=write_key(args.key, record.get("key")),
                        value=None if value is None else encode(value, context),
                        on_delivery=lambda error, _: error and failed.append(str(error)),
                        **more,
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
    left = producer.flush(TIMEOUT_SECONDS)
    if left or failed:
        sys.exit(f"{args.topic}: {left} records were not written in {TIMEOUT_SECONDS} s; failed: {failed[:3]}")


if __name__ == "__main__":
    args = arguments()
    read(args) if args.command == "read" else write(args)
