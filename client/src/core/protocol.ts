/** Messages of protocol version 1 as docs/protocol.md describes them. */

export const PROTOCOL_VERSION = 1

export type AudioFormat = 'pcm_s16le' | 'mp3' | 'aac' | 'auto'
export type FeedbackValue = 'up' | 'down'
export type ProductEventKind = 'view' | 'tap' | 'dismiss' | 'purchase'

export interface Hello {
  type: 'hello'
  v: number
  platform: string
  locale: string
  binary: boolean
  credential?: string
  customer?: string
  session?: string
  last_seq?: number
}

export type ClientMessage =
  | Hello
  | { type: 'user.text'; id: string; text: string }
  | { type: 'audio.start'; id: string; format: AudioFormat; rate_hz: number; channels: number }
  | { type: 'audio.chunk'; id: string; b64: string }
  | { type: 'audio.end'; id: string }
  | { type: 'audio.cancel'; id: string }
  | { type: 'scan'; id: string; code: string }
  | { type: 'scan'; id: string; photo: string }
  | { type: 'cancel'; turn: string }
  | { type: 'feedback'; turn: string; value: FeedbackValue; comment?: string }
  | { type: 'event'; kind: ProductEventKind; sku: string }
  | { type: 'handover.end' }
  | { type: 'ack'; seq: number }
  | { type: 'ping'; t: number }
  | { type: 'bye' }

export interface Limits {
  message_bytes: number
  text_chars: number
  messages_per_minute: number
  queued_turns: number
  heartbeat_s: number
  session_minutes: number
  turn_deadline_s: number
  deltas_per_second: number
  /** Largest photo for a scan; absent where only codes are taken. */
  photo_bytes?: number
  /** Longest utterance; absent where no speech is taken. */
  audio_seconds?: number
}

export interface Features {
  voice: boolean
  scan: boolean
  binary: boolean
}

export interface Shop {
  name: string
  greeting: string
  language: string
}

export interface Source {
  id: string
  title: string
  text: string
  document: string
}

export interface Card {
  kind: string
  data: Record<string, unknown>
}

export type TurnStatus = 'completed' | 'declined' | 'cancelled' | 'failed'
export type EndReason = 'released' | 'closed' | 'customer'

interface Numbered {
  seq: number
}

export interface Ready extends Numbered {
  type: 'ready'
  v: number
  session: string
  resumed: boolean
  gap: boolean
  limits: Limits
  features: Features
  shop: Shop
}

export interface TurnDone extends Numbered {
  type: 'turn.done'
  turn: string
  status: TurnStatus
  text: string
  sources: Source[]
  cards: Card[]
  quick_replies: string[]
  ai_generated: boolean
  timings: Record<string, number>
  decision: string
  error?: string
}

export interface HandoverEvent extends Numbered {
  type: 'handover'
  state: 'requested' | 'waiting' | 'active' | 'ended'
  turn?: string
  position?: number
  staffed?: boolean
  opens?: string
  agent?: string
  reason?: EndReason
}

export interface ErrorEvent extends Numbered {
  type: 'error'
  code: string
  message: string
  id?: string
  retryable: boolean
  fatal: boolean
}

/** How a device in the customer's home is; the latest one for each device counts. */
export interface DeviceStateEvent extends Numbered {
  type: 'device.state'
  device: string
  home: string
  name: string
  room: string
  kind: string
  reachable: boolean
  values: Record<string, boolean | number | string>
}

/** Messages that take a new `seq`; every other one repeats the current. */
export type SessionEvent =
  | (Numbered & { type: 'transcript.partial'; id: string; text: string })
  | (Numbered & { type: 'transcript.final'; id: string; text: string })
  | (Numbered & { type: 'turn.started'; turn: string; id: string; text: string })
  | (Numbered & { type: 'delta'; turn: string; text: string })
  | TurnDone
  | (Numbered & { type: 'user.delivered'; id: string; text: string })
  | HandoverEvent
  | (Numbered & { type: 'agent.message'; id: string; text: string; agent: string })

export type ServerMessage =
  | Ready
  | SessionEvent
  | DeviceStateEvent
  | ErrorEvent
  | (Numbered & { type: 'pong'; t: number })

const SESSION_EVENTS: ReadonlySet<string> = new Set([
  'transcript.partial',
  'transcript.final',
  'turn.started',
  'delta',
  'turn.done',
  'user.delivered',
  'handover',
  'agent.message',
])

export function isSessionEvent(message: ServerMessage): message is SessionEvent {
  return SESSION_EVENTS.has(message.type)
}

type Fields = Record<string, unknown>

const isText = (value: unknown): value is string => typeof value === 'string'
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Fields a message cannot be used without. Others get a default in `parseServer`. */
const NEEDED: Record<string, Record<string, (value: unknown) => boolean>> = {
  ready: { session: isText, limits: isObject, features: isObject, shop: isObject },
  'transcript.partial': { id: isText, text: isText },
  'transcript.final': { id: isText, text: isText },
  'turn.started': { turn: isText, id: isText, text: isText },
  delta: { turn: isText, text: isText },
  'turn.done': { turn: isText, status: isText, text: isText },
  'user.delivered': { id: isText, text: isText },
  handover: { state: isText },
  'agent.message': { id: isText, text: isText },
  'device.state': { device: isText, home: isText, values: isObject },
  error: { code: isText },
  pong: {},
}

/** The text frame as a message; null for what is not one of this version (newer servers may say more). */
export function parseServer(frame: string): ServerMessage | null {
  let fields: unknown
  try {
    fields = JSON.parse(frame)
  } catch {
    return null
  }
  if (!isObject(fields) || !isText(fields.type) || typeof fields.seq !== 'number') return null
  const needed = Object.prototype.hasOwnProperty.call(NEEDED, fields.type) ? NEEDED[fields.type] : undefined
  if (!needed || !Object.entries(needed).every(([name, fits]) => fits((fields as Fields)[name]))) return null
  if (fields.type === 'turn.done') {
    fields.sources = list(fields.sources, (item) => isObject(item) && isText(item.title) && isText(item.text))
    fields.cards = list(fields.cards, (item) => isObject(item) && isText(item.kind) && isObject(item.data))
    fields.quick_replies = list(fields.quick_replies, isText)
    fields.ai_generated = fields.ai_generated === true
  }
  if (fields.type === 'ready') {
    fields.resumed = fields.resumed === true
    fields.gap = fields.gap === true
  }
  if (fields.type === 'agent.message' && !isText(fields.agent)) fields.agent = ''
  return fields as unknown as ServerMessage
}

function list(value: unknown, fits: (item: unknown) => boolean): unknown[] {
  return Array.isArray(value) ? value.filter(fits) : []
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz'

/** A new id for a message: the time and twelve random signs. */
export function newId(now: number, random: () => number = Math.random): string {
  let id = `m${Math.floor(now).toString(36)}`
  for (let i = 0; i < 12; i++) id += DIGITS[Math.floor(random() * 36)]
  return id
}
