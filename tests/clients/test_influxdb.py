"""The client library of InfluxDB 1, `influxdb`: databases, writes, queries, drops."""

import unittest

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError
from influxdb.line_protocol import make_lines
from server import HOST, PORT, TOKEN, TestCase, has_table


def connect(database=None, password=TOKEN, **options):
    """A client with user and password: any name, and the token."""
    return InfluxDBClient(HOST, int(PORT), "anyone", password, database, **options)


def prepared(database):
    """A client with a database of its own, newly created."""
    client = connect(database)
    client.create_database(database)
    return client


def points(count):
    tags = ["a", "b"]
    return [
        {"measurement": "m", "tags": {"t": tags[n % 2]}, "time": n + 1, "fields": {"v": n, "f": n + 0.5, "s": f"s{n}"}}
        for n in range(count)
    ]


class Databases(TestCase):
    def test_databases_come_and_go(self):
        client = connect()
        client.create_database("v1-come")
        client.create_database("v1-come")
        self.assertIn({"name": "v1-come"}, client.get_list_database())
        client.drop_database("v1-come")
        self.assertNotIn({"name": "v1-come"}, client.get_list_database())

    def test_policies_are_listed(self):
        client = prepared("v1-policies")
        [policy] = client.get_list_retention_policies()
        self.assertEqual((policy["name"], policy["default"]), ("autogen", True))

    def test_policies_come_and_go(self):
        client = prepared("v1-kept")
        client.create_retention_policy("week", "7d", 1)
        client.write_points([{"measurement": "m", "fields": {"v": 1}}], retention_policy="week")
        self.assertStored("v1-kept/week", "SELECT count(*) AS n FROM m", [{"n": 1}])
        client.alter_retention_policy("autogen", duration="90d")
        durations = {policy["name"]: policy["duration"] for policy in client.get_list_retention_policies()}
        self.assertEqual(durations["autogen"], "2160h0m0s")
        client.drop_retention_policy("week")
        self.assertFalse(has_table("v1-kept/week", "m"))

    def test_continuous_queries_come_and_go(self):
        client = prepared("v1-continuous")
        client.write_points(points(1))
        select = 'SELECT mean("v") INTO "hourly" FROM "m" GROUP BY time(1h)'
        client.create_continuous_query("cq", select)
        databases = client.get_list_continuous_queries()
        names = [query["name"] for database in databases for query in database.get("v1-continuous", [])]
        self.assertEqual(names, ["cq"])
        client.drop_continuous_query("cq")
        self.assertNotIn("cq", str(client.get_list_continuous_queries()))

    def test_a_write_without_points_finds_a_database(self):
        self.assertTrue(prepared("v1-empty").write_points([]))
        with self.assertRaises(InfluxDBClientError) as caught:
            connect("v1-absent").write_points([])
        self.assertEqual(caught.exception.code, 404)
        self.assertIn("database not found", str(caught.exception))

    def test_the_default_policy_is_written_and_read(self):
        client = prepared("v1-default")
        client.create_retention_policy("week", "7d", 1, default=True)
        defaults = {policy["name"]: policy["default"] for policy in client.get_list_retention_policies()}
        self.assertEqual(defaults, {"autogen": False, "week": True})
        client.write_points([{"measurement": "m", "fields": {"v": 1}}])
        self.assertStored("v1-default/week", "SELECT count(*) AS n FROM m", [{"n": 1}])
        self.assertEqual(list(client.query("SELECT count(v) FROM m").get_points())[0]["count"], 1)
        client.alter_retention_policy("autogen", default=True)
        self.assertEqual(list(client.query("SELECT count(v) FROM m").get_points()), [])

    def test_credentials_are_asked_for(self):
        with self.assertRaises(InfluxDBClientError) as caught:
            connect("v1-secret", password="wrong").write_points(points(1))
        self.assertEqual(caught.exception.code, 401)
        with self.assertRaises(InfluxDBClientError) as caught:
            connect(password="wrong").get_list_database()
        self.assertEqual(caught.exception.code, 401)

    def test_a_token_in_a_header(self):
        client = connect("v1-header", password="", headers={"Authorization": f"Token {TOKEN}"})
        client.write_points(points(2))
        self.assertStored("v1-header", "SELECT count(*) AS n FROM m", [{"n": 2}])


