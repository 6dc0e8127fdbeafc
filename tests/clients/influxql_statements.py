"""Random rows and random InfluxQL statements about them, from a seed.

The statements are those that InfluxDB 1.6 answers: queries of all shapes with subqueries, and `SHOW`. Statements that
meet a difference listed in docs/influxql.md are not created.
"""

import datetime
import random
import re

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
# The rows cover this many seconds.
SPAN = 2_400

FLOAT, INTEGER, STRING, BOOLEAN = "float", "integer", "string", "boolean"

# The fields of each table. No name is a tag and a field, because Neap refuses that.
TABLES = {
    "cpu": {"usage": FLOAT, "load": FLOAT, "count": INTEGER, "state": STRING, "up": BOOLEAN},
    "mem": {"used": INTEGER, "usage": FLOAT, "note": STRING},
    "net work": {"bytes in": INTEGER, "lost": FLOAT},
}
# Tables in which a name is a tag of one and a field of the other, with the tag of each.
MIXED_TABLES = {"gray": "kind", "pink": "size"}
# Zones, each with the hours of two shifts of its clock since 2023-01-01T00:00Z. The last one has none.
ZONES = {
    "Europe/Berlin": (2017, 7225),
    "Europe/London": (2017, 7225),
    "America/New_York": (1687, 7398),
    "Australia/Lord_Howe": (2175, 6543),
    "Asia/Kolkata": (2017, 7225),
}
NEW_YEAR = 1_672_531_200
HOUR = 3_600
TAGS = {"host": ["a", "b", "c d"], "region": ["eu", "us"], "rack": ["1", "2", "3"]}
# The share of rows that have each tag.
TAG_SHARE = {"host": 0.9, "region": 0.7, "rack": 0.5}

# `mode` is not among them, because InfluxDB 1 returns any of equally frequent values.
AGGREGATES = ["count", "mean", "sum", "median", "spread"]
SELECTORS = ["first", "last", "max", "min", "percentile"]
MATH = ["abs", "ceil", "floor", "round", "sqrt", "sin", "cos", "tan", "exp"]
# A call, an operator, and another call.
CALLS_IN_MATH = re.compile(r"\) \S+ .*\(")
TRANSFORMATIONS = [
    "derivative",
    "non_negative_derivative",
    "difference",
    "non_negative_difference",
    "cumulative_sum",
    "moving_average",
    "elapsed",
]


def quoted(name):
    """A name as an identifier."""
    return f'"{name}"' if " " in name or random.Random(name).random() < 0.3 else name


def escaped(text):
    return text.replace("\\", "\\\\").replace(" ", "\\ ").replace(",", "\\,").replace("=", "\\=")


