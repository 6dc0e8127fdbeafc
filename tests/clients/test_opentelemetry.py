"""The OpenTelemetry SDK: metrics, traces and logs over HTTP and gRPC."""

import gzip
import json
import logging
import unittest
import urllib.parse

import grpc
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.trace import Link, SpanKind, StatusCode
from server import DEFAULT_DATABASE, TOKEN, URL, TestCase, request, sql

RESOURCE = Resource({"service.name": "shop", "host.name": "a"})
HOUR_MS = 3_600_000


class Transport:
    """How the exporters of a test case reach the server."""

    def headers(self, database, token=TOKEN, **more):
        return {"authorization": f"Bearer {token}", "database": database, **more}


class Http(Transport):
    def options(self, signal, database, **more):
        return {
            "endpoint": f"{URL}/v1/{signal}",
            "headers": self.headers(database, **more),
            "compression": Compression.Gzip,
            "timeout": 10,
        }

    span_exporter, log_exporter, metric_exporter = HttpSpanExporter, HttpLogExporter, HttpMetricExporter


class Grpc(Transport):
    def options(self, signal, database, **more):
        return {
            "endpoint": URL,
            "insecure": True,
            "headers": self.headers(database, **more),
            "compression": grpc.Compression.Gzip,
            "timeout": 10,
        }

    span_exporter, log_exporter, metric_exporter = GrpcSpanExporter, GrpcLogExporter, GrpcMetricExporter


def rows(database, query):
    """Returns the rows of an answer, with the JSON in them parsed."""
    found = sql(database, query)
    for row in found:
        for name in ("attributes", "positive_bucket_counts"):
            if name in row:
                row[name] = json.loads(row[name])
    return found


