"""Whether something grew with time during a soak, and a drawing of it.

report.py DIRECTORY     reads samples.csv and events.csv there, writes report.json and soak.svg, exit code 1 where something grew

How it is decided. For each process and each of memory, open files, threads and disk (bytes and files) a robust slope is taken: the median of the slopes of all
pairs of samples (Theil and Sen), so that a peak or a step of a rebalance does not count for more than it is. Two ways:

- `old`: within one life of a process, when it is past its warm-up (a sixth of the run): caches and write buffers are full by then. Only a life that lasts at least
  half of the run after that is old enough to say something.
- `young`: over the lives of a process that is restarted all the time, what each has at the same age (the median of its samples between 10 and 30 seconds). What a
  process hands down to its next life, on the disk or by being slower to start, grows there.

Something grew where the slope is above what is allowed per hour (`ALLOWED`, a share of the median and never less than a floor) *and* is not chance: the lower end of
its 95 % interval (Sen) is above zero. A run of less than 20 minutes is drawn and told, not judged: a slope per hour would be extrapolated.
"""

import csv
import json
import math
import os
import statistics
import sys
from collections import defaultdict

#: Per hour: share of the median, and the least that is allowed.
ALLOWED = {
    "memory_kib": (0.05, 4096.0),
    "open_files": (0.0, 2.0),
    "threads": (0.0, 1.0),
    "disk_bytes": (0.10, 4.0 * (1 << 20)),
    "disk_files": (0.0, 4.0),
}
JUDGED_SECONDS = 20 * 60
LIVES_LEAST = 8
YOUNG = (10.0, 30.0)
SAMPLES_MAX = 700


def slope(points):
    """The median of the slopes of all pairs, and the lower end of its 95 % interval; per unit of x."""
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for place, a in enumerate(points) for b in points[place + 1 :] if b[0] > a[0])
    if not slopes:
        return 0.0, 0.0
    n = len(points)
    width = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    lower = max(0, round((len(slopes) - width) / 2))
    return statistics.median(slopes), slopes[lower]


def thinned(points, most):
    """Evenly chosen points, not more than `most`."""
    step = max(1, math.ceil(len(points) / most))
    return points[::step]


def judged(points, metric):
    """Slope per hour, what is allowed, and whether that is growth."""
    points = thinned(points, SAMPLES_MAX)
    per_second, lower = slope(points)
    share, floor = ALLOWED[metric]
    level = statistics.median(value for _, value in points)
    allowed = max(share * level, floor)
    per_hour = 3600 * per_second
    return {"median": level, "per_hour": round(per_hour, 3), "allowed_per_hour": round(allowed, 3), "grew": per_hour > allowed and lower > 0}


def lives(samples, process):
    """The samples of each life of a process."""
    found = defaultdict(list)
    for sample in samples:
        if sample["process"] == process:
            found[sample["life"]].append(sample)
    return found


def judge(samples):
    """A row for each process, metric and way that there is enough of."""
    end = max(sample["seconds"] for sample in samples)
    warm_up, rows = end / 6, []
    for process in sorted({sample["process"] for sample in samples}):
        for metric in ALLOWED:
            young = []
            for life in lives(samples, process).values():
                old = [(sample["seconds"], sample[metric]) for sample in life if sample["age_seconds"] >= warm_up]
                if old and old[-1][0] - old[0][0] >= (end - warm_up) / 2:
                    rows.append({"process": process, "metric": metric, "way": "old", "points": len(old)} | judged(old, metric))
                at_age = [sample for sample in life if YOUNG[0] <= sample["age_seconds"] <= YOUNG[1]]
                if at_age:
                    young.append((at_age[0]["seconds"], statistics.median(sample[metric] for sample in at_age)))
            if len(young) >= LIVES_LEAST:
                rows.append({"process": process, "metric": metric, "way": "young", "points": len(young)} | judged(young, metric))
    return rows, end


def read(path, numbers):
    with open(path, encoding="utf-8", newline="") as file:
        return [{name: float(value) if name in numbers and value else value for name, value in row.items()} for row in csv.DictReader(file)]


# The drawing ---------------------------------------------------------------------------------------------------------------------------------

WIDTH, PANEL, LEFT, RIGHT, TOP = 900, 130, 70, 20, 40
COLOURS = ["#1b6ca8", "#c8553d", "#3a7d44", "#7d5ba6"]
PANELS = [
    ("memory_kib", "memory of its own, MiB", 1 / 1024),
    ("open_files", "open files", 1),
    ("threads", "threads", 1),
    ("disk_bytes", "state directory, MiB", 1 / (1 << 20)),
    ("lag", "lag, records", 1),
]
EVENTS = {"broker-restart": "#999", "broker-kill": "#333"}


