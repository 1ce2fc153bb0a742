/** A socket whose server is the test, and a clock that the test moves. */

import type { AssistantClient, ClientOptions, Clock, OpenSocket, SocketEvents } from '../../src/core/client'
import type { ClientMessage } from '../../src/core/protocol'

export class ManualClock implements Clock {
  private time = 1_750_000_000_000
  private waiting: { at: number; run: () => void }[] = []
  private seed = 1
  /** What random() always gives; different numbers (Lehmer's generator) without it. */
  constructor(private readonly number?: number) {}
  now(): number {
    return this.time
  }
  random(): number {
    this.seed = (this.seed * 48271) % 2147483647
    return this.number ?? this.seed / 2147483647
  }
  after(ms: number, run: () => void): () => void {
    const entry = { at: this.time + ms, run }
    this.waiting.push(entry)
    return () => void (this.waiting = this.waiting.filter((other) => other !== entry))
  }
  /** Let time pass; what is due runs in its order. */
  async pass(ms: number): Promise<void> {
    const end = this.time + ms
    for (;;) {
      const due = this.waiting.filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at)[0]
      if (!due) break
      this.waiting = this.waiting.filter((entry) => entry !== due)
      this.time = Math.max(this.time, due.at)
      due.run()
      await settled()
    }
    this.time = end
    await settled()
  }
}

/** Let promises that are ready run. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

export class Line {
  readonly sent: (ClientMessage & Record<string, unknown>)[] = []
  readonly binary: ArrayBuffer[] = []
  closed = false
  constructor(readonly events: SocketEvents) {}
  say(message: Record<string, unknown>): void {
    this.events.received(JSON.stringify(message))
  }
  of<T extends ClientMessage['type']>(type: T): Extract<ClientMessage, { type: T }>[] {
    return this.sent.filter((message) => message.type === type) as Extract<ClientMessage, { type: T }>[]
  }
}

export class ScriptedServer {
  readonly lines: Line[] = []
  readonly urls: string[] = []
  readonly open: OpenSocket = (url, events) => {
    const line = new Line(events)
    this.lines.push(line)
    this.urls.push(url)
    return {
      send: (data) => {
        if (typeof data === 'string') line.sent.push(JSON.parse(data))
        else line.binary.push(data)
      },
      close: () => void (line.closed = true),
    }
  }
  get line(): Line {
    return this.lines[this.lines.length - 1]!
  }
}

export const LIMITS = {
  message_bytes: 65536,
  text_chars: 2000,
  messages_per_minute: 120,
  queued_turns: 4,
  heartbeat_s: 25,
  session_minutes: 30,
  turn_deadline_s: 20,
  deltas_per_second: 15,
}

export function ready(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    type: 'ready',
    seq: 0,
    v: 1,
    session: 's1',
    resumed: false,
    gap: false,
    limits: LIMITS,
    features: { voice: true, scan: true, binary: true },
    shop: { name: 'Shop', greeting: 'Hello', language: 'en' },
    ...fields,
  }
}

export function done(
  seq: number,
  turn: string,
  fields: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    type: 'turn.done',
    seq,
    turn,
    status: 'completed',
    text: 'All of it.',
    sources: [],
    cards: [],
    quick_replies: [],
    ai_generated: false,
    timings: {},
    decision: 'answer',
    ...fields,
  }
}

/** A client that is online; its greeting was answered with `fields`. */
export async function online(
  make: (options: ClientOptions) => AssistantClient,
  options: Partial<ClientOptions> = {},
  fields: Record<string, unknown> = {},
) {
  const server = new ScriptedServer()
  const clock = (options.clock as ManualClock | undefined) ?? new ManualClock()
  const client = make({
    url: 'ws://shop/ws',
    openSocket: server.open,
    platform: 'test',
    locale: 'en-GB',
    binary: true,
    ...options,
    clock,
  })
  client.start()
  await settled()
  server.line.events.opened()
  server.line.say(ready(fields))
  return { client, server, clock }
}

/** Let time pass until the client opens its next connection. Returns the milliseconds that took. */
export async function nextLine(server: ScriptedServer, clock: ManualClock): Promise<number> {
  const [before, lines] = [clock.now(), server.lines.length]
  while (server.lines.length === lines) {
    if (clock.now() - before > 600_000) throw new Error('the client does not come back')
    await clock.pass(50)
  }
  return clock.now() - before
}
