/**
 * The conversation with the server: connects, greets, resumes, sends, keeps order, notices dead connections.
 *
 * Everything from outside (sockets, storage, time) is passed in, so that it runs in browsers, mini-programs and Node.
 */

import { toBase64 } from './audio'
import { backoffMs } from './backoff'
import {
  EMPTY,
  abandonReplies,
  addCustomer,
  addNotice,
  applyEvent,
  failCustomer,
  removeItem,
  runningTurn,
  setVote,
  unsettled,
  type Conversation,
  type CustomerItem,
} from './conversation'
import {
  PROTOCOL_VERSION,
  isSessionEvent,
  newId,
  parseServer,
  type AudioFormat,
  type ClientMessage,
  type DeviceStateEvent,
  type ErrorEvent,
  type Features,
  type FeedbackValue,
  type Hello,
  type Limits,
  type ProductEventKind,
  type Ready,
  type ServerMessage,
  type Shop,
} from './protocol'
import { decodeSaved, encodeSaved, memoryStore, type Store } from './saved'

/** What a socket tells; `closed` at most once counts. */
export interface SocketEvents {
  opened(): void
  received(text: string): void
  /** `code` 0 where the platform does not tell. */
  closed(code: number): void
}

export interface Socket {
  /** Strings always; ArrayBuffer only where the option `binary` is true. Must not throw. */
  send(data: string | ArrayBuffer): void
  close(): void
}

export type OpenSocket = (url: string, events: SocketEvents) => Socket

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Runs once after `ms`; the function returned prevents it. */
  after(ms: number, run: () => void): () => void
  random(): number
}

export interface ClientOptions {
  url: string
  openSocket: OpenSocket
  /** Name in the operator's figures, for example `web` or `mp-weixin`. */
  platform: string
  locale: string
  /** Whether the socket carries binary frames (Alipay's does not). */
  binary: boolean
  /** Where session and messages are kept between visits; forgets with the page by default. */
  store?: Store
  /** If the operator has set one. */
  credential?: string
  /** A fresh token of the signed-in customer, asked for before each connection; "" for a guest. */
  customer?: () => Promise<string>
  clock?: Clock
}

/**
 * - `connecting`: for the first time or again at once
 * - `waiting`: for the next attempt
 * - `stopped`: needs somebody to act, see `reason`: "" (not started), "left", or the error code of the close
 */
export interface ConnectionState {
  phase: 'connecting' | 'online' | 'waiting' | 'stopped'
  reason: string
}

export interface ClientState {
  connection: ConnectionState
  conversation: Conversation
  shop: Shop | null
  limits: Limits | null
  features: Features
  /** Devices in the customer's home by `home/device`. */
  devices: Readonly<Record<string, DeviceStateEvent>>
}

export type Change =
  | { kind: 'state' }
  /** A reply or a person's message is complete: the moment to read it out. */
  | { kind: 'said'; text: string; by: 'assistant' | 'person' }
  /** Something was refused that belongs to no message shown; `code` is to be translated. */
  | { kind: 'refused'; code: string }
  /** Speech is over for this reason: "" (heard), or an error code. */
  | { kind: 'speech.ended'; id: string; code: string }

export type Listener = (change: Change) => void

/** An utterance in speech that is being sent. */
export interface Speech {
  readonly id: string
  /** Send more audio; without effect once the speech is over. */
  chunk(bytes: ArrayBuffer): void
  end(): void
  /** Drop it; what was recognised so far is not asked. */
  cancel(): void
}

const NO_FEATURES: Features = { voice: false, scan: false, binary: false }
const PROBE_MS = 2_000
const PONG_MS = 10_000
const HELLO_MS = 12_000
const FRESH_MS = 10 * 60_000
const RATE_WAIT_MS = 5_000
const SPEECH_WAIT_MS = 10_000
const LONG_WAIT_MS = 60_000
const PIECE_BYTES = 32_768
const STORE_KEY = 'assistant.conversation'

/** Close codes by which the server says what an unseen error message would have said (docs/protocol.md). */
const CLOSE_CODES: Readonly<Record<number, string>> = {
  1009: 'message_too_large',
  1012: 'going_away',
  1013: 'too_many_sessions',
  4400: 'unsupported_version',
  4401: 'unauthorized',
  4403: 'customer_refused',
  4404: 'erased',
  4408: 'hello_timeout',
  4409: 'replaced',
  4410: 'customer_expired',
  4411: 'slow_client',
  4429: 'rate_abused',
}
const FINAL: ReadonlySet<string> = new Set(['unsupported_version', 'unauthorized', 'replaced'])
const LONG: ReadonlySet<string> = new Set(['too_many_sessions', 'rate_abused'])

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}

