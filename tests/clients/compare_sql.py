"""Compares the answers of DuckDB and of Neap to random SQL statements over random rows.

    python3 tests/clients/compare_sql.py --url http://127.0.0.1:8181 --statements 2000

Each statement is executed three times, because Neap keeps the plans of repeated statements, and once with `--workers-url`, a
process that distributes queries over workers. The token of Neap is in `NEAP_TOKEN`. Each seed has its own rows, and 500
statements. Neap may refuse a statement as not supported; other differences end the program with status 1.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from import_influxdb1 import fetch
from sql_statements import COLUMNS, START, TABLES, Statements, for_duckdb, line, rows

STATEMENTS_PER_SEED = 500
TOKEN = os.environ.get("NEAP_TOKEN", "")


class Neap:
    """A process of Neap."""

    def __init__(self, url):
        self.url = url

    def write(self, database, lines):
        status, body = fetch(f"{self.url}/api/v3/write_lp?db={database}", "\n".join(lines).encode(), TOKEN)
        assert status == 204, (status, body)

    def answer(self, database, statement):
        """The rows, or a text that describes the error."""
        body = json.dumps({"db": database, "q": statement, "format": "parquet"}).encode()
        status, body = fetch(f"{self.url}/api/v3/query_sql", body, TOKEN)
        if status != 200:
            return f"{status}: {body.decode(errors='replace')[:300]}"
        if not body:
            # No rows have no columns.
            return []
        table = pq.read_table(io.BytesIO(body))
        return [tuple(row.values()) for row in microseconds(table).to_pylist()]


def microseconds(table):
    """The table with times as DuckDB has them."""
    fields = [field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in table.schema]
    return table.cast(pa.schema(fields))


def expected_rows(database, statement):
    return database.execute(for_duckdb(statement)).fetchall()


def is_same_value(one, two):
    if isinstance(one, float) or isinstance(two, float):
        return one is not None and two is not None and abs(one - two) <= 1e-9 * max(1, abs(one), abs(two))
    return one == two


def key_of(row):
    """A text that orders rows, the same for equal floats and integers."""
    return str([round(float(value), 6) if isinstance(value, (int, float)) else str(value) for value in row])


def difference(statement, expected, found):
    """Describes the first difference of two answers; `None` without one."""
    if isinstance(found, str):
        return found
    if "ORDER BY time" not in statement.rsplit(")", 1)[-1]:
        expected, found = sorted(expected, key=key_of), sorted(found, key=key_of)
    if len(expected) != len(found):
        return f"{len(expected)} and {len(found)} rows"
    for one, two in zip(expected, found, strict=True):
        if not all(is_same_value(*values) for values in zip(one, two, strict=True)):
            return f"{one} and {two}"
    return None


def is_refused(found):
    """Whether Neap does not support a statement."""
    return isinstance(found, str) and ("not implemented" in found or "not support" in found)


def filled_database(seed):
    """The rows of a seed in DuckDB, and as line protocol."""
    rng = random.Random(seed)
    database = duckdb.connect()
    # It does not guard all divisions either. What a guard leaves out is null then, and changes nothing.
    database.execute("SET error_on_division_by_zero = false")
    lines = []
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    for table in TABLES:
        database.execute(f"CREATE TABLE {table} ({columns})")
        for row in rows(rng, table):
            values = [row[name] for name in COLUMNS if name != "time"]
            marks = ", ".join("?" for _ in values)
            database.execute(f"INSERT INTO {table} VALUES ({marks}, make_timestamp(? // 1000))", [*values, row["time"]])
            lines.append(line(table, row))
    return database, lines


class Comparison:
    """Running processes of Neap."""

    def __init__(self, options):
        self.alone, self.flush = Neap(options.url), options.flush
        self.writer = Neap(options.writer_url or options.url)
        self.workers = options.workers_url and Neap(options.workers_url)
        self.compared, self.refused, self.differences = 0, 0, []

    def run_seed(self, seed, count):
        name = f"compared_{seed}"
        database, lines = filled_database(seed)
        middle = len(lines) // 2
        # Rows in sections, and rows in the tail.
        self.writer.write(name, lines[:middle])
        if self.flush:
            subprocess.run(json.loads(self.flush), check=True, stdout=subprocess.DEVNULL)
        self.writer.write(name, lines[middle:])
        source = Statements(seed)
        for _ in range(count):
            statement = source.statement()
            try:
                expected = expected_rows(database, statement)
            except duckdb.Error as error:
                raise SystemExit(f"seed {seed}: DuckDB refuses {statement}\n    {error}") from error
            answers = [("alone", self.alone.answer(name, statement)) for _ in range(3)]
            if self.workers:
                answers.append(("workers", self.workers.answer(name, statement)))
            self.compared += 1
            self.refused += is_refused(answers[0][1])
            for execution, (how, found) in enumerate(answers):
                text = None if is_refused(found) else difference(statement, expected, found)
                if text:
                    self.differences.append(f"seed {seed}, execution {execution} ({how}): {statement}\n    {text}")
                    break


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--writer-url", help="the process that writes rows, if it is another one")
    parser.add_argument("--workers-url", help="a process that distributes queries")
    parser.add_argument("--flush", help="a command, as a JSON list, that moves the rows from the tail to sections")
    parser.add_argument("--statements", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=40, help="how many differences are printed")
    options = parser.parse_args()
    comparison = Comparison(options)
    seed = options.seed
    while comparison.compared < options.statements:
        comparison.run_seed(seed, min(STATEMENTS_PER_SEED, options.statements - comparison.compared))
        seed += 1
    for text in comparison.differences[: options.show]:
        print(text)
    print(
        f"{comparison.compared} statements compared, {comparison.refused} of them refused by Neap, "
        f"{len(comparison.differences)} differences"
    )
    sys.exit(1 if comparison.differences else 0)


if __name__ == "__main__":
    main()
