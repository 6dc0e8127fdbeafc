/** The generated interfaces of InfluxDB 2 for JavaScript, `@influxdata/influxdb-client-apis`: what programs administer with. */

import assert from 'node:assert/strict'
import {describe, test} from 'node:test'
import {HttpError, InfluxDB} from '@influxdata/influxdb-client'
import {
  AuthorizationsAPI,
  BucketsAPI,
  DbrpsAPI,
  DeleteAPI,
  HealthAPI,
  LabelsAPI,
  MeAPI,
  OrgsAPI,
  PingAPI,
  ReadyAPI,
  SetupAPI,
  UsersAPI,
  WriteAPI,
} from '@influxdata/influxdb-client-apis'
import {TOKEN, URL, sql, writeLines} from './server.js'

const ORG = 'works'

function connect(token = TOKEN) {
  return new InfluxDB({url: URL, token})
}

const influx = connect()
const buckets = new BucketsAPI(influx)

/** Checks that a call fails with a status and a message. */
function refuses(status, message, call) {
  return assert.rejects(call, (error) => {
    assert.ok(error instanceof HttpError, error)
    assert.deepEqual([error.statusCode, error.json?.message], [status, message])
    return true
  })
}

async function organization() {
  const {orgs} = await new OrgsAPI(influx).getOrgs({org: ORG})
  return orgs[0].id
}

async function createBucket(name, ...retentionRules) {
  return buckets.postBuckets({body: {orgID: await organization(), name, retentionRules}})
}

describe('the instance', () => {
  test('is pinged, healthy and ready', async () => {
    await new PingAPI(influx).getPing()
    const {name, status, version} = await new HealthAPI(influx).getHealth()
    assert.deepEqual([name, status], ['influxdb', 'pass'])
    assert.match(version, /^v?\d+\.\d+\.\d+/)
    assert.equal((await new ReadyAPI(influx).getReady()).status, 'ready')
  })

  test('is set up', async () => {
    assert.equal((await new SetupAPI(influx).getSetup()).allowed, false)
  })

  test('knows one organization, the holder of the token, and no labels', async () => {
    assert.equal((await new OrgsAPI(influx).getOrgsID({orgID: await organization()})).id, await organization())
    const {id, name} = await new MeAPI(influx).getMe()
    const {users} = await new UsersAPI(influx).getUsers()
    assert.ok(users.some((user) => user.id === id && user.name === name))
    assert.deepEqual((await new LabelsAPI(influx).getLabels()).labels, [])
  })
})

describe('buckets', () => {
  test('are created, found, changed and deleted', async () => {
    const {id, name} = await createBucket('apis-cycle', {type: 'expire', everySeconds: 3600})
    assert.equal(name, 'apis-cycle')
    assert.equal((await buckets.getBuckets({org: ORG, name})).buckets[0].id, id)
    const body = {retentionRules: [{type: 'expire', everySeconds: 7200}]}
    assert.equal((await buckets.patchBucketsID({bucketID: id, body})).retentionRules[0].everySeconds, 7200)
    assert.equal((await buckets.getBucketsID({bucketID: id})).retentionRules[0].everySeconds, 7200)
    await refuses(422, 'bucket with name apis-cycle already exists', createBucket(name))
    await buckets.deleteBucketsID({bucketID: id})
    await refuses(404, 'bucket not found', buckets.getBucketsID({bucketID: id}))
  })

  test('are databases of InfluxDB 1', async () => {
    const {id, orgID} = await createBucket('apis-mapped')
    const {content} = await new DbrpsAPI(influx).getDBRPs({orgID, bucketID: id})
    assert.deepEqual(content.map(({database, retention_policy, default: is}) => [database, retention_policy, is]), [
      ['apis-mapped', 'autogen', true],
    ])
  })
})

describe('rows', () => {
  test('are written', async () => {
    const request = {org: ORG, bucket: 'apis-write', precision: 's', body: 'm,t=a v=1i 1'}
    await new WriteAPI(influx).postWrite(request)
    assert.deepEqual(await sql('apis-write', 'SELECT t, v, time FROM m'), [{t: 'a', time: '1970-01-01T00:00:01', v: 1}])
  })

  test('are deleted by time and predicate', async () => {
    await writeLines('apis-delete', 'm,t=a v=1i 1', 'm,t=b v=2i 2', 'm,t=a v=3i 3000000000')
    const [start, stop] = ['1970-01-01T00:00:00Z', '1970-01-01T00:00:02Z']
    const body = {start, stop, predicate: '_measurement="m" AND t="a"'}
    await new DeleteAPI(influx).postDelete({org: ORG, bucket: 'apis-delete', body})
    assert.deepEqual(await sql('apis-delete', 'SELECT v FROM m ORDER BY v'), [{v: 2}, {v: 3}])
  })
})

test('tokens are created with permissions, and deleted', async () => {
  const authorizations = new AuthorizationsAPI(influx)
  const {id, orgID} = await createBucket('apis-own')
  const permissions = [{action: 'read', resource: {type: 'buckets', id, orgID}}]
  const created = await authorizations.postAuthorizations({body: {orgID, description: 'apis-reader', permissions}})
  const reader = connect(created.token)
  await writeLines('apis-own', 'm v=1i 1')
  const flux = 'from(bucket: "apis-own") |> range(start: 0)'
  assert.equal((await reader.getQueryApi(ORG).collectRows(flux))[0]._value, 1)
  const refused = new WriteAPI(reader).postWrite({org: ORG, bucket: 'apis-own', body: 'm v=2i 2'})
  await assert.rejects(refused, (error) => error.statusCode === 403)
  await authorizations.deleteAuthorizationsID({authID: created.id})
  const listed = await authorizations.getAuthorizations()
  assert.ok(!listed.authorizations.some((token) => token.id === created.id))
})
