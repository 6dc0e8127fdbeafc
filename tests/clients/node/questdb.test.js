/**
 * The client library of QuestDB, `@questdb/nodejs-client`: rows over HTTP and TCP.
 *
 * The server listens on NEAP_QUESTDB_ADDRESS for TCP. A client over TCP gets no answer, so the tests wait for the rows.
 */

import assert from 'node:assert/strict'
import {before, describe, test} from 'node:test'
import {setTimeout} from 'node:timers/promises'
import {Sender} from '@questdb/nodejs-client'
import {TOKEN, URL, assertStoredSoon, createReader, createToken, sql} from './server.js'

const DATABASE = process.env.NEAP_DEFAULT_DATABASE
const VERSIONS = [1, 2, 3]

// The key of the examples in QuestDB's documentation.
const SECRET = '5UjEMuA0Pj5pjK8a-fa24dyIf-Es5mYny3oE_Wmus48'
const PUBLIC = {x: 'fLKYEaoEb9lrn3nkwLDA-M_xnuFOdSt9y0Z7_vWSHLU', y: 'Dt5tbS1dEDMSYfym3fgMv0B99szno-dFc1rYF9t0aac'}

/** Calls a function with a sender, and closes the sender. */
async function withSender(configuration, work) {
  const sender = await Sender.fromConfig(`${configuration}auto_flush=off;`, {log() {}})
  try {
    return await work(sender)
  } finally {
    await sender.close()
  }
}

function overHttp(options, work, credentials = `token=${TOKEN};`) {
  return withSender(`http::addr=${URL.replace('http://', '')};${credentials}${options}`, work)
}

function overTcp(options, work, user = 'node') {
  const key = `username=${user};token=${SECRET};`
  return withSender(`tcp::addr=${process.env.NEAP_QUESTDB_ADDRESS};${key}${options}`, async (sender) => {
    await sender.connect()
    return work(sender)
  })
}

/** Adds a row with a column of every type that a version of the protocol has. */
async function addRow(sender, table, version) {
  sender
    .table(table)
    .symbol('side', 'sell')
    .symbol('a b', 'x=y,z w')
    .floatColumn('price', 2615.54)
    .intColumn('amount', -3)
    .booleanColumn('open', false)
    .stringColumn('note', 'a "b" \\ c\nd é')
    .timestampColumn('seen', 1_700_000_000_000_001n, 'us')
  if (version > 1) sender.arrayColumn('book', [[1.5, NaN], [3.25, -4]])
  if (version > 2) sender.decimalColumnText('exact', '-123.4500').decimalColumn('cents', -12345n, 2)
  await sender.at(1_700_000_000_123_456_789n, 'ns')
}

function storedRow(version) {
  return {
    'a b': 'x=y,z w',
    amount: -3,
    ...(version > 1 && {book: '[[1.5,null],[3.25,-4.0]]'}),
    ...(version > 2 && {cents: '-123.45', exact: '-123.4500'}),
    note: 'a "b" \\ c\nd é',
    open: false,
    price: 2615.54,
    seen: 1_700_000_000_000_001,
    side: 'sell',
    time: '2023-11-14T22:13:20.123456789',
  }
}

async function addNumber(sender, table, n) {
  await sender.table(table).intColumn('n', n).at(n, 'us')
}

async function assertMissing(table) {
  await assert.rejects(sql(DATABASE, `SELECT * FROM ${table}`), /not found/)
}

