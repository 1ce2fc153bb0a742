// Puts the web build where `assistant serve` finds it, and writes down what it was built from.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CLIENT, PAGE, filesIn, hashOfSources, sha256 } from './sources.mjs'

const built = join(CLIENT, 'dist/build/h5')
rmSync(PAGE, { recursive: true, force: true })
mkdirSync(PAGE, { recursive: true })
cpSync(built, PAGE, { recursive: true })
const files = Object.fromEntries(filesIn(PAGE).map((name) => [name, sha256(readFileSync(join(PAGE, name)))]))
writeFileSync(join(PAGE, 'build.json'), `${JSON.stringify({ sources: hashOfSources(), files }, null, 2)}\n`)
console.log(`${Object.keys(files).length} files published to assistant/server/page`)
