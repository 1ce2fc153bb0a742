// What the web page is built from, as one hash. tests/server/test_page.py computes the same without Node.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const CLIENT = fileURLToPath(new URL('..', import.meta.url))
export const PAGE = fileURLToPath(new URL('../../assistant/server/page', import.meta.url))
const SINGLE = ['index.html', 'package-lock.json', 'package.json', 'tsconfig.json', 'vite.config.ts']

/** Every file below a folder, as sorted paths with slashes. */
export function filesIn(folder, base = folder) {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      return entry.isDirectory() ? filesIn(path, base) : [relative(base, path).split(sep).join('/')]
    })
    .sort()
}

export function sha256(content) {
  return createHash('sha256').update(content).digest('hex')
}

/** The hash of all sources: of one line for each, `PATH SHA256`. */
export function hashOfSources() {
  const names = [...SINGLE, ...filesIn(join(CLIENT, 'src')).map((name) => `src/${name}`)].sort()
  return sha256(names.map((name) => `${name} ${sha256(readFileSync(join(CLIENT, name)))}\n`).join(''))
}
