"""A reader of committed records that is there while everything happens: it writes down what it is given, and from time to time how far the group is.

A line for each record, in the order in which it came, and one for each checkpoint: the last stable offsets of the results *before* the group's offsets were
asked for, those offsets, and the ends of the results *after* it. Every record below the first has a committed input, and every result of a committed input lies
below the last, whatever happens meanwhile. `judge` holds that against the log as it is in the end.
"""

import bisect
import json
import os
import signal
import sys
import time
from collections import defaultdict
from itertools import accumulate

from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

import checks
from batches import WireError

CHECKPOINT_SECONDS = 1.0
#: A broker that is away is waited for; the next checkpoint finds out.
ASK_SECONDS = 10


class Follower:
    def __init__(self, cluster, spec, path, stop_file):
        self.cluster, self.spec, self.stop_file = cluster, spec, stop_file
        self.out = open(path, "w", encoding="utf-8")
        self.stopped = False
        self.outputs = [TopicPartition(topic, partition, OFFSET_BEGINNING) for topic in spec.outputs for partition in cluster.partitions(topic)]
        changelogs = [TopicPartition(topic, partition, OFFSET_BEGINNING) for topic in spec.stores.values() for partition in cluster.partitions(topic)]
        self.reader = cluster.consumer("tidewatch-verifier-follow", "read_committed")
        self.reader.assign(self.outputs + changelogs)
        self.stable = cluster.consumer(spec.group, "read_committed")
        self.asked = [TopicPartition(spec.input, partition) for partition in cluster.partitions(spec.input)]

    def run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        due = time.monotonic()
        print("following", file=sys.stderr, flush=True)
        while not self.stopped and not (self.stop_file and os.path.exists(self.stop_file)):
            for message in self.reader.consume(1000, 0.1):
                if message.error() is None:
                    line = [message.topic(), message.partition(), message.offset(), checks.digest(message.key(), message.value())]
                    self.write(line)
            if time.monotonic() >= due:
                self.checkpoint()
                due = time.monotonic() + CHECKPOINT_SECONDS
        self.out.close()

    def stop(self, *_):
        self.stopped = True

    def write(self, line):
        self.out.write(json.dumps(line) + "\n")

    def checkpoint(self):
        try:
            before = self.ends(self.stable)
            committed = self.stable.committed(self.asked, ASK_SECONDS)
            after = self.ends(self.cluster.watcher)
        except (KafkaException, OSError, WireError):
            return
        if all(entry.error is None for entry in committed):
            offsets = {entry.partition: max(entry.offset, 0) for entry in committed}
            self.write({"stable_before": before, "committed": offsets, "ends_after": after})
            self.out.flush()

    def ends(self, consumer):
        """As this client sees them: the last stable offsets, or the high watermarks."""
        return [[place.topic, place.partition, consumer.get_watermark_offsets(place, ASK_SECONDS, cached=False)[1]] for place in self.outputs]


class Sources:
    """The results in one partition whose input lies in one other, for the questions that checkpoints ask."""

    def __init__(self, results):
        #: Pairs of a result's offset and its input's.
        by_result = sorted(results)
        by_source = sorted((source, offset) for offset, source in results)
        self.offsets = [offset for offset, _ in by_result]
        self.highest_source = list(accumulate((source for _, source in by_result), max))
        self.sources = [source for source, _ in by_source]
        self.highest_offset = list(accumulate((offset for _, offset in by_source), max))

    def source_below(self, end):
        """The furthest input of the results below an offset."""
        place = bisect.bisect_left(self.offsets, end)
        return self.highest_source[place - 1] if place else -1

    def offset_below(self, end):
        """The furthest result of the input below an offset."""
        place = bisect.bisect_left(self.sources, end)
        return self.highest_offset[place - 1] if place else -1


def judge(findings, lines, finally_there, results):
    """What a follower wrote down against the log in the end. `finally_there`: (topic, partition) -> offset -> digest; `results`: (topic, partition) -> pairs of
    a result's offset and the (partition, offset) of its input."""
    last, committed, records, checkpoints = {}, {}, 0, 0
    seen = defaultdict(set)
    sources = {place: {} for place in results}
    for place, found in results.items():
        for partition in {source[0] for _, source in found}:
            sources[place][partition] = Sources([(offset, source[1]) for offset, source in found if source[0] == partition])
    for line in lines:
        if isinstance(line, dict):
            checkpoints += 1
            checkpoint(findings, line, sources)
            for partition, offset in line["committed"].items():
                if offset < committed.get(partition, 0):
                    findings.add("non_monotonic", f"the group went back from {committed[partition]} to {offset} of partition {partition}")
                committed[partition] = offset
            continue
        topic, partition, offset, content = line
        place, records = (topic, partition), records + 1
        if offset <= last.get(place, -1):
            findings.add("non_monotonic", f"the concurrent reader was given {topic}-{partition}@{offset} after {last[place]}")
        last[place] = max(offset, last.get(place, -1))
        seen[place].add(offset)
        if finally_there.get(place, {}).get(offset) != content:
            findings.add("aborted_read", f"the concurrent reader was given {topic}-{partition}@{offset}, which is not what is there in the end")
    for place, end in last.items():
        unseen = [offset for offset in finally_there.get(place, {}) if offset <= end and offset not in seen[place]]
        if unseen:
            findings.add("lost", f"the concurrent reader was not given {place[0]}-{place[1]}@{unseen[0]}", len(unseen))
    findings.checked(records)
    findings.figures |= {"followed_records": records, "followed_checkpoints": checkpoints}
    if not records or not checkpoints:
        findings.add("lost", f"the concurrent reader was given {records} records and saw {checkpoints} positions of the group: it shows nothing")


def checkpoint(findings, line, sources):
    committed = {int(partition): offset for partition, offset in line["committed"].items()}
    stable = {(topic, partition): end for topic, partition, end in line["stable_before"]}
    ends = {(topic, partition): end for topic, partition, end in line["ends_after"]}
    for place, partitions in sources.items():
        for partition, found in partitions.items():
            position = committed.get(partition, 0)
            furthest = found.source_below(stable[place])
            if furthest >= position:
                text = f"what came of input {partition}@{furthest} was committed in {place[0]}-{place[1]} below {stable[place]}, the input only up to {position}"
                findings.add("inconsistent_offset", text)
            furthest = found.offset_below(position)
            if furthest >= ends[place]:
                text = f"input {partition} was committed up to {position}, what came of it in {place[0]}-{place[1]}@{furthest} was written only later"
                findings.add("inconsistent_offset", text)
