// Writes beside the built page what it was built from, so that a test without Node can tell whether it is up to date.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hashOf, page, sourceHash } from './sources.mjs'

const names = readdirSync(page).filter((name) => name !== 'build.json').sort()
const files = Object.fromEntries(names.map((name) => [name, hashOf(readFileSync(join(page, name)))]))
writeFileSync(join(page, 'build.json'), `${JSON.stringify({ source: sourceHash(), files }, null, 2)}\n`)