class Signals:
    """The tests of a transport."""

    def metrics(self, database, measure, views=(), temporality=None, **headers):
        """Calls a function with a meter, and exports what it measures."""
        exporter = self.metric_exporter(
            **self.options("metrics", database, **headers), preferred_temporality=temporality
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=HOUR_MS)
        provider = MeterProvider(
            [reader], resource=RESOURCE, views=views, exemplar_filter=AlwaysOnExemplarFilter()
        )
        measure(provider.get_meter("meter", "1.5"))
        # Exports once.
        provider.shutdown()

    def test_metrics_are_tables(self):
        database = f"metrics-{self.name}"

        def measure(meter):
            meter.create_counter("orders").add(3, {"region": "eu"})
            meter.create_up_down_counter("queue.size").add(-2)
            meter.create_gauge("temperature").set(21.5, {"room": 1})
            seconds = meter.create_histogram("seconds", explicit_bucket_boundaries_advisory=[0.5, 1])
            for value in (0.25, 0.75, 2):
                seconds.record(value)

        self.metrics(database, measure)
        source = {
            "host.name": "a",
            "otel.library.name": "meter",
            "otel.library.version": "1.5",
            "service.name": "shop",
        }
        tags = '"host.name", "otel.library.name", "otel.library.version", "service.name"'
        self.assertStored(database, f"SELECT {tags}, region, counter FROM orders", [{**source, "region": "eu", "counter": 3}])
        self.assertStored(database, f'SELECT {tags}, gauge FROM "queue.size"', [{**source, "gauge": -2}])
        self.assertStored(database, f"SELECT {tags}, room, gauge FROM temperature", [{**source, "room": "1", "gauge": 21.5}])
        self.assertStored(
            database,
            'SELECT count, sum, min, max, "0.5", "1", "+Inf" FROM seconds',
            [{"count": 3, "sum": 3, "min": 0.25, "max": 2, "0.5": 1, "1": 2, "+Inf": 3}],
        )
        self.assertStored(database, "SELECT gauge FROM temperature_exemplar", [{"gauge": 21.5}])
        query = "SELECT count(*) AS n FROM orders WHERE start_time_unix_nano > 1e18 AND time > now() - INTERVAL '1 minute'"
        self.assertStored(database, query, [{"n": 1}])

    def test_changes_are_gauges_and_exponential_histograms_have_lists(self):
        database = f"delta-{self.name}"

        def measure(meter):
            meter.create_counter("orders").add(3)
            latency = meter.create_histogram("latency")
            for value in (1, 2, 4):
                latency.record(value)

        views = [View(instrument_name="latency", aggregation=ExponentialBucketHistogramAggregation(max_scale=0))]
        delta = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
        self.metrics(database, measure, views, delta)
        self.assertStored(database, "SELECT gauge FROM orders", [{"gauge": 3}])
        found = rows(
            database, "SELECT count, sum, scale, zero_count, positive_offset, positive_bucket_counts FROM latency"
        )
        expected = {"count": 3, "sum": 7, "scale": 0, "zero_count": 0, "positive_offset": -1}
        # The SDK sends an empty bucket at the end.
        self.assertEqual(found, [{**expected, "positive_bucket_counts": [1, 1, 1, 0]}])

    def test_metrics_may_be_fields_of_one_table(self):
        database = f"fields-{self.name}"
        schema = {"x-neap-metrics-schema": "prometheus-v2"}
        self.metrics(database, lambda meter: meter.create_counter("orders").add(3), **schema)
        self.assertStored(database, "SELECT orders FROM prometheus", [{"orders": 3}])

    def test_spans_with_events_and_links(self):
        database = f"traces-{self.name}"
        provider = TracerProvider(resource=RESOURCE)
        provider.add_span_processor(SimpleSpanProcessor(self.span_exporter(**self.options("traces", database))))
        tracer = provider.get_tracer("tracer")
        with tracer.start_as_current_span("parent", kind=SpanKind.SERVER) as parent:
            parent.set_attributes({"http.status": 404, "list": ["a", "b"], "ok": False, "ratio": 0.5})
            parent.set_status(StatusCode.ERROR, "not found")
            parent.add_event("retry", {"attempt": 2})
            with tracer.start_as_current_span("child", links=[Link(parent.get_span_context(), {"why": "x"})]):
                pass
        provider.shutdown()
        context = parent.get_span_context()
        trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        found = rows(
            database,
            'SELECT trace_id, span_id, "service.name", "span.name", "span.kind", parent_span_id, "otel.status_code", '
            '"otel.status_description", attributes FROM spans ORDER BY "span.name"',
        )
        child_id = found[0]["span_id"]
        source = {"host.name": "a"}
        self.assertEqual(
            found,
            [
                {
                    "trace_id": trace_id,
                    "span_id": child_id,
                    "service.name": "shop",
                    "span.name": "child",
                    "span.kind": "Internal",
                    "parent_span_id": span_id,
                    "attributes": found[0]["attributes"],
                },
                {
                    "trace_id": trace_id,
                    "span_id": span_id,
                    "service.name": "shop",
                    "span.name": "parent",
                    "span.kind": "Server",
                    "otel.status_code": "Error",
                    "otel.status_description": "not found",
                    "attributes": found[1]["attributes"],
                },
            ],
        )
        attributes = {**source, "http.status": 404, "list": ["a", "b"], "ok": False, "ratio": 0.5}
        self.assertEqual(attributes | found[1]["attributes"], found[1]["attributes"])
        query = "SELECT count(*) AS n FROM spans WHERE duration_nano >= 0 AND end_time_unix_nano > 1e18"
        self.assertStored(database, query, [{"n": 2}])
        events = rows(database, 'SELECT trace_id, span_id, "event.name", attributes FROM logs')
        event = {"trace_id": trace_id, "span_id": span_id, "event.name": "retry", "attributes": {"attempt": 2}}
        self.assertEqual(events, [event])
        links = rows(database, 'SELECT span_id, linked_trace_id, linked_span_id, attributes FROM "span-links"')
        link = {"span_id": child_id, "linked_trace_id": trace_id, "linked_span_id": span_id, "attributes": {"why": "x"}}
        self.assertEqual(links, [link])

    def test_log_records(self):
        database = f"logs-{self.name}"
        provider = LoggerProvider(resource=RESOURCE)
        exporter = self.log_exporter(**self.options("logs", database))
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
        logger = provider.get_logger("logger")
        for number, body in enumerate(["text", {"b": 1, "a": [True]}]):
            logger.emit(
                LogRecord(
                    timestamp=1_700_000_000_000_000_000 + number,
                    observed_timestamp=1_700_000_000_000_000_007,
                    severity_number=SeverityNumber.WARN,
                    severity_text="WARN",
                    body=body,
                    attributes={"n": number},
                    event_name="changed",
                )
            )
        provider.shutdown()
        found = rows(
            database,
            'SELECT time, "service.name", severity_number, severity_text, body, "event.name", observed_time_unix_nano, '
            "attributes FROM logs ORDER BY time",
        )
        common = {
            "service.name": "shop",
            "severity_number": 13,
            "severity_text": "WARN",
            "event.name": "changed",
            "observed_time_unix_nano": 1_700_000_000_000_000_007,
        }
        for number, (row, body) in enumerate(zip(found, ["text", '{"a":[true],"b":1}'], strict=True)):
            attributes = row.pop("attributes")
            self.assertEqual((attributes["n"], attributes["host.name"]), (number, "a"))
            times = ["2023-11-14T22:13:20", "2023-11-14T22:13:20.000000001"]
            self.assertEqual(row, {**common, "body": body, "time": times[number]})

    def test_a_wrong_token(self):
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        exporter = self.span_exporter(**self.options("traces", f"secret-{self.name}", token="wrong"))
        span = TracerProvider().get_tracer("tracer").start_span("s")
        span.end()
        self.assertEqual(exporter.export([span]), SpanExportResult.FAILURE)
        exporter.shutdown()


