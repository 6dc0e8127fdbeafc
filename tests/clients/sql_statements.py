"""Random rows and random SQL statements about them, from a seed.

The statements are those that Neap and DuckDB answer alike: windows in both orders, correlated subqueries, conversions in
conditions, conditions that guard divisions, grouping sets, joins, also by the nearest time, and derived tables in others. Each has a translation for DuckDB where the dialects
differ. No two rows of a table have the same time, so that windows and limits over the time are certain.
"""

import random
import re

START = 1_700_000_000_000_000_000
MILLISECOND = 1_000_000

HOSTS = ["a", "b", "c", "d"]
TEXTS = ["1", "7", "12", "x", "", "it's"]
# The columns of both tables, with their types in DuckDB.
COLUMNS = {"h": "VARCHAR", "r": "VARCHAR", "v": "BIGINT", "w": "BIGINT", "x": "DOUBLE", "s": "VARCHAR", "time": "TIMESTAMP"}
TABLES = {"points": 60, "names": 12}


def rows(rng, table):
    """The rows of a table: a value or `None` for each column."""
    times = sorted(rng.sample(range(0, 20_000), TABLES[table]))

    def some(share, value):
        return value if rng.random() < share else None

    return [
        {
            "h": some(0.85, rng.choice(HOSTS)),
            "r": some(0.7, rng.choice(["eu", "us"])),
            "v": some(0.75, rng.randrange(0, 8)),
            "w": some(0.8, rng.randrange(0, 5)),
            "x": some(0.6, rng.randrange(-20, 40) / 4),
            "s": rng.choice(TEXTS),
            "time": START + time * MILLISECOND,
        }
        for time in times
    ]


def line(table, row):
    """A row in line protocol."""
    tags = "".join(f",{name}={row[name]}" for name in ("h", "r") if row[name] is not None)
    numbers = [f"{name}={row[name]}i" for name in ("v", "w") if row[name] is not None]
    floats = [f"x={row['x']}"] if row["x"] is not None else []
    fields = ",".join([*numbers, *floats, f's="{row["s"]}"'])
    return f"{table}{tags} {fields} {row['time']}"


def for_duckdb(statement):
    """The same statement in DuckDB's dialect."""
    statement = re.sub(r"\b(lead|lag|first_value|last_value|nth_value)\(([^()]*)\) IGNORE NULLS", r"\1(\2 IGNORE NULLS)", statement)
    statement = re.sub(r"('[^']*')::timestamp\(0\)", r"date_trunc('second', \1::timestamp)", statement)
    statement = re.sub(r"('[^']*')::timestamp\(3\)", r"date_trunc('millisecond', \1::timestamp)", statement)
    return statement.replace(" / ", " // ")


