/**
 * Queries of the JavaScript client of InfluxDB 3, `@influxdata/influxdb3-client`.
 *
 * `query`, `queryPoints`, parameters, InfluxQL, headers, timeouts, connection strings, the environment, errors,
 * large and abandoned answers.
 */

import assert from 'node:assert/strict'
import {before, describe, test} from 'node:test'
import {InfluxDBClient, Point, PointValues, collectAll} from '@influxdata/influxdb3-client'
import {TOKEN, URL, collect, createReader, sql, withClient, writeLines} from './server.js'

const DATABASE = 'js-queries'
const QUERY = 'SELECT * FROM home ORDER BY room'
/** 2022-01-01T08:00:00Z in milliseconds. */
const TIME = 1641024000000

before(() =>
  writeLines(
    DATABASE,
    'home,room=Attic temp=20.5,co=8i,count=5u,open=false,note="a \\"quoted\\" text" 1641024001000000000',
    'home,room=Kitchen temp=21.5,co=-7i,count=18446744073709551615u,open=true 1641024000000000000'
  )
)

function ask(query, options) {
  return withClient({database: DATABASE}, (client) => collect(client.query(query, undefined, options)))
}

function points(query, options) {
  return withClient({database: DATABASE}, (client) => collect(client.queryPoints(query, undefined, options)))
}

/** Checks that a query fails with a code of gRPC. */
function refuses(query, code, options = {}, database = DATABASE) {
  const failing = withClient({database, ...options.client}, (client) =>
    collect(client.query(query, undefined, options.query))
  )
  return assert.rejects(failing, (error) => {
    assert.equal(error.code, code, error.message)
    return true
  })
}

describe('query', () => {
  // The client returns unsigned values as they are, with a warning.
  test('has the type of each column', async () => {
    const rows = await ask(QUERY)
    const attic = {co: 8, count: 5n, note: 'a "quoted" text', open: false, room: 'Attic', temp: 20.5, time: TIME + 1000}
    const kitchen = {
      co: -7,
      count: 18446744073709551615n,
      note: null,
      open: true,
      room: 'Kitchen',
      temp: 21.5,
      time: TIME,
    }
    assert.deepEqual(rows, [attic, kitchen])
  })

  test('answers without rows', async () => {
    assert.deepEqual(await ask("SELECT * FROM home WHERE room = 'nowhere'"), [])
  })

  test('computes', async () => {
    const [row] = await ask(
      'SELECT count(*) AS n, max(temp) AS m, upper(max(room)) AS r, 1 = 1 AS b, NULL AS e FROM home'
    )
    assert.deepEqual({...row, n: Number(row.n)}, {n: 2, m: 21.5, r: 'KITCHEN', b: true, e: null})
  })

  test('takes the database of a call', async () => {
    await writeLines('js-other', 'm v=1i 1')
    const rows = await withClient({database: DATABASE}, (client) =>
      collect(client.query('SELECT v FROM m', 'js-other'))
    )
    assert.deepEqual(rows, [{v: 1}])
  })

  test('is collected by collectAll', async () => {
    const rows = await withClient({database: DATABASE}, (client) => collectAll(client.query('SELECT room FROM home')))
    assert.equal(rows.length, 2)
  })

  test('sees what the same client wrote', async () => {
    await withClient({database: 'js-both'}, async (client) => {
      for (let number = 0; number < 5; number++) {
        await client.write(`m v=${number}i ${number}`)
        const [row] = await collect(client.query('SELECT max(v) AS v FROM m'))
        assert.equal(Number(row.v), number)
      }
    })
  })
})

