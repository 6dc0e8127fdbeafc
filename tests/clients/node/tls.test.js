/**
 * Queries and writes of the JavaScript client of InfluxDB 3 over TLS.
 *
 * `NEAP_CA_FILE` and `NODE_EXTRA_CA_CERTS` name the certificate of the server. Node.js reads the latter when it starts.
 */

import assert from 'node:assert/strict'
import {test} from 'node:test'

// gRPC reads this variable when it is loaded.
process.env.GRPC_DEFAULT_SSL_ROOTS_FILE_PATH = process.env.NEAP_CA_FILE
const {collect, withClient} = await import('./server.js')

test('a client writes and queries over TLS', async () => {
  await withClient({database: 'js-tls'}, async (client) => {
    await client.write('m v=1i 1')
    assert.deepEqual(await collect(client.query('SELECT v FROM m')), [{v: 1}])
    assert.ok(await client.getServerVersion())
  })
})
