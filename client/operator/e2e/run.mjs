// The operator's page in Chromium against the real server: `npm run e2e [-- --shots FOLDER]`.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { Customer, Shop } from './shop.mjs'

const shots = process.argv.includes('--shots') ? process.argv[process.argv.indexOf('--shots') + 1] : ''
if (shots) mkdirSync(shots, { recursive: true })
const GUARD_MS = 120_000 // against hanging, also on a machine that is busy
const PUBLISHED_MS = 600_000
const ASKED = 'Do you wrap presents?'
const ANSWER = 'We wrap presents in recycled paper for 3 euro a parcel.'

const shop = new Shop()
const steps = []
let browser

function step(name) {
  steps.push(name)
  console.log(`- ${name}`)
}

async function shot(page, name) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`) })
}

async function status(path) {
  return (await fetch(`${shop.address}${path}`)).status
}

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(GUARD_MS)
  page.on('pageerror', (error) => assert.fail(`the page failed: ${error.message}`))
  page.on('console', (message) => {
    const expected = /WebSocket connection to/.test(message.text()) // the refused ones of the tests
    if (message.type() === 'error' && !expected) assert.fail(`the page complains: ${message.text()}`)
  })
  page.on('request', (request) => {
    const own = [shop.address, `ws://127.0.0.1:${shop.port}`].some((start) => request.url().startsWith(start))
    if (!own && !options.foreign) assert.fail(`asked somebody else: ${request.url()}`)
  })
  return page
}

