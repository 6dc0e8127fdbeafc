/**
 * The JavaScript clients of InfluxDB 2 and 3: all methods of `@influxdata/influxdb-client` and
 * `@influxdata/influxdb3-client`.
 */

import assert from 'node:assert/strict'
import {before} from 'node:test'
import {HttpError, InfluxDB, Point} from '@influxdata/influxdb-client'
import {InfluxDBClient} from '@influxdata/influxdb3-client'
import {checkMethods} from './methods.js'
import {TOKEN, URL, collect, sql, withClient, writeLines} from './server.js'

const V2 = '@influxdata/influxdb-client'
const V3 = '@influxdata/influxdb3-client'
const DATABASE = 'js-methods'
const LINES = ['m,t=a v=1i 1', 'm,t=b v=2i 2']
const FLUX = `from(bucket: "${DATABASE}") |> range(start: 0) |> filter(fn: (r) => r._measurement == "m")`
const SQL = 'SELECT t, v FROM m ORDER BY v'
const ROWS = [
  {t: 'a', v: 1},
  {t: 'b', v: 2},
]

before(() => writeLines(DATABASE, ...LINES))

function answerOf(error) {
  return error instanceof HttpError ? `${error.statusCode} ${error.json?.message}` : undefined
}

const influx = new InfluxDB({url: URL, token: TOKEN})
const queries = influx.getQueryApi('works')

function valuesOf(rows) {
  return rows.map(({values, tableMeta}) => tableMeta.toObject(values)._value)
}

/** Returns a promise of what an observer gets. */
function observe(start) {
  const values = []
  return new Promise((resolve, reject) => {
    const next = (row, meta) => values.push(meta ? meta.toObject(row)._value : row)
    start({next, error: reject, complete: () => resolve(values)})
  })
}

function assertLines(lines) {
  assert.ok(lines.some((line) => line.endsWith(',1,v,m,a')), lines.join('\n'))
}

checkMethods({
  library: V2,
  of: 'InfluxDB',
  prototype: InfluxDB.prototype,
  answerOf,
  calls: {
    getQueryApi: () => assert.ok(influx.getQueryApi({org: 'works', gzip: true})),
    getWriteApi: () => assert.ok(influx.getWriteApi('works', DATABASE, 'ms', {gzipThreshold: 1})),
  },
})

checkMethods({
  library: V2,
  of: 'QueryApi',
  prototype: Object.getPrototypeOf(queries),
  // Private in TypeScript.
  internal: ['decorateRequest'],
  answerOf,
  calls: {
    with: async () => assertLines(await queries.with({gzip: true}).collectLines(FLUX)),
    response: async () => assert.deepEqual(valuesOf(await collect(queries.response(FLUX).iterateRows())), [1, 2]),
    iterateLines: async () => assertLines(await collect(queries.iterateLines(FLUX))),
    iterateRows: async () => assert.deepEqual(valuesOf(await collect(queries.iterateRows(FLUX))), [1, 2]),
    lines: async () => assertLines(await observe((observer) => queries.lines(FLUX).subscribe(observer))),
    rows: async () => {
      const rows = await observe((observer) => queries.rows(FLUX).subscribe(observer))
      assert.deepEqual(valuesOf(rows), [1, 2])
    },
    queryLines: async () => assertLines(await observe((observer) => queries.queryLines(FLUX, observer))),
    queryRows: async () => assert.deepEqual(await observe((observer) => queries.queryRows(FLUX, observer)), [1, 2]),
    collectLines: async () => assertLines(await queries.collectLines(FLUX)),
    collectRows: async () => {
      const rows = await queries.collectRows(FLUX)
      assert.deepEqual(rows.map((row) => [row.t, row._value]), [['a', 1], ['b', 2]])
    },
    queryRaw: async () => assertLines((await queries.queryRaw(FLUX)).split('\r\n')),
  },
})

/** Writes to a bucket, and checks its rows. */
async function writes(bucket, write) {
  const api = influx.getWriteApi('works', bucket, 'ns', {maxRetries: 0})
  await write(api)
  await api.close()
  assert.deepEqual(await sql(bucket, SQL), ROWS)
}

const points = ROWS.map(({t, v}) => new Point('m').tag('t', t).intField('v', v).timestamp(String(v)))

checkMethods({
  library: V2,
  of: 'WriteApi',
  prototype: Object.getPrototypeOf(influx.getWriteApi('works', DATABASE)),
  // The requests of the others.
  internal: ['sendBatch'],
  answerOf,
  calls: {
    writeRecord: () => writes('js-record', (api) => LINES.forEach((line) => api.writeRecord(line))),
    writeRecords: () => writes('js-records', (api) => api.writeRecords(LINES)),
    writePoint: () => writes('js-point', (api) => points.forEach((point) => api.writePoint(point))),
    writePoints: () => writes('js-points', (api) => api.writePoints(points)),
    useDefaultTags: () =>
      writes('js-tags', (api) => {
        api.useDefaultTags({t: 'a'}).writePoint(new Point('m').intField('v', 1).timestamp('1'))
        api.writePoint(points[1])
      }),
    convertTime: () =>
      writes('js-times', (api) => {
        assert.match(api.convertTime(new Date(0)), /^0+$/)
        api.writePoints(points)
      }),
    flush: () =>
      writes('js-flush', async (api) => {
        api.writeRecords(LINES)
        await api.flush()
        assert.deepEqual(await sql('js-flush', SQL), ROWS)
      }),
    close: () => writes('js-close', (api) => api.writeRecords(LINES)),
    dispose: async () => {
      const api = influx.getWriteApi('works', DATABASE)
      api.writeRecords(LINES)
      assert.equal(api.dispose(), 2)
    },
  },
})

function ask(work) {
  return withClient({database: DATABASE}, work)
}

checkMethods({
  library: V3,
  of: 'InfluxDBClient',
  prototype: InfluxDBClient.prototype,
  answerOf: () => undefined,
  calls: {
    query: () => ask(async (client) => assert.deepEqual(await collect(client.query(SQL)), ROWS)),
    queryPoints: () =>
      ask(async (client) => {
        const found = await collect(client.queryPoints('SELECT t, v, time FROM m ORDER BY v'))
        assert.deepEqual(
          found.map((point) => [point.getTag('t'), point.getIntegerField('v')]),
          [
            ['a', 1],
            ['b', 2],
          ]
        )
      }),
    write: () =>
      ask(async (client) => {
        await client.write(LINES, 'js-write')
        assert.deepEqual(await sql('js-write', SQL), ROWS)
      }),
    getServerVersion: () => ask(async (client) => assert.match(await client.getServerVersion(), /^\d+\.\d+\.\d+/)),
    close: () => new InfluxDBClient({host: URL, token: TOKEN, database: DATABASE}).close(),
  },
})
