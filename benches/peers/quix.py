"""The job of the comparison in Quix Streams: exactly once, state in its RocksDB with a changelog. Arguments are name=value."""

import hashlib
import io
import json
import struct
import sys

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from quixstreams import Application, message_context

WATCHED = ("title", "views", "likes", "comments")
CHAT = "4711"


def schema(directory, name):
    with open(f"{directory}/{name}.avsc", encoding="utf-8") as file:
        return parse_schema(json.load(file))


def job(given):
    app = Application(
        broker_address=given["servers"],
        consumer_group=given["id"],
        state_dir=given["state"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=0.1,
        # With nothing to read it looks after its commits no sooner than after this; by default after a second.
        consumer_poll_timeout=0.05,
        consumer_extra_config={"fetch.queue.backoff.ms": 10},
        producer_extra_config={"linger.ms": 20, "batch.size": 262144},
    )
    observation, change, message = (schema(given["schemas"], name) for name in ("youtube_video", "youtube_change", "telegram_message"))
    prefixes = {name: struct.pack(">bI", 0, int(given[f"{name}_schema"])) for name in ("video", "change", "message")}

    def decode(value):
        if value[:5] != prefixes["video"]:
            raise ValueError("not written with the schema that was told")
        return schemaless_reader(io.BytesIO(value[5:]), observation, None)

    def encode(name, form, record):
        out = io.BytesIO()
        out.write(prefixes[name])
        schemaless_writer(out, form, record)
        return out.getvalue()

    def latest(value, key, timestamp, headers, state):
        seen = decode(value)
        known = state.get("latest")
        if known is None:
            state.set("latest", [None, None, [seen[name] for name in WATCHED], timestamp])
            return None
        _, _, before, before_at = known
        now = [old if seen[name] is None else seen[name] for name, old in zip(WATCHED, before)]
        state.set("latest", [before, before_at, now, timestamp])
        pairs = zip(WATCHED, before, now)
        changed = [name for name, old, new in pairs if old is not None and new is not None and old != new]
        if not changed:
            return None
        record = {"video_id": key, "title": now[0], "changed": changed, "removed": False, "removed_reason": None}
        record |= {f"{name}_previous": old for name, old in zip(WATCHED, before)}
        record |= {f"{name}_current": new for name, new in zip(WATCHED, now)}
        return record | {"observed_at_previous": before_at, "observed_at_current": timestamp}

    def text(change):
        return f"Comments changed: {change['comments_previous']} => {change['comments_current']}. {change['title']}"

    def outgoing(change, key, timestamp, headers):
        source = message_context()
        body = text(change)
        named = f"{source.topic}/{source.partition}/{source.offset}/{timestamp}/{body}/comments"
        event = hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
        record = {"chat_id": CHAT, "text": body, "parse_mode": "", "message_thread_id": 0, "event_id": event, "edit_key": ""}
        return encode("message", message, record | {"disable_notification": False, "disable_web_page_preview": False})

    bare = {"key_deserializer": "str", "key_serializer": "str", "value_deserializer": "bytes", "value_serializer": "bytes"}
    videos = app.topic(given["input"], **bare)
    changes = app.topic(given["changes"], **bare)
    outbox = app.topic(given["outbox"], **bare)
    found = app.dataframe(videos).apply(latest, stateful=True, metadata=True).filter(lambda record: record is not None)
    found.apply(lambda record: encode("change", change, record)).to_topic(changes)
    commented = found.filter(lambda record: "comments" in record["changed"])
    commented.apply(outgoing, metadata=True).to_topic(outbox, key=lambda _: CHAT)
    return app


if __name__ == "__main__":
    job(dict(argument.split("=", 1) for argument in sys.argv[1:])).run()
