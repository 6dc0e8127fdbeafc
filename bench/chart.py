#!/usr/bin/env python3
"""The charts of the README and of docs/performance.md, from the figures of bench/results.json.

    bench/chart.py            writes docs/images/benchmarks-*.svg and docs/images/performance-*.svg
    bench/chart.py --check    fails if these files are not what this program makes

Both also fail if a figure lacks its value, unit, command, machine, date or commit, or if the page that a figure comes from
no longer states it.
"""

import argparse
import html
import itertools
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results.json"
IMAGES = ROOT / "docs" / "images"

FIELDS = ["id", "value", "unit", "command", "machine", "date", "source", "stated"]
# The commits of figures before this date were not recorded.
COMMITS_SINCE = "2026-12-01"

THEMES = {
    "light": {"surface": "#ffffff", "text": "#1f2328", "muted": "#59636e", "grid": "#d1d9e0",
              "better": "#1f6feb", "worse": "#bc4c00", "peer": "#818b98"},
    "dark": {"surface": "#0d1117", "text": "#f0f6fc", "muted": "#9198a1", "grid": "#3d444d",
             "better": "#58a6ff", "worse": "#f0883e", "peer": "#9198a1"},
}

WIDTH, MARGIN = 860, 24
# The plot is between the labels on its left and the values on its right.
PLOT_LEFT, PLOT_RIGHT = 330, 660
ROW, TITLE, AXIS, GAP = 24, 48, 22, 26
HEAD, NOTE = 44, 17

# Panels: name in the footer, title, explanation, ticks of the logarithmic axis, unit, and rows. A row has a label and the ids
# of its figures. Of ratios (unit ×), more is better or worse; other panels have pairs of values.
INGEST = {
    "name": "ingest",
    "title": "Ingest, beside VictoriaMetrics",
    "explanation": "Rows/s as a multiple of VictoriaMetrics in the same run. Right of the line, Neap is faster. "
                   "Neap answers when the rows are durable",
    "unit": "×",
    "is_more_better": True,
    "ticks": [0.1, 1, 10],
    "range": (0.05, 12),
    "rows": [
        ("100 hosts, 4 clients, directory", "ingest-small-directory-ratio", "ingest-small-directory"),
        ("4,000 hosts, 32 clients, directory", "ingest-wide-directory-ratio", "ingest-wide-directory"),
        ("4,000 hosts, 32 clients, S3 server", "ingest-wide-s3-ratio", "ingest-wide-s3"),
        ("100 hosts, 4 clients, S3 server", "ingest-small-s3-ratio", "ingest-small-s3"),
    ],
}
REMOTE_WRITE = {
    "name": "remote write",
    "title": "Prometheus's remote write, beside VictoriaMetrics",
    "explanation": "Samples/s as a multiple of VictoriaMetrics, which answers before samples are on the disk. "
                   "Right of the line, Neap is faster",
    "unit": "×",
    "is_more_better": True,
    "ticks": [0.1, 1, 10],
    "range": (0.05, 12),
    "rows": [
        ("2 clients", "remote-write-2-ratio", None),
        ("8 clients", "remote-write-8-ratio", None),
        ("16 clients", "remote-write-16-ratio", None),
    ],
}
CLIENTS = {
    "name": "many clients",
    "title": "32 clients with small queries: one host, one hour",
    "explanation": "Requests/s of Neap (SQL) as a multiple of the other server. Right of the line, Neap is faster",
    "unit": "×",
    "is_more_better": True,
    "ticks": [0.1, 1, 10],
    "range": (0.05, 12),
    "rows": [
        ("InfluxDB 1.6", "clients-influxdb-ratio", None),
        ("VictoriaMetrics", "clients-victoria-metrics-ratio", None),
    ],
}
QUERIES = {
    "name": "queries and size",
    "title": "Queries and size, beside one sorted Parquet file",
    "explanation": "Time as a multiple of DataFusion's, bytes as a multiple of DuckDB's. Left of the line, Neap is better",
    "unit": "×",
    "is_more_better": False,
    "ticks": [0.02, 0.1, 0.5, 1, 2],
    "range": (0.015, 3),
    "rows": [
        ("14 queries, rows not flushed yet", "queries-tail", None),
        ("14 queries, flushed rows", "queries-sections", None),
        ("30 days, 13 of the 14 queries", "queries-30-days", None),
        ("30 days, newest row of each host", "lastpoint-30-days", None),
        ("30 days, bytes per row", "bytes-30-days-ratio", "bytes-30-days"),
    ],
}
CACHES = {
    "name": "newest rows",
    "title": "Newest rows of 100,000 series, over HTTP",
    "explanation": "Median in ms: last value cache (filled) and plain SQL over the table (hollow)",
    "unit": "ms",
    "ticks": [1, 10, 100],
    "range": (0.4, 200),
    "rows": [
        ("one series, rows not flushed yet", "cache-key-tail", "sql-key-tail"),
        ("one series, flushed rows", "cache-key-flushed", "sql-key-flushed"),
        ("one series, during 100,000 rows/s of writes", "cache-key-writing", "sql-key-writing"),
        ("100 series, flushed rows", "cache-100-keys-flushed", "sql-100-keys-flushed"),
        ("all series, flushed rows", "cache-all-keys-flushed", "sql-all-keys-flushed"),
        ("one series, new process, store 30 ms late", "cache-key-cold", "sql-key-cold"),
    ],
}
STARTS = {
    "name": "start of a function",
    "title": "Start of a function, to its first answer",
    "explanation": "Median in ms: program in the page cache (filled) and not in the page cache (hollow)",
    "unit": "ms",
    "ticks": [10, 100],
    "range": (8, 200),
    "rows": [
        ("write: an acknowledged write", "start-write-warm", "start-write-cold"),
        ("query: an answered query", "start-query-warm", "start-query-cold"),
    ],
}