export class AssistantClient {
  private readonly clock: Clock
  private store: Store
  private readonly listeners = new Set<Listener>()
  private current: ClientState
  private session = ''
  private lastSeq = 0
  private socket: Socket | null = null
  /** Counts connections; what an older one still says is ignored. */
  private generation = 0
  private attempt = 0
  private fatal = ''
  private asGuest = false
  private credential: string
  private cancelRetry = (): void => {}
  private cancelBeat = (): void => {}
  private cancelDeadline = (): void => {}
  private cancelResend = (): void => {}
  private cancelSpeechWait = (): void => {}
  private readonly photos = new Map<string, string>()
  private readonly held = new Set<string>()
  private speech: { id: string; ended: boolean } | null = null

  constructor(private readonly options: ClientOptions) {
    this.clock = options.clock ?? systemClock
    this.store = options.store ?? memoryStore()
    this.credential = options.credential ?? ''
    const saved = decodeSaved(this.store.get(STORE_KEY))
    this.session = saved?.session ?? ''
    this.lastSeq = saved?.lastSeq ?? 0
    this.current = {
      connection: { phase: 'stopped', reason: '' },
      conversation: saved ? withoutSpeech(saved.conversation) : EMPTY,
      shop: null,
      limits: null,
      features: NO_FEATURES,
      devices: {},
    }
  }

  get state(): ClientState {
    return this.current
  }

