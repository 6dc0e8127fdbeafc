"""Changes names and values: `names_transformations` and `values_transformations` as `field:"step step".field:"step"`.

On writes into `target_database` or `target_measurement`; on a schedule, of what was written in `window`.
"""

import re
import uuid
from datetime import timedelta, timezone

UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
TEXT = {
    "lower": str.lower,
    "upper": str.upper,
    "snake": lambda text: re.sub(r"_+", "_", re.sub(r"[\s-]+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text))).lower(),
    "space_to_underscore": lambda text: text.replace(" ", "_"),
    "alnum_underscore_only": lambda text: re.sub(r"\W", "", text),
}


def to_kelvin(value, unit):
    return {"degC": value + 273.15, "degF": (value - 32) * 5 / 9 + 273.15, "degK": value}[unit]


def from_kelvin(value, unit):
    return {"degC": value - 273.15, "degF": (value - 273.15) * 9 / 5 + 32, "degK": value}[unit]


def transformed(influxdb3_local, value, step, task):
    if step in TEXT:
        return TEXT[step](value)
    if match := re.fullmatch(r"convert_(deg[CFK])_to_(deg[CFK])", step):
        return round(from_kelvin(to_kelvin(value, match[1]), match[2]), 6)
    influxdb3_local.warn(f"[{task}] no transformation: {step}")
    return value


def rules_of(text):
    return {match[1]: match[2].split() for match in re.finditer(r'([\w ]+):"([^"]*)"', text or "")}


def line_of(influxdb3_local, row, tags, measurement, args, task):
    names, values = (rules_of(args.get(f"{kind}_transformations")) for kind in ("names", "values"))
    line = LineBuilder(measurement)
    for name, value in row.items():
        if value is None:
            continue
        if name == "time":
            line.time_ns(value)
            continue
        for step in values.get(name, []):
            value = transformed(influxdb3_local, value, step, task)
        is_tag = name in tags
        for step in names.get(name, []):
            name = transformed(influxdb3_local, name, step, task)
        if is_tag:
            line.tag(name, value)
        elif isinstance(value, bool):
            line.bool_field(name, value)
        elif isinstance(value, int):
            line.int64_field(name, value)
        elif isinstance(value, float):
            line.float64_field(name, value)
        else:
            line.string_field(name, value)
    return line


def tags_of(influxdb3_local, table):
    if (tags := influxdb3_local.cache.get(f"{table}_tags")) is None:
        sql = """
            SELECT column_name FROM information_schema.columns
            WHERE table_name = $measurement AND data_type = 'Dictionary(Int32, Utf8)'
        """
        tags = [row["column_name"] for row in influxdb3_local.query(sql, {"measurement": table})]
        influxdb3_local.cache.put(f"{table}_tags", tags, 60 * 60)
    return tags


def transform(influxdb3_local, table, rows, args, task):
    tags = tags_of(influxdb3_local, table)
    lines = [line_of(influxdb3_local, row, tags, args["target_measurement"], args, task) for row in rows]
    if args.get("dry_run", "false").lower() == "true":
        influxdb3_local.info(f"[{task}] would write", [line.build() for line in lines])
        return
    for line in lines:
        if database := args.get("target_database"):
            influxdb3_local.write_to_db(database, line)
        else:
            influxdb3_local.write(line)


def process_writes(influxdb3_local, table_batches: list, args: dict):
    task = str(uuid.uuid4())
    args["seen"] = "by this run only"
    for batch in table_batches:
        if batch["table_name"] == args["measurement"]:
            transform(influxdb3_local, batch["table_name"], batch["rows"], args, task)


def process_scheduled_call(influxdb3_local, call_time, args=None):
    task = str(uuid.uuid4())
    match = re.fullmatch(r"(\d+)([a-z]+)", args["window"])
    end = call_time.replace(tzinfo=timezone.utc)
    start = end - timedelta(**{UNITS[match[2]]: int(match[1])})
    sql = f"""SELECT * FROM "{args['measurement']}" WHERE time >= '{start.isoformat()}' AND time < '{end.isoformat()}'"""
    transform(influxdb3_local, args["measurement"], influxdb3_local.query(sql), args, task)
