"""The judgement of a soak on made-up runs: one that grows in any way is red, one that only moves is not."""

import csv
import os
import random
import tempfile
import unittest
import xml.dom.minidom

import report

FIELDS = ["seconds", "process", "life", "age_seconds", "memory_kib", "open_files", "threads", "disk_bytes", "disk_files", "cpu_ticks", "lag", "lag_sender"]


def run(minutes=60, leak=lambda process, seconds, age: {}):
    """A run with one process that grows old and one that lives for 90 seconds at a time."""
    noise, rows = random.Random(7), []
    for seconds in range(5, minutes * 60, 5):
        for process, age, life in (("a", seconds, 1), ("b", seconds % 90, seconds // 90)):
            # Caches fill in the beginning; a rebalance is a step up and down again.
            warm = 15_000 * min(1, age / 300)
            step = 6000 if seconds // 200 % 3 == 1 else 0
            row = {
                "seconds": seconds, "process": process, "life": life, "age_seconds": age,
                "memory_kib": 40_000 + warm + step + noise.gauss(0, 300), "open_files": 90 + 4 * (seconds // 200 % 3) + noise.randrange(3),
                "threads": 20, "disk_bytes": (8 << 20) + (seconds % 400) * 5000, "disk_files": 30 + seconds % 7, "cpu_ticks": seconds, "lag": 0, "lag_sender": 0,
            }
            for metric, more in leak(process, seconds, age).items():
                row[metric] += more
            rows.append(row)
    return rows


class TheReport(unittest.TestCase):
    def judged(self, rows):
        """Exit code, and what grew."""
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "samples.csv"), "w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, FIELDS)
                writer.writeheader()
                writer.writerows(rows)
            with open(os.path.join(folder, "events.csv"), "w", encoding="utf-8") as file:
                file.write("seconds,what,who\n100.0,broker-kill,broker\n")
            code = report.main(folder)
            xml.dom.minidom.parse(os.path.join(folder, "soak.svg"))
            size = os.path.getsize(os.path.join(folder, "soak.svg"))
            self.assertLess(size, 200_000)
        grew = {(row["process"], row["metric"], row["way"]) for row in report.judge(rows)[0] if row["grew"]}
        return code, grew

    def test_what_only_moves_has_not_grown(self):
        self.assertEqual(self.judged(run()), (0, set()))

    def test_memory_that_leaks(self):
        leak = lambda process, seconds, age: {"memory_kib": 8000 * age / 3600}
        self.assertEqual(self.judged(run(leak=leak)), (1, {("a", "memory_kib", "old")}))

    def test_files_that_stay_open(self):
        leak = lambda process, seconds, age: {"open_files": age // 600}
        self.assertEqual(self.judged(run(leak=leak)), (1, {("a", "open_files", "old")}))

    def test_threads_that_stay(self):
        leak = lambda process, seconds, age: {"threads": age // 900}
        self.assertEqual(self.judged(run(leak=leak)), (1, {("a", "threads", "old")}))

    def test_what_is_handed_down_from_life_to_life(self):
        leak = lambda process, seconds, age: {"disk_bytes": seconds * 4000} if process == "b" else {}
        self.assertEqual(self.judged(run(leak=leak)), (1, {("b", "disk_bytes", "young")}))
        leak = lambda process, seconds, age: {"disk_files": seconds // 90} if process == "b" else {}
        self.assertEqual(self.judged(run(leak=leak)), (1, {("b", "disk_files", "young")}))

    def test_a_run_in_which_nobody_grew_old_shows_nothing(self):
        self.assertEqual(self.judged([row for row in run() if row["process"] == "b"])[0], 1)
        self.assertEqual(self.judged([row for row in run() if row["process"] == "a"])[0], 1)

    def test_a_short_run_is_not_judged(self):
        leak = lambda process, seconds, age: {"memory_kib": 100 * seconds}
        self.assertEqual(self.judged(run(minutes=5, leak=leak))[0], 0)


if __name__ == "__main__":
    unittest.main()
