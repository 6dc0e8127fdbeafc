"""Alerts when values pass thresholds so many times (on writes), or when nothing was written (on a schedule).

`field_conditions`: `temp>30-ERROR:state=='off'-INFO`. An alert goes to a trigger of this server.
"""

import json
import operator
import random
import re
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from string import Template

OPERATORS = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne}
LEVELS = ("INFO", "WARN", "ERROR")


def value_of(text):
    text = text.strip()
    if text[:1] in "'\"" and text[-1:] == text[:1]:
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def conditions_of(args):
    for part in args["field_conditions"].split(":"):
        expression, level = part.rsplit("-", 1)
        match = re.fullmatch(r"([\w.]+)\s*(>=|<=|==|!=|>|<)\s*(.+)", expression)
        if not match or level not in LEVELS:
            raise ValueError(f"no condition: {part}")
        yield match[1], match[2], value_of(match[3]), level


def tables_of(influxdb3_local):
    if tables := influxdb3_local.cache.get("tables"):
        return tables
    tables = [row["table_name"] for row in influxdb3_local.query("SHOW TABLES") if row["table_type"] == "BASE TABLE"]
    influxdb3_local.cache.put("tables", tables, 60 * 60)
    return tables


def tags_of(influxdb3_local, table):
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = $t AND data_type = 'Dictionary(Int32, Utf8)'"
    return [row["column_name"] for row in influxdb3_local.query(sql, {"t": table})]


def send(influxdb3_local, args, text, task):
    url = f"http://127.0.0.1:{int(args['port_override'])}/api/v3/engine/{args.get('notification_path', 'notify')}"
    body = json.dumps({"notification_text": text, "senders_config": {"http": {"http_webhook_url": args["webhook"]}}})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {args.get('token', '')}"}
    for attempt in range(3):
        try:
            request = urllib.request.Request(url, data=body.encode(), headers=headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                influxdb3_local.info(f"[{task}] sent:", json.load(answer)["results"])
                return
        except urllib.error.URLError as error:
            influxdb3_local.warn(f"[{task}] attempt {attempt + 1}: {error}")
            time.sleep(random.uniform(0.1, 0.3))
    influxdb3_local.error(f"[{task}] not sent")


def process_writes(influxdb3_local, table_batches: list, args: dict):
    task = str(uuid.uuid4())
    if not args or args["measurement"] not in tables_of(influxdb3_local):
        influxdb3_local.error(f"[{task}] no measurement")
        return
    needed = int(args.get("trigger_count", 1))
    template = Template(args.get("notification_text", "[$level] $field $op $limit: $actual ($row)"))
    for batch in table_batches:
        if batch["table_name"] != args["measurement"]:
            continue
        tags = tags_of(influxdb3_local, batch["table_name"])
        for row in batch["rows"]:
            for field, op, limit, level in conditions_of(args):
                key = ":".join([field, level, *(f"{tag}={row.get(tag)}" for tag in sorted(tags))])
                if field not in row or not OPERATORS[op](row[field], limit):
                    influxdb3_local.cache.put(key, "0")
                    continue
                count = int(influxdb3_local.cache.get(key, default="0")) + 1
                if count < needed:
                    influxdb3_local.cache.put(key, str(count))
                    continue
                influxdb3_local.cache.put(key, "0")
                values = {"level": level, "field": field, "op": op, "limit": limit, "actual": row[field], "row": key}
                send(influxdb3_local, args, template.safe_substitute(values), task)


def process_scheduled_call(influxdb3_local, call_time: datetime, args: dict | None = None):
    task = str(uuid.uuid4())
    table = args["measurement"]
    end = call_time.replace(tzinfo=timezone.utc)
    start = end - timedelta(seconds=int(args["window_seconds"]))
    sql = f"SELECT count(*) AS n FROM '{table}' WHERE time >= '{start.isoformat()}' AND time < '{end.isoformat()}'"
    (row,) = influxdb3_local.query(sql)
    state = "alive" if row["n"] else "dead"
    if influxdb3_local.cache.get("state") != state:
        influxdb3_local.cache.put("state", state)
        line = LineBuilder("deadman").tag("table", table).string_field("state", state)
        influxdb3_local.write(line.time_ns(int(end.timestamp()) * 1_000_000_000))
        influxdb3_local.error(f"[{task}] {table} is {state}")