  /** Hear of every change; the function returned ends it. */
  listen(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  // --- connection ---

  /** Connect and stay connected. Harmless when connected or connecting. */
  start(): void {
    const { phase } = this.current.connection
    if (phase === 'online' || phase === 'connecting') return
    this.connect()
  }

  /** Give the operator's credential after a stop with `unauthorized`, and connect. */
  useCredential(credential: string): void {
    this.credential = credential
    this.connect()
  }

  /** Leave; the session can be resumed for as long as the server keeps it. */
  leave(): void {
    this.transmit({ type: 'bye' })
    this.drop()
    this.setConnection('stopped', 'left')
    this.save()
  }

  /** The app goes into the background: its code may be frozen any moment, and its socket cut without a word. */
  background(): void {
    if (this.current.connection.phase === 'online' && this.lastSeq)
      this.transmit({ type: 'ack', seq: this.lastSeq })
    this.save()
  }

  /** The app is shown again: find out at once whether the connection lives, and if not, reconnect. */
  foreground(): void {
    const { phase } = this.current.connection
    if (phase === 'waiting') this.connect()
    else if (phase === 'online') this.probe(PROBE_MS)
  }

  /** The network came back or changed. */
  networkChanged(): void {
    this.foreground()
  }

  /** Use another store from now on, for example one that forgets; the old one is emptied. */
  useStore(store: Store): void {
    this.store.remove(STORE_KEY)
    this.store = store
    this.save()
  }

  /** Forget the conversation on this device and begin a new one. The server's copy is not touched. */
  forget(): void {
    const stopped = this.current.connection.phase === 'stopped'
    if (this.current.connection.phase === 'online') this.transmit({ type: 'bye' })
    this.drop()
    this.reset()
    this.store.remove(STORE_KEY)
    if (stopped) this.change({})
    else this.connect()
  }

  private connect(): void {
    this.drop()
    const generation = this.generation
    const live = (): boolean => generation === this.generation
    this.fatal = ''
    this.setConnection('connecting', '')
    this.cancelDeadline = this.clock.after(HELLO_MS, () => this.lost(0))
    const ask = this.asGuest ? undefined : this.options.customer
    const token = ask ? ask().catch(() => '') : Promise.resolve('')
    void token.then((customer) => {
      if (!live()) return
      this.socket = this.options.openSocket(this.options.url, {
        opened: () => live() && this.greet(customer),
        received: (text) => live() && this.receive(text),
        closed: (code) => live() && this.lost(code),
      })
    })
  }

  private greet(customer: string): void {
    const { platform, locale, binary } = this.options
    const hello: Hello = { type: 'hello', v: PROTOCOL_VERSION, platform, locale: locale.slice(0, 64), binary }
    if (this.credential) hello.credential = this.credential
    if (customer) hello.customer = customer
    if (this.session) Object.assign(hello, { session: this.session, last_seq: this.lastSeq })
    this.transmit(hello)
  }

  /** Give the socket up without a word to the listeners. */
  private drop(): void {
    this.generation += 1
    const socket = this.socket
    this.socket = null
    for (const cancel of [this.cancelRetry, this.cancelBeat, this.cancelDeadline, this.cancelResend]) cancel()
    socket?.close()
    if (this.speech && !this.speech.ended) this.endSpeech('connection_lost')
  }

  private lost(closeCode: number): void {
    const code = this.fatal || CLOSE_CODES[closeCode] || ''
    this.drop()
    if (FINAL.has(code)) return this.setConnection('stopped', code)
    if (code === 'erased') this.reset()
    if (code === 'customer_refused') this.asGuest = true
    if (code === 'message_too_large') this.failLargest()
    const wait = LONG.has(code)
      ? LONG_WAIT_MS * (1 + this.clock.random() / 2)
      : backoffMs(this.attempt, () => this.clock.random())
    this.attempt += 1
    this.cancelRetry = this.clock.after(wait, () => this.connect())
    this.setConnection('waiting', code)
  }

  /** Ask for a sign of life; without one in time the connection counts as lost. */
  private probe(ms: number): void {
    this.cancelDeadline()
    this.cancelDeadline = this.clock.after(ms, () => {
      this.attempt = 0
      this.lost(0)
      this.foreground()
    })
    this.transmit({ type: 'ping', t: this.clock.now() })
  }

  private beat(): void {
    this.cancelBeat()
    const ms = (this.current.limits?.heartbeat_s ?? 25) * 1000
    this.cancelBeat = this.clock.after(ms, () => {
      this.probe(PONG_MS)
      this.beat()
    })
  }

  private transmit(message: ClientMessage): void {
    this.socket?.send(JSON.stringify(message))
  }

  // --- from the server ---

  private receive(text: string): void {
    const message = parseServer(text)
    if (!message) return
    if (message.type !== 'ready' && this.current.connection.phase !== 'online') {
      if (message.type === 'error') this.refuse(message)
      return
    }
    if (this.current.connection.phase === 'online') this.cancelDeadline()
    this.handle(message)
  }

  private handle(message: ServerMessage): void {
    if (isSessionEvent(message)) {
      if (message.seq <= this.lastSeq) return
      this.lastSeq = message.seq
      const conversation = applyEvent(this.current.conversation, message, this.clock.now())
      this.change({ conversation })
      if (message.type === 'transcript.final' || message.type === 'turn.started') this.heard(message.id)
      if (message.type === 'turn.done') {
        this.save()
        this.emit({ kind: 'said', text: message.text, by: 'assistant' })
        this.resendHeld()
      }
      if (message.type === 'agent.message') {
        this.save()
        this.emit({ kind: 'said', text: message.text, by: 'person' })
      }
      if (message.type === 'user.delivered') this.forgetSent(message.id)
      return
    }
    if (message.type === 'device.state') {
      this.change({ devices: { ...this.current.devices, [`${message.home}/${message.device}`]: message } })
    } else if (message.type === 'ready') this.welcome(message)
    else if (message.type === 'error') this.refuse(message)
  }

  private welcome(ready: Ready): void {
    this.cancelDeadline()
    const now = this.clock.now()
    let conversation = this.current.conversation
    if (!ready.resumed && this.session) {
      conversation = this.beginAnew(conversation, now)
    } else if (ready.gap) conversation = addNotice(conversation, 'gap', now)
    if (!ready.resumed) this.lastSeq = 0
    this.session = ready.session
    this.attempt = 0
    this.change({
      connection: { phase: 'online', reason: '' },
      conversation,
      shop: ready.shop,
      limits: ready.limits,
      features: { ...NO_FEATURES, ...ready.features },
      devices: {},
    })
    this.save()
    this.beat()
    this.resend()
    if (this.speech?.ended) this.waitForTranscript()
  }

  /** The session is unknown: what was said stays to be read, what was just sent is asked again. */
  private beginAnew(before: Conversation, now: number): Conversation {
    let conversation: Conversation = { ...abandonReplies(before), handover: EMPTY.handover }
    for (const item of unsettled(conversation)) {
      const lost = item.state === 'sent' || item.via === 'voice' || now - item.at > FRESH_MS
      if (lost) conversation = failCustomer(conversation, item.id, 'interrupted')
    }
    return conversation.items.length ? addNotice(conversation, 'new', now) : conversation
  }

  private refuse(error: ErrorEvent): void {
    if (error.fatal) {
      this.fatal = error.code
      return
    }
    if (error.code === 'rate_limited') this.resendLater()
    const item = error.id ? this.customerItem(error.id) : undefined
    if (error.code === 'busy' && item) {
      this.held.add(item.id)
      if (!runningTurn(this.current.conversation)) this.resendLater()
      return
    }
    if (error.id && error.id === this.speech?.id) return this.endSpeech(error.code)
    if (item && error.code !== 'rate_limited') {
      this.forgetSent(item.id)
      this.change({ conversation: failCustomer(this.current.conversation, item.id, error.code) })
      this.save()
    } else if (!SILENT.has(error.code)) this.emit({ kind: 'refused', code: error.code })
  }

  // --- what the customer does ---

  /** Say something; kept and sent later if there is no connection. Returns its id, "" for empty text. */
  sendText(text: string): string {
    const clean = text.trim()
    return clean ? this.say(clean, 'text') : ''
  }

  /** Ask about a scanned code. */
  sendCode(code: string): string {
    const clean = code.trim().slice(0, 2048)
    return clean ? this.say(clean, 'scan') : ''
  }

  /** Ask about the code in a photo (JPEG, PNG or WebP, at most `limits.photo_bytes`). */
  sendPhoto(photo: ArrayBuffer): string {
    const id = newId(this.clock.now(), () => this.clock.random())
    this.photos.set(id, toBase64(photo))
    return this.say('', 'scan', id)
  }

  /** Send a message that failed again, as a new one. */
  retry(id: string): string {
    const item = this.customerItem(id)
    if (!item || item.state !== 'failed' || !item.text) return ''
    this.change({ conversation: removeItem(this.current.conversation, item.key) })
    return this.say(item.text, item.via === 'scan' ? 'scan' : 'text')
  }

  /** Stop the reply that is being given. */
  cancel(): void {
    const turn = runningTurn(this.current.conversation)
    if (turn) this.transmit({ type: 'cancel', turn })
  }

  feedback(turn: string, value: FeedbackValue, comment = ''): void {
    this.change({ conversation: setVote(this.current.conversation, turn, value) })
    this.transmit({ type: 'feedback', turn, value, ...(comment ? { comment: comment.slice(0, 2000) } : {}) })
    this.save()
  }

  /** Tell what the customer did with a product; lost without a connection, as the protocol wants it. */
  productEvent(kind: ProductEventKind, sku: string): void {
    if (this.current.connection.phase === 'online') this.transmit({ type: 'event', kind, sku })
  }

  /** Back to the assistant, or wait for a person no longer. */
  endHandover(): void {
    this.transmit({ type: 'handover.end' })
  }

  /** Begin an utterance in speech; null without a connection, or while another one is going on. */
  speak(format: AudioFormat, rateHz: number, channels = 1): Speech | null {
    if (this.current.connection.phase !== 'online' || (this.speech && !this.speech.ended)) return null
    const now = this.clock.now()
    const id = newId(now, () => this.clock.random())
    const speech = { id, ended: false }
    this.speech = speech
    this.transmit({ type: 'audio.start', id, format, rate_hz: rateHz, channels })
    this.change({ conversation: addCustomer(this.current.conversation, id, '', 'voice', 'listening', now) })
    const going = (): boolean => this.speech === speech && !speech.ended
    return {
      id,
      chunk: (bytes) => {
        if (going()) this.sendAudio(id, bytes)
      },
      end: () => {
        if (!going()) return
        speech.ended = true
        this.transmit({ type: 'audio.end', id })
        this.waitForTranscript()
      },
      cancel: () => {
        if (this.speech !== speech) return
        this.speech = null
        this.cancelSpeechWait()
        this.transmit({ type: 'audio.cancel', id })
        this.change({ conversation: removeItem(this.current.conversation, `c-${id}`) })
      },
    }
  }

  private sendAudio(id: string, bytes: ArrayBuffer): void {
    for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
      const piece = bytes.slice(at, at + PIECE_BYTES)
      if (this.options.binary && this.current.features.binary) this.socket?.send(piece)
      else this.transmit({ type: 'audio.chunk', id, b64: toBase64(piece) })
    }
  }

