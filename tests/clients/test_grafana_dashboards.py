"""The dashboards and data sources for Grafana: their structure, and their queries with the words that Grafana puts in."""

import json
import pathlib
import re
import unittest
import urllib.parse

import adbc_connection
import yaml
from server import TestCase, request, write_lines

FOLDER = pathlib.Path(__file__).parents[2] / "infra/grafana/provisioning"
SOURCES = yaml.safe_load((FOLDER / "datasources/neap.yaml").read_text())["datasources"]
DASHBOARDS = {path.name: json.loads(path.read_text()) for path in (FOLDER / "dashboards").glob("*.json")}

START = 1_726_000_000
HOUR = 3_600

# What Telegraf writes of two machines, and Home Assistant of two rooms.
ROWS = {
    "telegraf": [
        row
        for number, host in enumerate(("probe-7", "probe-8"))
        for minute in range(0, 60, 10)
        for at in [(START + 60 * minute) * 10**9]
        for row in (
            f"cpu,cpu=cpu-total,host={host} usage_idle={90.5 - minute} {at}",
            f"system,host={host} load1={0.25 + number},uptime={minute * 60}i {at}",
            f"mem,host={host} used_percent={40.5 + number} {at}",
            f"disk,host={host},path=/ used_percent={12.5 + number} {at}",
            f"net,host={host},interface=eth0 bytes_recv={1_000 * minute}i,bytes_sent={500 * minute}i {at}",
        )
    ],
    "home_assistant": [
        f"{unit},domain=sensor,entity_id={room}_{name} value={value + minute} {(START + 60 * minute) * 10**9}"
        for room in ("kitchen", "cellar")
        for unit, name, value in (("°C", "temperature", 12.5), ("%", "humidity", 41.0), ("W", "power", 80.0), ("kWh", "meter", 4.5))
        for minute in range(0, 60, 10)
    ],
}


def source(uid):
    """The data source that a panel or a variable names."""
    [found] = [it for it in SOURCES if it["uid"] == uid]
    return found


def targets(dashboard):
    """The queries of all panels, each with the title of its panel."""
    return [(panel["title"], target) for panel in dashboard["panels"] for target in panel.get("targets", [])]


def influxql(query):
    """Runs a query as Grafana does in the mode InfluxQL, and returns its series."""
    text = query.replace("$timeFilter", f"time >= {START}000ms and time <= {START + HOUR}000ms")
    text = text.replace("$__interval", "10m").replace("$host", "(probe-7|probe-8)")
    form = urllib.parse.urlencode({"q": text})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    path = f"/query?db={source('neap-influxql')['jsonData']['dbName']}&epoch=ms"
    status, _, answer = request("POST", path, form, headers)
    [result] = json.loads(answer)["results"]
    assert status == 200 and "error" not in result, f"{text}: {status} {answer}"
    return result.get("series", [])


def sql(query):
    """Runs a query as Grafana does in the mode SQL, and returns the rows."""
    text = query.replace("$__timeFilter(time)", "time >= '2024-09-10T20:26:40Z' AND time <= '2024-09-10T21:26:40Z'")
    text = text.replace("$__dateBin(time)", "date_bin(interval '600 second', time, timestamp '1970-01-01T00:00:00Z')")
    [metadata] = source("neap-sql")["jsonData"]["metadata"]
    with adbc_connection.connect(metadata["database"]) as connection, connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetch_arrow_table().to_pylist()


class DataSources(unittest.TestCase):
    def test_are_of_the_three_kinds(self):
        kinds = {it["uid"]: (it["type"], it["jsonData"].get("version")) for it in SOURCES}
        self.assertEqual(
            kinds,
            {
                "neap-influxql": ("influxdb", "InfluxQL"),
                "neap-sql": ("influxdb", "SQL"),
                "neap-prometheus": ("prometheus", None),
            },
        )

    def test_have_addresses_and_secrets_of_the_environment(self):
        for it in SOURCES:
            self.assertRegex(it["url"], r"^\$[A-Z_]+$", it["name"])
            for secret in it.get("secureJsonData", {}).values():
                self.assertRegex(secret, r"^(Token )?\$NEAP_TOKEN$", it["name"])

    def test_name_one_database_for_all_of_their_requests(self):
        settings = source("neap-sql")["jsonData"]
        self.assertEqual(settings["metadata"], [{"database": settings["dbName"]}])


class Dashboards(TestCase):
    @classmethod
    def setUpClass(cls):
        for database, rows in ROWS.items():
            write_lines(database, *rows)

    def test_are_files_of_the_folder_of_their_provider(self):
        provided = yaml.safe_load((FOLDER / "dashboards/neap.yaml").read_text())["providers"]
        self.assertEqual([it["options"]["path"] for it in provided], ["/etc/grafana/provisioning/dashboards"])
        self.assertEqual(set(DASHBOARDS), {"neap.json", "telegraf.json", "home-assistant.json"})

    def test_have_identifiers_of_their_own(self):
        self.assertEqual(len({it["uid"] for it in DASHBOARDS.values()}), len(DASHBOARDS))
        for name, dashboard in DASHBOARDS.items():
            panels = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(set(panels)), len(panels), name)

    def test_have_panels_beside_each_other(self):
        for name, dashboard in DASHBOARDS.items():
            taken = set()
            for panel in dashboard["panels"]:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24, name)
                columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
                cells = {(column, line) for column in columns for line in lines}
                self.assertFalse(cells & taken, f"{name}: {panel['title']}")
                taken |= cells

    def test_leave_no_word_of_grafana_that_the_tests_do_not_replace(self):
        known = {"$host", "$timeFilter", "$__interval", "$__timeFilter", "$__dateBin"}
        for name in ("telegraf.json", "home-assistant.json"):
            for title, target in targets(DASHBOARDS[name]):
                words = re.findall(r"\$\w+", target.get("query", "") + target.get("rawSql", ""))
                self.assertLessEqual(set(words), known, f"{name}: {title}")

    def test_queries_in_influxql_return_values_of_each_machine(self):
        dashboard = DASHBOARDS["telegraf.json"]
        for title, target in targets(dashboard):
            self.assertEqual(target["datasource"]["uid"], "neap-influxql", title)
            series = influxql(target["query"])
            self.assertEqual({it["tags"]["host"] for it in series}, {"probe-7", "probe-8"}, title)
            for named in re.findall(r"\$tag_(\w+)", target.get("alias", "")):
                self.assertTrue(all(named in it["tags"] for it in series), title)
            self.assertTrue(all(any(row[1] is not None for row in it["values"]) for it in series), title)

    def test_variable_lists_the_machines(self):
        [variable] = DASHBOARDS["telegraf.json"]["templating"]["list"]
        [series] = influxql(variable["query"])
        self.assertEqual(series["values"], [["host", "probe-7"], ["host", "probe-8"]])

    def test_queries_in_sql_return_values_of_each_room(self):
        for title, target in targets(DASHBOARDS["home-assistant.json"]):
            self.assertEqual(target["datasource"]["uid"], "neap-sql", title)
            rows = sql(target["rawSql"])
            self.assertEqual({row["entity_id"].split("_")[0] for row in rows}, {"kitchen", "cellar"}, title)
            self.assertTrue(all(value is not None for row in rows for value in row.values()), title)

    def test_series_in_sql_are_ordered_by_their_time(self):
        for title, target in targets(DASHBOARDS["home-assistant.json"]):
            if target["format"] == "time_series":
                times = [row["time"] for row in sql(target["rawSql"])]
                self.assertEqual(times, sorted(times), title)


if __name__ == "__main__":
    unittest.main()