describe('queryPoints', () => {
  test('has tags, typed fields and the time', async () => {
    const [attic, kitchen] = await points(QUERY)
    assert.ok(attic instanceof PointValues)
    assert.deepEqual(attic.getTagNames(), ['room'])
    assert.equal(attic.getTag('room'), 'Attic')
    assert.equal(attic.getFloatField('temp'), 20.5)
    assert.equal(attic.getIntegerField('co'), 8)
    assert.equal(attic.getUintegerField('count'), 5)
    assert.equal(attic.getBooleanField('open'), false)
    assert.equal(attic.getStringField('note'), 'a "quoted" text')
    assert.equal(Number(attic.getTimestamp()), TIME + 1000)
    assert.equal(kitchen.getField('note'), undefined)
    const types = Object.fromEntries(attic.getFieldNames().map((name) => [name, attic.getFieldType(name)]))
    assert.deepEqual(types, {co: 'integer', count: 'uinteger', note: 'string', open: 'boolean', temp: 'float'})
  })

  test('has measurements in InfluxQL', async () => {
    const [first] = await points('SELECT co FROM home', {type: 'influxql'})
    assert.equal(first.getMeasurement(), 'home')
    assert.equal(first.getIntegerField('co'), -7)
  })

  test('gives points that can be written', async () => {
    const [point] = await points("SELECT * FROM home WHERE room = 'Attic'")
    const copy = point.asPoint('copy')
    assert.ok(copy instanceof Point)
    await withClient({database: DATABASE}, (client) => client.write(copy.setTimestamp('1641024001000000000')))
    const [original] = await sql(DATABASE, "SELECT * FROM home WHERE room = 'Attic'")
    assert.deepEqual(await sql(DATABASE, 'SELECT * FROM copy'), [original])
  })
})

describe('options of a query', () => {
  test('parameters', async () => {
    const query = 'SELECT co FROM home WHERE room = $room AND temp > $temp AND open = $open AND co < $co'
    const params = {room: 'Kitchen', temp: 1.5, open: true, co: 5}
    assert.deepEqual(await ask(query, {params}), [{co: -7}])
    const influxql = 'SELECT co FROM home WHERE room = $room'
    const [row] = await ask(influxql, {type: 'influxql', params: {room: 'Attic'}})
    assert.equal(row.co, 8)
  })

  test('InfluxQL', async () => {
    const rows = await ask('SELECT mean(temp) FROM home WHERE time >= 0 GROUP BY room', {type: 'influxql'})
    assert.deepEqual(
      rows.map((row) => [row['iox::measurement'], row.room, row.mean]),
      [
        ['home', 'Attic', 20.5],
        ['home', 'Kitchen', 21.5],
      ]
    )
    const tables = await ask('SHOW MEASUREMENTS', {type: 'influxql'})
    assert.ok(tables.some((row) => row.name === 'home'))
  })

  test('headers', async () => {
    const first = await writeLines('js-headers', 'm v=1i 1')
    await writeLines('js-headers', 'm v=2i 2')
    const count = (options) =>
      withClient({database: 'js-headers'}, (client) => collect(client.query('SELECT v FROM m', undefined, options)))
    assert.equal((await count({headers: {'x-neap-as-of': first}})).length, 1)
    assert.equal((await count()).length, 2)
    const options = {database: 'js-headers', headers: {'x-neap-as-of': first}}
    const rows = await withClient(options, (client) => collect(client.query('SELECT v FROM m')))
    assert.equal(rows.length, 1)
  })

  test('a timeout', async () => {
    const endless = 'SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b'
    await refuses(endless, 'DEADLINE_EXCEEDED', {query: {timeout: 500}})
    await refuses(endless, 'DEADLINE_EXCEEDED', {client: {queryTimeout: 500}})
  })

  test('compressed requests', async () => {
    // 2 is gzip. A server may refuse it, but only with this reason.
    const options = {database: DATABASE, grpcOptions: {'grpc.default_compression_algorithm': 2}}
    try {
      const rows = await withClient(options, (client) => collect(client.query(`SELECT '${'x'.repeat(5000)}' AS x`)))
      assert.equal(rows.length, 1)
    } catch (error) {
      assert.match(error.message, /compress/)
    }
  })
})

