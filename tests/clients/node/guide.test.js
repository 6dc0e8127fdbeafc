/** The JavaScript block of the guide about writing. `NEAP_GUIDES` names the folder with the guides. */

import assert from 'node:assert/strict'
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {test} from 'node:test'
import {TOKEN, URL, sql} from './server.js'

const FOLDER = process.env.NEAP_GUIDES

test('points are written as the guide shows', {skip: FOLDER ? false : 'no guides'}, async () => {
  const guide = readFileSync(join(FOLDER, 'influxdb3-write-api-and-clients.txt'), 'utf8')
  const blocks = [...guide.matchAll(/^( *)```js\n([^]*?)^\1```/gm)].map((match) => match[2])
  assert.equal(blocks.length, 1)
  // A module in a URL has no folder to look for packages in.
  const client = import.meta.resolve('@influxdata/influxdb3-client')
  const [code] = blocks.map((block) => block.replace('@influxdata/influxdb3-client', client))
  Object.assign(process.env, {INFLUX_HOST: URL, INFLUX_TOKEN: TOKEN, INFLUX_DATABASE: 'js-guide'})
  const {writePoints} = await import(`data:text/javascript,${encodeURIComponent(code)}`)
  await writePoints()
  const rows = await sql('js-guide', 'SELECT DISTINCT room, temp, hum, co FROM home ORDER BY room')
  const expected = [
    {co: 0, hum: 35.9, room: 'Kitchen', temp: 21},
    {co: 7, hum: 35.5, room: 'Living Room', temp: 22.2},
  ]
  assert.deepEqual(rows, expected)
})
