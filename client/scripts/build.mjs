// Builds the named targets, or all five. Usage: node scripts/build.mjs [h5|mp-weixin|mp-alipay|mp-baidu|mp-toutiao ...]
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { CLIENT } from './sources.mjs'

const TARGETS = ['h5', 'mp-weixin', 'mp-alipay', 'mp-baidu', 'mp-toutiao']
const wanted = process.argv.length > 2 ? process.argv.slice(2) : TARGETS
for (const target of wanted) {
  if (!TARGETS.includes(target)) throw new Error(`unknown target ${target}; known are ${TARGETS.join(', ')}`)
  rmSync(join(CLIENT, 'dist/build', target), { recursive: true, force: true })
  const args = ['build', ...(target === 'h5' ? [] : ['-p', target])]
  const uni = join(CLIENT, 'node_modules/@dcloudio/vite-plugin-uni/bin/uni.js')
  const began = Date.now()
  const done = spawnSync(process.execPath, [uni, ...args], { cwd: CLIENT, encoding: 'utf8' })
  if (done.status !== 0) {
    process.stderr.write(done.stdout + done.stderr)
    process.exit(1)
  }
  console.log(`${target} built in ${((Date.now() - began) / 1000).toFixed(1)} s`)
}
