"""Whether an application on Kafka did what it promises: reads its topics, folds its input with an oracle of its own, and compares.

verify.py --bootstrap HOST:PORT --spec FILE                   judges a run that has come to rest
verify.py --bootstrap HOST:PORT --spec FILE --follow FILE     reads along during a run, until SIGTERM or until a --stop-file is there

Human lines go to stderr, one JSON object to stdout. Exit code 0: all right; 1: something is broken; 2: it cannot be judged.
It shares no code with the engine. README.md beside this file says what is checked.
"""

import argparse
import json
import sys
import time
from collections import Counter

import checks
import follow
import spec as specification
import stores
from batches import WireError
from findings import Findings
from oracle import Input, Oracle
from reading import Cluster, KafkaException, ReadError, Values

INTERNAL_TOPICS = ("__consumer_offsets", "__transaction_state")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--spec", required=True)
    parser.add_argument("--follow")
    parser.add_argument("--stop-file")
    parser.add_argument("--out", help="a file for the result too")
    return parser.parse_args()


class Run:
    """One application on one cluster, at rest."""

    def __init__(self, cluster, spec, findings):
        self.cluster, self.spec, self.findings = cluster, spec, findings
        self.values = Values(spec.registry)
        self.deadline = time.monotonic() + spec.quiet_seconds
        self.compacted = set()

    def until(self, holds):
        """Asks until something holds or time is up; what was last answered."""
        while True:
            answer = holds()
            if not answer or time.monotonic() > self.deadline:
                return answer
            time.sleep(0.2)

    def judge(self):
        inputs = self.inputs()
        committed = self.committed(inputs)
        self.stable()
        oracle = Oracle(self.spec)
        # The stores are judged as of what is committed; what comes behind it only tells results of it from others.
        done = [record for record in inputs if record.offset < committed[record.partition]]
        for record in done:
            oracle.fold(record)
        remembered = {place: dict(store) for place, store in oracle.stores.items()}
        for record in inputs:
            if record.offset >= committed[record.partition]:
                oracle.fold(record)
        self.findings.figures |= {"input": len(inputs), "changes": len(oracle.changes), "messages": len(oracle.messages)}
        there = {topic: self.read(topic) for topic in self.spec.outputs}
        self.outputs(oracle, inputs, committed, there)
        logs = self.logs(remembered)
        if self.spec.follow:
            self.followed(oracle, there, logs)
        if self.spec.exports:
            found = [export for path in self.spec.exports for export in stores.exports(path)]
            stores.all_stored(self.findings, found, logs, self.compacted)
        self.faults()
        ends = self.input_ends()
        if ends != self.ends:
            raise ReadError(f"{self.spec.input} is still being written: {self.ends}, now {ends}")

    def input_ends(self):
        topic = self.spec.input
        return {partition: self.cluster.watermarks(topic, partition)[1] for partition in self.cluster.partitions(topic)}

    def inputs(self):
        self.ends = self.input_ends()
        form = self.spec.format("input")
        found = []
        for partition, records in self.cluster.read(self.spec.input).items():
            for record in records:
                value = self.values.read(record.value, form)
                found.append(Input(partition, record.offset, record.timestamp, record.key, record.value, value, record.headers))
        moved = checks.keys_move(self.findings, found)
        if moved is not None:
            raise ReadError(f"{self.spec.input}: {moved} is in two partitions, so nobody can say which a change belongs to")
        return found

    def committed(self, inputs):
        """P4: the group has everything."""
        last = {partition: -1 for partition in self.ends}
        for record in inputs:
            last[record.partition] = max(last[record.partition], record.offset)
        found = {}

        def behind():
            found.update(self.cluster.committed(self.spec.group, self.spec.input, list(last)))
            return {partition: end for partition, end in last.items() if found[partition] <= end}

        for partition, end in self.until(behind).items():
            left = sum(record.partition == partition and record.offset >= found[partition] for record in inputs)
            self.findings.add("lag", f"partition {partition}: committed up to {found[partition]}, its last record is {end}", left)
        for partition, offset in found.items():
            if offset > self.ends[partition]:
                self.findings.add("inconsistent_offset", f"partition {partition}: {offset} is committed, its log ends at {self.ends[partition]}")
        return found

    def stable(self):
        """V1: no partition has a transaction without an end, those of the offsets and of the transactions included."""
        topics = list(dict.fromkeys([*self.spec.topics, *filter(self.cluster.exists, INTERNAL_TOPICS)]))
        places = [(topic, partition) for topic in topics for partition in self.cluster.partitions(topic)]

        def unstable():
            found = {}
            for place in places:
                high, stable = self.cluster.wire.ends(*place, self.cluster.watermarks(*place)[1])
                if stable != high:
                    found[place] = (stable, high)
            places[:] = found
            return found

        for (topic, partition), (stable, high) in self.until(unstable).items():
            self.findings.add("hanging_transactions", f"{topic}-{partition}: stable up to {stable} of {high}")

    def read(self, topic):
        """What the final reader is given, held against what became of each transaction."""
        found = self.cluster.read(topic)
        for partition, records in found.items():
            outcomes = self.cluster.wire.outcomes(topic, partition, *self.cluster.watermarks(topic, partition))
            if outcomes.compacted:
                self.compacted.add((topic, partition))
            checks.transactions(self.findings, topic, partition, outcomes, [record.offset for record in records])
            self.findings.figures["aborted_batches"] = self.findings.figures.get("aborted_batches", 0) + len(outcomes.aborted)
        return found

    def outputs(self, oracle, inputs, committed, there):
        """V2: exactly what the input asks for."""
        spec = self.spec

        def decoded(topic, role):
            form = spec.format(role)
            return {partition: [(record, self.value(record, form)) for record in records] for partition, records in there[topic].items()}

        checks.changes(self.findings, oracle, committed, decoded(spec.changes, "changes"))
        if spec.outbox:
            checks.messages(self.findings, oracle, committed, decoded(spec.outbox, "outbox"))
        if spec.dead_letters:
            checks.dead_letters(self.findings, oracle, spec.input, inputs, committed, there[spec.dead_letters])
        elif oracle.letters:
            raise ReadError(f"{len(oracle.letters)} input records cannot be processed, and no topic of dead letters is named")

    def value(self, record, form):
        value = self.values.read(record.value, form)
        return value if isinstance(value, dict) else repr(record.value)

    def logs(self, remembered):
        """V4, first half: the compacted changelogs say what the input means."""
        logs = {}
        for store, topic in self.spec.stores.items():
            decode = stores.decoder(self.spec, store)
            for partition, records in self.read(topic).items():
                place = (store, partition)
                logs[place] = records
                if (topic, partition) in self.compacted:
                    self.compacted.add(place)
                stores.changelog(self.findings, f"{topic}-{partition}", decode, records, remembered.get(place, {}))
        return logs

    def followed(self, oracle, there, logs):
        """V3 of the reader that was there while everything happened."""
        finally_there = {(topic, partition): self.digests(records) for topic, found in there.items() for partition, records in found.items()}
        finally_there |= {(self.spec.stores[store], partition): self.digests(records) for (store, partition), records in logs.items()}
        # A key may have two changes of one time: nobody could say which is which.
        times = Counter((change.key, change.timestamp) for change in oracle.changes)
        origins = {
            (change.key, change.timestamp): (change.partition, change.offset)
            for change in oracle.changes
            if times[change.key, change.timestamp] == 1
        }
        events = {message.event_id: (message.partition, message.offset) for message in oracle.messages}
        results = {}
        for topic in filter(None, (self.spec.changes, self.spec.outbox)):
            for partition, records in there[topic].items():
                sources = results[topic, partition] = []
                for record in records:
                    if topic == self.spec.changes:
                        source = origins.get((record.key, record.timestamp))
                    else:
                        value = self.value(record, self.spec.format("outbox"))
                        source = events.get(value.get("event_id")) if isinstance(value, dict) else None
                    if source:
                        sources.append((record.offset, source))
        with open(self.spec.follow, encoding="utf-8") as file:
            follow.judge(self.findings, map(json.loads, file), finally_there, results)

    @staticmethod
    def digests(records):
        return {record.offset: checks.digest(record.key, record.value) for record in records}

    def faults(self):
        """V5."""
        faults = self.spec.faults
        if faults is None:
            return
        with open(faults.log, encoding="utf-8") as file:
            fired = [json.loads(line) for line in file if line.strip()]
        for entry in fired:
            if not {"id", "input_end"} <= entry.keys():
                raise ReadError(f"{faults.log}: id and input_end are needed, not {entry}")
        checks.faults(self.findings, faults.planned, fired, sum(self.ends.values()), faults.open_at_kills_percent)


def main():
    args = arguments()
    try:
        spec = specification.load(args.spec)
        cluster = Cluster(args.bootstrap)
        if args.follow:
            follow.Follower(cluster, spec, args.follow, args.stop_file).run()
            return 0
        findings = Findings()
        Run(cluster, spec, findings).judge()
    except (specification.SpecError, ReadError, WireError, KafkaException, OSError) as error:
        print(f"this run cannot be judged: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(findings.result(), file)
    findings.tell()
    return 0 if findings.ok else 1


if __name__ == "__main__":
    sys.exit(main())
