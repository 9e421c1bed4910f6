#!/usr/bin/env python3
"""The table of what change.sh measured: change.py RESULTS."""

import json
import statistics
import sys
from collections import defaultdict

from report import spread, table


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    rounds = defaultdict(lambda: defaultdict(dict))
    after = {}
    for line in lines:
        key = line["world"], line["beside"]
        if "loop" in line:
            state = "rest" if line["state"] == "rest" else "change"
            rounds[key][line["loop"], line["round"]][state] = line
        else:
            after[key] = line
    rows = []
    for (world, beside), turns in rounds.items():
        pick = lambda loop: [pair for (of, _), pair in sorted(turns.items()) if of == loop]
        qps = [pair["change"]["qps"] / pair["rest"]["qps"] for pair in pick("full")]
        row = [world, beside, spread(qps)]
        for field in ("p50_us", "p99_us", "p999_us"):
            row.append(" → ".join(f"{statistics.median(pair[state][field] for pair in pick('half')):.0f}"
                                  for state in ("rest", "change")))
        end = after[world, beside]
        row += [f"{end['generations']}", f"{after[world, 'start']['memory_kb'] / 1000:.0f} → {end['memory_kb'] / 1000:.0f}"]
        rows.append(row)
    print(table("Rest → beside what changes; latencies at half load, in microseconds",
                ["world", "beside", "QPS, beside : rest", "p50", "p99", "p99.9", "generations in the run", "MB, start → after"],
                rows))


if __name__ == "__main__":
    main()
