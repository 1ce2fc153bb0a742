// The page stays small, and asks nobody but its own server.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { page } from './sources.mjs'

const BUDGET = 70 * 1024 // bytes, gzip
const OWN = /https?:\/\/(?!www\.w3\.org\/)[\w.-]+/g // namespaces of SVG are names, not addresses
let total = 0
for (const name of readdirSync(page)) {
  const body = readFileSync(join(page, name))
  total += gzipSync(body).length
  const foreign = body.toString('utf8').match(OWN) ?? []
  const known = foreign.filter((host) => !/vuejs\.org/.test(host)) // in the text of an error message
  if (known.length) throw new Error(`${name} names foreign hosts: ${[...new Set(known)].join(', ')}`)
}
console.log(`${total} bytes gzip of ${BUDGET}`)
if (total > BUDGET) process.exit(1)
