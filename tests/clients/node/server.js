/** The server under test: its address, tokens, and contents. */

import assert from 'node:assert/strict'
import {isDeepStrictEqual} from 'node:util'
import {InfluxDBClient} from '@influxdata/influxdb3-client'

export const URL = process.env.NEAP_URL
/** An admin token. */
export const TOKEN = process.env.NEAP_TOKEN

const AUTHORIZATION = {Authorization: `Bearer ${TOKEN}`}

async function request(path, body, headers = {}) {
  return fetch(URL + path, {method: 'POST', body, headers: {...AUTHORIZATION, ...headers}})
}

/** Writes line protocol with times in nanoseconds, and returns the stamp of the write. */
export async function writeLines(database, ...lines) {
  const path = `/api/v3/write_lp?db=${encodeURIComponent(database)}&precision=nanosecond`
  const answer = await request(path, lines.join('\n'))
  if (answer.status !== 204) throw new Error(`${answer.status} ${await answer.text()}`)
  return answer.headers.get('x-neap-stamp')
}

/** Returns the rows of an answer over HTTP. */
export async function sql(database, query) {
  const answer = await request('/api/v3/query_sql', JSON.stringify({db: database, q: query}))
  if (answer.status !== 200) throw new Error(`${query}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

/** Checks the rows of an answer after writes that did not wait for the store. */
export async function assertStoredSoon(database, query, rows) {
  for (let attempt = 0; attempt < 1_200; attempt += 1) {
    // The table may not exist yet.
    if (isDeepStrictEqual(await sql(database, query).catch(() => undefined), rows)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.deepEqual(await sql(database, query), rows)
}

/** Creates a token with actions on a database, and returns it; with a public key, registers the key instead. */
export async function createToken(name, database, actions, publicKey) {
  const headers = {'Content-Type': 'application/json'}
  await request('/api/v3/configure/database', JSON.stringify({db: database}), headers)
  const permission = {resource_type: 'db', resource_names: [database], actions}
  const body = JSON.stringify({token_name: name, permissions: [permission], public_key: publicKey})
  const answer = await request('/api/v3/enterprise/configure/token', body, headers)
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
  return (await answer.json()).token
}

/** Creates a token that may read a database, and returns it. */
export function createReader(name, database) {
  return createToken(name, database, ['read'])
}

/** Calls a function with a client, and closes the client. */
export async function withClient(options, work) {
  const client = new InfluxDBClient({host: URL, token: TOKEN, ...options})
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

/** Returns all values of an answer. */
export async function collect(answer) {
  const values = []
  for await (const value of answer) values.push(value)
  return values
}