describe('over HTTP', () => {
  for (const version of VERSIONS) {
    test(`every type in version ${version}`, async () => {
      const table = `node types ${version}`
      await overHttp(`protocol_version=${version};`, async (sender) => {
        await addRow(sender, table, version)
        assert.equal(await sender.flush(), true)
        assert.equal(await sender.flush(), false)
      })
      assert.deepEqual(await sql(DATABASE, `SELECT * FROM "${table}"`), [storedRow(version)])
    })
  }

  test('the highest version that the server has', async () => {
    await overHttp('', async (sender) => {
      await addRow(sender, 'node_highest', 3)
      await sender.flush()
    })
    assert.deepEqual(await sql(DATABASE, 'SELECT * FROM node_highest'), [storedRow(3)])
  })

  test('rows without a time', async () => {
    await overHttp('', async (sender) => {
      for (let n = 0; n < 3; n += 1) await sender.table('node_now').intColumn('n', n).atNow()
      await sender.flush()
    })
    const query = "SELECT count(*) AS n FROM node_now WHERE time > now() - INTERVAL '10 minutes'"
    assert.deepEqual(await sql(DATABASE, query), [{n: 3}])
  })

  test('the same rows again change nothing', async () => {
    for (let again = 0; again < 2; again += 1) {
      await overHttp('stdlib_http=on;', async (sender) => {
        for (let n = 0; n < 1000; n += 1) await addNumber(sender, 'node_again', n)
        await sender.flush()
      })
    }
    assert.deepEqual(await sql(DATABASE, 'SELECT count(*) AS n, sum(n) AS s FROM node_again'), [{n: 1000, s: 499500}])
  })

  test('a request is stored as a whole or not at all', async () => {
    await overHttp('', async (sender) => {
      await addNumber(sender, 'node_whole', 1)
      await sender.table('node_whole').stringColumn('n', 'text').at(2, 'us')
      await addNumber(sender, 'node_part', 1)
      await assert.rejects(
        sender.flush(),
        /statusCode=400, error=.*"code":"invalid".*"line":2.*error in line 2: invalid column type for column 'n'/
      )
    })
    await assertMissing('node_whole')
    await assertMissing('node_part')
  })

  test('user and password', async () => {
    await overHttp('', (sender) => addNumber(sender, 'node_basic', 1).then(() => sender.flush()),
      `username=anyone;password=${TOKEN};`)
    assert.deepEqual(await sql(DATABASE, 'SELECT n FROM node_basic'), [{n: 1}])
  })

  test('credentials are asked for', async () => {
    const reader = await createReader('node-reader', DATABASE)
    for (const transport of ['', 'stdlib_http=on;']) {
      for (const [credentials, status] of [
        ['', 401],
        ['token=wrong;', 401],
        ['username=anyone;password=wrong;', 401],
        [`token=${reader};`, 403],
      ]) {
        const write = async (sender) => {
          await addNumber(sender, 'node_secret', 1)
          await assert.rejects(sender.flush(), new RegExp(`statusCode=${status}`))
        }
        await overHttp(transport, write, credentials)
      }
    }
    await assertMissing('node_secret')
  })
})

describe('over TCP', () => {
  before(() => createToken('node', DATABASE, ['write'], PUBLIC))

  for (const version of VERSIONS) {
    test(`every type in version ${version}`, async () => {
      const table = `node tcp ${version}`
      await overTcp(`protocol_version=${version};`, async (sender) => {
        await addRow(sender, table, version)
        await sender.flush()
      })
      await assertStoredSoon(DATABASE, `SELECT * FROM "${table}"`, [storedRow(version)])
    })
  }

  /** Sends rows until the connection is closed. */
  async function sendUntilClosed(sender, add) {
    const send = async () => {
      for (let n = 1; n < 1_200; n += 1) {
        await add(sender, n)
        await sender.flush()
        await setTimeout(50)
      }
    }
    await assert.rejects(send)
  }

  test('a refused row closes the connection', async () => {
    const add = (sender, n) =>
      n > 3 ? sender.table('node_refused').stringColumn('n', 'text').at(n, 'us') : addNumber(sender, 'node_refused', n)
    await overTcp('', (sender) => sendUntilClosed(sender, add))
    await assertStoredSoon(DATABASE, 'SELECT count(*) AS n FROM node_refused', [{n: 3}])
  })

  test('a key needs a permission', async () => {
    await createToken('node-key-of-a-reader', DATABASE, ['read'], PUBLIC)
    const add = (sender, n) => addNumber(sender, 'node_secret', n)
    for (const user of ['node-key-of-a-reader', 'unknown']) {
      await overTcp('', (sender) => sendUntilClosed(sender, add), user)
    }
    await assertMissing('node_secret')
  })
})