async function signIn(page, name, credential) {
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('Credential', { exact: true }).fill(credential)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

const entry = (page, text) => page.locator('button.entry').filter({ hasText: text })

async function main() {
  await shop.open()
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })

  step('closed while nobody could sign in')
  assert.equal(await status('/console'), 404)
  const { credential } = JSON.parse(await shop.command('team', 'add', 'Kim', '--json'))
  assert.equal(await status('/console'), 200)

  const [mei, jonas, ada] = await Promise.all(
    ['mp-weixin', 'web', 'mp-alipay'].map((platform) => new Customer(shop, platform).connect()),
  )
  await mei.ask('How long can I return a sofa?')
  const delivery = await mei.ask('What does delivery cost?')
  mei.send({ type: 'feedback', turn: delivery.turn, value: 'down', comment: 'I only wanted to know about Austria.' })
  assert.equal((await ada.ask(ASKED)).status, 'declined')
  await jonas.ask('My chair arrived with a broken leg, what now?')
  await jonas.ask('I want to talk to a person')
  await jonas.until((event) => event.type === 'handover' && event.state === 'waiting')

  step('a wrong credential is refused, in words')
  const page = await open()
  await page.goto(`${shop.address}/console`)
  await shot(page, 'sign-in')
  await signIn(page, 'Kim', 'wrong')
  await page.getByText('The name or the credential is wrong.').waitFor()

  step('signing in shows the live conversations, those who wait first')
  await signIn(page, 'Kim', credential)
  await page.getByRole('navigation').waitFor()
  await page.locator('button.entry').nth(2).waitFor()
  assert.match(await page.locator('button.entry').first().innerText(), /Waiting/)
  assert.ok(!page.url().includes(credential))
  const seen = await page.evaluate(() => JSON.stringify({ ...sessionStorage, ...localStorage }) + document.cookie)
  assert.ok(!seen.includes(credential), 'the credential is kept nowhere')
  await page.waitForFunction(() => document.title.startsWith('(1) '))

  step('a transcript with the trace of a turn')
  await entry(page, delivery.text.slice(0, 20)).click()
  await page.getByRole('log').getByText('I only wanted to know about Austria.').waitFor()
  await page.getByText('Why this reply').last().click()
  await page.getByText('Passages found').last().waitFor()
  await page.getByText(/Probability that the first passage answers/).last().waitFor()
  await page.locator('.trace-body').last().scrollIntoViewIfNeeded()
  await shot(page, 'trace')

  step('taking over: the customer gets the words, and the assistant is silent')
  const before = mei.events.length
  await page.getByRole('button', { name: 'Take over', exact: true }).click()
  const active = await mei.until((event) => event.type === 'handover' && event.state === 'active', before)
  assert.equal(active.agent, 'Kim')
  mei.write('Does it cost more to Austria?')
  await mei.until((event) => event.type === 'user.delivered', before)
  await page.getByRole('log').getByText('Does it cost more to Austria?').waitFor()
  await page.getByLabel('Message to the customer').fill('Hi, Kim here. To Austria it is 9.90 euro.')
  await page.keyboard.press('Enter')
  const said = await mei.until((event) => event.type === 'agent.message', before)
  assert.equal(said.text, 'Hi, Kim here. To Austria it is 9.90 euro.')
  await page.getByRole('log').getByText('To Austria it is 9.90 euro.').waitFor()
  await page.waitForFunction(() => document.querySelectorAll('.unkept').length === 0)
  assert.equal(await page.getByRole('log').getByText('To Austria it is 9.90 euro.').count(), 1)
  await shot(page, 'conversation')

  step('coming back after a reload: still signed in, the conversation is still there')
  await page.reload()
  await page.getByRole('button', { name: /^Mine/ }).click()
  await page.locator('button.entry').first().click()
  await page.getByRole('button', { name: 'Back to the assistant' }).click()
  const ended = await mei.until((event) => event.type === 'handover' && event.state === 'ended', before)
  assert.equal(ended.reason, 'released')
  assert.ok(!mei.events.slice(before).some((event) => event.type.startsWith('turn.')), 'no turn in between')
  assert.equal((await mei.ask('How long can I return a sofa?')).status, 'completed')
  await page.getByRole('button', { name: 'Take over', exact: true }).waitFor()

  step('somebody who waits is taken, answered and solved, by keyboard alone')
  await page.getByRole('button', { name: /^All/ }).focus()
  await page.keyboard.press('Enter')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  await page.keyboard.press('Tab')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowUp')
  assert.match(await page.evaluate(() => document.activeElement?.textContent ?? ''), /Waiting/)
  await page.keyboard.press('Enter')
  const take = page.getByRole('button', { name: 'Take', exact: true })
  await take.waitFor()
  await take.focus()
  await page.keyboard.press('Enter')
  await jonas.until((event) => event.type === 'handover' && event.state === 'active')
  await page.waitForFunction(() => document.activeElement?.tagName === 'TEXTAREA')
  await page.keyboard.type('I am sorry. A new leg is on its way.')
  await page.keyboard.press('Enter')
  await jonas.until((event) => event.type === 'agent.message')
  await page.getByRole('button', { name: 'Solved' }).focus()
  await page.keyboard.press('Enter')
  assert.equal((await jonas.until((event) => event.type === 'handover' && event.state === 'ended')).reason, 'closed')

  step('an unanswered question gets an answer, is approved, and is then answered')
  await page.getByRole('link', { name: 'Questions' }).click()
  await entry(page, ASKED).click()
  await page.getByLabel('Answer', { exact: true }).fill(ANSWER)
  await page.getByLabel('Also asked').fill('Can you gift-wrap it?')
  await shot(page, 'questions')
  await page.getByRole('button', { name: 'Save draft' }).click()
  await page.getByText('Saved.').waitFor()
  await page.getByRole('button', { name: 'Approve and publish' }).click()
  await page.getByText(/^Publishing “/).waitFor()
  await shot(page, 'publishing')
  await page.getByText('is published: the assistant answers from it now').waitFor({ timeout: PUBLISHED_MS })
  const now = await ada.ask(ASKED)
  assert.equal(now.status, 'completed')
  assert.match(now.text, /recycled paper/)

  step('a draft that cannot be published says why, and stays a draft')
  await page.getByRole('button', { name: 'Refresh' }).click()
  await entry(page, ASKED).click() // it stands among the questions of the last days still
  await page.getByLabel('Answer', { exact: true }).fill('Another answer.')
  await page.getByRole('button', { name: 'Approve and publish' }).click()
  await page.getByText('has this question already').waitFor()
  await page.locator('button.entry', { hasText: 'Another answer.' }).click()
  await page.getByRole('button', { name: 'Delete draft' }).click()
  await page.getByRole('button', { name: 'Delete', exact: true }).click()
  await page.locator('button.entry', { hasText: 'Another answer.' }).waitFor({ state: 'detached' })

  step('feedback and figures')
  await page.getByRole('link', { name: 'Feedback' }).click()
  await page.getByText('I only wanted to know about Austria.').waitFor()
  await shot(page, 'feedback')
  await page.getByRole('link', { name: 'Figures' }).click()
  await page.locator('.tile').first().waitFor()
  assert.ok((await page.locator('.chart rect').count()) > 20)
  await shot(page, 'figures')

  step('in Chinese, in the dark, on a tablet: nothing is cut off')
  await page.getByRole('button', { name: /Kim/ }).click()
  await page.getByLabel('Language').selectOption('zh')
  await page.getByRole('link', { name: '会话' }).waitFor()
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN')
  await page.keyboard.press('Escape')
  await page.emulateMedia({ colorScheme: 'dark' })
  await shot(page, 'figures-dark-zh')
  await page.setViewportSize({ width: 768, height: 1024 })
  for (const name of ['会话', '问题', '评价', '数据']) {
    await page.getByRole('link', { name }).click()
    await page.waitForTimeout(600)
    const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
    assert.ok(over <= 0, `${name} is ${over} pixels too wide`)
    await shot(page, `tablet-${name}`)
  }
  await page.getByRole('link', { name: '会话' }).click()
  await page.locator('button.entry').first().click()
  await page.getByRole('log').waitFor()
  await page.waitForTimeout(600)
  await shot(page, 'tablet-conversation-dark-zh')

  step('roles and names for a screen reader')
  const tree = await page.locator('body').ariaSnapshot()
  for (const role of ['navigation', 'main', 'log', 'button', 'heading']) assert.match(tree, new RegExp(role))
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('button, a, input, textarea, select')].filter((one) => {
      const label = one.getAttribute('aria-label') ?? one.textContent?.trim()
      return !label && !(one.labels?.length > 0)
    }).length,
  )
  assert.equal(nameless, 0)

  step('the same agent elsewhere: this page says so, and can be had back')
  const other = await open()
  await other.goto(`${shop.address}/console`)
  await signIn(other, 'Kim', credential)
  await other.getByRole('navigation').waitFor()
  await page.getByText('你已在别处打开此页面').waitFor()
  await page.getByRole('button', { name: '在此使用' }).click()
  await other.getByText('You have opened this page elsewhere.').waitFor()

  step('a page of another origin is refused')
  const foreign = createServer((_, response) => response.end('<!doctype html><title>elsewhere</title>')).listen(0, '127.0.0.1')
  await new Promise((resolve) => foreign.once('listening', resolve))
  const stranger = await open({ foreign: true })
  await stranger.goto(`http://127.0.0.1:${foreign.address().port}/`)
  const outcome = await stranger.evaluate(
    (url) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url)
        socket.onopen = () => resolve('open')
        socket.onerror = () => resolve('refused')
      }),
    `ws://127.0.0.1:${shop.port}/console/socket`,
  )
  assert.equal(outcome, 'refused')
  foreign.close()

  step('a sign-in that was withdrawn ends, here and after a reload')
  await shop.command('team', 'renew', 'Kim')
  await page.getByText('登录已失效，请重新登录。').waitFor()
  await page.reload()
  await page.getByRole('heading', { name: '登录' }).waitFor()

  step('who read what is on record')
  const { entries } = JSON.parse(await shop.command('team', 'log', '--json'))
  const actions = new Set(entries.filter((one) => one.agent === 'Kim').map((one) => one.action))
  for (const action of ['read', 'took', 'joined', 'drafted', 'approved', 'discarded']) assert.ok(actions.has(action), action)
  assert.ok(!shop.log.includes('Austria'), 'no word of a conversation is logged')
  for (const customer of [mei, jonas, ada]) customer.close()
}

let failed = null
try {
  await main()
} catch (error) {
  failed = error
  for (const context of browser?.contexts() ?? []) {
    for (const [number, page] of context.pages().entries()) await shot(page, `failed-${number}`).catch(() => {})
  }
} finally {
  await browser?.close()
  shop.close()
}
if (failed) {
  console.error(`\nfailed at: ${steps.at(-1)}\n`, failed)
  process.exit(1)
}
console.log(`\n${steps.length} steps passed`)
