// Everything about the client, cheapest first: lint, types, units, five builds, packages, the page, the real server.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CLIENT, PAGE, hashOfSources, sha256 } from './sources.mjs'

const modules = join(CLIENT, 'node_modules')
const steps = [
  ['lint', [join(modules, 'eslint/bin/eslint.js'), '.']],
  ['format', [join(modules, 'prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.']],
  ['types', [join(modules, 'vue-tsc/bin/vue-tsc.js'), '--noEmit']],
  ['units', ['scripts/unit.mjs']],
  ['builds', ['scripts/build.mjs']],
  ['packages', ['mp-tests/package-check.mjs']],
  ['page', samePage],
  ['WeChat components', ['mp-tests/simulate.cjs']],
  ['core and server', [join(modules, 'vitest/vitest.mjs'), 'run', '--config', 'vitest.server.config.ts']],
  ['mini-programs and server', ['mp-tests/run.mjs']],
  ['browser and server', ['e2e/run.mjs']],
]

/** The page that is committed must be what this source builds to; file names carry hashes of their content. */
function samePage() {
  const record = JSON.parse(readFileSync(join(PAGE, 'build.json'), 'utf8'))
  try {
    if (record.sources !== hashOfSources()) throw new Error('the committed page was built from other sources')
    for (const [name, hash] of Object.entries(record.files)) {
      const built = join(CLIENT, 'dist/build/h5', name)
      if (!existsSync(built)) throw new Error(`this source does not build ${name}`)
      if (sha256(readFileSync(built)) !== hash) throw new Error(`this source builds another ${name}`)
    }
    return true
  } catch (error) {
    console.log(`BAD  ${error.message}; run npm run build:h5 && npm run publish:page`)
    return false
  }
}

for (const [name, step] of steps) {
  console.log(`── ${name}`)
  const began = Date.now()
  const fine =
    typeof step === 'function'
      ? step()
      : spawnSync(process.execPath, step, { cwd: CLIENT, stdio: 'inherit' }).status === 0
  if (!fine) {
    console.log(`── ${name} FAILED`)
    process.exit(1)
  }
  console.log(`── ${name} passed in ${((Date.now() - began) / 1000).toFixed(1)} s`)
}
