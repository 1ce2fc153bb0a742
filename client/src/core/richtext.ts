/**
 * Replies as nodes: paragraphs, lists, bold words, links and citations.
 *
 * The text comes from a server and, through it, from documents: it is never given to anything that reads HTML.
 */

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'bold'; text: string }
  | { kind: 'link'; text: string; url: string }
  | { kind: 'cite'; text: string; number: number }

export interface Block {
  kind: 'paragraph' | 'item'
  /** Bullet or number of a list item. */
  marker: string
  inlines: Inline[]
}

const INLINE =
  /\*\*([^*\n]+)\*\*|\[(\d{1,2})\]|\[([^\]\n]{1,200})\]\((https:\/\/[^\s)]+)\)|(https:\/\/[^\s<>"'）。，；]+)/g
const BULLET = /^\s*[-*•]\s+(.*)$/
const NUMBER = /^\s*(\d{1,2})[.)]\s+(.*)$/
const HEADING = /^\s*#{1,6}\s+(.*)$/

/** Cut a reply into blocks. `sources` is how many citations can be opened; others stay plain text. */
export function parseRichText(text: string, sources = 0): Block[] {
  const blocks: Block[] = []
  for (const line of text.split(/\r?\n/)) {
    if (!line.trim()) continue
    const bullet = BULLET.exec(line)
    const number = NUMBER.exec(line)
    const heading = HEADING.exec(line)
    if (bullet) blocks.push({ kind: 'item', marker: '•', inlines: parseInline(bullet[1]!, sources) })
    else if (number)
      blocks.push({ kind: 'item', marker: `${number[1]}.`, inlines: parseInline(number[2]!, sources) })
    else if (heading)
      blocks.push({ kind: 'paragraph', marker: '', inlines: [{ kind: 'bold', text: heading[1]! }] })
    else blocks.push({ kind: 'paragraph', marker: '', inlines: parseInline(line, sources) })
  }
  return blocks
}

function parseInline(text: string, sources: number): Inline[] {
  const found: Inline[] = []
  let at = 0
  const plain = (piece: string): void => {
    if (piece) found.push({ kind: 'text', text: piece })
  }
  for (const match of text.matchAll(INLINE)) {
    const [whole, bold, cite, label, target, bare] = match
    const number = cite === undefined ? 0 : Number(cite)
    if (cite !== undefined && (number < 1 || number > sources)) continue
    plain(text.slice(at, match.index))
    at = match.index + whole.length
    if (bold !== undefined) found.push({ kind: 'bold', text: bold })
    else if (cite !== undefined) found.push({ kind: 'cite', text: cite, number })
    else if (target !== undefined) found.push({ kind: 'link', text: label!, url: target })
    else {
      const url = bare!.replace(/[.,;:!?]+$/, '')
      found.push({ kind: 'link', text: url, url })
      plain(bare!.slice(url.length))
    }
  }
  plain(text.slice(at))
  return found
}

/** The words alone, for reading aloud and copying. */
export function plainText(text: string): string {
  return text
    .replace(/\*\*([^*\n]+)\*\*/g, '$1')
    .replace(/\s?\[\d{1,2}\]/g, '')
    .replace(/\[([^\]\n]{1,200})\]\(https:\/\/[^\s)]+\)/g, '$1')
}
