"""The server under test: where it is, who may use it, and what is in it."""

import json
import os
import unittest
import urllib.error
import urllib.request

URL = os.environ["NEAP_URL"]
HOST, PORT = URL.removeprefix("http://").split(":")
# May do everything.
TOKEN = os.environ["NEAP_TOKEN"]
# The database of requests that name none.
DEFAULT_DATABASE = os.environ.get("NEAP_DEFAULT_DATABASE")


def request(method, path, body=None, headers=None):
    """Status, headers and text of an answer."""
    headers = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
    data = body.encode() if isinstance(body, str) else body
    asked = urllib.request.Request(URL + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()


def sql(database, query):
    """The rows of an answer."""
    status, _, text = request("POST", "/api/v3/query_sql", json.dumps({"db": database, "q": query}))
    assert status == 200, f"{query}: {status} {text}"
    return json.loads(text)


def has_table(database, table):
    """Whether a database has a table."""
    query = json.dumps({"db": database, "q": f'SELECT count(*) FROM "{table}"'})
    status, _, text = request("POST", "/api/v3/query_sql", query)
    assert status == 200 or "not found" in text, text
    return status == 200


class TestCase(unittest.TestCase):
    """A test that compares what is stored."""

    maxDiff = None

    def assertStored(self, database, query, rows):
        self.assertEqual(sql(database, query), rows, query)
