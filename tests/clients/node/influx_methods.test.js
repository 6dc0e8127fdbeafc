/** The JavaScript client of InfluxDB 1, `influx`: all methods. */

import assert from 'node:assert/strict'
import {FieldType, InfluxDB, Precision, ResultError} from 'influx'
import {checkMethods} from './methods.js'
import {TOKEN, URL as ADDRESS, sql} from './server.js'

const {hostname, port} = new URL(ADDRESS)
const PASSWORD = 'correct horse battery'
/** The beginning of a time in nanoseconds, which lacks its last digit. */
const TIME = '164102400000000000'
const POINTS = [
  {measurement: 'm', tags: {t: 'a'}, fields: {v: 0}, timestamp: TIME + '1'},
  {measurement: 'm', tags: {t: 'b'}, fields: {v: 1}, timestamp: TIME + '2'},
  {measurement: 'm', tags: {t: 'a'}, fields: {v: 2}, timestamp: TIME + '3'},
]

/** A client of a database, whose password is a token. */
function connect(database = 'influx-js') {
  return new InfluxDB({host: hostname, port: Number(port), username: 'anyone', password: TOKEN, database})
}

/** Returns a client of a new database with points. */
async function prepared(name) {
  const client = connect(`influx-js-${name}`)
  await client.createDatabase(`influx-js-${name}`)
  await client.writePoints(POINTS, {precision: Precision.Nanoseconds})
  return client
}

async function count(client) {
  const [row] = await client.query('SELECT count(v) FROM m')
  return row.count
}

async function policies(client) {
  return Object.fromEntries((await client.showRetentionPolicies()).map((policy) => [policy.name, policy]))
}

/** Returns the name of a new user. */
async function user(client, name) {
  await client.createUser(`js-${name}`, PASSWORD)
  return `js-${name}`
}

async function isAdministrator(client, name) {
  return (await client.getUsers()).find((each) => each.user === name)?.admin
}

async function continuousQueries(client) {
  return (await client.showContinousQueries()).map((query) => query.name)
}

async function grants(client, name) {
  return (await client.query(`SHOW GRANTS FOR "${name}"`)).map((row) => [row.database, row.privilege])
}

const week = {duration: '7d', replication: 1, isDefault: false}
const continuous = 'SELECT mean("v") INTO "hourly" FROM "m" GROUP BY time(1h)'