CHARTS = {
    "benchmarks": [INGEST, QUERIES, CACHES, STARTS],
    "performance-writes": [INGEST, REMOTE_WRITE],
    "performance-queries": [QUERIES, CLIENTS],
    "performance-newest-rows": [CACHES],
    "performance-starts": [STARTS],
}


def shown_figures(panel, figures):
    """The figures that a panel shows."""
    return [figures[name] for row in panel["rows"] for name in row[1:] if name]


def read_results():
    """Returns the machines and the figures by id. Exits if a figure is incomplete or not stated by its source."""
    results = json.loads(RESULTS.read_text())
    pages, figures = {}, {}
    for figure in results["figures"]:
        required = FIELDS + ["commit"] * (figure.get("date", "") >= COMMITS_SINCE)
        missing = [field for field in required if figure.get(field) in (None, "")]
        if missing:
            sys.exit(f"bench/results.json: figure {figure.get('id')} has no {', '.join(missing)}")
        name, source = figure["id"], figure["source"]
        if name in figures:
            sys.exit(f"bench/results.json: two figures have the id {name}")
        if figure["machine"] not in results["machines"]:
            sys.exit(f"bench/results.json: figure {name} names an unknown machine, {figure['machine']}")
        if source not in pages:
            pages[source] = " ".join((ROOT / source).read_text().split())
        if " ".join(figure["stated"].split()) not in pages[source]:
            sys.exit(f"bench/results.json: {source} does not state figure {name}: {figure['stated']}")
        figures[name] = figure
    return results["machines"], figures


def number(value):
    """A value as text, with a comma after thousands, and with two decimals below 1."""
    if value < 1:
        return f"{value:.2f}"
    return f"{value:,}" if value >= 1000 else f"{value:g}"


