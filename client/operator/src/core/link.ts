// One connection to the server that comes back by itself, with requests that are answered once.

import { CLOSE, newId, PROTOCOL_VERSION, type ErrorEvent, type Fields, type Ready, type ServerEvent } from './protocol'

export type LinkState = 'off' | 'connecting' | 'open' | 'lost' | 'replaced'

export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

export interface Hooks {
  state(state: LinkState): void
  ready(ready: Ready): void
  event(event: ServerEvent): void
  /** The sign-in does not count (any more); `code` says why, "" after signing out. */
  ended(code: string, message: string): void
}

export interface Surroundings {
  open(): WebSocket
  later(work: () => void, ms: number): number
  cancel(timer: number): void
  random(): number
  now(): number
}

type Hello = { agent: string; credential: string } | { token: string }

interface Request {
  resolve(event: ServerEvent): void
  reject(error: Error): void
}

const PING_MS = 20_000
const PONG_MS = 10_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 15_000

export class Link {
  private socket: WebSocket | null = null
  private hello: Hello | null = null
  private attempt = 0
  private retry = 0
  private heart = 0
  private waiting = new Map<string, Request>()
  private refused: ErrorEvent | null = null

  constructor(
    private readonly hooks: Hooks,
    private readonly around: Surroundings,
  ) {}

  /** Sign in, or go on with a token. */
  start(hello: Hello): void {
    this.stop()
    this.hello = hello
    this.attempt = 0
    this.connect()
  }

  /** Connect now instead of after the pause. */
  hurry(): void {
    if (this.socket === null && this.hello !== null) this.connect()
  }

  signOut(): void {
    this.send({ type: 'sign.out' })
    this.stop()
    this.hooks.ended('', '')
  }

  /** Whether it was sent; false while the connection is away. */
  send(message: Fields): boolean {
    if (this.socket === null || this.socket.readyState !== 1) return false
    this.socket.send(JSON.stringify(message))
    return true
  }

  /** Ask something that is answered by one event. Rejects with a Refusal. */
  request<T extends ServerEvent>(message: Fields): Promise<T> {
    const id = newId()
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as (event: ServerEvent) => void, reject })
      if (!this.send({ ...message, id })) this.settle(id, new Refusal('lost', 'not connected'))
    })
  }

  private connect(): void {
    this.around.cancel(this.retry)
    this.refused = null
    this.hooks.state('connecting')
    const socket = this.around.open()
    this.socket = socket
    socket.onopen = () => socket.send(JSON.stringify({ type: 'hello', v: PROTOCOL_VERSION, ...this.hello }))
    socket.onmessage = (message) => {
      if (socket === this.socket) this.take(JSON.parse(String(message.data)) as ServerEvent)
    }
    socket.onclose = (closed) => {
      if (socket === this.socket) this.lose(closed.code)
    }
  }

  private take(event: ServerEvent): void {
    if (event.type === 'ready') {
      this.hello = { token: event.token }
      this.attempt = 0
      this.hooks.state('open')
      this.hooks.ready(event)
      this.beat()
      return
    }
    if (event.type === 'pong') return this.beat()
    if (event.type === 'error') {
      this.refused = event
      if (event.id !== undefined && this.settle(event.id, new Refusal(event.code, event.message))) return
      if (event.code === 'rate_limited' && this.hello !== null && 'credential' in this.hello) {
        this.stop()
        this.hooks.ended(event.code, event.message)
        return
      }
    }
    if ('id' in event && event.id && this.waiting.has(event.id)) {
      this.waiting.get(event.id)?.resolve(event)
      this.waiting.delete(event.id)
    }
    this.hooks.event(event)
  }

  private beat(): void {
    this.around.cancel(this.heart)
    this.heart = this.around.later(() => {
      this.send({ type: 'ping', t: this.around.now() })
      this.heart = this.around.later(() => this.drop(), PONG_MS)
    }, PING_MS)
  }

  /** The server has not answered: do not wait for the system to notice. */
  private drop(): void {
    const socket = this.socket
    this.lose(1006)
    socket?.close()
  }

  private lose(code: number): void {
    this.socket = null
    this.around.cancel(this.heart)
    for (const id of [...this.waiting.keys()]) this.settle(id, new Refusal('lost', 'the connection was lost'))
    if (code === CLOSE.unauthorized || code === CLOSE.signInEnded) {
      this.hello = null
      this.hooks.state('off')
      this.hooks.ended(this.refused?.code ?? 'unauthorized', this.refused?.message ?? '')
      return
    }
    if (code === CLOSE.replaced) return this.hooks.state('replaced')
    this.hooks.state('lost')
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.attempt)
    this.attempt += 1
    this.retry = this.around.later(() => this.connect(), pause * this.around.random())
  }

  private settle(id: string, error: Error): boolean {
    const request = this.waiting.get(id)
    this.waiting.delete(id)
    request?.reject(error)
    return request !== undefined
  }

  private stop(): void {
    this.around.cancel(this.retry)
    this.around.cancel(this.heart)
    const socket = this.socket
    this.socket = null
    this.hello = null
    socket?.close()
    for (const id of [...this.waiting.keys()]) this.settle(id, new Refusal('lost', 'signed out'))
    this.hooks.state('off')
  }
}