const calls = {
  async addSchema() {
    const client = connect('influx-js-schema')
    client.addSchema({database: 'influx-js-schema', measurement: 'm', fields: {v: FieldType.INTEGER}, tags: ['t']})
    await client.createDatabase('influx-js-schema')
    await client.writePoints(POINTS)
    assert.deepEqual(await sql('influx-js-schema', 'SELECT arrow_typeof(v) AS t FROM m LIMIT 1'), [{t: 'Int64'}])
  },
  async createDatabase() {
    const client = connect()
    await client.createDatabase('influx-js-create')
    assert.ok((await client.getDatabaseNames()).includes('influx-js-create'))
  },
  async dropDatabase() {
    const client = await prepared('drop')
    await client.dropDatabase('influx-js-drop')
    assert.ok(!(await client.getDatabaseNames()).includes('influx-js-drop'))
  },
  async getDatabaseNames() {
    const client = await prepared('names')
    assert.ok((await client.getDatabaseNames()).includes('influx-js-names'))
  },
  async getMeasurements() {
    assert.deepEqual(await (await prepared('measurements')).getMeasurements(), ['m'])
  },
  async dropMeasurement() {
    const client = await prepared('drop-measurement')
    await client.dropMeasurement('m')
    assert.deepEqual(await client.getMeasurements(), [])
  },
  async getSeries() {
    const client = await prepared('series')
    assert.deepEqual(await client.getSeries(), ['m,t=a', 'm,t=b'])
    assert.deepEqual(await client.getSeries({measurement: 'm'}), ['m,t=a', 'm,t=b'])
  },
  async dropSeries() {
    const client = await prepared('drop-series')
    await client.dropSeries({measurement: (m) => m.name('m'), where: (e) => e.tag('t').equals.value('a')})
    assert.equal(await count(client), 1)
  },
  async createUser() {
    const client = connect()
    await client.createUser('js-create', PASSWORD, true)
    assert.equal(await isAdministrator(client, 'js-create'), true)
  },
  async dropUser() {
    const client = connect()
    await client.dropUser(await user(client, 'drop'))
    assert.equal(await isAdministrator(client, 'js-drop'), undefined)
  },
  async getUsers() {
    const client = connect()
    assert.equal(await isAdministrator(client, await user(client, 'list')), false)
  },
  async setPassword() {
    const client = connect()
    await client.setPassword(await user(client, 'password'), 'battery staple')
  },
  async grantAdminPrivilege() {
    const client = connect()
    const name = await user(client, 'grant-admin')
    await client.grantAdminPrivilege(name)
    assert.equal(await isAdministrator(client, name), true)
  },
  async revokeAdminPrivilege() {
    const client = connect()
    const name = await user(client, 'revoke-admin')
    await client.grantAdminPrivilege(name)
    await client.revokeAdminPrivilege(name)
    assert.equal(await isAdministrator(client, name), false)
  },
  async grantPrivilege() {
    const client = await prepared('grant')
    const name = await user(client, 'grant')
    await client.grantPrivilege(name, 'READ')
    assert.deepEqual(await grants(client, name), [['influx-js-grant', 'READ']])
  },
  async revokePrivilege() {
    const client = await prepared('revoke')
    const name = await user(client, 'revoke')
    await client.grantPrivilege(name, 'READ')
    await client.revokePrivilege(name, 'READ')
    assert.deepEqual(await grants(client, name), [])
  },
  async createContinuousQuery() {
    const client = await prepared('continuous')
    await client.createContinuousQuery('created', continuous)
    assert.ok((await continuousQueries(client)).includes('created'))
  },
  async showContinousQueries() {
    const client = await prepared('show-continuous')
    await client.createContinuousQuery('shown', continuous)
    assert.ok((await continuousQueries(client)).includes('shown'))
  },
  async dropContinuousQuery() {
    const client = await prepared('drop-continuous')
    await client.createContinuousQuery('dropped', continuous)
    await client.dropContinuousQuery('dropped')
    assert.ok(!(await continuousQueries(client)).includes('dropped'))
  },
  async createRetentionPolicy() {
    const client = await prepared('create-policy')
    await client.createRetentionPolicy('week', {...week, isDefault: true})
    const {duration, default: isDefault} = (await policies(client)).week
    assert.deepEqual([duration, isDefault], ['168h0m0s', true])
  },
  async alterRetentionPolicy() {
    const client = await prepared('alter-policy')
    await client.createRetentionPolicy('week', week)
    await client.alterRetentionPolicy('week', {...week, duration: '14d'})
    assert.equal((await policies(client)).week.duration, '336h0m0s')
  },
  async dropRetentionPolicy() {
    const client = await prepared('drop-policy')
    await client.createRetentionPolicy('week', week)
    await client.dropRetentionPolicy('week')
    assert.deepEqual(Object.keys(await policies(client)), ['autogen'])
  },
  async showRetentionPolicies() {
    assert.deepEqual(Object.keys(await policies(await prepared('policies'))), ['autogen'])
  },
  async showShards() {
    assert.deepEqual(await (await prepared('shards')).showShards(), [])
  },
  async dropShard() {
    await connect().dropShard(1)
  },
  async writePoints() {
    assert.equal(await count(await prepared('points')), 3)
  },
  async writeMeasurement() {
    const client = await prepared('measurement')
    await client.writeMeasurement('m', [{fields: {v: 9}, timestamp: TIME + '9'}])
    assert.equal(await count(client), 4)
  },
  parsePoint() {
    const point = connect().parsePoint(POINTS[0])
    assert.deepEqual([point.measurement, point.tags, point.fields], ['m', {t: 'a'}, {v: 0}])
  },
  async query() {
    const client = await prepared('query')
    const rows = await client.query('SELECT v FROM m WHERE t = $t', {placeholders: {t: 'a'}})
    assert.deepEqual(rows.map((row) => [row.time.getNanoTime(), row.v]), [[TIME + '1', 0], [TIME + '3', 2]])
  },
  async queryRaw() {
    const answer = await (await prepared('raw')).queryRaw('SELECT sum(v) FROM m')
    assert.equal(answer.results[0].series[0].values[0][1], 3)
  },
  async ping() {
    const [{online, version}] = await connect().ping(60_000)
    assert.equal(online, true)
    assert.match(version, /^\d+\.\d+\.\d+$/)
  },
}

/** Returns the answer of an error, which is in JSON or, if a statement has it, in a message. */
function answerOf(error) {
  return error instanceof ResultError ? error.message.replace(/^Error from InfluxDB: /, '') : undefined
}

checkMethods({library: 'influx', of: 'InfluxDB', prototype: InfluxDB.prototype, calls, answerOf})
