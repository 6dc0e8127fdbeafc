"""The server under test: its address, tokens, and contents."""

import json
import os
import ssl
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ["NEAP_URL"]
_PARTS = urllib.parse.urlsplit(URL)
HOST, PORT = _PARTS.hostname, str(_PARTS.port)
# An admin token.
TOKEN = os.environ["NEAP_TOKEN"]
# The database of requests without a database.
DEFAULT_DATABASE = os.environ.get("NEAP_DEFAULT_DATABASE")
# The certificate of a server with TLS, as a file.
CA_FILE = os.environ.get("NEAP_CA_FILE")


def request(method, path, body=None, headers=None):
    """Returns the status, headers and text of an answer."""
    headers = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
    data = body.encode() if isinstance(body, str) else body
    asked = urllib.request.Request(URL + path, data=data, headers=headers, method=method)
    context = ssl.create_default_context(cafile=CA_FILE) if CA_FILE else None
    try:
        with urllib.request.urlopen(asked, timeout=60, context=context) as answer:
            return answer.status, answer.headers, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()


def sql(database, query):
    """Returns the rows of an answer."""
    status, _, text = request("POST", "/api/v3/query_sql", json.dumps({"db": database, "q": query}))
    assert status == 200, f"{query}: {status} {text}"
    return json.loads(text)


def write_lines(database, *lines):
    """Writes line protocol with times in nanoseconds, and returns the stamp of the write."""
    path = f"/api/v3/write_lp?db={urllib.parse.quote(database)}&precision=nanosecond"
    status, headers, text = request("POST", path, "\n".join(lines))
    assert status == 204, f"{status} {text}"
    return headers["x-neap-stamp"]


JSON = {"Content-Type": "application/json"}


def create_database(name):
    """Creates a database, unless it exists."""
    status, _, text = request("POST", "/api/v3/configure/database", json.dumps({"db": name}), JSON)
    assert status in (200, 409), f"{status} {text}"


def create_token(name, *permissions):
    """Creates a token with permissions on databases, such as `("home", "read")`, and returns it."""
    for database, *_ in permissions:
        create_database(database)
    body = {
        "token_name": name,
        "permissions": [
            {"resource_type": "db", "resource_names": [database], "actions": list(actions)}
            for database, *actions in permissions
        ],
    }
    path = "/api/v3/enterprise/configure/token"
    status, _, text = request("POST", path, json.dumps(body), JSON)
    assert status in (200, 201), f"{status} {text}"
    return json.loads(text)["token"]


def has_table(database, table):
    """Returns whether a database has a table."""
    query = json.dumps({"db": database, "q": f'SELECT count(*) FROM "{table}"'})
    status, _, text = request("POST", "/api/v3/query_sql", query)
    assert status == 200 or "not found" in text, text
    return status == 200


class TestCase(unittest.TestCase):
    """A test that compares stored rows."""

    maxDiff = None

    def assertStored(self, database, query, rows):
        self.assertEqual(sql(database, query), rows, query)

    def assertStoredSoon(self, database, query, rows):
        """Like `assertStored`, after writes whose answers do not wait for the store."""
        for _ in range(1_200):
            if sql(database, query) == rows:
                return
            time.sleep(0.05)
        self.assertStored(database, query, rows)
