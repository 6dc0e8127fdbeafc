"""The expressions of dashboards for Prometheus's node exporter, answered by Neap as by Prometheus.

NEAP_PROMETHEUS and NEAP_NODE_EXPORTER are programs, for example those of Debian's packages `prometheus` and
`prometheus-node-exporter`. Prometheus scrapes the exporter and writes to Neap. The expressions are those of
`node_exporter_expressions.txt`: of the overview, and of panels for processors, memory, network, disks and the system.
"""

import os
import pathlib
import tempfile
import time
import unittest
import urllib.parse

from compare_promql import Tolerance, difference, is_empty, labels_of
from prometheus_server import PATIENCE, Program, PromqlApi, free_port, start_prometheus
from promql_requests import Request

PROMETHEUS, EXPORTER = os.environ.get("NEAP_PROMETHEUS"), os.environ.get("NEAP_NODE_EXPORTER")
NEAP_URL, TOKEN = os.environ.get("NEAP_URL", ""), os.environ.get("NEAP_TOKEN", "")
DATABASE = "node_exporter"
EXPRESSIONS = pathlib.Path(__file__).parent / "node_exporter_expressions.txt"
# Seconds of scrapes: before the first evaluation, and those of all evaluations.
BEFORE, EVALUATED = 8, 8
# The range of a rate, less than the seconds before the first evaluation.
RANGE = "5s"
# The least number of expressions that have values on any machine.
ANSWERED = 100

CONFIGURATION = """\
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["{target}"]
remote_write:
  - url: "{neap}/api/v1/write?db={database}"
    authorization:
      credentials: "{token}"
    queue_config:
      max_shards: 2
      batch_send_deadline: 200ms
"""


def expressions(instance):
    """The expressions about a machine."""
    lines = EXPRESSIONS.read_text().splitlines()
    texts = [line for line in lines if line and not line.startswith("#")]
    return [text.replace("$node", f'instance="{instance}",job="node"').replace("$range", RANGE) for text in texts]


def counts_of_samples(answer):
    """The number of samples of each series."""
    return {labels_of(one): len(one["values"]) for one in answer.get("data", {}).get("result", [])}


@unittest.skipUnless(PROMETHEUS and EXPORTER, "NEAP_PROMETHEUS and NEAP_NODE_EXPORTER name no programs")
class NodeExporter(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.target = f"127.0.0.1:{free_port()}"
        exporter = Program(
            cls.folder.name, "exporter", f"http://{cls.target}/metrics", EXPORTER, f"--web.listen-address={cls.target}",
            "--collector.interrupts", "--collector.tcpstat",
        )
        cls.addClassCleanup(exporter.stop)
        configuration = CONFIGURATION.format(target=cls.target, neap=NEAP_URL, database=DATABASE, token=TOKEN)
        program, address = start_prometheus(PROMETHEUS, cls.folder.name, configuration=configuration)
        cls.addClassCleanup(program.stop)
        cls.prometheus = PromqlApi(address)
        cls.neap = PromqlApi(urllib.parse.urlsplit(NEAP_URL).netloc, "/prometheus", database=DATABASE, token=TOKEN)
        cls.last = cls.time_after_scrapes(BEFORE + EVALUATED)
        cls.wait_for_all_samples()

    @classmethod
    def time_after_scrapes(cls, count):
        """Waits for scrapes. Returns a time that is no whole number of seconds after any of them: all are about as many
        milliseconds after a second."""
        query = {"query": f'up{{instance="{cls.target}"}}[10m]'}
        for _ in range(PATIENCE * 5):
            _, answer = cls.prometheus.answer("query", query)
            found = answer["data"]["result"]
            if found and len(found[0]["values"]) >= count:
                return found[0]["values"][-1][0] + 0.5
            time.sleep(0.2)
        raise AssertionError(f"not {count} scrapes after {PATIENCE} s")

    @classmethod
    def wait_for_all_samples(cls):
        """Waits until Neap has all samples up to the last evaluation."""
        query = {"query": '{job="node"}[5m]', "time": cls.last}
        for _ in range(PATIENCE * 5):
            answers = [api.answer("query", query)[1] for api in (cls.prometheus, cls.neap)]
            counts = [counts_of_samples(answer) for answer in answers]
            if counts[0] == counts[1]:
                return
            time.sleep(0.2)
        raise AssertionError(f"Neap does not have the samples of Prometheus after {PATIENCE} s: {str(answers[1])[:1_000]}")

    def requests(self, text):
        yield Request("query", "POST", query=text, time=self.last)
        yield Request("query_range", "GET", query=text, start=self.last - EVALUATED, end=self.last, step=1)

    def test_expressions_of_dashboards_are_answered_as_by_prometheus(self):
        answered = 0
        for text in expressions(self.target):
            for request in self.requests(text):
                with self.subTest(request.path, expression=text):
                    _, expected = self.prometheus.answer(request.path, request.parameters, request.method)
                    self.assertEqual(expected["status"], "success", expected)
                    _, found = self.neap.answer(request.path, request.parameters, request.method)
                    self.assertEqual(found["status"], "success", found)
                    self.assertIsNone(difference(request, expected["data"], found["data"], Tolerance()))
            answered += not is_empty(expected)
        self.assertGreaterEqual(answered, ANSWERED)


if __name__ == "__main__":
    unittest.main()
