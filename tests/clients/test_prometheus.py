"""Prometheus itself: remote write and remote read, with a restart of the server in the middle.

NEAP_PROMETHEUS is the program `prometheus`, for example that of Debian's package `prometheus`, and NEAP_BINARY the
program `neap`. One Prometheus scrapes a target and writes to Neap. Another one, without samples of its own, reads them
from Neap. Both must answer the same.
"""

import http.server
import json
import math
import os
import pathlib
import signal
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from prometheus_server import PATIENCE, Program, free_port

PROMETHEUS = os.environ.get("NEAP_PROMETHEUS")
NEAP = os.environ.get("NEAP_BINARY")
DATABASE = "prometheus"

EXPOSITION = """\
# HELP requests Number of requests.
# TYPE requests counter
requests_total{{path="/",code="200"}} {count}
requests_total{{path="/\\"quoted\\" 'text'",code="404"}} {half} # {{trace_id="abc"}} 1.0
# HELP temperature_celsius Temperature.
# TYPE temperature_celsius gauge
# UNIT temperature_celsius celsius
temperature_celsius{{value="x",time="noon",Zone="z"}} {wave}
temperature_celsius{{room="é"}} NaN
temperature_celsius{{room="sun"}} +Inf
temperature_celsius{{room="void"}} -Inf
# TYPE duration_seconds histogram
duration_seconds_bucket{{le="0.1"}} {half}
duration_seconds_bucket{{le="1.0"}} {count}
duration_seconds_bucket{{le="+Inf"}} {count}
duration_seconds_sum {sum}
duration_seconds_count {count}
# TYPE latency_seconds summary
latency_seconds{{quantile="0.9"}} NaN
latency_seconds_sum {sum}
latency_seconds_count {count}
{flapping}# EOF
"""


