"""Compares the answers of InfluxDB 1 and of Neap's `/query` to random InfluxQL statements over random rows.

    python3 tests/clients/compare_influxql.py --url http://127.0.0.1:8181 --statements 2000

`--influxd` is the program of InfluxDB 1, such as that of Debian's package `influxdb`. The token of Neap is in
`NEAP_TOKEN`. Each seed has its own rows in two databases, and 100 statements. Differences end the program with status 1.
docs/influxql.md lists the known ones: the statements avoid them, but for two, which are accepted: the number of
`fill(number)` in place of a text or boolean, and forecasts of series after one with too few windows.
"""

import argparse
import itertools
import json
import os
import re
import sys
import tempfile
import urllib.parse

from import_influxdb1 import InfluxDb, fetch
from influxql_statements import SECOND, Statements, lines

import random

STATEMENTS_PER_SEED = 100
STATEMENTS_PER_REQUEST = 50
TOKEN = os.environ.get("NEAP_TOKEN", "")
# A forecast: the call that has the values of the windows, and the windows of a season.
FORECAST = re.compile(r"holt_winters(?:_with_fit)?\((.*?\)), \d+, (\d+)\)")


def execute(url, database, statements, token=""):
    """The results of statements, in their order."""
    results = []
    for start in range(0, len(statements), STATEMENTS_PER_REQUEST):
        part = statements[start : start + STATEMENTS_PER_REQUEST]
        form = {"db": database, "epoch": "ns", "q": "; ".join(part)}
        status, body = fetch(f"{url}/query", urllib.parse.urlencode(form).encode(), token)
        answer = json.loads(body) if body else {}
        found = answer.get("results", [])
        if status != 200 or len(found) != len(part):
            if len(part) == 1:
                results.append({"error": answer.get("error") or str(found)})
                continue
            # One statement that can't be parsed refuses all of them.
            for statement in part:
                results.extend(execute(url, database, [statement], token))
            continue
        results.extend(found)
    return results


def equal(one, two):
    """Whether two values are equal but for the last digits of a float."""
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, (int, float)) and isinstance(two, (int, float)):
        return one == two or abs(one - two) <= 1e-9 * max(abs(one), abs(two)) or max(abs(one), abs(two)) < 1e-9
    return one == two


def fill_number(statement):
    """The number of `fill(number)`; `None` without it."""
    found = re.search(r"fill\((-?[0-9.]+)\)", statement)
    return found and float(found[1])


def rows_equal(one, two, filled):
    """Whether two rows are equal. `filled` is the number of `fill(number)`, which InfluxDB 1 gives to the texts and booleans
    of a series that has none in the range, too."""
    return len(one) == len(two) and all(
        equal(left, right) or (filled is not None and (right is False or right == "") and equal(left, filled))
        for left, right in zip(one, two, strict=True)
    )


def key_of(row):
    """A text that orders rows, the same for equal floats and integers."""
    return json.dumps([round(float(value), 6) if isinstance(value, (int, float)) else value for value in row])


def in_order_of_values(rows):
    """Rows of the same time sorted by their values. InfluxDB 1 has no order for them."""
    return sorted(rows, key=lambda row: key_of(row[1:]))


def grouped_by_time(rows):
    groups = []
    for row in rows:
        if groups and groups[-1][-1][0] == row[0]:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [row for group in groups for row in in_order_of_values(group)]


def comparable(rows, statement, has_ties):
    """The rows in an order that does not depend on what InfluxQL leaves open."""
    if "percentile(" in statement and "time(" not in statement:
        # The time is that of any row with the value.
        rows = [[None, *row[1:]] for row in rows]
    if "FROM (" in statement:
        return sorted(rows, key=key_of)
    if has_ties or "distinct" in statement.lower():
        return grouped_by_time(rows)
    return rows


def series_key(series):
    return series.get("name"), tuple(sorted(series.get("tags", {}).items()))


