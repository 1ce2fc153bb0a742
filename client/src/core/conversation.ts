/** What a conversation looks like to the customer, and how each event changes it. Pure: every function returns new values. */

import type {
  Card,
  EndReason,
  FeedbackValue,
  HandoverEvent,
  SessionEvent,
  Source,
  TurnDone,
  TurnStatus,
} from './protocol'

export type Via = 'text' | 'voice' | 'scan'

/** What the customer said. `settled`: needs no sending again. */
export interface CustomerItem {
  kind: 'customer'
  key: string
  id: string
  via: Via
  text: string
  state: 'listening' | 'sending' | 'sent' | 'failed'
  settled: boolean
  /** Error code when failed. */
  problem: string
  at: number
}

export interface ReplyItem {
  kind: 'reply'
  key: string
  turn: string
  /** The customer's message that is answered. */
  id: string
  text: string
  state: 'running' | TurnStatus
  sources: Source[]
  cards: Card[]
  quickReplies: string[]
  aiGenerated: boolean
  decision: string
  /** Error code when failed. */
  error: string
  vote: FeedbackValue | ''
  at: number
}

export interface AgentItem {
  kind: 'agent'
  key: string
  agent: string
  text: string
  at: number
}

/** A line between messages: a person joined or left, older messages are not kept, a new conversation began. */
export interface NoticeItem {
  kind: 'notice'
  key: string
  notice: 'person' | 'assistant' | 'gap' | 'new'
  agent: string
  reason: EndReason | ''
  at: number
}

export type Item = CustomerItem | ReplyItem | AgentItem | NoticeItem

export interface Handover {
  state: 'none' | 'requested' | 'waiting' | 'active'
  position: number
  staffed: boolean
  /** ISO 8601, "" if not told. */
  opens: string
  agent: string
}

export interface Conversation {
  items: readonly Item[]
  handover: Handover
}

export const NO_HANDOVER: Handover = { state: 'none', position: 0, staffed: true, opens: '', agent: '' }
export const EMPTY: Conversation = { items: [], handover: NO_HANDOVER }

const MOST_ITEMS = 200

/** The conversation after one event of the session, at a time in ms since 1970. */
export function applyEvent(before: Conversation, event: SessionEvent, at: number): Conversation {
  switch (event.type) {
    case 'transcript.partial':
      return changeCustomer(before, event.id, (item) =>
        item.via === 'voice' ? { ...item, text: event.text } : item,
      )
    case 'transcript.final':
      return hear(before, event.id, event.text, 'voice', at)
    case 'turn.started':
      return startTurn(hear(before, event.id, event.text, 'text', at), event.turn, event.id, at)
    case 'delta':
      return changeReply(before, event.turn, (reply) => ({ ...reply, text: reply.text + event.text }))
    case 'turn.done':
      return endTurn(before, event, at)
    case 'user.delivered':
      return changeCustomer(hear(before, event.id, event.text, 'text', at), event.id, settle)
    case 'handover':
      return handOver(before, event, at)
    case 'agent.message':
      return hearAgent(before, event.id, event.agent, event.text, at)
  }
}

/** Show what the customer just said, before the server has answered. */
export function addCustomer(
  before: Conversation,
  id: string,
  text: string,
  via: Via,
  state: 'sending' | 'listening',
  at: number,
): Conversation {
  return append(before, {
    kind: 'customer',
    key: `c-${id}`,
    id,
    via,
    text,
    state,
    settled: false,
    problem: '',
    at,
  })
}

export function failCustomer(before: Conversation, id: string, problem: string): Conversation {
  return changeCustomer(before, id, (item) => ({ ...item, state: 'failed', settled: true, problem }))
}

export function removeItem(before: Conversation, key: string): Conversation {
  return { ...before, items: before.items.filter((item) => item.key !== key) }
}

export function addNotice(before: Conversation, notice: NoticeItem['notice'], at: number): Conversation {
  const key = `n-${notice}-${at}`
  return append(before, { kind: 'notice', key, notice, agent: '', reason: '', at })
}

export function setVote(before: Conversation, turn: string, vote: FeedbackValue): Conversation {
  return changeReply(before, turn, (reply) => ({ ...reply, vote }))
}

/** A reply that will never end, because its session is gone. */
export function abandonReplies(before: Conversation): Conversation {
  const items = before.items.map((item) =>
    item.kind === 'reply' && item.state === 'running'
      ? { ...item, state: 'failed' as const, error: 'interrupted' }
      : item,
  )
  return { ...before, items }
}

/** The customer's messages that must be sent again on a new connection. */
export function unsettled(conversation: Conversation): CustomerItem[] {
  return conversation.items.filter((item): item is CustomerItem => item.kind === 'customer' && !item.settled)
}

