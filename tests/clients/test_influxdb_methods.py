"""The client library of InfluxDB 1, `influxdb`: all methods of its clients."""

import socket
import unittest

import pandas
from client_methods import MethodsTestCase
from influxdb import DataFrameClient, InfluxDBClient
from influxdb.exceptions import InfluxDBClientError
from server import HOST, PORT, TOKEN, has_table

LIBRARY = "influxdb"
POINTS = [
    {"measurement": "m", "tags": {"t": tag}, "time": number + 1, "fields": {"v": number}}
    for number, tag in enumerate(["a", "b", "a"])
]
PASSWORD = "correct horse battery"


class NoReceiver(Exception):
    """Neap cannot receive what a method sends."""


class ClientMethods(MethodsTestCase):
    """The methods that both clients have."""

    library, errors = LIBRARY, (InfluxDBClientError, NoReceiver)

    def setUp(self):
        # The password is a token.
        self.client = self.of(HOST, int(PORT), "anyone", TOKEN, "methods")
        self.addCleanup(self.client.close)

    def prepared(self, name):
        """Returns the name of a new database of this client with points."""
        database = f"methods-{self.of.__name__}-{name}"
        self.client.create_database(database)
        InfluxDBClient.write_points(self.client, POINTS, database=database)
        self.client.switch_database(database)
        return database

    def names_of_databases(self):
        return [each["name"] for each in self.client.get_list_database()]

    def policies(self):
        return {each["name"]: each for each in self.client.get_list_retention_policies()}

    def continuous_queries(self, database):
        queries = self.client.get_list_continuous_queries()
        return [query["name"] for each in queries for query in each.get(database, [])]

    def user(self, name):
        """Returns the name of a new user."""
        user = f"{name}-{self.of.__name__}"
        self.client.create_user(user, PASSWORD)
        return user

    def administrators(self):
        return {each["user"]: each["admin"] for each in self.client.get_list_users()}

    def count(self):
        return list(InfluxDBClient.query(self.client, "SELECT count(v) FROM m").get_points())

    def call_create_database(self):
        self.client.create_database("methods-create")
        self.assertIn("methods-create", self.names_of_databases())

    def call_drop_database(self):
        database = self.prepared("drop")
        self.client.drop_database(database)
        self.assertNotIn(database, self.names_of_databases())

    def call_get_list_database(self):
        self.assertIn(self.prepared("list"), self.names_of_databases())

    def call_switch_database(self):
        self.prepared("switch")
        self.assertEqual(self.count()[0]["count"], 3)

    def call_create_retention_policy(self):
        self.prepared("create-policy")
        self.client.create_retention_policy("week", "7d", 1, default=True, shard_duration="1d")
        policy = self.policies()["week"]
        self.assertEqual((policy["duration"], policy["replicaN"], policy["default"]), ("168h0m0s", 1, True))

    def call_alter_retention_policy(self):
        self.prepared("alter-policy")
        self.client.alter_retention_policy("autogen", duration="90d", replication=1, shard_duration="1d")
        self.assertEqual(self.policies()["autogen"]["duration"], "2160h0m0s")

    def call_drop_retention_policy(self):
        self.prepared("drop-policy")
        self.client.create_retention_policy("week", "7d", 1)
        self.client.drop_retention_policy("week")
        self.assertEqual(list(self.policies()), ["autogen"])

    def call_get_list_retention_policies(self):
        self.prepared("list-policies")
        self.assertEqual(list(self.policies()), ["autogen"])

    def call_create_continuous_query(self):
        database = self.prepared("create-continuous")
        select = 'SELECT mean("v") INTO "hourly" FROM "m" GROUP BY time(1h)'
        self.client.create_continuous_query("cq", select, resample_opts="EVERY 30m FOR 2h")
        self.assertEqual(self.continuous_queries(database), ["cq"])

    def call_drop_continuous_query(self):
        database = self.prepared("drop-continuous")
        self.client.create_continuous_query("cq", 'SELECT mean("v") INTO "hourly" FROM "m" GROUP BY time(1h)')
        self.client.drop_continuous_query("cq")
        self.assertEqual(self.continuous_queries(database), [])

    def call_get_list_continuous_queries(self):
        self.assertEqual(self.continuous_queries(self.prepared("list-continuous")), [])

    def call_get_list_measurements(self):
        self.prepared("measurements")
        self.assertEqual(self.client.get_list_measurements(), [{"name": "m"}])

    def call_drop_measurement(self):
        database = self.prepared("drop-measurement")
        self.client.drop_measurement("m")
        self.assertFalse(has_table(database, "m"))

    def call_get_list_series(self):
        self.prepared("series")
        self.assertEqual(self.client.get_list_series(), ["m,t=a", "m,t=b"])
        self.assertEqual(self.client.get_list_series(measurement="m", tags={"t": "a"}), ["m,t=a"])

    def call_delete_series(self):
        self.prepared("delete-series")
        self.client.delete_series(measurement="m", tags={"t": "a"})
        self.assertEqual(self.count()[0]["count"], 1)

    def call_create_user(self):
        user = f"create-{self.of.__name__}"
        self.client.create_user(user, PASSWORD, admin=True)
        self.assertTrue(self.administrators()[user])

    def call_drop_user(self):
        user = self.user("drop")
        self.client.drop_user(user)
        self.assertNotIn(user, self.administrators())

    def call_get_list_users(self):
        user = self.user("list")
        self.assertFalse(self.administrators()[user])

    def call_set_user_password(self):
        self.client.set_user_password(self.user("password"), "battery staple")

    def call_grant_admin_privileges(self):
        user = self.user("grant-admin")
        self.client.grant_admin_privileges(user)
        self.assertTrue(self.administrators()[user])

    def call_revoke_admin_privileges(self):
        user = self.user("revoke-admin")
        self.client.grant_admin_privileges(user)
        self.client.revoke_admin_privileges(user)
        self.assertFalse(self.administrators()[user])

    def call_grant_privilege(self):
        database, user = self.prepared("grant"), self.user("grant")
        self.client.grant_privilege("read", database, user)
        self.assertEqual(self.client.get_list_privileges(user), [{"database": database, "privilege": "READ"}])

    def call_revoke_privilege(self):
        database, user = self.prepared("revoke"), self.user("revoke")
        self.client.grant_privilege("all", database, user)
        self.client.revoke_privilege("write", database, user)
        self.assertEqual(self.client.get_list_privileges(user), [{"database": database, "privilege": "READ"}])

    def call_get_list_privileges(self):
        self.assertEqual(self.client.get_list_privileges(self.user("privileges")), [])

    def call_switch_user(self):
        self.client.switch_user("anyone", "wrong")
        with self.assertRaises(InfluxDBClientError) as caught:
            self.client.get_list_database()
        self.assertEqual(caught.exception.code, 401)
        self.client.switch_user("other", TOKEN)
        self.client.get_list_database()

    def call_from_dsn(self):
        client = self.of.from_dsn(f"influxdb://anyone:{TOKEN}@{HOST}:{PORT}/methods", timeout=60)
        self.addCleanup(client.close)
        self.assertIsInstance(client.get_list_database(), list)

    def call_ping(self):
        self.assertRegex(self.client.ping(), r"^\d+\.\d+\.\d+$")

    def call_request(self):
        database = self.prepared("request")
        params = {"db": database, "q": "SELECT sum(v) FROM m"}
        headers = {"Accept": "application/json"}
        [result] = self.client.request("query", params=params, headers=headers).json()["results"]
        self.assertEqual(result["series"][0]["values"][0][1], 3)

    def call_write(self):
        database = self.prepared("write")
        point = {"points": [{"measurement": "m", "time": 9, "fields": {"v": 9}}]}
        self.client.write(point, params={"db": database})
        self.client.write(["m v=10i 10"], params={"db": database}, protocol="line")
        self.assertEqual(self.count()[0]["count"], 5)

    def call_send_packet(self):
        """Sends to a socket of this test, because Neap has none for UDP."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            client = self.of("127.0.0.1", use_udp=True, udp_port=receiver.getsockname()[1])
            self.addCleanup(client.close)
            client.send_packet({"points": POINTS})
            receiver.settimeout(60)
            self.assertTrue(receiver.recv(1_000).startswith(b"m,t=a v=0i 1\n"))
        raise NoReceiver("Neap has no socket for UDP")

    def call_close(self):
        self.client.close()


class Client(ClientMethods):
    of = InfluxDBClient

    def call_query(self):
        self.prepared("query")
        rows = self.client.query("SELECT v FROM m WHERE t = $t", bind_params={"t": "a"}, epoch="ns").get_points()
        self.assertEqual([(row["time"], row["v"]) for row in rows], [(1, 0), (3, 2)])

    def call_write_points(self):
        self.prepared("points")
        self.client.write_points(POINTS, tags={"site": "north"}, batch_size=2, time_precision="ms", consistency="any")
        self.assertEqual(self.count()[0]["count"], 6)


class DataFrames(ClientMethods):
    of = DataFrameClient

    def call_query(self):
        self.prepared("query")
        frame = self.client.query("SELECT v FROM m")["m"]
        self.assertEqual(frame["v"].tolist(), [0, 1, 2])
        self.assertEqual(frame.index[0], pandas.Timestamp(1, tz="UTC"))

    def call_write_points(self):
        self.prepared("points")
        times = pandas.to_datetime([11, 12], utc=True)
        frame = pandas.DataFrame({"t": ["a", "b"], "v": [1, None], "s": ["x", "y"]}, index=times)
        self.client.write_points(frame, "frame", tag_columns=["t"], field_columns=["v", "s"], batch_size=1)
        stored = self.client.query("SELECT v, s FROM frame")["frame"]
        self.assertEqual(stored["s"].tolist(), ["x", "y"])


if __name__ == "__main__":
    unittest.main()
