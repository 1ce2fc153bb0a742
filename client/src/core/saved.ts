/** The conversation as it is kept on the device between visits. */

import { EMPTY, NO_HANDOVER, type Conversation, type Item } from './conversation'

/** Keeps short texts; `localStorage` and every mini-program's storage can do this. */
export interface Store {
  get(key: string): string | null
  set(key: string, value: string): void
  remove(key: string): void
}

export interface Saved {
  session: string
  lastSeq: number
  conversation: Conversation
}

const FORMAT = 1
const MOST_CHARACTERS = 300_000 // WeChat takes 1 MB for a key; a character may need three bytes
const KINDS: ReadonlySet<string> = new Set(['customer', 'reply', 'agent', 'notice'])

/** A store that forgets with the page. */
export function memoryStore(): Store {
  const kept = new Map<string, string>()
  return {
    get: (key) => kept.get(key) ?? null,
    set: (key, value) => void kept.set(key, value),
    remove: (key) => void kept.delete(key),
  }
}

/** As text; the oldest messages are left out if it were too long. */
export function encodeSaved(saved: Saved): string {
  let items = saved.conversation.items
  for (;;) {
    const text = JSON.stringify({ ...saved, format: FORMAT, conversation: { ...saved.conversation, items } })
    if (text.length <= MOST_CHARACTERS || items.length < 2) return text
    items = items.slice(Math.ceil(items.length / 4))
  }
}

/** What was saved; null if there is nothing that this version understands. */
export function decodeSaved(text: string | null): Saved | null {
  if (!text) return null
  try {
    const saved = JSON.parse(text) as Partial<Saved> & { format?: number }
    const items = saved.conversation?.items
    if (saved.format !== FORMAT || typeof saved.session !== 'string' || !Array.isArray(items)) return null
    const sound = items.every(
      (item: Partial<Item>) => KINDS.has(String(item.kind)) && typeof item.key === 'string',
    )
    if (!sound || typeof saved.lastSeq !== 'number') return null
    return {
      session: saved.session,
      lastSeq: saved.lastSeq,
      conversation: { ...EMPTY, items, handover: { ...NO_HANDOVER, ...saved.conversation?.handover } },
    }
  } catch {
    return null
  }
}