  private waitForTranscript(): void {
    this.cancelSpeechWait()
    this.cancelSpeechWait = this.clock.after(SPEECH_WAIT_MS, () => this.endSpeech('timeout'))
  }

  /** The server has understood the speech, perhaps before the customer said that it is over. */
  private heard(id: string): void {
    if (this.speech?.id !== id) return
    this.speech = null
    this.cancelSpeechWait()
    this.emit({ kind: 'speech.ended', id, code: '' })
  }

  private endSpeech(code: string): void {
    const speech = this.speech
    if (!speech) return
    this.speech = null
    this.cancelSpeechWait()
    const { conversation } = this.current
    const heard = this.customerItem(speech.id)?.text
    if (!heard) this.emit({ kind: 'refused', code })
    this.change({
      conversation: heard
        ? failCustomer(conversation, speech.id, code)
        : removeItem(conversation, `c-${speech.id}`),
    })
    this.emit({ kind: 'speech.ended', id: speech.id, code })
  }

  private say(text: string, via: 'text' | 'scan', known = ''): string {
    const now = this.clock.now()
    const id = known || newId(now, () => this.clock.random())
    this.change({ conversation: addCustomer(this.current.conversation, id, text, via, 'sending', now) })
    this.save()
    const item = this.customerItem(id)
    if (item && this.current.connection.phase === 'online') this.sendItem(item)
    else this.foreground()
    return id
  }