class Statements:
    """A source of random statements."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def chance(self, share):
        return self.rng.random() < share

    def one(self, options):
        return self.rng.choice(options)

    def statement(self):
        return self.one([self.filtered, self.windows, self.windows, self.grouped, self.correlated, self.correlated, self.joined, self.nearest, self.limited, self.nested])()

    def time(self):
        """A time as a text, with and without a conversion."""
        millis = self.rng.randrange(0, 20_000)
        fraction = self.one(["", f".{millis % 1000:03}", f".{millis % 1000:03}999"])
        text = f"'2023-11-14T22:13:{20 + millis // 1000}{fraction}'"
        return text + self.one(["", "", "::timestamp", "::timestamp(0)", "::timestamp(3)"])

    def comparison(self, table):
        """A condition on the columns of one table."""
        kind = self.rng.randrange(10)
        operator = self.one(["=", "<>", "<", "<=", ">", ">="])
        number = self.rng.randrange(0, 8)
        if kind == 0:
            return f"{table}.h {operator} '{self.one(HOSTS)}'"
        if kind == 1:
            return f"{table}.{self.one(['v', 'w', 'x'])} {operator} {number}"
        if kind == 2:
            return f"{table}.{self.one(['h', 'v', 'w', 'x'])} IS {self.one(['', 'NOT '])}NULL"
        if kind == 3:
            return f"{table}.h {self.one(['', 'NOT '])}IN ('{self.one(HOSTS)}', '{self.one(HOSTS)}')"
        if kind == 4:
            return f"{table}.time {self.one(['<', '<=', '>', '>='])} {self.time()}"
        if kind == 5:
            return f"{table}.time BETWEEN {self.time()} AND {self.time()}"
        if kind == 6:
            return f"{table}.w <> 0 AND 12 / {table}.w {operator} {number}"
        if kind == 7:
            return f"{table}.w = 0 OR 12 % {table}.w {operator} {number % 3}"
        if kind == 8:
            return f"CASE WHEN {table}.w > 0 THEN {10 * number} / {table}.w < 20 ELSE {self.one(['false', 'true', f'{table}.v > 3'])} END"
        return f"CASE WHEN {table}.s ~ '^[0-9]+$' THEN CAST({table}.s AS BIGINT) {operator} {number} ELSE false END"

    def condition(self, atom, depth=0):
        """Atoms in `AND`, `OR` and `NOT`."""
        if depth < 2 and self.chance(0.45):
            left, right = (self.condition(atom, depth + 1) for _ in range(2))
            return f"({left}) {self.one(['AND', 'AND', 'OR'])} ({right})"
        return f"NOT ({atom()})" if self.chance(0.2) else f"{atom()}"

    def where(self, table):
        return self.condition(lambda: self.comparison(table))

    def filtered(self):
        value = self.condition(lambda: self.comparison("p"), 1)
        return f"SELECT p.time, p.h, p.v, {value} AS c FROM points AS p WHERE {self.where('p')}"

    # Windows

    def window(self, number):
        partition = self.one(["", "PARTITION BY h ", "PARTITION BY h ", "PARTITION BY r, h "])
        order = f"ORDER BY time{self.one(['', ' DESC'])}"
        column = self.one(["v", "w", "x", "s"])
        frame = self.one(["", " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING", " ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING"])
        nulls = self.one(["", "", " IGNORE NULLS"])
        kind = self.rng.randrange(6)
        if kind == 0:
            call, frame = self.one(["row_number()", "rank()", "dense_rank()", "ntile(3)"]), ""
        elif kind == 1:
            offset = self.one(["", ", 2", ", -1", ", 3"])
            call, frame = f"{self.one(['lag', 'lead'])}({column}{offset}){nulls}", ""
        elif kind == 2:
            call = f"{self.one(['first_value', 'last_value'])}({column}){nulls}"
        elif kind == 3:
            call = f"nth_value({column}, {self.one([1, 2, 3])}){nulls}"
        elif kind == 4:
            call = f"{self.one(['sum', 'count', 'min', 'max'])}({self.one(['v', 'w', 'x'])})"
        else:
            guarded = self.one(["v", "12 / w"])
            call = f"sum({guarded}) FILTER (WHERE w {self.one(['> 0', '<> 0'])})"
        return f"{call} OVER ({partition}{order}{frame}) AS c{number}"

    def windows(self):
        count = self.rng.randrange(1, 4)
        windows = ", ".join(self.window(number) for number in range(count))
        where = f" WHERE {self.where('points')}" if self.chance(0.3) else ""
        limit = f" LIMIT {self.rng.randrange(1, 9)}" if self.chance(0.3) else ""
        return f"SELECT time, {windows} FROM points{where} ORDER BY time{limit}"

    def limited(self):
        """`DISTINCT` over a window with a limit. Which rows it takes is open, their number is not."""
        inner = f"SELECT DISTINCT h, {self.window(0)} FROM points LIMIT {self.rng.randrange(1, 40)}"
        return f"SELECT count(*) AS n FROM ({inner}) AS t"

    # Aggregates

    def aggregate(self, number):
        column = self.one(["v", "w", "x"])
        call = self.one(
            [
                "count(*)",
                f"count({column})",
                f"count(DISTINCT {column})",
                f"sum({column})",
                f"min({column})",
                f"max({column})",
                f"avg({column})",
                f"sum(DISTINCT {column})",
                f"sum({column}) FILTER (WHERE v > 2)",
                "sum(12 / w) FILTER (WHERE w > 0)",
                "max(s)",
                f"string_agg(CAST(v AS VARCHAR), ',' ORDER BY time, h, {column})",
            ]
        )
        return f"{call} AS a{number}"

    def grouped(self):
        aggregates = ", ".join(self.aggregate(number) for number in range(self.rng.randrange(1, 4)))
        where = f" WHERE {self.where('points')}" if self.chance(0.5) else ""
        groups = self.one(["h", "h, r", "ROLLUP (h, r)", "CUBE (h, r)", "GROUPING SETS ((h), (r), ())", "GROUPING SETS ((h, r), (r))", "h, v % 2"])
        keys = "h, r" if "r" in groups.replace("GROUP", "") and "v %" not in groups else "h"
        keys += ", v % 2 AS k" if "v %" in groups else ""
        having = f" HAVING count(*) > {self.rng.randrange(0, 6)}" if self.chance(0.3) else ""
        statement = f"SELECT {keys}, {aggregates} FROM points{where} GROUP BY {groups}{having}"
        if self.chance(0.2):
            return f"SELECT h, count(*) AS n FROM ({statement}) AS g{self.one(['', f' WHERE {self.one(HOSTS)!r} >= h'])} GROUP BY h"
        return statement

    # Subqueries and joins

    def subquery(self):
        table = self.one(["names", "points"])
        correlation = self.one(["q.h = p.h", "q.h = p.h", "q.v > p.v", "q.h = p.h AND q.w < p.w", "q.time < p.time", "q.v = p.v", ""])
        own = self.comparison("q") if self.chance(0.4) or not correlation else ""
        where = " AND ".join(f"({part})" for part in (correlation, own) if part)
        source = f"FROM {table} AS q WHERE {where}"
        column = self.one(["v", "w", "h"])
        negation = self.one(["", "NOT "])
        kind = self.rng.randrange(8)
        if kind < 2:
            return f"{negation}EXISTS (SELECT {self.one(['1', 'q.v', '*'])} {source})"
        if kind == 2:
            return f"{negation}EXISTS (SELECT {self.one(['count(*)', 'max(q.v)'])} {source})"
        if kind < 6:
            value = self.one([f"p.{column}", f"p.{column}", {"h": "'b'"}.get(column, "3")])
            test = self.one(["", "", "", " IS NULL", " IS NOT TRUE"])
            text = f"{value} {negation}IN (SELECT q.{column} {source})"
            return f"({text}){test}" if test else text
        if kind == 6:
            return f"{self.rng.randrange(0, 4)} {self.one(['=', '<', '>='])} (SELECT count(*) {source})"
        return f"p.v {self.one(['<', '>='])} (SELECT {self.one(['min', 'max', 'avg'])}(q.w) {source})"

    def correlated(self):
        atom = lambda: self.subquery() if self.chance(0.7) else self.comparison("p")
        return f"SELECT p.time, p.h, p.v, p.w FROM points AS p WHERE {self.condition(atom, 1)}"

    def joined(self):
        kind = self.one(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        on = self.one(["p.h = q.h", "p.h = q.h AND p.v < q.v", "p.v = q.v", "(p.h IS NOT DISTINCT FROM q.h) AND p.r = q.r", "p.h = q.h AND q.w <> 0 AND p.v / q.w > 1"])
        where = f" WHERE {self.where('p')}" if self.chance(0.4) else ""
        return f"SELECT p.time AS t, p.v, q.time AS u, q.w FROM points AS p {kind} names AS q ON {on}{where}"

    def nearest(self):
        """The row of another table that is nearest in time."""
        kind = self.one(["ASOF JOIN", "ASOF LEFT JOIN"])
        keys = self.one(["", "p.h = q.h AND ", "q.h = p.h AND p.r = q.r AND ", "p.v = q.w AND "])
        where = f" WHERE {self.where(self.one(['p', 'q']))}" if self.chance(0.5) else ""
        on = f"{keys}p.time {self.one(['>=', '>', '<=', '<'])} q.time"
        return f"SELECT p.time AS t, p.v, q.time AS u, q.w FROM points AS p {kind} names AS q ON {on}{where}"

    # Derived tables, whose groups determine their other columns

    def derived(self, depth=0):
        """A table of `h`, `m` and `n`."""
        if depth > 2 or self.chance(0.2 * depth):
            return self.one(
                [
                    "SELECT h, max(v) AS m, count(*) AS n FROM points GROUP BY h",
                    "SELECT DISTINCT h, v AS m, 1 AS n FROM points",
                    "SELECT h, row_number() OVER (ORDER BY time) AS m, v AS n FROM names",
                    "SELECT h, v AS m, w AS n FROM points",
                ]
            )
        inner = f"({self.derived(depth + 1)}) AS t"
        kind = self.rng.randrange(8)
        if kind == 0:
            return f"SELECT h, {self.one(['min', 'max', 'count'])}(m) AS m, count(*) AS n FROM {inner} GROUP BY {self.one(['h', 'h, n', 'h, m % 2'])}"
        if kind == 1:
            return f"SELECT h, m, count(*) AS n FROM {inner} GROUP BY h, m"
        if kind == 2:
            return f"SELECT DISTINCT h, m, {self.one(['n', '1'])} AS n FROM {inner}"
        if kind == 3:
            other = self.one(["names", "(SELECT h, max(v) AS v FROM names GROUP BY h)"])
            return f"SELECT t.h, q.v AS m, t.n FROM {inner} {self.one(['JOIN', 'LEFT JOIN'])} {other} AS q ON t.h = q.h"
        if kind == 4:
            groups = self.one(["t.h, q.v", "q.v, t.h", "t.h, t.n, q.v"])
            return f"SELECT t.h, q.v AS m, count(*) AS n FROM {inner} JOIN names AS q ON t.h = q.h GROUP BY {groups}"
        if kind == 5:
            lists = f"SELECT h, n, array_agg(m) AS a FROM {inner} GROUP BY h, n"
            return f"SELECT h, unnest(a) AS m, n FROM ({lists}) AS t"
        if kind == 6:
            return f"SELECT h, m, n FROM {inner} WHERE {self.one(['m', 'n'])} {self.one(['<', '>', '<>'])} {self.rng.randrange(0, 6)}"
        return f"SELECT max(h) AS h, count(*) AS m, n FROM {inner} GROUP BY CAST(m AS BOOLEAN), n"

    def nested(self):
        table = f"({self.derived()}) AS t"
        kind = self.rng.randrange(4)
        if kind == 0:
            return f"SELECT h, m, n FROM {table} ORDER BY {self.one(['h, m, n', 'm, h, n', 'n, h, m'])} LIMIT {self.rng.randrange(1, 30)}"
        if kind == 1:
            return f"SELECT DISTINCT {self.one(['h', 'm', 'n, h'])} FROM {table}"
        if kind == 2:
            return f"SELECT count(*) AS c FROM {table} GROUP BY {self.one(['h, m', 'm, n', 'h'])}"
        return f"SELECT count(*) AS c FROM (SELECT q.time FROM names AS q LEFT JOIN {table} ON t.h = q.h) AS d"