def drawn(samples, events, end):
    height = TOP + len(PANELS) * PANEL + 30
    processes = sorted({sample["process"] for sample in samples})
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for place, process in enumerate(processes):
        note = f"instance {process}" + (" (left alone)" if process == "a" else " (killed and restarted)")
        out.append(f'<text x="{LEFT + 190 * place}" y="16" fill="{COLOURS[place]}">{note}</text>')
    out.append(f'<text x="{LEFT + 190 * len(processes)}" y="16" fill="#555">grey: broker restarted, black: killed</text>')
    for place, (metric, title, unit) in enumerate(PANELS):
        out += panel(samples, processes, end, (TOP + place * PANEL, metric, title, unit))
    for event in events:
        if event["what"] in EVENTS:
            x = LEFT + (WIDTH - LEFT - RIGHT) * event["seconds"] / end
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - 30}" stroke="{EVENTS[event["what"]]}" stroke-dasharray="2 4"/>')
    for minute in range(0, int(end // 60) + 1, max(1, round(end / 60 / 12))):
        x = LEFT + (WIDTH - LEFT - RIGHT) * minute * 60 / end
        out.append(f'<text x="{x:.1f}" y="{height - 10}" text-anchor="middle">{minute} min</text>')
    return "\n".join([*out, "</svg>", ""])


def panel(samples, processes, end, what):
    top, metric, title, unit = what
    inner, values = PANEL - 26, [sample[metric] * unit for sample in samples if sample[metric] != ""]
    most = max(values, default=0) * 1.1 or 1
    out = [
        f'<text x="{LEFT}" y="{top + 2}" font-weight="bold">{title}</text>',
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top + 8 + inner}" y2="{top + 8 + inner}" stroke="#bbb"/>',
        f'<text x="{LEFT - 6}" y="{top + 12 + inner}" text-anchor="end">0</text>',
        f'<text x="{LEFT - 6}" y="{top + 16}" text-anchor="end">{most:.4g}</text>',
    ]
    for place, process in enumerate(processes):
        for life in lives(samples, process).values():
            points = thinned([(sample["seconds"], sample[metric] * unit) for sample in life if sample[metric] != ""], 240)
            text = " ".join(
                f"{LEFT + (WIDTH - LEFT - RIGHT) * seconds / end:.1f},{top + 8 + inner * (1 - value / most):.1f}" for seconds, value in points
            )
            out.append(f'<polyline fill="none" stroke="{COLOURS[place]}" stroke-width="1.2" points="{text}"/>')
        if metric == "lag":
            break
    return out


def main(folder):
    numbers = {"seconds", "age_seconds", "memory_kib", "open_files", "threads", "disk_bytes", "disk_files", "lag"}
    samples = read(os.path.join(folder, "samples.csv"), numbers)
    events = read(os.path.join(folder, "events.csv"), numbers)
    if not samples:
        print("no samples: nothing can be said", file=sys.stderr)
        return 1
    rows, end = judge(samples)
    with open(os.path.join(folder, "soak.svg"), "w", encoding="utf-8") as file:
        file.write(drawn(samples, events, end))
    is_judged = end >= JUDGED_SECONDS
    # Somebody has to have grown old, or nothing was shown.
    ways = {row["way"] for row in rows}
    grew = [row for row in rows if row["grew"]]
    ok = not is_judged or (not grew and ways == {"old", "young"})
    with open(os.path.join(folder, "report.json"), "w", encoding="utf-8") as file:
        json.dump({"ok": ok, "judged": is_judged, "seconds": end, "samples": len(samples), "rows": rows}, file, indent=1)
    print(f"{'process':8} {'what':11} {'way':6} {'points':>6} {'median':>12} {'per hour':>12} {'allowed':>12}")
    for row in rows:
        mark = "  GREW" if row["grew"] else ""
        figures = f"{row['points']:6} {row['median']:12.1f} {row['per_hour']:12.1f} {row['allowed_per_hour']:12.1f}"
        print(f"{row['process']:8} {row['metric']:11} {row['way']:6} {figures}{mark}")
    if not is_judged:
        print(f"{end:.0f} s are too short to judge by, {JUDGED_SECONDS} s are needed")
    elif ways != {"old", "young"}:
        print(f"only {sorted(ways)} could be judged, both ways are needed")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