def difference(statement, one, two, has_ties):
    """Describes the first difference of two results; `None` without one."""
    if ("error" in one) != ("error" in two):
        return f"error: {one.get('error')!r} and {two.get('error')!r}"
    if "error" in one:
        return None if one["error"] == two["error"] else f"error text: {one['error']!r} and {two['error']!r}"
    filled = fill_number(statement)
    left, right = one.get("series", []), two.get("series", [])
    if [series_key(series) for series in left] != [series_key(series) for series in right]:
        return f"series: {[series_key(series) for series in left]} and {[series_key(series) for series in right]}"
    for before, after in zip(left, right, strict=True):
        if before["columns"] != after["columns"]:
            return f"columns: {before['columns']} and {after['columns']}"
        rows, others = before.get("values", []), after.get("values", [])
        if before["columns"][0] == "time":
            rows, others = comparable(rows, statement, has_ties), comparable(others, statement, has_ties)
        for index, (row, other) in enumerate(zip(rows, others, strict=False)):
            if not rows_equal(row, other, filled):
                return f"row {index} of {series_key(before)}: {row} and {other}"
        if len(rows) != len(others):
            longer = rows if len(rows) > len(others) else others
            extra = longer[min(len(rows), len(others))]
            return f"number of rows of {series_key(before)}: {len(rows)} and {len(others)}, the first further one {extra}"
    return None


class Comparison:
    """A running InfluxDB 1 and a running Neap."""

    def __init__(self, influx, url):
        self.influx, self.url = influx, url
        self.compared = 0
        self.errors = 0
        self.differences = []

    def run_seed(self, seed, count):
        has_ties = seed % 4 == 3
        database, other = f"compared_{seed}", f"other_{seed}"
        for name, rows, shift in ((database, seed, 0), (other, seed + 1_000_000, SECOND // 20)):
            self.influx.run(f"CREATE DATABASE {name}")
            body = "\n".join(lines(random.Random(rows), has_ties, shift)).encode()
            for url, token in ((self.influx.url, ""), (self.url, TOKEN)):
                status, text = fetch(f"{url}/write?db={name}", body, token)
                assert status == 204, (status, text)
        source = Statements(seed, other)
        statements = [source.statement() for _ in range(count)]
        if has_ties:
            # Which of several rows of one time a limit or a selector takes is not defined.
            statements = [statement for statement in statements if not takes_one_of_equals(statement)]
        expected = execute(self.influx.url, database, statements)
        answered = execute(self.url, database, statements, TOKEN)
        for statement, one, two in zip(statements, expected, answered, strict=True):
            self.compared += 1
            self.errors += "error" in one
            if len(two.get("series", [])) > len(one.get("series", [])) and FORECAST.search(statement):
                two = self.without_later_forecasts(database, statement, two)
            found = difference(statement, one, two, has_ties)
            if found:
                self.differences.append((seed, statement, found))
        for name in (database, other):
            self.influx.run(f"DROP DATABASE {name}")

    def without_later_forecasts(self, database, statement, answer):
        """The answer of Neap without the series that InfluxDB 1 lacks: those after one with too few windows for a forecast."""
        [windows] = execute(self.influx.url, database, [FORECAST.sub(r"\1", statement)])
        needed = max(2, int(FORECAST.search(statement)[2]))
        has_enough = lambda series: sum(row[-1] is not None for row in series["values"]) >= needed
        forecast = [series_key(series) for series in itertools.takewhile(has_enough, windows.get("series", []))]
        return {"series": [series for series in answer["series"] if series_key(series) in forecast]}


def takes_one_of_equals(statement):
    words = ["LIMIT", "first", "last", "max", "min", "percentile", "top", "bottom", "derivative", "difference"]
    words += ["moving_average", "cumulative_sum", "elapsed", "sample", "integral"]
    return any(word in statement for word in words)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--influxd", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--statements", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=40, help="how many differences are printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        influx = InfluxDb(options.influxd, folder)
        try:
            comparison = Comparison(influx.start(), options.url)
            seed = options.seed
            while comparison.compared < options.statements:
                comparison.run_seed(seed, STATEMENTS_PER_SEED)
                seed += 1
        finally:
            influx.stop()
    for seed, statement, found in comparison.differences[: options.show]:
        print(f"seed {seed}: {statement}\n    {found}")
    print(
        f"{comparison.compared} statements compared, {comparison.errors} of them refused by InfluxDB 1, "
        f"{len(comparison.differences)} differences"
    )
    sys.exit(1 if comparison.differences else 0)


if __name__ == "__main__":
    main()