  private sendItem(item: CustomerItem): void {
    const photo = this.photos.get(item.id)
    if (item.via === 'text') this.transmit({ type: 'user.text', id: item.id, text: item.text })
    else if (photo !== undefined) this.transmit({ type: 'scan', id: item.id, photo })
    else if (item.via === 'scan' && item.text) this.transmit({ type: 'scan', id: item.id, code: item.text })
  }

  /** Send again what has no end yet; the ids make that harmless. */
  private resend(): void {
    if (this.current.connection.phase !== 'online') return
    this.held.clear()
    for (const item of unsettled(this.current.conversation)) this.sendItem(item)
  }

  private resendLater(): void {
    this.cancelResend()
    this.cancelResend = this.clock.after(RATE_WAIT_MS, () => this.resend())
  }

  private resendHeld(): void {
    const held = [...this.held]
    this.held.clear()
    for (const id of held) {
      const item = this.customerItem(id)
      if (item && !item.settled) this.sendItem(item)
    }
  }

  private forgetSent(id: string): void {
    this.photos.delete(id)
    this.held.delete(id)
  }

  private failLargest(): void {
    let largest: CustomerItem | undefined
    for (const item of unsettled(this.current.conversation)) {
      const size = (this.photos.get(item.id) ?? item.text).length
      if (!largest || size > (this.photos.get(largest.id) ?? largest.text).length) largest = item
    }
    if (!largest) return
    this.forgetSent(largest.id)
    this.change({ conversation: failCustomer(this.current.conversation, largest.id, 'message_too_large') })
  }

  private customerItem(id: string): CustomerItem | undefined {
    return this.current.conversation.items.find(
      (item): item is CustomerItem => item.kind === 'customer' && item.id === id,
    )
  }

  // --- state ---

  private reset(): void {
    this.session = ''
    this.lastSeq = 0
    this.speech = null
    this.photos.clear()
    this.held.clear()
    this.current = { ...this.current, conversation: EMPTY, devices: {} }
    this.store.remove(STORE_KEY)
  }

  private setConnection(phase: ConnectionState['phase'], reason: string): void {
    this.change({ connection: { phase, reason } })
  }

  private change(changes: Partial<ClientState>): void {
    this.current = { ...this.current, ...changes }
    this.emit({ kind: 'state' })
  }

  private emit(change: Change): void {
    for (const listener of [...this.listeners]) listener(change)
  }

  private save(): void {
    if (!this.session && !this.current.conversation.items.length) return
    const { session, lastSeq } = this
    this.store.set(STORE_KEY, encodeSaved({ session, lastSeq, conversation: this.current.conversation }))
  }
}

/** Refusals that the customer need not hear of. */
const SILENT: ReadonlySet<string> = new Set([
  'unknown_turn',
  'unknown_type',
  'invalid',
  'unsupported',
  'rate_limited',
  'unknown_audio',
])

/** Speech that was cut off by closing the page cannot be sent again. */
function withoutSpeech(conversation: Conversation): Conversation {
  const items = conversation.items.filter(
    (item) => item.kind !== 'customer' || item.via !== 'voice' || item.state !== 'listening',
  )
  return { ...conversation, items }
}
