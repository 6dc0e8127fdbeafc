/**
 * The driver of PostgreSQL for Node.js, `pg`, with TLS and without. `postgres_program.py` runs it, and describes the
 * variables of the environment.
 */

import assert from 'node:assert/strict'
import {readFileSync} from 'node:fs'
import {describe, test} from 'node:test'
import pg from 'pg'
import Cursor from 'pg-cursor'

const {NEAP_POSTGRES_HOST, NEAP_POSTGRES_PORT, NEAP_POSTGRES_DATABASE, NEAP_CA_FILE} = process.env
const {NEAP_POSTGRES_PASSWORD, NEAP_POSTGRES_READER, NEAP_POSTGRES_LARGE, NEAP_POSTGRES_LARGE_ROWS} = process.env
const {NEAP_POSTGRES_ENDLESS, NEAP_POSTGRES_RUNNING} = process.env

// As text, because a `Date` has milliseconds, and is in the time zone of the machine.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMP, (text) => text)

const PLAIN = {
  host: NEAP_POSTGRES_HOST,
  port: Number(NEAP_POSTGRES_PORT),
  database: NEAP_POSTGRES_DATABASE,
  user: 'ann',
  password: NEAP_POSTGRES_PASSWORD,
  connectionTimeoutMillis: 60_000,
}
const CONFIG = NEAP_CA_FILE ? {...PLAIN, ssl: {ca: readFileSync(NEAP_CA_FILE, 'utf8')}} : PLAIN

const COLUMNS = ['host', 'v', 'n', 'u', 'note', 'up', 'time']
const ROW = {
  host: 'a',
  v: 0.5,
  n: '-1',
  u: '18446744073709551615',
  note: 'é "quoted" \\ text',
  up: true,
  time: '2024-01-02 03:04:05.678901',
}

async function withClient(work, options = {}) {
  const client = new pg.Client({...CONFIG, ...options})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

function refuses(promise, code) {
  return assert.rejects(promise, (error) => {
    assert.equal(error.code, code, error.message)
    return true
  })
}

describe('queries', () => {
  const condition = COLUMNS.map((name, index) => `${name} = $${index + 1}`).join(' AND ')
  const text = `SELECT ${COLUMNS.join(', ')} FROM every_type WHERE ${condition}`
  const values = COLUMNS.map((name) => ROW[name])

  test('have values of every type', () =>
    withClient(async (client) => {
      for (const name of [undefined, 'every type', 'every type']) {
        assert.deepEqual((await client.query({name, text, values})).rows, [ROW])
      }
    }))

  test('look for values in arrays of every type', () =>
    withClient(async (client) => {
      const arrays = COLUMNS.map((name, index) => `${name} = ANY($${index + 1})`).join(' AND ')
      const query = `SELECT ${COLUMNS.join(', ')} FROM every_type WHERE ${arrays}`
      const found = await client.query(
        query,
        values.map((value) => [value]),
      )
      assert.deepEqual(found.rows, [ROW])
    }))

  test('are answered in binary', () =>
    withClient(async (client) => {
      const {rows} = await client.query({text: 'SELECT host, up FROM every_type WHERE n = $1', values: [-1], binary: true})
      assert.deepEqual(rows, [{host: 'a', up: true}])
    }))

  test('have names of columns and counts', () =>
    withClient(async (client) => {
      const answer = await client.query({text: 'SELECT host, n FROM cpu WHERE host IN ($1, $2) ORDER BY host', values: ['a', 'b'], rowMode: 'array'})
      assert.deepEqual(answer.rows, [['a', '1'], ['b', '2']])
      assert.deepEqual(answer.fields.map((field) => field.name), ['host', 'n'])
      assert.equal(answer.rowCount, 2)
    }))

  test('of many connections are answered at once', async () => {
    const pool = new pg.Pool({...CONFIG, max: 8})
    try {
      const answers = Array.from({length: 100}, (_, number) => pool.query('SELECT $1::BIGINT + 1 AS n', [number]))
      const numbers = (await Promise.all(answers)).map(({rows}) => Number(rows[0].n))
      assert.deepEqual(numbers, Array.from({length: 100}, (_, number) => number + 1))
    } finally {
      await pool.end()
    }
  })

  test('fail with codes, and the connection goes on', () =>
    withClient(async (client) => {
      await refuses(client.query('SELECT * FROM missing'), '42P01')
      await refuses(client.query('SELECT 1 + , 2'), '42601')
      await refuses(client.query('SELECT n FROM cpu WHERE n = $1', ['many']), '22P02')
      assert.deepEqual((await client.query('SELECT 1 AS one')).rows.length, 1)
    }))
})

describe('writes', () => {
  const insert = `INSERT INTO every_type (${COLUMNS.join(', ')}) VALUES ($1, $2, $3, $4, $5, $6, $7)`
  const stored = `SELECT ${COLUMNS.join(', ')} FROM every_type WHERE host = $1`

  test('have values of every type', () =>
    withClient(async (client) => {
      const row = {...ROW, host: 'node', v: -1.25, n: '4611686018427387904', u: '7', up: false}
      const {rowCount} = await client.query(insert, COLUMNS.map((name) => row[name]))
      assert.equal(rowCount, 1)
      assert.deepEqual((await client.query(stored, ['node'])).rows, [row])
    }))

  test('of a transaction are dropped by a rollback', () =>
    withClient(async (client) => {
      await client.query('BEGIN')
      await client.query(insert, COLUMNS.map((name) => (name === 'host' ? 'node rollback' : ROW[name])))
      await client.query('ROLLBACK')
      assert.deepEqual((await client.query(stored, ['node rollback'])).rows, [])
    }))

  test('need a permission', () =>
    withClient((client) => refuses(client.query("DELETE FROM cpu WHERE host = 'a'"), '42501'), {
      password: NEAP_POSTGRES_READER,
    }))
})

test('a large answer is read in parts', () =>
  withClient(async (client) => {
    const cursor = client.query(new Cursor(NEAP_POSTGRES_LARGE))
    let [rows, grown] = [0, 0]
    for (let part = await cursor.read(1_000); part.length > 0; part = await cursor.read(1_000)) {
      rows += part.length
      grown = Math.max(grown, process.memoryUsage().heapUsed)
    }
    await cursor.close()
    assert.equal(rows, Number(NEAP_POSTGRES_LARGE_ROWS))
    assert.ok(grown < 100 << 20, `${grown} bytes`)
  }))

test('a query is cancelled', () =>
  withClient(async (client) => {
    const query = new pg.Query(NEAP_POSTGRES_ENDLESS)
    const ended = new Promise((resolve) => query.once('error', resolve))
    client.query(query)
    await withClient(async (other) => {
      for (let attempt = 0; Number((await other.query(NEAP_POSTGRES_RUNNING)).rows[0].n) === 0; attempt += 1) {
        assert.ok(attempt < 1_200, 'the query does not run')
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })
    // The client cancels over a connection without TLS.
    new pg.Client(PLAIN).cancel(client, query)
    assert.equal((await ended).code, '57014')
    assert.equal((await client.query('SELECT 1 AS one')).rows.length, 1)
  }))

test('wrong passwords and unknown databases are refused', async () => {
  await refuses(withClient(() => {}, {password: 'apiv3_wrong'}), '28P01')
  await refuses(withClient(() => {}, {database: 'missing'}), '3D000')
})

test('TLS is optional from the same machine', () =>
  withClient(async (client) => assert.equal((await client.query('SELECT 1 AS one')).rows.length, 1), {ssl: false}))