def lines(rng, has_ties, shift=0):
    """Line protocol of all tables. Without ties, all times differ, also from those with another shift in nanoseconds."""
    times = rng.sample(range(SPAN * 10), 400)
    result = []
    for index, tenth in enumerate(sorted(times)):
        time = START + tenth * SECOND // 10 + shift
        if has_ties:
            time = START + (tenth // 150) * 15 * SECOND
        table = ["cpu", "cpu", "mem", "net work"][index % 4]
        tags = {
            tag: rng.choice(values) for tag, values in TAGS.items() if rng.random() < TAG_SHARE[tag]
        }
        if table == "net work":
            tags.pop("rack", None)
        fields = {name: value(rng, kind) for name, kind in TABLES[table].items() if rng.random() < 0.75}
        if not fields:
            continue
        key = "".join(f",{tag}={escaped(text)}" for tag, text in sorted(tags.items()))
        shown = ",".join(f"{escaped(name)}={literal(value)}" for name, value in fields.items())
        result.append(f"{escaped(table)}{key} {shown} {time}")
    return result + other_lines(rng, shift)


def other_lines(rng, shift):
    """Line protocol of the tables with mixed names, and of the table `local`, which has rows around shifts of clocks."""
    result = []
    for index in range(40):
        table = rng.choice(list(MIXED_TABLES))
        tag = MIXED_TABLES[table]
        field = "size" if tag == "kind" else "kind"
        key = f",{tag}={rng.choice(['x', 'y'])}" if rng.random() < 0.8 else ""
        fields = [f"v={literal(value(rng, FLOAT))}"]
        if rng.random() < 0.7:
            fields.append(f"{field}={literal(value(rng, INTEGER))}")
        result.append(f"{table}{key} {','.join(fields)} {START + index * 10 * SECOND + shift}")
    hours = sorted({hour for shifts in ZONES.values() for hour in shifts})
    for hour in hours:
        for minute in sorted(rng.sample(range(-6 * 60, 6 * 60), 40)):
            time = (NEW_YEAR + hour * HOUR + minute * 60) * SECOND + shift
            result.append(f"local,host={rng.choice('ab')} v={literal(value(rng, FLOAT))} {time}")
    return result


def zoned(time):
    """A time in seconds, as a text without a zone."""
    return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")


def value(rng, kind):
    """A random value; many are equal. Sums of the floats are exact in any order."""
    if kind == FLOAT:
        return rng.randrange(-40, 200) / 4
    if kind == INTEGER:
        return rng.randrange(-10, 60)
    if kind == STRING:
        return rng.choice(["ok", "warn", "down", "it's", ""])
    return rng.random() < 0.5


def literal(value):
    """A value in line protocol."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Statements:
    """A source of random statements. Some of them read tables of the database `other`."""

    def __init__(self, seed, other):
        self.rng = random.Random(seed)
        self.databases = random.Random(seed + 1_000_000)
        self.other = other

    def chance(self, share):
        return self.rng.random() < share

    def one(self, options):
        return self.rng.choice(options)

    def statement(self):
        kinds = [
            (5, self.raw),
            (8, self.aggregates),
            (4, self.selected_rows),
            (3, self.top),
            (4, self.transformed),
            (1, self.distinct),
            (1, self.sample),
            (8, self.subquery),
            (4, self.windowed_subquery),
            (3, self.beside_transformations),
            (2, self.integral),
            (2, self.forecast),
            (4, self.local),
            (3, self.mixed),
            (1, self.invalid),
            (4, self.show),
        ]
        weights = [weight for weight, _ in kinds]
        (_, make) = self.rng.choices(kinds, weights)[0]
        return make()

    # Sources and columns

    def source(self):
        """Tables as `FROM` names them, and the fields that they have."""
        named = self.source_of_one()
        if self.databases.random() >= 0.15:
            return named
        other = self.other
        options = [
            (f"cpu, {other}..cpu", ["cpu"]),
            (f"{other}..cpu, cpu", ["cpu"]),
            (f"{other}.autogen.mem, autogen.mem", ["mem"]),
            (f"{other}..cpu", ["cpu"]),
            (f"mem, {other}..cpu", ["cpu", "mem"]),
            (f"{other}../^[cm]/, cpu", ["cpu", "mem"]),
            (f"/e/, {other}../e/", ["mem", "net work"]),
            (f"missing, {other}..mem", ["mem"]),
            (f"{other}..missing, mem", ["mem"]),
        ]
        return self.databases.choice(options)

    def source_of_one(self):
        """Tables of the database of the request, and the fields that they have."""
        if self.chance(0.85):
            table = self.one(list(TABLES))
            return quoted(table), [table]
        options = [
            ("cpu, mem", ["cpu", "mem"]),
            ("/^[cm]/", ["cpu", "mem"]),
            ("/.*/", list(TABLES)),
            ("autogen.cpu", ["cpu"]),
            ("autogen./e/", ["mem", "net work"]),
            ("/^none$/", []),
            ("missing", []),
        ]
        return self.one(options)

    def fields_of(self, tables, kinds=None):
        found = {}
        for table in tables or ["cpu"]:
            found.update(TABLES[table])
        return [name for name, kind in found.items() if kinds is None or kind in kinds] or ["usage"]

    def number(self, tables):
        return self.one(self.fields_of(tables, {FLOAT, INTEGER}))

    def float(self, tables):
        """A field of floats. `abs` of InfluxDB 1.6 leaves negative integers as they are."""
        return self.one(self.fields_of(tables, {FLOAT}))

    def any_field(self, tables):
        return self.one(self.fields_of(tables))

    def math(self, operand, depth=0, operators="+-*/"):
        """An arithmetic expression with at least one operand of `operand`."""
        left = operand()
        if depth < 2 and self.chance(0.3):
            left = f"({self.math(operand, depth + 1, operators)})"
        right = operand() if self.chance(0.4) else self.one(["1", "2", "0.5", "-3", "0", "10"])
        if self.chance(0.25):
            left, right = right, left
        return f"{left} {self.one(operators)} {right}"

    # Clauses

    def where(self, tables, bounded):
        """A condition, with both bounds of the time if `bounded`."""
        parts = []
        if bounded or self.chance(0.3):
            lower = START + self.rng.randrange(0, SPAN // 2) * SECOND
            upper = lower + self.rng.randrange(60, SPAN) * SECOND
            if bounded or self.chance(0.7):
                parts.append(f"time {self.one(['>=', '>'])} {lower}")
            if bounded or self.chance(0.7):
                parts.append(f"time {self.one(['<', '<='])} {upper}")
        if self.chance(0.4):
            parts.append(self.condition(tables))
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def condition(self, tables, depth=0):
        if depth < 2 and self.chance(0.25):
            pair = [self.condition(tables, depth + 1) for _ in range(2)]
            return "(" + self.one([" AND ", " OR "]).join(pair) + ")"
        # A field that only some tables have is null for InfluxDB 1, and a missing tag in the other tables for Neap.
        if self.chance(0.6) or len(tables) != 1:
            return self.tag_condition()
        field = self.any_field(tables)
        kind = next((fields[field] for fields in TABLES.values() if field in fields), FLOAT)
        if kind == STRING:
            if self.chance(0.3):
                return f"{quoted(field)} {self.one(['=~', '!~'])} /{self.one(['o', '^w', 'n$', '.'])}/"
            return f"{quoted(field)} {self.one(['=', '!='])} {self.one(QUOTED_TEXTS)}"
        if kind == BOOLEAN:
            return f"{quoted(field)} = {self.one(['true', 'false'])}"
        operator = self.one([">", "<", ">=", "<=", "=", "!="])
        number = self.one(["0", "10", "20.5", "-3", "30", "7"])
        if self.chance(0.2):
            return f"{quoted(field)} {self.one(['+', '-', '*'])} 2 {operator} {number}"
        return f"{quoted(field)} {operator} {number}"

    def tag_condition(self):
        tag = self.one([*TAGS, "nope"])
        if self.chance(0.3):
            return f"{tag} {self.one(['=~', '!~'])} /{self.one(['a', '^e', '1|2', '^$', '.+', 'c d'])}/"
        text = self.one([*TAGS.get(tag, []), "", "other"])
        return f"{tag} {self.one(['=', '!='])} '{text}'"

    def group_by(self, time=False):
        parts = []
        if time:
            every = self.one(["1m", "5m", "7m", "10m", "90s", "1h"])
            offset = self.one(["", "", "", ", 30s", ", -2m", ", 11m"])
            parts.append(f"time({every}{offset})")
        if self.chance(0.5):
            tags = self.one([["host"], ["region"], ["host", "region"], ["*"], ["/r/"], ["rack", "host"]])
            parts.extend(tags)
        return f" GROUP BY {', '.join(parts)}" if parts else ""

    def fill(self):
        fills = ["none", "none", "null", "previous", "linear", "0", "100"]
        return f" fill({self.one(fills)})" if self.chance(0.7) else ""

    def tail(self, descending=True, limits=True):
        """Order and limits of rows."""
        text = " ORDER BY time DESC" if descending and self.chance(0.2) else ""
        if limits and self.chance(0.2):
            text += f" LIMIT {self.rng.randrange(1, 6)}"
            if self.chance(0.4):
                text += f" OFFSET {self.rng.randrange(0, 4)}"
        return text

    def aliased(self, fields):
        """Some of the fields with names of their own."""
        return ", ".join(
            f"{field} AS name{number}" if self.chance(0.15) else field for number, field in enumerate(fields)
        )

    # Queries

    def raw_fields(self, tables):
        """A field list without aggregates."""
        if self.chance(0.2):
            return self.one(["*", "*::field", "/u/", "*::field, host", "*::tag, usage"])
        fields = []
        for _ in range(self.rng.randrange(1, 4)):
            pick = self.rng.random()
            if pick < 0.5:
                fields.append(quoted(self.any_field(tables)))
            elif pick < 0.65:
                fields.append(self.one(list(TAGS)))
            elif pick < 0.75:
                cast = self.one(["float", "integer", "string", "field", "tag", "boolean"])
                fields.append(f"{quoted(self.any_field(tables))}::{cast}")
            elif pick < 0.9:
                fields.append(self.math(lambda: quoted(self.number(tables))))
            else:
                fields.append(f"{self.one(MATH)}({quoted(self.float(tables))})")
        return self.aliased(fields)

    def raw(self):
        source, tables = self.source()
        group = self.group_by()
        return (
            f"SELECT {self.raw_fields(tables)} FROM {source}{self.where(tables, False)}{group}{self.tail()}"
        )

    def call(self, tables):
        """An aggregate or a selector of one value."""
        # In a table without the field, InfluxDB 1 counts null.
        names = AGGREGATES[1:] if len(tables) != 1 else AGGREGATES
        name = self.one(names + SELECTORS)
        if name in {"count", "first", "last"}:
            field = quoted(self.any_field(tables))
            if name == "count" and self.chance(0.2):
                return f"count(distinct({field}))"
            return f"{name}({field})"
        if name == "percentile":
            return f"percentile({quoted(self.number(tables))}, {self.one([50, 90, 99.5, 100])})"
        return f"{name}({quoted(self.number(tables))})"

    def wild_call(self):
        name = self.one(AGGREGATES[1:] + SELECTORS[:-1])
        return f"{name}({self.one(['*', '*::field', '/u/', '/^(used|load)$/'])})"

    def aggregate_fields(self, tables):
        if self.chance(0.12) and len(tables) == 1:
            return self.wild_call()
        fields = []
        for _ in range(self.rng.randrange(1, 4)):
            pick = self.rng.random()
            if pick < 0.75:
                fields.append(self.call(tables))
            elif pick < 0.9:
                # Texts and booleans have no arithmetic.
                operand = lambda: f"{self.one(['mean', 'sum', 'max', 'count', 'last'])}({quoted(self.number(tables))})"
                fields.append(self.math(operand))
            else:
                fields.append(f"{self.one(MATH)}(mean({quoted(self.number(tables))}))")
        return self.aliased(fields)

    def aggregates(self):
        source, tables = self.source()
        has_time = self.chance(0.6)
        where = self.where(tables, has_time)
        group = self.group_by(has_time)
        fill = self.fill() if has_time else ""
        fields = self.aggregate_fields(tables)
        has_several = "," in fields or CALLS_IN_MATH.search(fields) is not None
        if has_time and has_several and ("count(" in fields or fill in {" fill(0)", " fill(100)"}):
            # InfluxDB 1 shows a number as the missing text, and null as a missing count.
            fill = " fill(none)"
        # With descending times, InfluxDB 1 fills from later windows.
        descending = "previous" not in fill and "linear" not in fill
        # Of several functions, InfluxDB 1 limits the rows of each. A wildcard or pattern stands for several.
        is_one = not has_several and "(*" not in fields and "(/" not in fields
        tail = self.tail(descending, limits=is_one)
        return f"SELECT {fields} FROM {source}{where}{group}{fill}{tail}"

    def selected_rows(self):
        """A selector with other columns of the row."""
        source, tables = self.source()
        call = f"{self.one(['first', 'last', 'max', 'min'])}({quoted(self.number(tables))})"
        has_time = self.chance(0.4)
        # In windows without rows, a selected tag of the group is null in InfluxDB 1.
        tags = [] if has_time else list(TAGS)
        others = [self.one([quoted(self.any_field(tables)), *tags]) for _ in range(self.rng.randrange(1, 3))]
        where = self.where(tables, has_time)
        group = self.group_by(has_time)
        # InfluxDB 1 shows a number as the missing text.
        fill = self.one(["", " fill(none)", " fill(null)", " fill(previous)"]) if has_time else ""
        # The other columns are filled in InfluxDB 1 from the rows that are not skipped by an offset.
        has_previous = "previous" in fill
        tail = self.tail(not has_previous, limits=not has_previous)
        return f"SELECT {call}, {', '.join(others)} FROM {source}{where}{group}{fill}{tail}"

    def top(self):
        source, tables = self.source()
        name = self.one(["top", "bottom"])
        args = [quoted(self.number(tables))]
        if self.chance(0.4):
            args.extend(self.rng.sample(list(TAGS), self.rng.randrange(1, 3)))
        args.append(str(self.rng.randrange(1, 5)))
        others = ""
        if self.chance(0.4):
            others = ", " + ", ".join(
                self.one([quoted(self.any_field(tables)), *TAGS]) for _ in range(self.rng.randrange(1, 3))
            )
        has_time = self.chance(0.4)
        where = self.where(tables, has_time)
        group = self.group_by(has_time)
        # InfluxDB 1 returns them in ascending order of time, and limits the rows that they are picked from.
        tail = self.tail(descending=False, limits=False)
        return f"SELECT {name}({', '.join(args)}){others} FROM {source}{where}{group}{tail}"

    def transformation(self, argument, names=TRANSFORMATIONS):
        name = self.one(names)
        if name == "moving_average":
            return f"{name}({argument}, {self.one([2, 3])})"
        if name in {"derivative", "non_negative_derivative", "elapsed"} and self.chance(0.5):
            return f"{name}({argument}, {self.one(['1s', '1m', '10s'])})"
        return f"{name}({argument})"

    def transformed(self):
        source, tables = self.source()
        if self.chance(0.5):
            if self.other in source:
                # Of several databases, InfluxDB 1 goes through the rows of one after the other.
                source = ", ".join(quoted(table) for table in tables)
            count = self.rng.randrange(1, 3)
            fields = [self.transformation(quoted(self.number(tables))) for _ in range(count)]
            group = self.group_by()
            # Of several functions, InfluxDB 1 limits the rows of each.
            tail = self.tail(limits=count == 1)
            return f"SELECT {', '.join(fields)} FROM {source}{self.where(tables, False)}{group}{tail}"
        name = self.one(["mean", "sum", "max", "min", "count", "last", "first"])
        field = self.transformation(f"{name}({quoted(self.number(tables))})")
        fill = self.fill()
        tail = self.tail("previous" not in fill and "linear" not in fill)
        return f"SELECT {field} FROM {source}{self.where(tables, True)}{self.group_by(True)}{fill}{tail}"

    def distinct(self):
        source, tables = self.source()
        field = quoted(self.any_field(tables))
        call = f"distinct({field})" if self.chance(0.7) else f"DISTINCT {field}"
        has_time = self.chance(0.3)
        where = self.where(tables, has_time)
        # InfluxDB 1 has no order of the values.
        tail = self.tail(limits=False)
        return f"SELECT {call} FROM {source}{where}{self.group_by(has_time)}{tail}"

    def sample(self):
        """Samples are random, so only as many are taken as there are rows."""
        source, tables = self.source()
        field = self.one([quoted(self.any_field(tables)), "*"])
        return f"SELECT sample({field}, 1000) FROM {source}{self.where(tables, False)}"

    def subquery(self, depth=0):
        source, tables = self.source()
        pick = self.rng.random()
        if pick < 0.4:
            # An aggregate of windows.
            inner_call = f"{self.one(['mean', 'sum', 'max', 'min', 'count', 'last'])}({quoted(self.number(tables))})"
            inner = (
                f"SELECT {inner_call} AS v FROM {source}{self.where(tables, True)}{self.group_by(True)}{self.one(['', ' fill(none)'])}"
            )
            outer = self.one(["mean(v)", "sum(v)", "max(v)", "count(v)", "v", "v * 2", "min(v)", "v, host"])
        elif pick < 0.6:
            # An aggregate of each group.
            inner_call = f"{self.one(['mean', 'sum', 'max', 'min', 'count', 'last'])}({quoted(self.number(tables))})"
            inner = f"SELECT {inner_call} AS v FROM {source}{self.where(tables, False)}{self.group_by()}"
            outer = self.one(["mean(v)", "sum(v)", "max(v)", "v", "count(v)", "top(v, 2)", "v, region", "host", "min(v)"])
        elif pick < 0.8:
            # Arithmetic over rows.
            # In a subquery, InfluxDB 1 divides integers as integers.
            inner_math = self.math(lambda: quoted(self.number(tables)), operators="+-*")
            inner = f"SELECT {inner_math} AS v, host FROM {source}{self.where(tables, False)}"
            outer = self.one(["mean(v)", "v", "max(v)", "host, v", "count(host)", "sum(v), count(v)", "v + 1", "host", "distinct(v)"])
        else:
            number = quoted(self.number(tables))
            inner = f"SELECT {self.one(['max', 'min', 'first', 'last'])}({number}) AS v, host, {quoted(self.any_field(tables))} AS w FROM {source}{self.where(tables, False)}{self.group_by()}"
            outer = self.one(["v, w", "host", "w", "mean(v)", "v, host", "count(w)", "v - v"])
        group = ""
        if self.chance(0.3) and "host" not in outer and "region" not in outer:
            group = self.one([" GROUP BY host", " GROUP BY region", " GROUP BY *"])
        if re.search(r" GROUP BY .*(host|\*)", inner):
            # With `*`, InfluxDB 1 groups by a tag that the subquery groups by and selects.
            group = group.replace(" GROUP BY *", "")
        where = self.one(["", "", "", " WHERE v > 10", " WHERE host = 'a'", " WHERE v < 20"])
        # InfluxDB 1 returns rows of several groups of a subquery one group after the other.
        return f"SELECT {outer} FROM ({inner}){where}{group}{self.tail(limits=False)}"

    def windowed_subquery(self):
        """Windows of rows, or of smaller windows, of a subquery with another range of times."""
        source, tables = self.source()
        number = quoted(self.number(tables))
        host = self.one(["", ", host"])
        if self.chance(0.5):
            inner = f"SELECT {number} AS v FROM {source}{self.where(tables, False)}"
            every = self.one(["1m", "5m", "7m", "10m"])
        else:
            call = f"{self.one(['mean', 'sum', 'max', 'min'])}({number})"
            window = f" GROUP BY time(1m){host}{self.one(['', ' fill(none)'])}"
            inner = f"SELECT {call} AS v FROM {source}{self.where(tables, False)}{window}"
            # Smaller windows would begin before those of InfluxDB 1.
            every = self.one(["1m", "5m", "10m"])
        call = self.one(["mean(v)", "sum(v)", "max(v)", "min(v)", "mean(v) * 2"])
        lower = START + self.rng.randrange(0, SPAN // 2) * SECOND
        upper = lower + self.rng.randrange(60, SPAN) * SECOND
        where = f" WHERE time >= {lower} AND time < {upper}"
        return f"SELECT {call} FROM ({inner}){where} GROUP BY time({every}){host}{self.fill()}"

    def beside_transformations(self):
        """Transformations of windows next to aggregates of the same field, or combined with them."""
        source, tables = self.source()
        number = quoted(self.number(tables))
        call = lambda: f"{self.one(['mean', 'sum', 'max', 'min'])}({number})"
        # A sum next to another function that reads the window before the range begins there in Neap.
        transformed = lambda: self.transformation(call(), [name for name in TRANSFORMATIONS if name != "cumulative_sum"])
        operand = lambda: self.one([call, transformed])()
        fields = self.one(
            [
                f"{call()} {self.one('+-*')} {transformed()}",
                f"{transformed()} {self.one('+-*')} {transformed()}",
                f"{transformed()} * 2",
                f"{call()}, {transformed()}",
                f"{call()}, {transformed()} - {operand()}",
            ]
        )
        fill = self.one(["", " fill(none)", " fill(null)"])
        # The range begins with a window: the aggregates in Neap read the whole first window.
        every = self.one([60, 90, 300, 600])
        lower = START // SECOND // every * every + self.rng.randrange(0, 3) * every
        upper = lower + self.rng.randrange(60, SPAN)
        where = f" WHERE time >= {lower}s AND time < {upper}s"
        return f"SELECT {fields} FROM {source}{where} GROUP BY time({every}s){fill}"

    def integral(self):
        """`integral` of floats, as one series: InfluxDB 1.6 returns several series in parts, and takes a wrong value for integers
        at the end of a window."""
        table = self.one(list(TABLES))
        unit = self.one(["", "", ", 1m"])
        every = self.one(["10s", "15s", "1m", "5m", "7m"])
        field = quoted(self.float([table]))
        where = self.where([table], True)
        return f"SELECT integral({field}{unit}) FROM {quoted(table)}{where} GROUP BY time({every})"

    def forecast(self):
        """`holt_winters` of windows. Seasons are only of values above zero: others can have infinite forecasts, which InfluxDB 1
        can't return."""
        table = self.one(list(TABLES))
        if self.chance(0.5):
            call = f"count({quoted(self.any_field([table]))})"
            season = self.one([0, 1, 2, 3, 4])
        else:
            call = f"{self.one(['mean', 'sum', 'max'])}({quoted(self.number([table]))})"
            season = self.one([0, 1])
        name = self.one(["holt_winters", "holt_winters_with_fit"])
        fields = f"{name}({call}, {self.rng.randrange(1, 6)}, {season})"
        fills = ["", " fill(none)", " fill(null)", " fill(0)"] if season < 2 else [" fill(none)"]
        if self.chance(0.2):
            fields = f"{fields} * 2"
        elif self.chance(0.2) and "count" not in call:
            fields = f"{call}, {fields}"
            # InfluxDB 1 shows the number next to forecasts, too.
            fills.remove(" fill(0)")
        every = self.one(["1m", "2m", "5m"])
        group = f" GROUP BY time({every}){self.one(['', ', host'])}"
        return f"SELECT {fields} FROM {quoted(table)}{self.where([table], True)}{group}{self.one(fills)}"

    def local(self):
        """Local times around a shift of a clock."""
        zone = self.one(list(ZONES))
        shift = NEW_YEAR + self.one(ZONES[zone]) * HOUR
        # Any time of the days around the shift, whatever the offset of the zone is.
        lower = shift + self.rng.randrange(-20 * 4, 14 * 4) * HOUR // 4
        upper = lower + self.rng.randrange(4, 24 * 4) * HOUR // 4
        where = f"WHERE time >= '{zoned(lower)}' AND time < '{zoned(upper)}'"
        group = ""
        fields = "v"
        if self.chance(0.6):
            fields = self.one(["count(v)", "sum(v)", "max(v)", "mean(v)"])
            # A window of 2 h that starts in a repeated hour is two for InfluxDB 1.
            every = self.one(["30m", "1h", "6h", "12h", "1d"])
            # InfluxDB 1 fills windows at a shift of half an hour with windows that overlap.
            fills = ["", " fill(none)", " fill(0)"] if zone != "Australia/Lord_Howe" else [" fill(none)"]
            group = f" GROUP BY time({every}){self.one(['', ', host'])}{self.one(fills)}"
        return f"SELECT {fields} FROM local {where}{group} tz('{zone}')"

    def mixed(self):
        """Two tables in which a name is a tag of one and a field of the other. A condition on such a name is not created: for
        InfluxDB 1, it is one on the field in both tables."""
        fields = self.one(
            ["v", "v, kind", "size, v", "kind::tag, v", "size::field, v", "kind::integer, v", "*", "*::tag, v",
             "*::field", "v + kind", "mean(v)", "count(*)", "sum(kind)", "max(v), sum(size)", "last(v), kind"]
        )
        group = self.one(["", "", " GROUP BY kind", " GROUP BY size", " GROUP BY *", " GROUP BY /s/"])
        # InfluxDB 1 groups by the tag, and shows the field under its name.
        if any(name in group and name in fields for name in ("kind", "size")):
            group = ""
        where = self.one(["", "", " WHERE v > 10", " WHERE v < 20"])
        source = self.one(["gray, pink", "pink, gray", "/^(gray|pink)$/"])
        if "(" not in fields and self.chance(0.3):
            return f"SELECT v FROM (SELECT {fields} FROM {source}{where}{group})"
        return f"SELECT {fields} FROM {source}{where}{group}"

    def invalid(self):
        """Values that are no times."""
        time = self.one(
            ["'yesterday'", "''", "'2023-13-01'", "'2023-02-30T00:00:00Z'", "'1500-01-01'", "'2023-11-14 noon'",
             "'3000-01-01T00:00:00Z'", "usage", "true"]
        )
        other = self.one(["", "usage > 1 AND ", "usage > 1 OR "])
        return f"SELECT usage FROM cpu WHERE {other}time > {time}"

    # Descriptions

    def show(self):
        limit = f" LIMIT {self.rng.randrange(1, 4)}" if self.chance(0.2) else ""
        if limit and self.chance(0.5):
            limit += f" OFFSET {self.rng.randrange(0, 3)}"
        source = self.one(["", "", " FROM cpu", " FROM /m/", " FROM cpu, mem", ' FROM "net work"', " FROM missing"])
        where = f" WHERE {self.tag_condition()}" if self.chance(0.3) else ""
        # Of tables, InfluxDB 1 looks for series with the value.
        having = f" WHERE {self.one(['host', 'region'])} = '{self.one(['a', 'eu', 'us', 'b'])}'" if where else ""
        key = self.one(["= host", "= region", "IN (host, rack)", "=~ /r/", "!= host", "!~ /r/", "= nope"])
        return self.one(
            [
                f"SHOW MEASUREMENTS{having}{limit}",
                f"SHOW MEASUREMENTS WITH MEASUREMENT {self.one(['= cpu', '=~ /m/', '= missing'])}{having}{limit}",
                f"SHOW TAG KEYS{source}{where}{limit}",
                f"SHOW FIELD KEYS{source}{limit}",
                f"SHOW TAG VALUES{source} WITH KEY {key}{where}{limit}",
                f"SHOW SERIES{source}{where}{limit}",
                # InfluxDB 1 counts a series of the table `local` once for each week.
                f"SHOW SERIES EXACT CARDINALITY{source or ' FROM cpu, mem'}{having}",
                f"SHOW MEASUREMENT EXACT CARDINALITY{source}{having}",
                f"SHOW TAG KEY EXACT CARDINALITY{source}{having}",
                f"SHOW FIELD KEY EXACT CARDINALITY{source}",
                f"SHOW TAG VALUES EXACT CARDINALITY{source} WITH KEY = host{having}",
            ]
        )


QUOTED_TEXTS = ["'ok'", "'warn'", "'down'", "'it\\'s'", "''", "'other'"]
