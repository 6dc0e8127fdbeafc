/** The OpenTelemetry SDK for JavaScript: JSON and protobuf over HTTP, and gRPC. */

import assert from 'node:assert/strict'
import {after, test} from 'node:test'
import {Metadata} from '@grpc/grpc-js'
import {SpanStatusCode, TraceFlags} from '@opentelemetry/api'
import {SeverityNumber} from '@opentelemetry/api-logs'
import {OTLPLogExporter} from '@opentelemetry/exporter-logs-otlp-http'
import {OTLPMetricExporter} from '@opentelemetry/exporter-metrics-otlp-proto'
import {OTLPTraceExporter as GrpcTraceExporter} from '@opentelemetry/exporter-trace-otlp-grpc'
import {OTLPTraceExporter as HttpTraceExporter} from '@opentelemetry/exporter-trace-otlp-http'
import {resourceFromAttributes} from '@opentelemetry/resources'
import {BatchLogRecordProcessor, LoggerProvider} from '@opentelemetry/sdk-logs'
import {MeterProvider, PeriodicExportingMetricReader} from '@opentelemetry/sdk-metrics'
import {BasicTracerProvider, SimpleSpanProcessor} from '@opentelemetry/sdk-trace-base'
import {TOKEN, URL, sql} from './server.js'

const resource = resourceFromAttributes({'service.name': 'shop', 'process.pid': 17})

function options(signal, database) {
  const headers = {authorization: `Bearer ${TOKEN}`, database}
  return {url: `${URL}/v1/${signal}`, headers, compression: 'gzip', timeoutMillis: 10_000}
}

function metadata(database) {
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${TOKEN}`)
  metadata.set('database', database)
  return metadata
}

const exporters = {
  json: (database) => new HttpTraceExporter(options('traces', database)),
  grpc: (database) =>
    new GrpcTraceExporter({url: URL, metadata: metadata(database), timeoutMillis: 10_000}),
}

for (const [name, exporter] of Object.entries(exporters)) {
  test(`spans over ${name}`, async () => {
    const database = `node-traces-${name}`
    const spanProcessors = [new SimpleSpanProcessor(exporter(database))]
    const provider = new BasicTracerProvider({resource, spanProcessors})
    const span = provider.getTracer('tracer').startSpan('work', {
      attributes: {flag: true, list: [1, 2]},
      links: [{context: {traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: TraceFlags.SAMPLED}}],
    })
    span.addEvent('step', {n: 1.5})
    span.setStatus({code: SpanStatusCode.OK})
    span.end()
    await provider.forceFlush()
    await provider.shutdown()
    const {traceId, spanId} = span.spanContext()
    const columns = 'trace_id, span_id, "service.name", "span.name", "span.kind", "otel.status_code", attributes'
    const [row, ...others] = await sql(database, `SELECT ${columns} FROM spans`)
    const attributes = JSON.parse(row.attributes)
    assert.deepEqual(others, [])
    assert.deepEqual(
      {...row, attributes: {flag: attributes.flag, list: attributes.list, pid: attributes['process.pid']}},
      {
        trace_id: traceId,
        span_id: spanId,
        'service.name': 'shop',
        'span.name': 'work',
        'span.kind': 'Internal',
        'otel.status_code': 'Ok',
        attributes: {flag: true, list: [1, 2], pid: 17},
      },
    )
    const events = await sql(database, 'SELECT span_id, "event.name", attributes FROM logs')
    assert.deepEqual(events, [{span_id: spanId, 'event.name': 'step', attributes: '{"n":1.5}'}])
    const links = await sql(database, 'SELECT linked_trace_id, linked_span_id FROM "span-links"')
    assert.deepEqual(links, [{linked_trace_id: 'a'.repeat(32), linked_span_id: 'b'.repeat(16)}])
  })
}

test('log records in JSON', async () => {
  const database = 'node-logs'
  const processors = [new BatchLogRecordProcessor({exporter: new OTLPLogExporter(options('logs', database))})]
  const provider = new LoggerProvider({resource, processors})
  const logger = provider.getLogger('logger')
  const timestamp = new Date('2024-01-01T00:00:00Z')
  // They have the same time, and are kept, because they are in one request.
  for (const body of ['a', 'b', {c: [1, null]}]) {
    logger.emit({timestamp, body, severityNumber: SeverityNumber.INFO, severityText: 'INFO', attributes: {k: 'v'}})
  }
  await provider.forceFlush()
  await provider.shutdown()
  const rows = await sql(database, 'SELECT time, body, severity_number, severity_text FROM logs ORDER BY time')
  const common = {severity_number: 9, severity_text: 'INFO'}
  assert.deepEqual(rows, [
    {...common, body: 'a', time: '2024-01-01T00:00:00'},
    {...common, body: 'b', time: '2024-01-01T00:00:00.000000001'},
    {...common, body: '{"c":[1,null]}', time: '2024-01-01T00:00:00.000000002'},
  ])
})

test('metrics in protobuf', async () => {
  const database = 'node-metrics'
  const exporter = new OTLPMetricExporter(options('metrics', database))
  const reader = new PeriodicExportingMetricReader({exporter, exportIntervalMillis: 3_600_000})
  const provider = new MeterProvider({resource, readers: [reader]})
  after(() => provider.shutdown())
  const meter = provider.getMeter('meter', '2.0')
  meter.createCounter('orders').add(4, {region: 'eu'})
  meter.createCounter('weight').add(1.5)
  const histogram = meter.createHistogram('size', {advice: {explicitBucketBoundaries: [10, 100]}})
  for (const value of [5, 50, 500]) histogram.record(value)
  await provider.forceFlush()
  const tags = '"service.name", "otel.library.version", region'
  assert.deepEqual(await sql(database, `SELECT ${tags}, counter FROM orders`), [
    {'service.name': 'shop', 'otel.library.version': '2.0', region: 'eu', counter: 4},
  ])
  assert.deepEqual(await sql(database, 'SELECT counter FROM weight'), [{counter: 1.5}])
  assert.deepEqual(await sql(database, 'SELECT count, sum, "10", "100", "+Inf" FROM size'), [
    {count: 3, sum: 555, 10: 1, 100: 2, '+Inf': 3},
  ])
})