/** The turn that is being answered, "" if none. */
export function runningTurn(conversation: Conversation): string {
  const running = conversation.items.find((item) => item.kind === 'reply' && item.state === 'running')
  return running?.kind === 'reply' ? running.turn : ''
}

/** What the customer may tap instead of typing: the offers of the last reply while nothing follows it. */
export function offeredReplies(conversation: Conversation): readonly string[] {
  const last = conversation.items[conversation.items.length - 1]
  if (conversation.handover.state === 'active' || last?.kind !== 'reply') return []
  return last.state === 'running' ? [] : last.quickReplies
}

function hear(before: Conversation, id: string, text: string, via: Via, at: number): Conversation {
  if (!before.items.some((item) => item.kind === 'customer' && item.id === id)) {
    const added = addCustomer(before, id, text, via, 'sending', at)
    return changeCustomer(added, id, (item) => ({ ...item, state: 'sent' }))
  }
  return changeCustomer(before, id, (item) => ({
    ...item,
    state: 'sent',
    problem: '',
    text: item.via === 'voice' ? text || item.text : item.text || text,
  }))
}

function settle(item: CustomerItem): CustomerItem {
  return { ...item, state: 'sent', settled: true, problem: '' }
}

/** A turn that is known already begins anew after a restart of the server: its text is dropped. */
function startTurn(before: Conversation, turn: string, id: string, at: number): Conversation {
  if (before.items.some((item) => item.kind === 'reply' && item.turn === turn)) {
    return changeReply(before, turn, (reply) => ({ ...reply, text: '', state: 'running' }))
  }
  const reply: ReplyItem = {
    kind: 'reply',
    key: `r-${turn}`,
    turn,
    id,
    text: '',
    state: 'running',
    sources: [],
    cards: [],
    quickReplies: [],
    aiGenerated: false,
    decision: '',
    error: '',
    vote: '',
    at,
  }
  const asked = before.items.findIndex((item) => item.kind === 'customer' && item.id === id)
  const items = before.items.slice()
  items.splice(asked + 1, 0, reply)
  return { ...before, items: items.slice(-MOST_ITEMS) }
}

function endTurn(before: Conversation, event: TurnDone, at: number): Conversation {
  const known = before.items.some((item) => item.kind === 'reply' && item.turn === event.turn)
  const base = known ? before : startTurn(before, event.turn, '', at)
  const ended = changeReply(base, event.turn, (reply) => ({
    ...reply,
    text: event.text,
    state: event.status,
    sources: event.sources,
    cards: event.cards,
    quickReplies: event.quick_replies,
    aiGenerated: event.ai_generated,
    decision: event.decision,
    error: event.error ?? '',
  }))
  const reply = ended.items.find((item) => item.kind === 'reply' && item.turn === event.turn)
  return reply?.kind === 'reply' ? changeCustomer(ended, reply.id, settle) : ended
}

function handOver(before: Conversation, event: HandoverEvent, at: number): Conversation {
  const was = before.handover
  if (event.state === 'ended') {
    const ended = { ...before, handover: NO_HANDOVER }
    if (was.state === 'none') return ended
    const notice: NoticeItem = {
      kind: 'notice',
      key: `n-${event.seq}`,
      notice: 'assistant',
      agent: was.agent,
      reason: event.reason ?? '',
      at,
    }
    return append(ended, notice)
  }
  const handover: Handover = {
    state: event.state,
    position: event.position ?? 0,
    staffed: event.staffed ?? true,
    opens: event.opens ?? '',
    agent: event.agent ?? '',
  }
  const next = { ...before, handover }
  if (event.state !== 'active' || (was.state === 'active' && was.agent === handover.agent)) return next
  return append(next, {
    kind: 'notice',
    key: `n-${event.seq}`,
    notice: 'person',
    agent: handover.agent,
    reason: '',
    at,
  })
}

function hearAgent(before: Conversation, id: string, agent: string, text: string, at: number): Conversation {
  const key = `a-${id}`
  if (before.items.some((item) => item.key === key)) return before
  return append(before, { kind: 'agent', key, agent, text, at })
}

function append(before: Conversation, item: Item): Conversation {
  return { ...before, items: [...before.items, item].slice(-MOST_ITEMS) }
}

function changeCustomer(
  before: Conversation,
  id: string,
  change: (item: CustomerItem) => CustomerItem,
): Conversation {
  return {
    ...before,
    items: before.items.map((item) => (item.kind === 'customer' && item.id === id ? change(item) : item)),
  }
}

function changeReply(
  before: Conversation,
  turn: string,
  change: (item: ReplyItem) => ReplyItem,
): Conversation {
  return {
    ...before,
    items: before.items.map((item) => (item.kind === 'reply' && item.turn === turn ? change(item) : item)),
  }
}
