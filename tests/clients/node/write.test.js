/**
 * Writes of the JavaScript client of InfluxDB 3, `@influxdata/influxdb3-client`.
 *
 * `write` of lines, points and lists; types of fields; precisions, default tags, gzip, `noSync`, headers, timeouts;
 * errors.
 */

import assert from 'node:assert/strict'
import {describe, test} from 'node:test'
import {HttpError, Point, setLogger} from '@influxdata/influxdb3-client'
import {assertStoredSoon, createReader, sql, withClient} from './server.js'

// Errors are expected.
setLogger({error() {}, warn() {}})

function write(database, data, options, client = {}) {
  return withClient({database, ...client}, (opened) => opened.write(data, undefined, undefined, options))
}

/** Checks that a write fails with a status. */
function refuses(status, message, ...writing) {
  return assert.rejects(write(...writing), (error) => {
    assert.ok(error instanceof HttpError, error)
    assert.equal(error.statusCode, status)
    assert.match(error.message, message)
    return true
  })
}

describe('records', () => {
  test('lines, points and lists of them', async () => {
    const point = (n) => Point.measurement('m').setTag('kind', 'point').setIntegerField('v', n).setTimestamp(`${n}`)
    await write('js-kinds', 'm,kind=line v=1i 1')
    await write('js-kinds', ['m,kind=line v=2i 2', 'm,kind=line v=3i 3'])
    await write('js-kinds', point(4))
    await write('js-kinds', [point(5), point(6)])
    await write('js-kinds', '')
    await write('js-kinds', [])
    const rows = await sql('js-kinds', 'SELECT v FROM m ORDER BY v')
    assert.deepEqual(
      rows.map((row) => row.v),
      [1, 2, 3, 4, 5, 6]
    )
  })

  test('every type of field', async () => {
    const point = Point.measurement('my home')
      .setTag('a tag', 'a=b, c')
      .setFloatField('float', 21.5)
      .setIntegerField('integer', -7)
      .setUintegerField('unsigned', '9007199254740991')
      .setStringField('text', 'say "hi" \\ bye')
      .setBooleanField('boolean', true)
      .setField('field', 1, 'integer')
      .setFields({more: 2.5})
      .setTimestamp(new Date('2024-01-02T03:04:05.678Z'))
    await write('js-types', point)
    const [row] = await sql('js-types', 'SELECT * FROM "my home"')
    assert.deepEqual(row, {
      'a tag': 'a=b, c',
      boolean: true,
      field: 1,
      float: 21.5,
      integer: -7,
      more: 2.5,
      text: 'say "hi" \\ bye',
      time: '2024-01-02T03:04:05.678',
      unsigned: 9007199254740991,
    })
  })

  test('points without a time', async () => {
    await write('js-now', Point.measurement('m').setIntegerField('v', 1))
    await write('js-now', Point.measurement('m').setIntegerField('v', 2).setTimestamp(''))
    const [row] = await sql('js-now', "SELECT count(*) AS n FROM m WHERE time > now() - INTERVAL '10 minutes'")
    assert.ok(row.n >= 1)
  })

  test('the database of a call', async () => {
    await withClient({database: 'js-default'}, (client) => client.write('m v=1i 1', 'js-call', 'any'))
    assert.deepEqual(await sql('js-call', 'SELECT v FROM m'), [{v: 1}])
  })

  test('many lines', async () => {
    await write(
      'js-many-lines',
      Array.from({length: 10000}, (_, n) => `m v=${n}i ${n}`),
      {gzipThreshold: 1000}
    )
    assert.deepEqual(await sql('js-many-lines', 'SELECT count(*) AS n FROM m'), [{n: 10000}])
  })
})

describe('options', () => {
  test('every precision', async () => {
    const times = {s: '1704164645', ms: '1704164645000', us: '1704164645000000', ns: '1704164645000000000'}
    for (const noSync of [false, true]) {
      for (const [precision, time] of Object.entries(times)) {
        await write('js-precisions', `m,p=${precision},n=${noSync} v=1i ${time}`, {precision, noSync})
        await write('js-precisions', `m,p=${precision},n=${noSync},c=client v=1i ${time}`, undefined, {
          writeOptions: {precision, noSync},
        })
      }
    }
    await assertStoredSoon('js-precisions', 'SELECT count(*) AS n FROM m', [{n: 16}])
    assert.deepEqual(await sql('js-precisions', 'SELECT DISTINCT time FROM m'), [{time: '2024-01-02T03:04:05'}])
  })

  test('default tags', async () => {
    const point = () => Point.measurement('m').setTag('own', 'x').setIntegerField('v', 1).setTimestamp('1')
    await write('js-tags', point(), undefined, {writeOptions: {defaultTags: {device: 'client'}}})
    await write('js-tags', point(), {defaultTags: {device: 'call'}})
    const rows = await sql('js-tags', 'SELECT device, own FROM m ORDER BY device')
    assert.deepEqual(rows, [
      {device: 'call', own: 'x'},
      {device: 'client', own: 'x'},
    ])
  })

  test('gzip', async () => {
    for (const gzipThreshold of [0, 10, 1000000]) await write('js-gzip', `m,t=${gzipThreshold} v=1i 1`, {gzipThreshold})
    assert.deepEqual(await sql('js-gzip', 'SELECT count(*) AS n FROM m'), [{n: 3}])
  })

  test('schemes of authorization', async () => {
    for (const authScheme of [undefined, 'Token', 'Bearer']) await write('js-schemes', 'm v=1i 1', {}, {authScheme})
    assert.deepEqual(await sql('js-schemes', 'SELECT count(*) AS n FROM m'), [{n: 1}])
  })

  test('headers and timeouts', async () => {
    await write('js-options', 'm v=1i 1', {headers: {'x-neap-order': 'strict'}, timeout: 60000}, {writeTimeout: 60000})
    assert.deepEqual(await sql('js-options', 'SELECT v FROM m'), [{v: 1}])
  })
})

describe('errors', () => {
  test('of lines', async () => {
    await write('js-errors', 'm v=1i 1')
    await refuses(400, /line 2: field type conflict: input field "v"/, 'js-errors', ['m v=2i 2', 'm v="x" 3'])
    assert.deepEqual(await sql('js-errors', 'SELECT count(*) AS n FROM m'), [{n: 2}])
    await refuses(400, /partial write[^]*line 2/, 'js-errors', ['m v=3i 3', 'm v="x" 4'], {noSync: true})
    await assertStoredSoon('js-errors', 'SELECT count(*) AS n FROM m', [{n: 3}])
  })

  test('of tokens', async () => {
    await refuses(401, /./, 'js-errors', 'm v=1i 1', {}, {token: 'apiv3_wrong'})
    const token = await createReader('js-no-writer', 'js-errors')
    await refuses(403, /./, 'js-errors', 'm v=1i 1', {}, {token})
  })

  test('of clients', async () => {
    await assert.rejects(write('js-errors', 'm v=1i 1', {}, {host: 'http://127.0.0.1:1'}))
    await withClient({database: 'js-errors'}, async (client) => {
      await client.close()
      await assert.rejects(client.write('m v=1i 1'), /closed/)
    })
  })
})
