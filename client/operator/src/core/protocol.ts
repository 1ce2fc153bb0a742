// What page and server say to each other at /console/socket; assistant/server/console/wire.py and agent_wire.py.

export const PROTOCOL_VERSION = 1

export interface LastLine {
  who: 'customer' | 'assistant' | 'agent'
  text: string
  at: number
  agent: string
}

export interface LiveEntry {
  key: string
  state: 'assistant' | 'waiting' | 'active'
  conversation: string
  agent: string
  cause: string
  since: number
  question: string
  connected: boolean
  busy: boolean
  seen_at: number
  customer: string
  language: string
  platform: string
  turns: number
  last?: LastLine
}

export interface Stage {
  name: string
  ms: number
  detail: Record<string, unknown>
}

export interface Trace {
  reason?: string
  intent?: string
  action?: string
  slots?: Record<string, string>
  stages?: Stage[]
}

export interface Source {
  id: string
  title: string
  text: string
  document: string
}

export interface TurnLine {
  kind: 'turn'
  turn: string
  at: number
  text: string
  reply: string
  status: '' | 'completed' | 'cancelled' | 'failed' | 'declined'
  decision: string
  ai_generated: boolean
  sources: Source[]
  cards: string[]
  timings: Record<string, number>
  trace: Trace
  feedback: string
  comment: string
}

export interface SaidLine {
  kind: 'said'
  at: number
  who: 'customer' | 'agent' | 'state'
  text: string
  agent: string
  id: string
}

export interface Transcript {
  type: 'transcript'
  id: string
  key: string
  began: number
  seen_at: number
  customer: string
  language: string
  platform: string
  lines: (TurnLine | SaidLine)[]
}

export interface Figures {
  turns: number
  decisions: Record<string, number>
  unanswered: number | null
  handed_over: number | null
  rated: number | null
  thumbs_up: number | null
  reply_p50_ms: number | null
  reply_p95_ms: number | null
  handovers: Record<string, number>
  taken: number | null
  waited_median_s: number | null
  endings: Record<string, number>
}

export interface DayFigures extends Figures {
  day: string
}

export interface FiguresEvent {
  type: 'figures'
  id: string
  days: number
  total: Figures
  by_day: DayFigures[]
}

export interface Opinion {
  key: string
  at: number
  value: string
  comment: string
  question: string
  reply: string
  decision: string
}

export interface FeedbackEvent {
  type: 'feedback'
  id: string
  opinions: Opinion[]
  more: boolean
}

export interface Group {
  name: string
  question: string
  others: string[]
  count: number
  declined: number
  failed: number
  thumbs_down: number
  first: number
  latest: number
  answer: string
  published: boolean
  keys: string[]
}

export interface Draft {
  name: string
  question: string
  others: string[]
  answer: string
  problem: string
}

export interface QuestionsEvent {
  type: 'questions'
  id: string
  groups: Group[]
  drafts: Draft[]
}

export interface Publishing {
  type: 'publishing'
  draft: string
  agent: string
  state: 'running' | 'done' | 'failed'
  step: string
  part: number
  whole: number
  problems: string[]
  remarks: string[]
  snapshot: string
}

export interface Ready {
  type: 'ready'
  v: number
  agent: string
  shop: string
  language: string
  staffed: boolean
  grace_s: number
  text_chars: number
  token: string
  until: number
  now: number
}

export interface ErrorEvent {
  type: 'error'
  code: string
  message: string
  id?: string
  retryable: boolean
  fatal: boolean
}

export type ServerEvent =
  | Ready
  | ErrorEvent
  | Transcript
  | FiguresEvent
  | FeedbackEvent
  | QuestionsEvent
  | Publishing
  | { type: 'conversations'; complete: boolean; entries: LiveEntry[]; gone: string[] }
  | { type: 'done'; id: string }
  | { type: 'message.kept'; conversation: string; id: string }
  | { type: 'conversation.ended'; conversation: string; reason: string }
  | { type: 'pong'; t: number }

export type Fields = Record<string, unknown>

/** Close codes after which connecting again by itself would be wrong. */
export const CLOSE = { unauthorized: 4401, replaced: 4409, signInEnded: 4412, signedOut: 1000 } as const

/** A new id for a message; `crypto.randomUUID` needs https, this does not. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(9))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
