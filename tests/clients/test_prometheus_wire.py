"""Remote write and remote read of Prometheus, as bytes."""

import json
import math
import random
import struct
import unittest
import urllib.error
import urllib.parse
import urllib.request

from prometheus_wire import (
    CHUNKS, EQ, NEQ, NRE, RE, SAMPLES, STALE, compress, histogram, metric_metadata, query, read_frames, read_request,
    read_response, series, write_request, write_request_2,
)
from protobuf import chunk, varint
from server import TOKEN, URL, TestCase, create_token, sql

DATABASE = "prom"
BASE = 1_700_000_000_000
VERSION_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"


def send(path, body, headers=None, method="POST", token=TOKEN):
    """Returns the status, headers and bytes of an answer."""
    headers = {"Authorization": f"Bearer {token}", "Content-Encoding": "snappy", **(headers or {})}
    headers.setdefault("Content-Type", "application/x-protobuf")
    request = urllib.request.Request(URL + path, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def write(message, headers=None, path=f"/api/v1/write?db={DATABASE}", **more):
    status, headers, body = send(path, compress(message), headers, **more)
    counts = [
        headers.get(f"X-Prometheus-Remote-Write-{kind}-Written") for kind in ("Samples", "Histograms", "Exemplars")
    ]
    return status, counts, body.decode()


def read(*queries, accepted=(SAMPLES,), database=DATABASE):
    status, headers, body = send(f"/api/v1/read?db={database}", compress(read_request(*queries, accepted=accepted)))
    assert status == 200, (status, body)
    return (read_response if headers["Content-Type"] == "application/x-protobuf" else read_frames)(body)


def listed(path, database=DATABASE, **params):
    pairs = [("db", database)]
    for name, value in params.items():
        name = "match[]" if name == "match" else name
        pairs += [(name, one) for one in (value if isinstance(value, list) else [value])]
    path = f"/api/v1/{path}?{urllib.parse.urlencode(pairs)}"
    status, _, body = send(path, None, method="GET")
    return status, json.loads(body)


class Write(TestCase):
    def test_samples_become_rows(self):
        message = write_request(
            series({"__name__": "w1", "job": "api", "instance": "a"}, [(BASE, 1.5), (BASE + 1, STALE)]),
            series({"instance": "b", "__name__": "w1", "empty": ""}, [(BASE, math.inf)]),
        )
        for _ in range(2):  # The same points again are the same rows.
            self.assertEqual(write(message), (204, ["3", "0", "0"], ""))
        self.assertStored(
            DATABASE,
            "SELECT instance, job, value, non_finite, time FROM w1 ORDER BY instance, time",
            [
                {"instance": "a", "job": "api", "value": 1.5, "time": "2023-11-14T22:13:20"},
                {"instance": "a", "job": "api", "non_finite": "stale", "time": "2023-11-14T22:13:20.001"},
                {"instance": "b", "non_finite": "+Inf", "time": "2023-11-14T22:13:20"},
            ],
        )

    def test_version_2_has_the_same_rows(self):
        message = write_request_2([({"__name__": "w2", "job": "api"}, [(BASE, 2.0)])])
        answer = write(message, {"Content-Type": VERSION_2, "X-Prometheus-Remote-Write-Version": "2.0.0"})
        self.assertEqual(answer, (204, ["1", "0", "0"], ""))
        self.assertStored(DATABASE, "SELECT job, value FROM w2", [{"job": "api", "value": 2.0}])

    def test_the_path_of_influxdb_1_and_an_empty_request(self):
        path = f"/api/v1/prom/write?db={DATABASE}&u=x"
        message = write_request(series({"__name__": "w3"}, [(BASE, 1.0)]))
        self.assertEqual(write(message, path=path)[0], 204)
        self.assertEqual(write(b"", path=path), (204, ["0", "0", "0"], ""))

    def test_good_samples_are_stored_beside_refused_ones(self):
        message = write_request(
            series({"__name__": "w4"}, [(BASE, 1.0)]),
            series({"job": "nameless"}, [(BASE, 1.0), (BASE + 1, 1.0)]),
            series({"__name__": "w4", "job": "x" * 2_000_000}, [(BASE, 1.0)]),
            series({"__name__": "w4"}, [(1 << 62, 1.0)], histogram(BASE + 5, 3, 4.5)),
        )
        status, counts, text = write(message)
        self.assertEqual((status, counts), (400, ["1", "1", "0"]))
        self.assertTrue(text.startswith('4 of 6 samples are refused, such as {job="nameless"}: '), text)
        self.assertStored(
            DATABASE, "SELECT value, count, sum FROM w4 ORDER BY time", [{"value": 1.0}, {"count": 3.0, "sum": 4.5}]
        )

    def test_requests_that_are_not_remote_write_are_refused(self):
        good = compress(write_request(series({"__name__": "w5"}, [(BASE, 1.0)])))
        path = f"/api/v1/write?db={DATABASE}"
        for headers, status in [
            ({"Content-Type": "application/json"}, 415),
            ({"Content-Type": "application/x-protobuf;proto=x"}, 415),
            ({"Content-Encoding": "gzip"}, 415),
        ]:
            self.assertEqual(send(path, good, headers)[0], status, headers)
        bomb = varint(1 << 31) + b"\0\0"
        self.assertEqual(send(path, bomb)[0], 413)
        reader = create_token("prom-reader", (DATABASE, "read"))
        self.assertEqual(send(path, good, token=reader)[0], 403)
        self.assertEqual(send(path, good, token="apiv3_wrong")[0], 401)
        writer = create_token("prom-writer", (DATABASE, "write"))
        self.assertEqual(send(path, good, token=writer)[0], 204)
        self.assertEqual(send(f"/api/v1/read?db={DATABASE}", compress(read_request()), token=writer)[0], 403)

    def test_malformed_bodies_are_errors(self):
        random.seed(7)
        message = write_request(
            series({"__name__": "w6", "job": "api"}, [(BASE, 1.0)], histogram(BASE, 3, 4.5)),
            metadata=metric_metadata("w6", 1, "Help."),
        )
        bodies = [b"", b"\0\1", b"nonsense", compress(message)[:-1], compress(message) + b"\xff"]
        bodies += [compress(message[:length]) for length in range(1, len(message))]
        bodies += [compress(message + bytes([tag])) for tag in (3, 4, 6, 7, 0x80)]
        bodies += [bytes(random.randrange(256) for _ in range(random.randrange(1, 60))) for _ in range(150)]
        bodies += [varint(size) + b"\xfe\xff\xff" for size in (1 << 20, 1 << 31, 1 << 40)]
        self.assertGreaterEqual(len(bodies), 200)
        accepted = 0
        for body in bodies:
            status, _, text = send(f"/api/v1/write?db={DATABASE}", body)
            self.assertIn(status, (204, 400, 413), (status, text, body))
            accepted += status == 204
        # A message may end after a whole field.
        self.assertLess(accepted, 5)


class Read(TestCase):
    @classmethod
    def setUpClass(cls):
        all_series = [
            series({"__name__": "r1", "job": job, "instance": instance}, [(BASE + 15_000 * n, n / 2) for n in range(300)])
            for job, instance in [("api", "a"), ("api", "b"), ("db", "a")]
        ]
        all_series.append(series({"__name__": "r1", "job": "db"}, [(BASE, STALE)]))
        all_series.append(series({"__name__": "r2", "time": "noon"}, [(BASE, 1.0)]))
        all_series.append(series({"__name__": "r3", "Zone": "z"}, [(BASE, 1.0)]))
        all_series.append(series({"__name__": "h1"}, [(BASE + 1, 2.0)], histogram(BASE, 3, 4.5)))
        status, _, text = write(
            write_request(*all_series, metadata=metric_metadata("r1", 2, "Half of a number.", "s")),
            path="/api/v1/write?db=promread",
        )
        assert status == 204, text

    def read(self, *queries, **more):
        return read(*queries, database="promread", **more)

    def test_samples_and_chunks_are_those_that_were_written(self):
        asked = query(BASE + 15_000, BASE + 15_000 * 200, (EQ, "__name__", "r1"), (NEQ, "job", "db"))
        expected = [(BASE + 15_000 * n, n / 2) for n in range(1, 201)]
        labels = [{"__name__": "r1", "instance": instance, "job": "api"} for instance in "ab"]
        [samples] = self.read(asked)
        self.assertEqual(samples, [(one, expected, []) for one in labels])
        chunks = self.read(asked, asked, accepted=(CHUNKS, SAMPLES))
        self.assertEqual(chunks, [(index, one, expected) for index in (0, 1) for one in labels])

    def test_matchers_treat_absent_labels_as_empty(self):
        def count(*matchers):
            return len(self.read(query(BASE, BASE, (EQ, "__name__", "r1"), *matchers))[0])

        self.assertEqual(count(), 4)
        self.assertEqual(count((EQ, "instance", "")), 1)
        self.assertEqual(count((NEQ, "instance", "")), 3)
        self.assertEqual(count((RE, "instance", "a|b")), 3)
        self.assertEqual(count((RE, "instance", "a|")), 3)
        self.assertEqual(count((RE, "instance", ".*")), 4)
        self.assertEqual(count((RE, "instance", ".+")), 3)
        self.assertEqual(count((NRE, "instance", "a|b")), 1)
        self.assertEqual(count((NRE, "instance", "[a]")), 2)
        self.assertEqual(count((RE, "job", "ap")), 0)
        self.assertEqual(count((EQ, "other", "")), 4)
        self.assertEqual(count((NEQ, "other", "")), 0)

    def test_series_of_several_tables_are_sorted_by_labels(self):
        asked = query(BASE, BASE, (RE, "__name__", "r.*"))
        names = [(one["__name__"], one.get("job"), one.get("instance")) for one, _, _ in self.read(asked)[0]]
        ordered = [("r3", None, None), ("r1", "api", "a"), ("r1", "db", "a"), ("r1", "api", "b"), ("r1", "db", None)]
        self.assertEqual(names, [*ordered, ("r2", None, None)])
        streamed = [one for _, one, _ in self.read(asked, accepted=(CHUNKS,))]
        self.assertEqual([(one["__name__"], one.get("job"), one.get("instance")) for one in streamed], names)
        self.assertEqual(streamed[-1], {"__name__": "r2", "time": "noon"})

    def test_stale_markers_keep_their_bits(self):
        [[(_, [(_, value)], _)]] = self.read(query(BASE, BASE, (EQ, "__name__", "r1"), (EQ, "instance", "")))
        self.assertEqual(struct.pack("<d", value), struct.pack("<d", STALE))

    def test_histograms_come_back_as_samples(self):
        asked = query(BASE, BASE + 5, (EQ, "__name__", "h1"))
        [[(_, samples, [found])]] = self.read(asked, accepted=(CHUNKS, SAMPLES))
        self.assertEqual(samples, [(BASE + 1, 2.0)])
        self.assertEqual(chunk(4, found), histogram(BASE, 3, 4.5))
        status, _, text = send("/api/v1/read?db=promread", compress(read_request(asked, accepted=(CHUNKS,))))
        self.assertEqual(status, 400, text)

    def test_malformed_requests_are_errors(self):
        for body in (b"", b"x", compress(b"\x0a"), compress(query(0, 1, (RE, "a", "("))), compress(query(0, 1, (9, "a", "b")))):
            self.assertEqual(send("/api/v1/read?db=promread", body)[0], 400, body)
        self.assertEqual(send("/api/v1/read?db=absent", compress(read_request()))[0], 404)

    def list(self, path, **params):
        status, body = listed(path, database="promread", **params)
        self.assertEqual((status, body["status"]), (200, "success"), body)
        return body["data"]

    def test_labels_and_series_are_listed(self):
        self.assertEqual(self.list("labels"), ["Zone", "__name__", "instance", "job", "time"])
        self.assertEqual(self.list("labels", match="r1"), ["__name__", "instance", "job"])
        self.assertEqual(self.list("label/job/values"), ["api", "db"])
        self.assertEqual(self.list("label/job/values", match='{instance="b"}'), ["api"])
        self.assertEqual(self.list("label/__name__/values"), ["h1", "r1", "r2", "r3"])
        self.assertEqual(self.list("label/__name__/values", match='{Zone="z"}'), ["r3"])
        self.assertEqual(self.list("label/job/values", start="2000-01-01T00:00:00Z", end=1), [])
        found = self.list("series", match=['r1{job="db"}', "r2"])
        self.assertEqual(
            found,
            [
                {"__name__": "r1", "instance": "a", "job": "db"},
                {"__name__": "r1", "job": "db"},
                {"__name__": "r2", "time": "noon"},
            ],
        )
        status, body = listed("series", database="promread", match="r1", limit=1)
        self.assertEqual((len(body["data"]), len(body["warnings"])), (1, 1))
        for path, params in [("series", {}), ("series", {"match": "r1{"}), ("labels", {"start": "soon"})]:
            status, body = listed(path, database="promread", **params)
            self.assertEqual((status, body["status"], body["errorType"]), (400, "error", "bad_data"), body)

    def test_descriptions_of_metrics_are_listed(self):
        description = [{"type": "gauge", "help": "Half of a number.", "unit": "s"}]
        self.assertEqual(self.list("metadata"), {"r1": description})
        self.assertEqual(self.list("metadata", metric="r2"), {})
        self.assertEqual(len(sql("promread", "SELECT * FROM prometheus_metadata")), 1)


if __name__ == "__main__":
    unittest.main()
