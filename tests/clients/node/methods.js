/**
 * The methods of client libraries, compared with the tables of `docs/client-methods.md`.
 *
 * The tables are the expectation. They list each public method of a library, and say whether Neap does what the method
 * is for (`equal`, `better`), or with which error it answers (`missing`).
 */

import assert from 'node:assert/strict'
import {readFileSync} from 'node:fs'
import {describe, test} from 'node:test'

const PAGE = readFileSync(new URL('../../../docs/client-methods.md', import.meta.url), 'utf8')
const ANSWERED = ['equal', 'better']

function codesOf(cell) {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code)
}

/** Returns the table of a class: the result and the note of each method. */
function tableOf(library, of) {
  const [section] = PAGE.split(`\n## \`${library}\``)[1].split('\n## ')
  const rows = {}
  for (const line of section.split('\n')) {
    const [classes, methods, result, note, ...others] = line.split('|').slice(1, -1).map((cell) => cell.trim())
    if (note === undefined || others.length > 0 || !codesOf(classes).includes(of)) continue
    for (const method of codesOf(methods)) {
      assert.ok(!(method in rows), `${of}.${method} stands twice`)
      rows[method] = {result, note}
    }
  }
  return rows
}

/** Returns the names of the methods of an object's class, except internal ones. */
function publicMethods(prototype, internal) {
  const names = Object.getOwnPropertyNames(prototype).filter((name) => typeof prototype[name] === 'function')
  return names.filter((name) => name !== 'constructor' && !name.startsWith('_') && !internal.includes(name)).sort()
}

/** Calls all methods of a class. `calls` has a function for each, which checks the result of the method. */
export function checkMethods({library, of, prototype, internal = [], calls, answerOf}) {
  const rows = tableOf(library, of)
  const methods = publicMethods(prototype, internal)
  describe(`${library} ${of}`, () => {
    test('has the methods that the table lists', () => assert.deepEqual(Object.keys(rows).sort(), methods))
    test('is called in all methods', () => assert.deepEqual(Object.keys(calls).sort(), methods))
    for (const method of methods) {
      test(method, async () => {
        const {result, note} = rows[method]
        let answer
        try {
          await calls[method]()
        } catch (error) {
          answer = answerOf(error)
          if (answer === undefined) throw error
        }
        if (answer === undefined) assert.ok(ANSWERED.includes(result), `Neap does it, and the table says ${result}`)
        else assert.deepEqual([result, codesOf(note)[0]], ['missing', answer])
      })
    }
  })
}