class Drawing:
    """The elements of one SVG, and the position of the next one."""

    def __init__(self, theme, figures):
        self.theme, self.figures, self.elements, self.y = theme, figures, [], 0

    def value(self, name):
        return self.figures[name]["value"]

    def text(self, x, y, text, color="text", size=13, anchor="start", weight="normal"):
        self.elements.append(
            f'<text x="{x:g}" y="{y:g}" fill="{self.theme[color]}" font-size="{size}" font-weight="{weight}" '
            f'text-anchor="{anchor}">{html.escape(text)}</text>')

    def line(self, x1, y1, x2, y2, color, width=1, dashes=None):
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.elements.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                             f'stroke="{self.theme[color]}" stroke-width="{width}"{dash}/>')

    def bar(self, x1, x2, y, color):
        left, width = min(x1, x2), max(abs(x2 - x1), 2)
        self.elements.append(f'<rect x="{left:.1f}" y="{y - 6:.1f}" width="{width:.1f}" height="12" rx="2" '
                             f'fill="{self.theme[color]}"/>')

    def dot(self, x, y, color, hollow):
        fill = self.theme["surface" if hollow else color]
        self.elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" '
                             f'stroke="{self.theme[color]}" stroke-width="2"/>')

    def panel(self, panel):
        """Draws the title, the axis and the rows of a panel."""
        unit = panel["unit"]
        draw_row = self.ratio_row(panel["is_more_better"]) if unit == "×" else self.pair_row
        low, high = (math.log(end) for end in panel["range"])

        def position(value):
            return PLOT_LEFT + (math.log(value) - low) / (high - low) * (PLOT_RIGHT - PLOT_LEFT)

        self.text(MARGIN, self.y + 14, panel["title"], size=15, weight="600")
        self.text(MARGIN, self.y + 33, panel["explanation"], "muted", 12)
        top = self.y + TITLE
        bottom = top + ROW * len(panel["rows"])
        for tick in panel["ticks"]:
            is_parity = tick == 1 and unit == "×"
            self.line(position(tick), top, position(tick), bottom, "text" if is_parity else "grid", 1,
                      None if is_parity else "2 3")
            self.text(position(tick), bottom + 15, f"{tick:g} {unit}", "muted", 11, "middle")
        for index, row in enumerate(panel["rows"]):
            y = top + ROW * index + ROW / 2
            self.text(PLOT_LEFT - 14, y + 4, row[0], anchor="end")
            self.text(PLOT_RIGHT + 14, y + 4, draw_row(y, row, position))
        self.y = bottom + AXIS + GAP

    def ratio_row(self, is_more_better):
        """Returns a function that draws a bar from the line of parity, or from end to end of a range."""
        def draw(y, row, position):
            value = self.value(row[1])
            low, high = value if isinstance(value, list) else (value, value)
            if low == high:
                self.bar(position(1), position(low), y, "better" if (low > 1) == is_more_better else "worse")
                text = f"{number(low)} ×"
            else:
                parts = [(low, min(high, 1), not is_more_better), (max(low, 1), high, is_more_better)]
                for start, end, is_better in parts:
                    if start < end:
                        self.bar(position(start), position(end), y, "better" if is_better else "worse")
                text = f"{number(low)} to {number(high)} ×"
            if row[2]:
                text += f" ({number(self.value(row[2]))} {self.figures[row[2]]['unit']})"
            return text
        return draw

    def pair_row(self, y, row, position):
        """Draws a filled and a hollow dot, and the line between them."""
        first, second = self.value(row[1]), self.value(row[2])
        self.line(position(first), y, position(second), y, "grid", 2)
        self.dot(position(second), y, "peer", hollow=True)
        self.dot(position(first), y, "better", hollow=False)
        return f"{number(first)} and {number(second)} ms"


def chart(panels, theme, machines, figures):
    """Returns the SVG of panels in a theme."""
    drawing = Drawing(theme, figures)
    drawing.y = HEAD
    for panel in panels:
        drawing.panel(panel)
    notes = drawing.y - GAP
    if any(panel["unit"] == "×" for panel in panels):
        drawing.bar(MARGIN, MARGIN + 18, 22, "better")
        drawing.text(MARGIN + 26, 26, "Neap, better than the other", "muted", 12)
        drawing.bar(MARGIN + 210, MARGIN + 228, 22, "worse")
        drawing.text(MARGIN + 236, 26, "Neap, worse than the other", "muted", 12)
    drawing.text(WIDTH - MARGIN, 26, "all axes are logarithmic", "muted", 12, "end")
    # The panels of each machine and date.
    runs = {}
    for panel in panels:
        for figure in shown_figures(panel, figures):
            runs.setdefault((figure["machine"], figure["date"]), {})[panel["name"]] = True
    for index, ((machine, date), names) in enumerate(runs.items()):
        note = f"{', '.join(names)}: {machines[machine].split(';')[0]}; {date}"
        drawing.text(MARGIN, notes + 18 + NOTE * index, note[0].upper() + note[1:], "muted", 11)
    height = notes + NOTE * len(runs) + MARGIN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:g}" viewBox="0 0 {WIDTH} {height:g}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" role="img">',
        "<title>Benchmarks of Neap</title>",
        f'<rect width="{WIDTH}" height="{height:g}" fill="{theme["surface"]}"/>',
        *drawing.elements,
        "</svg>",
    ]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    is_check = parser.parse_args().check
    machines, figures = read_results()
    for (chart_name, panels), (name, theme) in itertools.product(CHARTS.items(), THEMES.items()):
        path, made = IMAGES / f"{chart_name}-{name}.svg", chart(panels, theme, machines, figures)
        if not is_check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made)
        elif not path.exists() or path.read_text() != made:
            sys.exit(f"{path.relative_to(ROOT)} is not what bench/chart.py makes: run it")


if __name__ == "__main__":
    main()
