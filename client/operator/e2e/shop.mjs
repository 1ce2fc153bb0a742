// A real server on a copy of the example shop, and customers who talk to it over real websockets.
import { execFile, spawn } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import WebSocket from 'ws'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const assistant = process.env.ASSISTANT ?? join(root, '.venv/bin/assistant')
const python = join(dirname(assistant), 'python')
const run = promisify(execFile)
const GUARD_MS = 120_000

export class Shop {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'operator-'))
    this.data = join(this.folder, 'data')
    this.knowledge = join(this.folder, 'knowledge')
    cpSync(join(root, 'knowledge'), this.knowledge, { recursive: true })
    this.options = ['--data', this.data, '--knowledge', this.knowledge]
  }

  async open() {
    await this.command('ingest', this.knowledge)
    await run(python, [fileURLToPath(new URL('past.py', import.meta.url)), this.data], { cwd: root })
    this.server = spawn(assistant, ['serve', '--port', '0', '--data', this.data], {
      cwd: root,
      env: { ...process.env, ASSISTANT_KNOWLEDGE: this.knowledge },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.log = ''
    this.port = await new Promise((resolve, reject) => {
      this.server.stderr.on('data', (piece) => {
        this.log += piece
        const found = /http:\/\/127\.0\.0\.1:(\d+)\/[\s\S]*ready after/.exec(this.log)
        if (found) resolve(Number(found[1]))
      })
      this.server.on('exit', () => reject(new Error(`the server ended:\n${this.log}`)))
    })
  }

  get address() {
    return `http://127.0.0.1:${this.port}`
  }

  async command(...words) {
    const { stdout } = await run(assistant, [...words, ...this.options], { cwd: root, maxBuffer: 1 << 26 })
    return stdout
  }

  close() {
    this.server?.kill('SIGTERM')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export class Customer {
  constructor(shop, platform) {
    this.shop = shop
    this.platform = platform
    this.events = []
    this.wake = () => {}
    this.count = 0
  }

  async connect() {
    this.socket = new WebSocket(`ws://127.0.0.1:${this.shop.port}/ws`)
    this.socket.on('message', (data) => {
      this.events.push(JSON.parse(String(data)))
      this.wake()
    })
    await new Promise((resolve, reject) => this.socket.on('open', resolve).on('error', reject))
    this.send({ type: 'hello', v: 1, platform: this.platform, locale: 'en', binary: true })
    await this.until((event) => event.type === 'ready')
    return this
  }

  send(message) {
    this.socket.send(JSON.stringify(message))
  }

  /** The first event from a place on that is as wanted; waits for it. */
  async until(wanted, from = 0) {
    const end = Date.now() + GUARD_MS
    for (let at = from; ; at += 1) {
      while (at >= this.events.length) {
        if (Date.now() > end) throw new Error(`${this.platform} waited in vain for ${wanted}`)
        await new Promise((resolve) => {
          this.wake = resolve
          setTimeout(resolve, 1000)
        })
      }
      if (wanted(this.events[at])) return this.events[at]
    }
  }

  write(text) {
    this.count += 1
    const id = `m${this.count}`
    this.send({ type: 'user.text', id, text })
    return id
  }

  async ask(text) {
    const from = this.events.length
    const id = this.write(text)
    const started = await this.until((event) => event.type === 'turn.started' && event.id === id, from)
    return this.until((event) => event.type === 'turn.done' && event.turn === started.turn, from)
  }

  close() {
    this.socket.close()
  }
}
