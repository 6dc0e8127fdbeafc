"""Sends the rows of a database to Kapacitor, as a subscription of InfluxDB 1 does.

Arguments of the trigger: `url` of Kapacitor, such as http://kapacitor:9092, with `user:password@` if it asks for them; `db`
and `rp` (autogen), by which the tasks of Kapacitor select the rows.
"""

import base64
import urllib.parse
import urllib.request

TAGS = (
    "SELECT column_name FROM information_schema.columns "
    "WHERE table_schema = 'iox' AND table_name = $table AND data_type LIKE 'Dictionary%'"
)
TIMEOUT_SECONDS = 10
MAX_INTEGER = 2**63 - 1


def process_writes(influxdb3_local, table_batches, args=None):
    lines = []
    for batch in table_batches:
        table = batch["table_name"]
        tags = tags_of(influxdb3_local, table, batch["rows"])
        lines.extend(line_of(table, tags, row) for row in batch["rows"])
    if lines:
        send(args, "".join(lines).encode())


def tags_of(influxdb3_local, table, rows):
    """Returns the names of the tags among the columns of rows. They are read once for each set of columns."""
    columns = sorted({name for row in rows for name in row})
    key = f"{table}\n{columns}"
    tags = influxdb3_local.cache.get(key)
    if tags is None:
        tags = [row["column_name"] for row in influxdb3_local.query(TAGS, {"table": table})]
        influxdb3_local.cache.put(key, tags, ttl=3600)
    return tags


def line_of(table, tags, row):
    series = [escape(table, ", ")]
    fields = []
    for name in sorted(row):
        if name in tags:
            series.append(f"{escape(name, ',= ')}={escape(row[name], ',= ')}")
        elif name != "time":
            fields.append(f"{escape(name, ',= ')}={field(row[name])}")
    return f"{','.join(series)} {','.join(fields)} {row['time']}\n"


def escape(text, characters):
    return "".join(f"\\{character}" if character in characters else character for character in text)


def field(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        # Kapacitor has no unsigned integers.
        return f"{value}i" if value <= MAX_INTEGER else str(float(value))
    if isinstance(value, float):
        return repr(value)
    return '"' + escape(value, '\\"') + '"'


def send(args, body):
    url = urllib.parse.urlsplit(args["url"])
    query = urllib.parse.urlencode(
        {"consistency": "", "db": args["db"], "precision": "ns", "rp": args.get("rp", "autogen")}
    )
    headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "InfluxDBClient"}
    if url.username:
        user = f"{urllib.parse.unquote(url.username)}:{urllib.parse.unquote(url.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    address = url.netloc.rpartition("@")[2]
    request = urllib.request.Request(f"{url.scheme}://{address}/write?{query}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
        pass