class Target(http.server.BaseHTTPRequestHandler):
    """A target whose samples change with each scrape. One series comes and goes."""

    scrapes = 0

    def do_GET(self):
        Target.scrapes += 1
        count = Target.scrapes
        text = EXPOSITION.format(
            count=count,
            half=count // 2,
            wave=math.sin(count),
            sum=count / 3,
            flapping=f"flapping {count}\n" if count // 3 % 2 else "",
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.loads(answer.read())


CONFIGURATION = """\
global:
  scrape_interval: 1s
  external_labels:
    replica: one
"""

SCRAPE = """\
scrape_configs:
  - job_name: target
    static_configs:
      - targets: ["127.0.0.1:{target}"]
remote_write:
  - url: "{neap}/api/v1/write?db={database}"
    send_exemplars: true
    queue_config:
      max_shards: 2
      batch_send_deadline: 200ms
      max_backoff: 1s
    metadata_config:
      send: true
      send_interval: 1s
"""

READ = """\
remote_read:
  - url: "{neap}/api/v1/read?db={database}"
    read_recent: true
"""


@unittest.skipUnless(PROMETHEUS and NEAP, "NEAP_PROMETHEUS and NEAP_BINARY name no programs")
class Prometheus(unittest.TestCase):
    maxDiff = 4_000

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.programs = []
        cls.target = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
        threading.Thread(target=cls.target.serve_forever, daemon=True).start()
        port = free_port()
        cls.neap_url = f"http://127.0.0.1:{port}"
        cls.neap = cls.run_program(
            "neap", f"{cls.neap_url}/health", NEAP, "serve", "--without-auth", "--http-bind", f"127.0.0.1:{port}",
            "--object-store", "file", "--data-dir", f"{cls.folder.name}/data", "--node-id", "n",
        )
        cls.writer = cls.prometheus("writer", SCRAPE)

    @classmethod
    def run_program(cls, name, ready, *command):
        program = Program(cls.folder.name, name, ready, *command)
        cls.programs.append(program)
        return program

    @classmethod
    def prometheus(cls, name, configuration):
        file = pathlib.Path(cls.folder.name, f"{name}.yml")
        text = configuration.format(target=cls.target.server_port, neap=cls.neap_url, database=DATABASE)
        file.write_text(CONFIGURATION + text)
        url = f"http://127.0.0.1:{free_port()}"
        program = cls.run_program(
            name, f"{url}/-/ready", PROMETHEUS, f"--config.file={file}",
            f"--storage.tsdb.path={cls.folder.name}/{name}", f"--web.listen-address={url.removeprefix('http://')}",
            "--enable-feature=exemplar-storage", "--storage.remote.flush-deadline=30s",
        )
        program.url = url
        return program

    @classmethod
    def tearDownClass(cls):
        for program in cls.programs:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        cls.target.shutdown()
        cls.target.server_close()
        cls.folder.cleanup()

    def wait_for(self, what, condition):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.2)
        logs = [program.log.read_text()[-3_000:] for program in self.programs]
        self.fail(f"{what}\n" + "\n----\n".join(logs))

    def wait_for_scrapes(self, count):
        end = Target.scrapes + count
        self.wait_for("scrapes", lambda: Target.scrapes >= end)

    def answer(self, program, path, **params):
        answer = get(f"{program.url}/api/v1/{path}?{urllib.parse.urlencode(params)}")
        self.assertEqual(answer["status"], "success")
        self.assertNotIn("warnings", answer)
        result = answer["data"]["result"] if "result" in answer["data"] else answer["data"]
        return sorted(result, key=json.dumps)

    def pending_samples(self):
        text = urllib.request.urlopen(f"{self.writer.url}/metrics", timeout=30).read().decode()
        lines = [line for line in text.splitlines() if line.startswith("prometheus_remote_storage_samples_")]
        values = {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}
        self.assertEqual(values["prometheus_remote_storage_samples_failed_total"], 0)
        self.assertEqual(values["prometheus_remote_storage_samples_dropped_total"], 0)
        return values["prometheus_remote_storage_samples_pending"]

    def test_queries_over_remote_read_have_the_answers_of_local_ones(self):
        self.wait_for_scrapes(8)
        # The server is killed, and Prometheus keeps what was not acknowledged.
        self.neap.stop(signal.SIGKILL)
        self.wait_for_scrapes(4)
        self.neap.start()
        self.wait_for_scrapes(8)
        # After the last scrape, all samples arrive.
        self.target.shutdown()
        self.target.server_close()
        last = time.time()
        self.wait_for(
            "the samples of the last scrape",
            lambda: self.answer(self.writer, "query", query="up == 0 or absent(up)") and self.pending_samples() == 0,
        )
        time.sleep(3)
        reader = self.prometheus("reader", READ)
        for path, params in self.queries(last):
            local = self.answer(self.writer, path, **params)
            # External labels are added to what is written, and taken away from what is read.
            self.assertEqual(self.answer(reader, path, **params), local, params)
            if params["query"].endswith("[2m]") or path == "query_range":
                self.assertTrue(local, params)

    def queries(self, last):
        raw = [
            '{__name__=~".+"}',
            'requests_total{code=~"2.*|x"}',
            'temperature_celsius{room=""}',
            'temperature_celsius{room!="é"}',
            'temperature_celsius{Zone!~"a|b"}',
            'duration_seconds_bucket{le="+Inf"}',
            '{job="target",__name__!="up"}',
            "flapping",
        ]
        for selector in raw:
            yield "query", {"query": f"{selector}[2m]", "time": last}
            yield "query", {"query": selector, "time": last - 5}
        graphs = [
            "sum(rate(requests_total[5s])) by (path)",
            "sum(up)",
            "histogram_quantile(0.9, rate(duration_seconds_bucket[5s]))",
            "temperature_celsius offset 2s",
            "flapping",
            "count({__name__=~'.+'}) by (__name__)",
        ]
        for graph in graphs:
            yield "query_range", {"query": graph, "start": last - 15, "end": last, "step": 1}

    def test_neap_lists_labels_and_descriptions(self):
        self.wait_for("metadata", lambda: "requests_total" in self.names())
        self.wait_for("metadata", lambda: "requests" in str(self.neap_list("metadata")))
        self.assertEqual(self.neap_list("label/job/values"), ["target"])
        self.assertIn("time", self.neap_list("labels"))

    def test_neap_lists_exemplars(self):
        self.wait_for("samples", lambda: "requests_total" in self.names())
        query = urllib.parse.urlencode({"db": DATABASE, "query": "rate(requests_total[5m])"})
        url = f"{self.neap_url}/api/v1/query_exemplars?{query}"
        self.wait_for("an exemplar", lambda: get(url)["data"])
        [series] = get(url)["data"]
        self.assertEqual(series["seriesLabels"]["code"], "404")
        exemplar = series["exemplars"][0]
        self.assertEqual((exemplar["labels"], exemplar["value"]), ({"trace_id": "abc"}, "1"))

    def neap_list(self, path):
        return get(f"{self.neap_url}/api/v1/{path}?db={DATABASE}")["data"]

    def names(self):
        try:
            return self.neap_list("label/__name__/values")
        except urllib.error.HTTPError:
            return []


if __name__ == "__main__":
    unittest.main()
