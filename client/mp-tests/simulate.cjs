// The built WeChat page with Tencent's own template compiler and component runtime (miniprogram-simulate).
const { cpSync, mkdtempSync, writeFileSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { Window } = require('happy-dom')

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log('SKIPPED: Tencent’s compiler runs on Linux x86-64 only')
  process.exit(0)
}

const browser = new Window()
for (const name of [
  'document',
  'HTMLElement',
  'Node',
  'Element',
  'Event',
  'CustomEvent',
  'MutationObserver',
  'Text',
  'DocumentFragment',
]) {
  global[name] = browser[name]
}
global.window = browser
const simulate = require('miniprogram-simulate')

// The package says "module" above it; what WeChat loads is CommonJS.
const root = join(mkdtempSync(join(tmpdir(), 'weixin-')), 'package')
cpSync(join(__dirname, '../dist/build/mp-weixin'), root, { recursive: true })
writeFileSync(join(root, 'package.json'), '{"type":"commonjs"}')

const sent = []
const on = {}
const system = { language: 'en', theme: 'light', host: {} }
global.wx = Object.assign(global.wx ?? {}, {
  connectSocket: () => ({
    onOpen: (run) => (on.open = run),
    onMessage: (run) => (on.message = run),
    onClose() {},
    onError() {},
    send: (options) => sent.push(JSON.parse(options.data)),
    close() {},
  }),
  getRecorderManager: () => ({}),
  getAppBaseInfo: () => system,
  getSystemInfoSync: () => system,
  getWindowInfo: () => system,
  getDeviceInfo: () => system,
  canIUse: () => true,
  getLaunchOptionsSync: () => ({}),
  getEnterOptionsSync: () => ({}),
  onAppShow() {},
  onAppHide() {},
  onThemeChange() {},
  onNetworkStatusChange() {},
  setNavigationBarTitle() {},
  setNavigationBarColor() {},
  getStorageSync: () => '',
  setStorageSync() {},
  removeStorageSync() {},
})
let app
global.App = (definition) => {
  app = definition
  definition.onLaunch?.({})
}
global.Page = () => {}
global.getApp = () => app
const stack = []
global.getCurrentPages = () => stack

// Pages of uni-app are components; what WeChat adds to a page is added here.
const component = global.Component
global.Component = (definition) => {
  const attached = definition.lifetimes?.attached
  if (attached && definition.methods?.onLoad) {
    definition.lifetimes.attached = function () {
      this.route = 'pages/chat/chat'
      this.setUpdatePerformanceListener ??= () => {}
      return attached.call(this)
    }
  }
  return component(definition)
}

function assert(fine, what) {
  if (!fine) throw new Error(what)
}

async function main() {
  require(join(root, 'app.js'))
  const page = simulate.render(
    simulate.load(join(root, 'pages/chat/chat'), { rootPath: root, compiler: 'official' }),
  )
  page.attach(document.body)
  stack.push(page.instance)
  page.instance.onLoad?.({})
  const settle = () => simulate.sleep(120)
  const texts = (name) => page.querySelectorAll(name).map((found) => found.dom.textContent)
  const say = async (message) => {
    on.message({ data: JSON.stringify({ seq: 0, ...message }) })
    await settle()
  }
  await settle()
  on.open({})
  await settle()
  assert(sent[0].type === 'hello' && sent[0].platform === 'mp-weixin', `greeting: ${JSON.stringify(sent[0])}`)
  const limits = { text_chars: 2000, heartbeat_s: 25, photo_bytes: 1000000 }
  const shop = { name: 'Shop', greeting: 'Welcome <b>in</b>', language: 'en' }
  const features = { voice: true, scan: true, binary: true }
  await say({ type: 'ready', v: 1, session: 's1', resumed: false, gap: false, limits, features, shop })

  const [field] = everywhere(page, '.field-text')
  assert(field, 'no field is drawn')
  field.dispatchEvent('input', { detail: { value: 'How long?' }, bubbles: true })
  await settle()
  const send = everywhere(page, '.btn-primary').at(-1)
  send.dispatchEvent('tap', { bubbles: true })
  await settle()
  const question = sent.find((message) => message.type === 'user.text')
  assert(question, 'nothing was sent')
  const { id } = question
  await say({ type: 'turn.started', seq: 1, turn: 't1', id, text: 'How long?' })
  await say({ type: 'delta', seq: 2, turn: 't1', text: 'Thirty <b>days</b>' })
  await say({
    type: 'turn.done',
    seq: 3,
    turn: 't1',
    status: 'completed',
    text: 'Thirty <b>days</b> [1].',
    sources: [{ id: 'a', title: 'Returns', text: 'Thirty days.', document: 'returns.md' }],
    cards: [
      { kind: 'product', data: { sku: 'L', name: 'Lamp', price_text: '€20', stock_text: '3 in stock' } },
    ],
    quick_replies: ['And for lamps?'],
    ai_generated: true,
    timings: {},
    decision: 'answer',
  })
  const all = document.body.textContent
  for (const words of [
    'Welcome <b>in</b>',
    'How long?',
    'Thirty <b>days</b>',
    'AI-generated',
    '1 source',
    'Lamp',
    '€20',
    'And for lamps?',
  ]) {
    assert(all.includes(words), `not drawn: ${words}\n${all}`)
  }
  assert(document.querySelectorAll('b').length === 0, 'text was read as markup')
  assert(texts('.offers').length === 1, 'no suggestions')
  page.detach()
  console.log('ok   WeChat page and components drawn by Tencent’s compiler and runtime')
  process.exit(0)
}

/** What has this class, in the page and in the components inside it. */
function everywhere(component, name) {
  return component.querySelectorAll(`.app >>> ${name}`)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
