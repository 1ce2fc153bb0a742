// One conversation on all four built packages against the real server; then their trees must be equal.
// Usage: node mp-tests/run.mjs (make test-client prepares the server's data)
import { join } from 'node:path'
import { startProxy } from '../e2e/proxy.mjs'
import { startServer } from '../e2e/server.mjs'
import { CLIENT } from '../scripts/sources.mjs'
import { PLATFORMS, boot, byLabel, find, shapeOf, textOf } from './host.mjs'

const WAIT_MS = 60_000
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(what, look) {
  const began = Date.now()
  for (;;) {
    const found = look()
    if (found) return found
    if (Date.now() - began > WAIT_MS) throw new Error(`timeout: ${what}`)
    await pause(20)
  }
}

function assert(fine, what) {
  if (!fine) throw new Error(what)
}

/** Drives one package the way a customer would. */
async function converse(platform, server, hosts) {
  // The first reply is cut off after its first piece, as a phone in a lift would.
  let cut = null
  const proxy = await startProxy(server.url, {
    fromServer: (message, link) => {
      if (link === cut) return false // nothing more gets through
      if (message.type !== 'delta' || cut) return true
      cut = link
      setTimeout(() => link.cut(), 30)
      return true
    },
  })
  const tone = new ArrayBuffer(4096)
  new Int16Array(tone).forEach((_, i, all) => (all[i] = 8000 * Math.sin(i / 6)))
  const host = boot(platform, join(CLIENT, 'dist/build', platform), {
    url: proxy.socket,
    frames: Array.from({ length: 8 }, () => tone),
    file: tone,
    code: '2411619730697',
  })
  hosts.push(host)
  const page = host.open('pages/chat/chat')
  const button = (label) => byLabel(page.render(), label).find((node) => node.attributes.class)
  const press = async (label) => {
    page.emit(await until(`button ${label}`, () => button(label)), 'tap')
    await pause(60)
  }
  const type = async (text) => {
    page.emit(find(page.render(), 'field-text')[0], 'input', { value: text })
    await pause(60)
  }
  const ended = () => find(page.render(), 'reply-foot').length

  await until('online', () => find(page.render(), 'online').length)
  assert(host.log.titles.includes('Ottermoor'), `${platform}: the bar has no title`)

  // a typed question, its connection cut in the middle of the reply
  await type('How long can I return a sofa?')
  await press('Send')
  await until('the connection is cut', () => cut)
  await until('the first reply', () => ended() === 1)
  const bubbles = find(page.render(), 'bubble').map(textOf)
  assert(/50 days/.test(bubbles.at(-1)), `${platform}: wrong reply ${bubbles.at(-1)}`)
  assert(
    find(page.render(), 'mine-bubble').length === 1,
    `${platform}: the question shows ${find(page.render(), 'mine-bubble').length} times`,
  )
  const hellos = host.log.sent.filter((message) => message.type === 'hello')
  assert(hellos.length === 2 && hellos[1].session && hellos[1].last_seq > 0, `${platform}: not resumed`)

  // its sources
  await press('1 source')
  await until('the sources', () => find(page.render(), 'source').length === 1)
  await press('Close')
  await until('the sources closed', () => !find(page.render(), 'sheet').length)

  // feedback
  await press('Helpful')
  await until('feedback', () =>
    host.log.sent.some((message) => message.type === 'feedback' && message.value === 'up'),
  )

  // markup is text
  await type('<b>bold</b>')
  await press('Send')
  await until('a reply to markup', () => ended() === 2)
  assert(
    textOf(find(page.render(), 'mine-bubble')[1]).includes('<b>bold</b>'),
    `${platform}: text was read as markup`,
  )

  // cards and quick replies
  await type('Recommend me a lamp under 200 euros')
  await press('Send')
  await until('cards', () => find(page.render(), 'product').length >= 1 && ended() === 3)
  await until('quick replies', () => find(page.render(), 'offers').length === 1)
  await press('Details: Egret floor lamp')
  await until('the product', () => find(page.render(), 'product-facts').length === 1)
  assert(
    host.log.sent.some((message) => message.type === 'event' && message.kind === 'tap'),
    `${platform}: no tap told`,
  )
  await press('Close')

  // a code from the vendor's scanner
  await press('Scan a code')
  await press('Open the camera')
  await until('the scan', () =>
    host.log.sent.some((message) => message.type === 'scan' && message.code === '2411619730697'),
  )
  await until('its reply', () => ended() === 4)

  // speech, where the server takes it
  const features = proxy.seen.fromServer.find((message) => message.type === 'ready').features
  if (features.voice) {
    await press('Speak')
    await until('listening', () => find(page.render(), 'voice').length === 1)
    await press('Send what you said')
    await until('the end of speech', () => host.log.sent.some((message) => message.type === 'audio.end'))
    const start = host.log.sent.find((message) => message.type === 'audio.start')
    const format = { 'mp-alipay': 'mp3', 'mp-baidu': 'auto' }[platform] ?? 'pcm_s16le'
    assert(start.format === format, `${platform}: speech is announced as ${start.format}`)
    const binary = host.log.sent.some((message) => message.type === 'binary')
    assert(binary === (platform !== 'mp-alipay' && features.binary), `${platform}: speech goes the wrong way`)
    await until('composer is back', () => find(page.render(), 'composer').length === 1)
  }

  // background and foreground: the conversation is kept, and a dead connection found out
  host.device.hidden.forEach((run) => run({}))
  assert(
    [...host.device.storage.values()].some((value) => String(value).includes('50 days')),
    `${platform}: not kept`,
  )
  proxy.cutAll()
  host.device.shown.forEach((run) => run({}))
  await until('back online', () => find(page.render(), 'online').length)

  // settings
  await press('Settings')
  await until('settings', () => find(page.render(), 'settings').length === 1)
  page.emit(
    find(page.render(), 'choice').find((node) => textOf(node) === '中文'),
    'tap',
  )
  await until('Chinese', () => find(page.render(), 'sheet-title').map(textOf).includes('设置'))
  page.emit(
    find(page.render(), 'choice').find((node) => textOf(node) === 'English'),
    'tap',
  )
  await until('English', () => find(page.render(), 'sheet-title').map(textOf).includes('Settings'))
  await press('Close')
  await until('settings closed', () => !find(page.render(), 'sheet').length)
  await until('no short message', () => !find(page.render(), 'toast').length)
  await pause(100)

  const tree = page.render().map(shapeOf)
  const { errors, unknown, setData } = host.log
  page.close()

  // the next visit shows what was kept before it is connected
  const again = boot(platform, join(CLIENT, 'dist/build', platform), {
    url: 'ws://127.0.0.1:9',
    storage: host.device.storage,
  })
  const later = again.open('pages/chat/chat')
  const kept = find(later.render(), 'mine-bubble').length
  later.close()
  proxy.stop()
  assert(kept >= 2, `${platform}: the next visit shows ${kept} messages`)
  assert(!errors.length, `${platform}: ${[...new Set(errors)].slice(0, 4).join('\n')}`)
  console.log(
    `ok   ${platform}: ${setData} setData; not in the host: ${[...unknown].filter((name) => name !== 'then').join(', ') || 'nothing'}; voice ${features.voice ? 'spoken' : 'SKIPPED (the server has none)'}`,
  )
  return JSON.stringify(tree)
}

const server = await startServer()
let failed = 0
try {
  const trees = {}
  for (const platform of process.argv[2] ? process.argv[2].split(',') : Object.keys(PLATFORMS)) {
    const hosts = []
    try {
      trees[platform] = await converse(platform, server, hosts)
    } catch (error) {
      failed += 1
      console.log(`BAD  ${platform}: ${error.stack}`)
      for (const { log } of hosts)
        console.log(log.errors.slice(0, 4).join('\n'), JSON.stringify(log.sent.slice(-3)))
    }
  }
  const different = new Set(Object.values(trees))
  if (different.size > 1) {
    failed += 1
    const [first, ...others] = Object.entries(trees)
    for (const [platform, tree] of others.filter(([, other]) => other !== first[1])) {
      const at = [...tree].findIndex((sign, i) => sign !== first[1][i])
      console.log(
        `BAD  ${platform} differs from ${first[0]}: …${tree.slice(at - 200, at + 200)}… not …${first[1].slice(at - 200, at + 200)}…`,
      )
    }
  } else if (!failed) console.log(`ok   the same tree on ${Object.keys(trees).length} platforms`)
} finally {
  await server.stop()
}
process.exit(failed ? 1 : 0)
