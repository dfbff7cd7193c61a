"""What a run broke, by kind: the counts of the result, and the lines that say where."""

import json
import sys

#: The kinds, in the order of the result. Every one of them makes a run red.
KINDS = {
    "lost": "a record that the input asks for is not there",
    "duplicated": "a record is there more often than the input asks for",
    "aborted_read": "a reader of committed records was given one of a transaction that was not committed",
    "inconsistent_offset": "what is written and what the group has committed do not belong together",
    "non_monotonic": "a reader, or the group's position, went backwards",
    "hanging_transactions": "a partition whose last stable offset does not reach its end",
    "store_mismatch": "store, changelog and input do not say the same",
    "unexpected": "a record that the input does not ask for",
    "out_of_order": "records are there in another order than the input's",
    "misplaced": "a record is in another partition than its key says",
    "dead_letter_mismatch": "an input record is in the results and among the dead letters, in neither, or altered",
    "lag": "input that was not processed in time",
    "faults_missing": "a planned fault that did not fire",
    "input_exhausted": "a fault after which no input came any more",
    "open_at_kills": "too few kills met an open transaction",
}

LINES_MAX = 20


class Findings:
    """Counts, and the first lines of each kind."""

    def __init__(self):
        self.counts = dict.fromkeys(KINDS, 0)
        self.lines = {kind: [] for kind in KINDS}
        #: What is told but judged by nobody: how much was looked at.
        self.figures = {"checked": 0}

    def add(self, kind, text, times=1):
        """Notes a violation."""
        self.counts[kind] += times
        if len(self.lines[kind]) < LINES_MAX:
            self.lines[kind].append(text)

    def checked(self, number):
        """Notes how many things were compared."""
        self.figures["checked"] += number

    @property
    def ok(self):
        return self.figures["checked"] > 0 and not any(self.counts.values())

    def result(self):
        return {"ok": self.ok} | self.figures | self.counts

    def tell(self):
        """The lines on stderr, the result as the last line of stdout."""
        for kind, lines in self.lines.items():
            if lines:
                print(f"{kind} ({self.counts[kind]}): {KINDS[kind]}", file=sys.stderr)
            for line in lines:
                print(f"    {line}", file=sys.stderr)
        if self.figures["checked"] == 0:
            print("nothing was compared: such a run shows nothing", file=sys.stderr)
        print(json.dumps(self.result()))