class Writing(TestCase):
    def test_every_precision(self):
        client = prepared("v1-precisions")
        hour = 1_704_164_400
        for precision, time in [
            ("n", hour * 1_000_000_000),
            ("u", hour * 1_000_000),
            ("ms", hour * 1_000),
            ("s", hour),
            ("m", hour // 60),
            ("h", hour // 3_600),
            (None, hour * 1_000_000_000),
        ]:
            tags = {"precision": precision or "none"}
            point = {"measurement": "m", "tags": tags, "time": time, "fields": {"v": 1}}
            client.write_points([point], time_precision=precision)
        self.assertStored("v1-precisions", "SELECT DISTINCT time FROM m", [{"time": "2024-01-02T03:00:00"}])
        self.assertStored("v1-precisions", "SELECT count(*) AS n FROM m", [{"n": 7}])

    def test_tags_for_all_points_and_batches(self):
        client = prepared("v1-batches")
        client.write_points(points(250), tags={"site": "north"}, batch_size=100)
        query = "SELECT site, count(*) AS n, sum(v) AS s FROM m GROUP BY site"
        self.assertStored("v1-batches", query, [{"n": 250, "s": 31_125, "site": "north"}])

    def test_a_retention_policy_is_a_database_of_its_own(self):
        client = prepared("v1-policy")
        client.write_points(points(2), retention_policy="weekly")
        client.write_points(points(3), retention_policy="autogen")
        self.assertStored("v1-policy/weekly", "SELECT count(*) AS n FROM m", [{"n": 2}])
        self.assertStored("v1-policy", "SELECT count(*) AS n FROM m", [{"n": 3}])

    def test_lines_consistency_and_compression(self):
        client = connect("v1-lines", gzip=True)
        lines = make_lines({"points": points(3)}).splitlines()
        client.write_points(lines, protocol="line", consistency="any")
        self.assertStored("v1-lines", "SELECT count(*) AS n FROM m", [{"n": 3}])

    def test_refused_points_are_told_and_the_others_are_stored(self):
        client = prepared("v1-refused")
        client.write_points(points(1))
        wrong = {"measurement": "m", "time": 9, "fields": {"v": "text"}}
        with self.assertRaises(InfluxDBClientError) as caught:
            client.write_points([*points(5), wrong])
        self.assertEqual(caught.exception.code, 400)
        told = str(caught.exception)
        self.assertIn("partial write: ", told)
        self.assertIn("is type string, already exists as type integer", told)
        self.assertIn("dropped=1", told)
        self.assertStored("v1-refused", "SELECT count(*) AS n FROM m", [{"n": 5}])


class Querying(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = prepared("v1-queries")
        cls.client.write_points(points(10))

    def test_rows_by_column(self):
        [point] = self.client.query("SELECT v, f, s FROM m WHERE t = 'b' LIMIT 1").get_points()
        self.assertEqual(point, {"time": "1970-01-01T00:00:00.000000002Z", "v": 1, "f": 1.5, "s": "s1"})

    def test_groups_by_tag(self):
        result = self.client.query('SELECT sum("v") FROM "m" GROUP BY "t"')
        sums = {key[1]["t"]: next(rows)["sum"] for key, rows in result.items()}
        self.assertEqual(sums, {"a": 20, "b": 25})
        [point] = result.get_points(tags={"t": "b"})
        self.assertEqual(point["sum"], 25)

    def test_times_in_a_unit(self):
        [point] = self.client.query("SELECT v FROM m LIMIT 1", epoch="ns").get_points()
        self.assertEqual(point["time"], 1)

    def test_parameters(self):
        bound = {"tag": "a", "least": 6}
        result = self.client.query("SELECT v FROM m WHERE t = $tag AND v >= $least", bind_params=bound)
        self.assertEqual([point["v"] for point in result.get_points()], [6, 8])

    def test_several_statements(self):
        one, other = self.client.query("SELECT count(v) FROM m; SELECT max(v) FROM m")
        self.assertEqual(next(one.get_points())["count"], 10)
        self.assertEqual(next(other.get_points())["max"], 9)

    def test_answers_in_chunks(self):
        parts = self.client.query("SELECT v FROM m", chunked=True, chunk_size=3)
        values = [point["v"] for part in parts for point in part.get_points()]
        self.assertEqual(values, list(range(10)))

    def test_measurements_are_listed(self):
        self.assertEqual(self.client.get_list_measurements(), [{"name": "m"}])

    def test_errors_are_told(self):
        with self.assertRaises(InfluxDBClientError):
            self.client.query("SELECT FROM")
        with self.assertRaises(InfluxDBClientError) as caught:
            connect("v1-nothing-here").query("SELECT v FROM m")
        self.assertIn("v1-nothing-here", str(caught.exception))


class Dropping(TestCase):
    def test_measurements_are_dropped(self):
        client = prepared("v1-drops")
        client.write_points(points(3))
        client.write_points([{"measurement": "kept", "time": 1, "fields": {"v": 1}}])
        client.drop_measurement("m")
        client.drop_measurement("m")
        self.assertFalse(has_table("v1-drops", "m"))
        self.assertTrue(has_table("v1-drops", "kept"))

    def test_rows_are_deleted(self):
        client = prepared("v1-deletes")
        client.write_points(points(10))
        client.query("DELETE FROM m WHERE time >= 3 AND time <= 4", method="POST")
        self.assertStored("v1-deletes", "SELECT count(*) AS n FROM m", [{"n": 8}])


    def test_series_are_dropped(self):
        client = prepared("v1-series")
        client.write_points(points(10))
        client.delete_series(measurement="m", tags={"t": "a"})
        self.assertStored("v1-series", "SELECT t, count(*) AS n FROM m GROUP BY t", [{"n": 5, "t": "b"}])


class Asking(TestCase):
    def test_ping(self):
        self.assertRegex(connect().ping(), r"^\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
