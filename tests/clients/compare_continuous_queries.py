"""Compares the rows that continuous queries of InfluxDB 1 and of Neap store: the examples of InfluxDB 1's documentation.

    python3 tests/clients/compare_continuous_queries.py --influxd influxd --url http://127.0.0.1:8181

`--influxd` is the program of InfluxDB 1, such as that of Debian's package `influxdb`. The token of Neap is in
`NEAP_TOKEN`. InfluxDB 1 computes the windows of a period again and again, which is stated with `RESAMPLE FOR`, so that the
windows of the examples are settled, and late rows are in them. The first difference ends the program with status 1.
"""

import argparse
import json
import os
import tempfile
import time
import urllib.parse

from import_influxdb1 import InfluxDb, fetch

DATABASE = "transportation"
HOUR = 3_600
TOKEN = os.environ.get("NEAP_TOKEN", "")
LIMIT_SECONDS = 120

# The rows of the documentation: minutes, complaints and passengers.
BUS_DATA = [
    (0, 9, 5),
    (15, 9, 8),
    (30, 9, 8),
    (45, 9, 7),
    (60, 9, 8),
    (75, 7, 15),
    (90, 7, 15),
    (105, 7, 17),
    (120, 7, 20),
]

# Target and query of each example, by the headings of the documentation.
EXAMPLES = {
    "automatically downsampling data": (
        '"autogen"."average_passengers"',
        'SELECT mean("passengers") INTO "average_passengers" FROM "bus_data" GROUP BY time(1h)',
    ),
    "into another retention policy": (
        '"three_weeks"."average_passengers"',
        'SELECT mean("passengers") INTO "transportation"."three_weeks"."average_passengers" FROM "bus_data" GROUP BY time(1h)',
    ),
    "with an offset interval": (
        '"autogen"."offset_passengers"',
        'SELECT mean("passengers") INTO "offset_passengers" FROM "bus_data" GROUP BY time(1h,15m)',
    ),
    "by a tag": (
        '"autogen"."passengers_by_line"',
        'SELECT sum("passengers"), max("complaints") AS "worst" INTO "passengers_by_line" FROM "bus_data" GROUP BY time(30m), "line"',
    ),
    "by all tags": (
        '"autogen"."passengers_by_all"',
        'SELECT count("passengers"), first("passengers"), last("passengers") INTO "passengers_by_all" FROM "bus_data" GROUP BY time(1h), *',
    ),
    "with a condition": (
        '"autogen"."full_buses"',
        'SELECT count("passengers"), percentile("passengers", 50), stddev("passengers") INTO "full_buses" FROM "bus_data" '
        'WHERE "passengers" > 7 GROUP BY time(1h)',
    ),
    "with arithmetic": (
        '"autogen"."ratio"',
        'SELECT mean("passengers") / mean("complaints") AS "ratio", spread("passengers") INTO "ratio" FROM "bus_data" GROUP BY time(1h)',
    ),
}


class Server:
    """InfluxDB 1, or Neap."""

    def __init__(self, name, url, token=""):
        self.name, self.url, self.token = name, url, token

    def execute(self, statement):
        form = urllib.parse.urlencode({"db": DATABASE, "epoch": "s", "q": statement}).encode()
        status, body = fetch(f"{self.url}/query", form, self.token)
        answer = json.loads(body)
        assert status == 200 and "error" not in answer, (self.name, statement, answer)
        (result,) = answer["results"]
        assert "error" not in result, (self.name, statement, result)
        return result.get("series", [])

    def write(self, lines):
        query = urllib.parse.urlencode({"db": DATABASE, "precision": "s"})
        status, text = fetch(f"{self.url}/write?{query}", "\n".join(lines).encode(), self.token)
        assert status == 204, (self.name, status, text)

    def rows(self, target, before):
        """The rows of a target that are older than a time, with their tags."""
        rows = []
        for series in self.execute(f'SELECT * FROM "{DATABASE}".{target} WHERE time < {before}s'):
            for row in series["values"]:
                rows.append(tuple(sorted((name, value) for name, value in zip(series["columns"], row) if value is not None)))
        return sorted(rows, key=repr)


def lines(start, rows):
    # Version 1 has rows without the tag, too.
    return [
        f"bus_data{',line=' + line if line else ''} complaints={complaints},passengers={passengers} {start + minutes * 60}"
        for line, offset in (("", 0), ("12", 1), ("34", 2))
        for minutes, complaints, passengers in ((minute + offset, *values) for minute, *values in rows)
    ]


def compare(servers, before, step):
    """Waits until the targets have the same rows on both servers."""
    ends = time.monotonic() + LIMIT_SECONDS
    waiting = dict(EXAMPLES)
    while waiting:
        for name, (target, _) in list(waiting.items()):
            expected, answered = (server.rows(target, before) for server in servers)
            if expected and rounded(expected) == rounded(answered):
                print(f"{step}: {name}: {len(expected)} rows")
                del waiting[name]
            elif time.monotonic() > ends:
                raise SystemExit(f"{step}: {name}:\n  {expected}\n  {answered}")
        time.sleep(0.5)


def rounded(rows):
    """The rows with the digits of floats on which sums in any order agree."""
    return [[(name, round(value, 9) if isinstance(value, float) else value) for name, value in row] for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--influxd", required=True)
    parser.add_argument("--url", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        influx = InfluxDb(options.influxd, folder)
        try:
            servers = [Server("InfluxDB 1", influx.start().url), Server("Neap", options.url, TOKEN)]
            start = int(time.time()) // HOUR * HOUR - 5 * HOUR
            # The window of the last row, and all before it, are over.
            before = start + 4 * HOUR
            for server in servers:
                server.execute(f"CREATE DATABASE {DATABASE}")
                server.execute(f'CREATE RETENTION POLICY "three_weeks" ON "{DATABASE}" DURATION 3w REPLICATION 1')
                server.write(lines(start, BUS_DATA))
                for number, (_, query) in enumerate(EXAMPLES.values()):
                    server.execute(
                        f'CREATE CONTINUOUS QUERY "cq_{number}" ON "{DATABASE}" RESAMPLE EVERY 1s FOR 12h BEGIN {query} END'
                    )
            compare(servers, before, "all windows")
            late = [(10, 3, 40), (100, 4, 41)]
            for server in servers:
                server.write(lines(start, late))
            wait_for_late_rows(servers[0], before)
            compare(servers, before, "late rows")
        finally:
            influx.stop()


def wait_for_late_rows(influx, before):
    """Waits until InfluxDB 1 has computed the windows of the late rows, which have more passengers than others."""
    ends = time.monotonic() + LIMIT_SECONDS
    target, _ = EXAMPLES["by a tag"]
    while all(dict(row)["sum"] < 50 for row in influx.rows(target, before)):
        assert time.monotonic() < ends, "InfluxDB 1 has not computed the late rows"
        time.sleep(0.5)


if __name__ == "__main__":
    main()
