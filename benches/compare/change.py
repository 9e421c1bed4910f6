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
        full = pick("full")
        row.append(" → ".join(f"{statistics.median(map(of_queries, [pair[state] for pair in full])):.2f}"
                              for state in ("rest", "change")))
        row.append(" → ".join(others([pair[state] for pair in full]) for state in ("rest", "change")))
        end = after[world, beside]
        row += [f"{end['generations']}", f"{after[world, 'start']['memory_kb'] / 1000:.0f} → {end['memory_kb'] / 1000:.0f}"]
        rows.append(row)
    print(table("Rest → beside what changes; latencies at half load, in microseconds",
                ["world", "beside", "QPS, beside : rest", "p50", "p99", "p99.9", "CPU a query (µs)",
                 "other threads, of a processor", "generations in the run", "MB, start → after"],
                rows))


def of_queries(turn):
    """Microseconds of the workers' for each query."""
    return turn["threads_us"].get("udp", 0) / turn["qps"]


def others(turns):
    """What threads take that answer nothing over UDP, in all, and who takes the most of it."""
    names = {name for turn in turns for name in turn["threads_us"]} - {"udp"}
    share = {name: statistics.median(turn["threads_us"].get(name, 0) for turn in turns) / 1e4 for name in names}
    most = sorted((name for name in share if share[name] >= 0.5), key=share.get, reverse=True)[:3]
    of = ", ".join(f"{name} {share[name]:.1f}" for name in most)
    return f"{sum(share.values()):.1f} %" + (f" ({of})" if of else "")


if __name__ == "__main__":
    main()