class OverHttp(Signals, Http, TestCase):
    name = "http"


class OverGrpc(Signals, Grpc, TestCase):
    name = "grpc"


class Json(TestCase):
    """Requests in JSON, which the SDK for Python does not send."""

    def post(self, signal, body, query="", **headers):
        text = json.dumps(body) if isinstance(body, dict) else body
        headers = {"Content-Type": "application/json", **headers}
        status, _, answer = request("POST", f"/v1/{signal}{query}", text, headers)
        return status, json.loads(answer)

    def logs(self, *records):
        return {"resourceLogs": [{"scopeLogs": [{"logRecords": list(records)}]}]}

    def test_refused_records_are_counted(self):
        records = [{"timeUnixNano": "1", "body": {"stringValue": "good"}}, {"traceId": "xyz"}]
        status, answer = self.post("logs", self.logs(*records), "?db=otlp-json")
        self.assertEqual((status, answer["partialSuccess"]["rejectedLogRecords"]), (200, "1"))
        self.assertStored("otlp-json", "SELECT body FROM logs", [{"body": "good"}])

    def test_the_default_database(self):
        record = {"timeUnixNano": 1, "body": {"stringValue": "default"}}
        self.assertEqual(self.post("logs", self.logs(record)), (200, {}))
        self.assertStored(DEFAULT_DATABASE, "SELECT body FROM logs", [{"body": "default"}])

    def test_compressed_bodies(self):
        record = {"timeUnixNano": 1, "body": {"stringValue": "zipped"}}
        body = gzip.compress(json.dumps(self.logs(record)).encode())
        answer = self.post("logs", body, "?db=otlp-gzip", **{"Content-Encoding": "gzip"})
        self.assertEqual(answer, (200, {}))
        self.assertStored("otlp-gzip", "SELECT body FROM logs", [{"body": "zipped"}])

    def test_dimensions_are_tags(self):
        attributes = [{"key": name, "value": {"stringValue": name}} for name in ("a b", "c")]
        record = {"timeUnixNano": 1, "body": {"stringValue": "x"}, "attributes": attributes}
        names = urllib.parse.quote("a b")
        answer = self.post("logs", self.logs(record), f"?db=otlp-tags&log_record_dimensions={names}")
        self.assertEqual(answer, (200, {}))
        found = sql("otlp-tags", 'SELECT "a b", attributes FROM logs')
        self.assertEqual(found, [{"a b": "a b", "attributes": '{"c":"c"}'}])

    def test_malformed_requests(self):
        status, answer = self.post("traces", '{"resourceSpans": 7}', "?db=otlp-json")
        self.assertEqual((status, answer["code"]), (400, 3))
        self.assertEqual(answer["details"][0]["fieldViolations"][0]["field"], "resourceSpans")


class CollectorInfluxDbExporter(TestCase):
    """Requests of the InfluxDB exporter of the OpenTelemetry Collector, as its source composes them."""

    LINES = (
        "cpu_temp,foo=bar,service.name=shop gauge=87.332,start_time_unix_nano=1395066363000000001i 1395066363000000123\n"
        "seconds,otel.library.name=My\\ Library +Inf=3,0.5=1,1=2,count=3,max=2,min=0.25,sum=3 1395066363000000123\n"
        'spans,service.name=shop,span_id=0102030405060708,trace_id=0102030405060708090a0b0c0d0e0f10 '
        'attributes="{\\"a\\":\\"b \\\\\\"c\\\\\\"\\"}",duration_nano=10i,dropped_events_count=1u,span.name="GET /" '
        "1395066363000000123\n"
    )

    def write(self, path, **headers):
        headers = {"User-Agent": "OpenTelemetry -> Influx", "Content-Type": "", **headers}
        return request("POST", path, gzip.compress(self.LINES.encode()), {"Content-Encoding": "gzip", **headers})

    def assertWritten(self, database):
        self.assertStored(database, 'SELECT foo, gauge FROM cpu_temp', [{"foo": "bar", "gauge": 87.332}])
        self.assertStored(database, 'SELECT "0.5", "+Inf" FROM seconds', [{"0.5": 1, "+Inf": 3}])
        found = sql(database, 'SELECT attributes, dropped_events_count FROM spans')
        self.assertEqual(found, [{"attributes": '{"a":"b \\"c\\""}', "dropped_events_count": 1}])

    def test_version_2(self):
        path = "/api/v2/write?bucket=collector-2&org=my-org&precision=ns"
        status, _, text = self.write(path, Authorization=f"Token {TOKEN}")
        self.assertEqual((status, text), (204, ""))
        self.assertWritten("collector-2")

    def test_version_1(self):
        status, _, text = self.write("/write?db=collector-1&precision=ns")
        self.assertEqual((status, text), (204, ""))
        self.assertWritten("collector-1")


if __name__ == "__main__":
    unittest.main()
