// Which files the page is built from, and their hash; tests/server/console/test_page.py computes the same.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const page = join(root, '../../assistant/server/console/page')
const built = ['src', 'public', 'index.html', 'package.json', 'package-lock.json', 'tsconfig.json', 'vite.config.ts']

function walk(path) {
  if (!statSync(join(root, path)).isDirectory()) return [path]
  return readdirSync(join(root, path)).flatMap((name) => walk(`${path}/${name}`))
}

export function hashOf(data) {
  return createHash('sha256').update(data).digest('hex')
}

/** SHA-256 over "path NUL hash newline" of each file, in the order of their paths. */
export function sourceHash() {
  const lines = built.flatMap(walk).sort().map((path) => `${path}\0${hashOf(readFileSync(join(root, path)))}\n`)
  return hashOf(lines.join(''))
}
