"""Events of the functions: requests as API Gateway makes events of them, and the lines and queries in them."""

import random
import time
import urllib.parse
import uuid

LINES = 100
WRITE = "/api/v3/write_lp?" + urllib.parse.urlencode({"db": "bench", "precision": "nanosecond"})
HEALTH = "/health"

# Work that is always the same: lines of a fixed day, and a query over all of them.
WORK_LINES = 10_000
WORK_BEGINS = 1_767_225_600_000_000_000


def query_path(text):
    return "/api/v3/query_sql?" + urllib.parse.urlencode({"db": "bench", "q": text})


COUNT = query_path("SELECT count(*) AS n, max(usage_user) AS m FROM cpu")
ONE = query_path("SELECT 1 AS one")
AGGREGATE = query_path("SELECT hostname, count(*) AS n, avg(a) AS a, max(b) AS b, min(c) AS c FROM work "
                       "GROUP BY hostname ORDER BY hostname")


def template(lines, region="eu-1"):
    """Lines with an @ for the timestamp of all of them."""
    line = "cpu,hostname=host_%d,region=%s usage_user=%d.5,usage_system=%d.25,processes=%di @\n"
    return "".join(line % (n, region, n % 100, n % 40, n) for n in range(lines)).encode()


def stamped(lines):
    return lines.replace(b"@", str(time.time_ns()).encode())


def work_lines(number):
    """The lines of a batch by its number: 100 hosts in turn, 50 ms apart, with values that hardly compress."""
    chance = random.Random(number)
    value = chance.random
    lines = []
    for row in range(number * WORK_LINES, (number + 1) * WORK_LINES):
        lines.append(f"work,hostname=host_{row % 100},region=r{row % 7} a={value()},b={value()},c={value()},"
                     f"d={value()},e={value()} {WORK_BEGINS + row * 50_000_000}")
    return "\n".join(lines).encode()


def http_event(path, body=b""):
    """A request as an HTTP API of API Gateway makes an event of it, payload format 2.0."""
    path, _, parameters = path.partition("?")
    method = "POST" if body else "GET"
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": parameters,
        "headers": {"host": "bench.example", "content-type": "text/plain; charset=utf-8"},
        "requestContext": {
            "accountId": "000000000000", "apiId": "bench", "domainName": "bench.example", "domainPrefix": "bench",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                     "userAgent": "bench"},
            "requestId": str(uuid.uuid4()), "routeKey": "$default", "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1767225600000,
        },
        **({"body": body.decode()} if body else {}), "isBase64Encoded": False,
    }


FIRST_EVENTS = {
    "query": (f"query over {LINES} rows", lambda: http_event(COUNT)),
    "write": ("write of a line", lambda: http_event(WRITE, stamped(template(1)))),
    "compact": ("scheduled, nothing due", lambda: {"event": "scheduled"}),
    "engine": ("schedule, no triggers", lambda: {"event": "schedule"}),
}

# Name, function, path and body of the events that a warm instance gets.
REQUESTS = (
    ("`/health`", "query", HEALTH, b""),
    ("`SELECT 1`", "query", ONE, b""),
    (f"`SELECT count(*)` of {LINES} rows", "query", COUNT, b""),
    ("write of a line", "write", WRITE, template(1)),
    (f"write of {LINES} lines", "write", WRITE, template(LINES)),
)
