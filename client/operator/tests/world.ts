// A desk with scripted surroundings: sockets that the test plays the server of, and a clock that it turns.

import { createDesk, type Desk, type Memory } from '../src/core/desk'
import type { Surroundings } from '../src/core/link'
import type { Fields, LiveEntry, Transcript } from '../src/core/protocol'

export class ScriptedSocket {
  readyState = 1
  sent: Fields[] = []
  onopen: (() => void) | null = null
  onmessage: ((message: { data: string }) => void) | null = null
  onclose: ((closed: { code: number }) => void) | null = null

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Fields)
  }

  close(): void {
    this.readyState = 3
  }

  open(): void {
    this.onopen?.()
  }

  say(event: Fields): void {
    this.onmessage?.({ data: JSON.stringify(event) })
  }

  drop(code = 1006): void {
    this.readyState = 3
    this.onclose?.({ code })
  }

  last(): Fields {
    return this.sent[this.sent.length - 1] ?? {}
  }
}

interface Timer {
  at: number
  work(): void
}

export class World {
  sockets: ScriptedSocket[] = []
  time = 1_000_000
  readonly tab = new Map<string, string>()
  readonly device = new Map<string, string>()
  private timers = new Map<number, Timer>()
  private named = 0

  readonly surroundings: Surroundings = {
    open: () => {
      const socket = new ScriptedSocket()
      this.sockets.push(socket)
      return socket as unknown as WebSocket
    },
    later: (work, ms) => {
      this.named += 1
      this.timers.set(this.named, { at: this.time + ms, work })
      return this.named
    },
    cancel: (timer) => void this.timers.delete(timer),
    random: () => 1,
    now: () => this.time,
  }

  get socket(): ScriptedSocket {
    const socket = this.sockets[this.sockets.length - 1]
    if (socket === undefined) throw new Error('nobody has connected')
    return socket
  }

  /** Let time pass; what is due is done in its order. */
  pass(ms: number): void {
    const end = this.time + ms
    for (;;) {
      const due = [...this.timers.entries()].filter(([, one]) => one.at <= end).sort(([, a], [, b]) => a.at - b.at)[0]
      if (due === undefined) break
      this.timers.delete(due[0])
      this.time = due[1].at
      due[1].work()
    }
    this.time = end
  }

  desk(languages: string[] = ['en-GB']): Desk {
    const memory = (map: Map<string, string>): Memory => ({
      get: (name) => map.get(name) ?? null,
      set: (name, value) => void (value === null ? map.delete(name) : map.set(name, value)),
    })
    return createDesk({
      link: this.surroundings,
      tab: memory(this.tab),
      device: memory(this.device),
      languages,
    })
  }

  /** A desk with somebody signed in. */
  signedIn(agent = 'Kim'): Desk {
    const desk = this.desk()
    desk.signIn(agent, 'secret')
    this.welcome(agent)
    return desk
  }

  welcome(agent = 'Kim'): void {
    this.socket.open()
    this.socket.say({
      type: 'ready',
      v: 1,
      agent,
      shop: 'Test shop',
      language: 'en',
      staffed: true,
      grace_s: 60,
      text_chars: 40,
      token: 'token-1',
      until: this.time / 1000 + 3600,
      now: this.time / 1000,
    })
  }

  shows(...entries: Partial<LiveEntry>[]): void {
    this.socket.say({ type: 'conversations', complete: true, entries: entries.map(entry), gone: [] })
  }
}

export function entry(fields: Partial<LiveEntry>): LiveEntry {
  return {
    key: 'c_one1',
    state: 'assistant',
    conversation: '',
    agent: '',
    cause: '',
    since: 0,
    question: '',
    connected: true,
    busy: false,
    seen_at: 900,
    customer: '',
    language: 'en',
    platform: 'web',
    turns: 1,
    ...fields,
  }
}

export function transcript(fields: Partial<Transcript>): Transcript {
  return {
    type: 'transcript',
    id: '',
    key: 'c_one1',
    began: 800,
    seen_at: 900,
    customer: '',
    language: 'en',
    platform: 'web',
    lines: [],
    ...fields,
  }
}
