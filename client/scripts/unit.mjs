// Unit tests: everything for the web, then what differs between platforms once for each mini-program.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { CLIENT } from './sources.mjs'

const vitest = join(CLIENT, 'node_modules/vitest/vitest.mjs')
const runs = [
  ['h5', []],
  ...['mp-weixin', 'mp-alipay', 'mp-baidu', 'mp-toutiao'].map((name) => [name, ['tests/platform']]),
]
for (const [platform, filter] of runs) {
  console.log(`units on ${platform}`)
  const done = spawnSync(process.execPath, [vitest, 'run', ...filter], {
    cwd: CLIENT,
    env: { ...process.env, UNI_PLATFORM: platform },
    stdio: 'inherit',
  })
  if (done.status !== 0) process.exit(1)
}