describe('a client', () => {
  test('from a connection string', async () => {
    const client = new InfluxDBClient(`${URL}/?token=${TOKEN}&database=${DATABASE}&precision=ms&authScheme=Bearer`)
    assert.equal((await collect(client.query(QUERY))).length, 2)
    await client.write(`strings v=1i ${TIME}`)
    await client.close()
    assert.deepEqual(await sql(DATABASE, 'SELECT time FROM strings'), [{time: '2022-01-01T08:00:00'}])
  })

  test('from the environment', async () => {
    const variables = {INFLUX_HOST: URL, INFLUX_TOKEN: TOKEN, INFLUX_DATABASE: DATABASE, INFLUX_AUTH_SCHEME: 'Bearer'}
    Object.assign(process.env, variables)
    const client = new InfluxDBClient()
    for (const name of Object.keys(variables)) delete process.env[name]
    assert.equal((await collect(client.query(QUERY))).length, 2)
    await client.close()
  })

  test('knows the version of the server', async () => {
    const version = await withClient({}, (client) => client.getServerVersion())
    assert.match(version, /^\d+\.\d+\.\d+/)
  })
})

describe('errors', () => {
  test('of statements', async () => {
    await refuses('SELEC 1', 'INVALID_ARGUMENT')
    await refuses('SELECT * FROM nothing', 'INVALID_ARGUMENT')
    await refuses('SELECT nothing FROM home', 'INVALID_ARGUMENT')
    await refuses('SELECT 1; SELECT 2', 'UNIMPLEMENTED')
    await refuses('SELEC 1', 'INVALID_ARGUMENT', {query: {type: 'influxql'}})
    await refuses(QUERY, 'INVALID_ARGUMENT', {query: {type: 'promql'}})
  })

  test('of databases', () => refuses(QUERY, 'NOT_FOUND', {}, 'js-nothing'))

  test('of tokens', async () => {
    await refuses(QUERY, 'UNAUTHENTICATED', {client: {token: 'apiv3_wrong'}})
    const token = await createReader('js-reader', 'js-elsewhere')
    await refuses(QUERY, 'PERMISSION_DENIED', {client: {token}})
  })

  test('of servers that are not there', () => refuses(QUERY, 'UNAVAILABLE', {client: {host: 'http://127.0.0.1:1'}}))

  test('in the middle of an answer', async () => {
    const query = 'SELECT 1000 / (500000 - value) AS v FROM generate_series(1, 1000000)'
    await assert.rejects(ask(query), /ivide by zero/)
  })

  test('have a message', async () => {
    await assert.rejects(ask('SELECT * FROM nothing'), (error) => decodeURIComponent(error.message).includes('nothing'))
  })
})

describe('many rows', () => {
  test('arrive in full', async () => {
    await writeLines('js-many', ...Array.from({length: 20000}, (_, n) => `m,t=t${n % 10} v=${n}i ${n}`))
    const rows = await withClient({database: 'js-many'}, (client) => collect(client.query('SELECT v, t FROM m')))
    assert.equal(rows.length, 20000)
    assert.equal(
      rows.reduce((sum, row) => sum + row.v, 0),
      199990000
    )
  })

  test('that nobody reads end', async () => {
    const large = "SELECT value AS v, repeat('x', 100) AS s FROM generate_series(1, 5000000)"
    await withClient({database: DATABASE}, async (client) => {
      for await (const row of client.query(large)) {
        assert.ok(row.s)
        break
      }
      assert.equal((await collect(client.query(QUERY))).length, 2)
    })
    const running = "SELECT count(*) AS n FROM system.queries WHERE running AND query_text LIKE '%series(1, 5000000)'"
    for (let attempt = 0; (await sql(DATABASE, running))[0].n > 0; attempt++) {
      assert.ok(attempt < 300, 'the query still runs')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  })

  test('of fifty queries at once', async () => {
    await withClient({database: DATABASE}, async (client) => {
      const answers = Array.from({length: 50}, (_, n) => collect(client.query(`SELECT ${n} AS n FROM home LIMIT 1`)))
      assert.deepEqual(
        (await Promise.all(answers)).map(([row]) => Number(row.n)),
        Array.from({length: 50}, (_, n) => n)
      )
    })
  })
})
