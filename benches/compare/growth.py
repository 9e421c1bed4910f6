#!/usr/bin/env python3
"""Table (Markdown) and curves (SVG) of what growth.sh measured: growth.py RESULTS [--chart FILE].

growth.py --compile SIZE FILE makes a line of results from what `cargo bench --bench scale` says.
"""

import argparse
import json
import math
import re
from collections import defaultdict

from report import table

KINDS = {
    "names": "static names",
    "services": "services",
    "geoip": "GeoIP networks",
    "regions": "regions of one service",
    "tier": "endpoints in one tier",
    "compile": "services",
}
UNITS = {"ns": 1e-6, "µs": 1e-3, "ms": 1, "s": 1000}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results")
    parser.add_argument("file", nargs="?")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--chart")
    arguments = parser.parse_args()
    if arguments.compile:
        with open(arguments.file, encoding="utf-8") as file:
            print(json.dumps(compile_line(int(arguments.results), file.read())))
        return
    with open(arguments.results, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    print(lookups(lines))
    print(compiling(lines))
    if arguments.chart:
        with open(arguments.chart, "w", encoding="utf-8") as file:
            file.write(chart(lines))


def compile_line(size, text):
    """What scale says of compiling, in milliseconds and megabytes."""
    def time(what):
        number, unit = re.search(re.escape(what) + r"\s+(?:median )?([0-9.]+)(ns|µs|ms|s)", text).groups()
        return float(number) * UNITS[unit]
    return {
        "what": "compile", "size": size,
        "first_ms": time("  compile"),
        "down_ms": time("recompile, one data centre down"),
        "one_ms": time("recompile, a switch of one service"),
        "table_mb": float(re.search(r"compiled part\s+([0-9.]+) MB", text).group(1)),
        "loaded_mb": float(re.search(r"resident, beyond the program\s+([0-9.]+) MB", text).group(1)),
    }


def name(line):
    return KINDS[line["what"]] + (", NSD" if line.get("server") == "nsd" else "")


def lookups(lines):
    rows = [[name(line), f"{line['size']:,}", f"{line['cpu_us']:.2f}", f"{line['user_us']:.2f}",
             f"{line['start_ms']:.0f}", f"{line['memory_kb'] / 1000:.0f}"]
            for line in lines if "cpu_us" in line]
    head = ["", "of", "CPU a query (µs)", "of it user", "start (ms)", "MB"]
    return table("Queries, start and memory", head, rows)


def compiling(lines):
    rows = [[f"{line['size']:,}", f"{line['first_ms']:.1f}", f"{line['down_ms']:.2f}", f"{line['one_ms']:.3f}",
             f"{line['table_mb']:.0f}", f"{line['loaded_mb']:.0f}"]
            for line in lines if line["what"] == "compile"]
    head = ["services of 20 regions", "compile (ms)", "again, a data centre down", "again, one service", "table (MB)",
            "all (MB)"]
    return table("Compiling", head, rows)


def chart(lines):
    """Two panels over one axis of sizes: what a query takes, and what start and compile take."""
    queries, times = defaultdict(list), defaultdict(list)
    for line in lines:
        if "cpu_us" in line:
            queries[name(line)].append((line["size"], line["cpu_us"]))
            if line["what"] in ("names", "services", "geoip"):
                times[f"start, {name(line)}"].append((line["size"], line["start_ms"]))
        else:
            times["compile all"].append((line["size"], line["first_ms"]))
            times["compile one"].append((line["size"], line["one_ms"]))
    panels = [panel(60, "Processor time a query, µs", queries, 0, 10, False),
              panel(420, "Start and compile, ms", times, -2, 5, True)]
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 780" font-family="sans-serif" font-size="12">
<style>
svg {{ background: #fff }} text {{ fill: #222 }} .title {{ font-size: 16px; font-weight: bold }}
.grid {{ stroke: #ddd }} .axis {{ fill: #666 }} polyline {{ fill: none; stroke-width: 2 }}
</style>
{chr(10).join(panels)}
</svg>
"""


COLOURS = ["#4a7fb5", "#c0504d", "#6a9a3b", "#8064a2", "#e08a2e", "#2aa198", "#666666", "#b58900"]
LEFT, WIDTH, HEIGHT, DECADES = 60, 620, 280, 6


def panel(top, title, curves, low, high, is_log):
    """Sizes are logarithmic, from 1 to a million; what they cost is where `is_log` says so."""
    def x(size):
        return LEFT + WIDTH * math.log10(max(size, 1)) / DECADES

    def y(value):
        at = math.log10(max(value, 1e-9)) if is_log else value
        return top + HEIGHT * (1 - (min(max(at, low), high) - low) / (high - low))

    out = [f'<text class="title" x="12" y="{top - 24}">{title}</text>']
    for decade in range(DECADES + 1):
        at = x(10 ** decade)
        out.append(f'<line class="grid" x1="{at:.0f}" x2="{at:.0f}" y1="{top}" y2="{top + HEIGHT}"/>'
                   f'<text class="axis" x="{at:.0f}" y="{top + HEIGHT + 18}" text-anchor="middle">{10 ** decade:,}</text>')
    for step in range(low, high + 1, 1 if is_log else 2):
        at = y(10 ** step if is_log else step)
        label = f"{10 ** step:g}" if is_log else step
        out.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{at:.0f}" y2="{at:.0f}"/>'
                   f'<text class="axis" x="{LEFT - 6}" y="{at + 4:.0f}" text-anchor="end">{label}</text>')
    for number, (what, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in sorted(points))
        label_y = top + 14 + 20 * number
        out.append(f'<polyline stroke="{colour}" points="{line}"/>')
        out += [f'<circle fill="{colour}" cx="{x(size):.1f}" cy="{y(value):.1f}" r="3"/>' for size, value in points]
        out.append(f'<line stroke="{colour}" stroke-width="2" x1="700" x2="724" y1="{label_y - 4}" y2="{label_y - 4}"/>'
                   f'<text x="730" y="{label_y}">{what}</text>')
    return "\n".join(out)


if __name__ == "__main__":
    main()
