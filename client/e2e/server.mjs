// Starts the real server on a free port with a prepared data folder, a copy of it, so that tests change nothing.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLIENT } from '../scripts/sources.mjs'

const ROOT = join(CLIENT, '..')
const START_MS = 180_000

/** The folder that `assistant ingest` filled; `make test-client` sets it. */
const DATA = process.env.ASSISTANT_DATA ?? join(ROOT, 'data')
const ASSISTANT = process.env.ASSISTANT_BIN ?? join(ROOT, '.venv/bin/assistant')

/**
 * A running server: its `url`, `stop()`, and `log()` with what it wrote. `settings` are ASSISTANT_… variables.
 */
export async function startServer(settings = {}) {
  const running = process.env.ASSISTANT_SERVER // for quick turns while working on the client
  if (running) {
    return {
      url: running,
      socket: `${running.replace(/^http/, 'ws')}/ws`,
      log: () => '',
      stop: async () => {},
    }
  }
  if (!existsSync(join(DATA, 'CURRENT'))) {
    throw new Error(`no ingested knowledge in ${DATA}; run make test-client, or set ASSISTANT_DATA`)
  }
  const data = mkdtempSync(join(tmpdir(), 'assistant-client-'))
  cpSync(DATA, data, { recursive: true, filter: (path) => !/sessions\.sqlite/.test(path) })
  const server = spawn(ASSISTANT, ['serve', '--data', data, '--port', '0'], {
    cwd: ROOT,
    env: { ...process.env, ASSISTANT_MAX_MESSAGES_PER_MINUTE: '10000', ...settings },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  /** Adds an agent; returns the credential. */
  const addAgent = (name) => {
    const done = spawnSync(ASSISTANT, ['team', 'add', name, '--data', data, '--json'], {
      cwd: ROOT,
      encoding: 'utf8',
    })
    if (done.status !== 0) throw new Error(`no agent could be added: ${done.stderr}`)
    return JSON.parse(done.stdout).credential
  }
  const stopped = new Promise((resolve) => server.once('exit', resolve))
  const address = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the server did not start:\n${log}`)), START_MS)
    server.stderr.on('data', (piece) => {
      log += piece
      const found = /serving (http:\/\/\S+?)\/ /.exec(log)
      if (!found || !/ready after/.test(log)) return
      clearTimeout(timer)
      resolve(found[1])
    })
    server.once('exit', (code) => {
      clearTimeout(timer)
      reject(new Error(`the server ended with ${code}:\n${log}`))
    })
  })
  return {
    url: address,
    socket: `${address.replace(/^http/, 'ws')}/ws`,
    addAgent,
    log: () => log,
    stop: async (signal = 'SIGTERM') => {
      server.kill(signal)
      await stopped
      rmSync(data, { recursive: true, force: true })
    },
  }
}
