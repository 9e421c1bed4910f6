#!/usr/bin/env python3
"""Tables (Markdown) and the chart (SVG) of what compare.sh measured: report.py RESULTS [--chart FILE].

Only neighbours in time are compared: each ratio is that of a peer's turn and of Meridian's right before it. What
stands in the tables is the median of these, and behind it the least and the greatest.
"""

import argparse
import json
import statistics
from collections import defaultdict

WORKS = {
    "static": "static A",
    "nxdomain": "NXDOMAIN, random names",
    "million": "a million names",
    "geo": "geo + weighted A",
    "ecs": "geo + weighted A, ECS",
    "services": "10 000 services",
    "grouped": "static A, all from one port",
    "tcp": "static A over TCP",
    "dot": "static A over TLS",
}
NAMES = {
    "meridian": "Meridian",
    "meridian-poll": "Meridian, busy poll",
    "gdnsd": "gdnsd",
    "nsd": "NSD",
    "knot": "Knot",
    "knot-geoip": "Knot, mod-geoip",
    "pdns-bind": "PowerDNS, BIND back end",
    "pdns-geoip": "PowerDNS, GeoIP back end",
    "pdns-lua": "PowerDNS, Lua records",
    "bind": "BIND",
    "bind-geoip": "BIND, GeoIP views",
}
# These choose by place alone: their work is the lesser one.
WITHOUT_WEIGHTS = {"knot-geoip", "bind-geoip"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results")
    parser.add_argument("--chart")
    arguments = parser.parse_args()
    with open(arguments.results, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    pairs = pair(lines)
    print(throughput(pairs))
    print(latency(pairs, "half", "At half of what the slower of the two can, both at the same rate, in microseconds"))
    print(latency(pairs, "one", "One query in flight, in microseconds"))
    print(names(lines))
    print(residence(lines))
    print(by_dnsperf(lines))
    if arguments.chart:
        with open(arguments.chart, "w", encoding="utf-8") as file:
            file.write(chart(pairs))


def pair(lines):
    """(kind, work, peer) -> a list of {server: turn}, a round each."""
    rounds = defaultdict(lambda: defaultdict(dict))
    for line in lines:
        if "against" in line:
            rounds[line["kind"], line["work"], line["against"]][line["round"]][line["server"]] = line
    return {key: [turns for _, turns in sorted(found.items())] for key, found in rounds.items()}


def spread(values, form="{:.2f}"):
    """The median, and in brackets the least and the greatest."""
    middle, least, most = statistics.median(values), min(values), max(values)
    text = form.format(middle)
    if len(values) > 1:
        text += f" ({form.format(least)}–{form.format(most)})"
    return text


def median(turns, server, field):
    return statistics.median(turn[server][field] for turn in turns)


def table(title, head, rows):
    if not rows:
        return ""
    out = [f"{title}:", "", "| " + " | ".join(head) + " |"]
    out.append("|" + "|".join("---" if at < 2 else "---:" for at in range(len(head))) + "|")
    out += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(out) + "\n"


def ordered(pairs, kind):
    for work in WORKS:
        for peer in NAMES:
            if (kind, work, peer) in pairs:
                yield work, peer, pairs[kind, work, peer]


def name(peer):
    return NAMES[peer] + ("¹" if peer in WITHOUT_WEIGHTS else "")


def throughput(pairs):
    rows = []
    for work, peer, turns in ordered(pairs, "full"):
        ratios = [turn["meridian"]["qps"] / turn[peer]["qps"] for turn in turns]
        cpu = [turn["meridian"]["cpu_us"] / turn[peer]["cpu_us"] for turn in turns]
        row = [WORKS[work], name(peer), spread(ratios), spread(cpu)]
        for server in ("meridian", peer):
            whole, user = median(turns, server, "cpu_us"), median(turns, server, "user_us")
            row.append(f"{whole:.2f} ({user:.2f})")
        row.append("/".join(f"{median(turns, server, 'qps') / 1000:.0f}" for server in ("meridian", peer)))
        row.append("/".join(str(sum(turn[server]["lost"] for turn in turns)) for server in ("meridian", peer)))
        rows.append(row)
    head = ["work", "peer", "QPS, ours : theirs", "CPU a query, ours : theirs", "ours, µs (user)", "theirs, µs (user)",
            "thousand QPS", "lost"]
    return table("At saturation, 128 in flight", head, rows)


def latency(pairs, kind, title):
    rows = []
    for work, peer, turns in ordered(pairs, kind):
        row = [WORKS[work], name(peer)]
        for field in ("p50_us", "p99_us", "p999_us"):
            row += [f"{median(turns, server, field):.1f}" for server in ("meridian", peer)]
        ratios = [turn["meridian"]["p50_us"] / turn[peer]["p50_us"] for turn in turns]
        row.append(spread(ratios))
        if kind == "one":
            polled = [turn["meridian-poll"]["p50_us"] for turn in turns if "meridian-poll" in turn]
            row.append(f"{statistics.median(polled):.1f}" if polled else "")
        rows.append(row)
    head = ["work", "peer", "p50 ours", "theirs", "p99 ours", "theirs", "p99.9 ours", "theirs", "p50, ours : theirs"]
    return table(title, head + (["p50 ours, busy poll"] if kind == "one" else []), rows)


def names(lines):
    rounds = defaultdict(dict)
    for line in lines:
        if line["kind"] == "names":
            rounds[line["round"]][line["work"]] = line
    rows = [[what, "Meridian", spread([turn["million"][field] / turn["one_name"][field] for turn in rounds.values()])]
            for what, field in (("QPS", "qps"), ("CPU a query", "cpu_us")) if rounds]
    return table("A million names at random beside one of them", ["", "server", "a million : one"], rows)


def residence(lines):
    figures = defaultdict(dict)
    for line in lines:
        if line["kind"] in ("start", "reload"):
            figures[line["world"], line["server"]][line["kind"]] = line
    rows = []
    for world in ("small", "million", "services"):
        for server in NAMES:
            if (world, server) not in figures:
                continue
            found = figures[world, server]
            row = [world, NAMES[server]]
            for kind in ("start", "reload"):
                line = found.get(kind)
                row += [f"{line['ms']:.0f}", f"{line['memory_kb'] / 1000:.0f}"] if line else ["", ""]
            rows.append(row)
    head = ["world", "server", "start, ms", "then MB", "reload, ms", "then MB"]
    return table("Memory (proportional share, children included), start and reload until the answer is right", head, rows)


def by_dnsperf(lines):
    rows = [[WORKS[line["work"]], NAMES[line["server"]], f"{line['qps'] / 1000:.0f}"]
            for line in lines if line["kind"] == "dnsperf"]
    return table("As a check, dnsperf (128 in flight, 16 sockets), which is full itself before the servers are",
                 ["work", "server", "thousand QPS"], rows)


def chart(pairs):
    """CPU a query relative to Meridian's, a bar for each peer and work; shorter is better."""
    bars = []
    for work, peer, turns in ordered(pairs, "full"):
        ratios = sorted(turn[peer]["cpu_us"] / turn["meridian"]["cpu_us"] for turn in turns)
        bars.append((work, peer, statistics.median(ratios), ratios[0], ratios[-1]))
    left, right, row_height = 330, 860, 18
    most = 4.0
    scale = (right - left) / most
    rows, y, last = [], 64, None
    for work, peer, middle, least, greatest in bars:
        if work != last:
            y += 12
            rows.append(f'<text class="work" x="12" y="{y + 13}">{WORKS[work]}</text>')
            last = work
        colour = "bad" if middle < 1 else "good"
        end = left + min(middle, most) * scale
        rows.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name(peer)}</text>')
        rows.append(f'<rect class="{colour}" x="{left}" y="{y + 3}" width="{end - left:.1f}" height="12"/>')
        low, high = (left + min(value, most) * scale for value in (least, greatest))
        if high - low > 1 and middle < most:
            rows.append(f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 9}" y2="{y + 9}"/>')
        rows.append(f'<text x="{end + 6 if middle < most else right + 6:.1f}" y="{y + 13}">{middle:.2f}</text>')
        y += row_height
    one = left + scale
    height = y + 40
    grid = "".join(
        f'<line class="grid" x1="{left + at * scale:.0f}" x2="{left + at * scale:.0f}" y1="62" y2="{y + 4}"/>'
        f'<text class="axis" x="{left + at * scale:.0f}" y="{y + 20}" text-anchor="middle">{at}</text>'
        for at in range(int(most) + 1))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 {height}" font-family="sans-serif" font-size="12">
<style>
svg {{ background: #fff }} text {{ fill: #222 }} .work {{ font-weight: bold }} .title {{ font-size: 16px; font-weight: bold }}
.good {{ fill: #4a7fb5 }} .bad {{ fill: #c0504d }} .grid {{ stroke: #ddd }} .axis {{ fill: #666 }}
.one {{ stroke: #222; stroke-dasharray: 4 3 }} .spread {{ stroke: #222 }}
</style>
<text class="title" x="12" y="24">Processor time a query, as a multiple of Meridian's</text>
<text x="12" y="44">Longer: the peer takes more. Red: it takes less than Meridian. Bars end at {most:.0f}; lines: least and greatest of the rounds. ¹ by place alone, without weights.</text>
{grid}
<line class="one" x1="{one:.0f}" x2="{one:.0f}" y1="62" y2="{y + 4}"/>
{chr(10).join(rows)}
</svg>
"""


if __name__ == "__main__":
    main()
