import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Chunker, Resampler, levelOf, toBase64, toPcm16 } from '../src/core/audio'
import { backoffMs } from '../src/core/backoff'
import { readCard } from '../src/core/cards'
import { EMPTY, addCustomer, applyEvent, offeredReplies } from '../src/core/conversation'
import { newId, parseServer, type TurnDone } from '../src/core/protocol'
import { parseRichText, plainText } from '../src/core/richtext'
import { decodeSaved, encodeSaved } from '../src/core/saved'
import { done } from './support/scripted'

describe('the core stands alone', () => {
  const folder = join(process.cwd(), 'src/core')
  it.each(readdirSync(folder))('%s names no platform and imports nothing from outside', (name) => {
    const source = readFileSync(join(folder, name), 'utf8')
    expect(source).not.toMatch(/\b(uni|wx|my|swan|tt|document|window|navigator|localStorage)\./)
    expect(source).not.toMatch(/#ifn?def/)
    for (const [, target] of source.matchAll(/from '([^']+)'/g)) expect(target).toMatch(/^\.\/\w+$/)
  })
})

describe('back-off', () => {
  it.each([
    [0, 500],
    [1, 1000],
    [4, 8000],
    [5, 15000],
    [50, 15000],
  ])('attempt %i waits up to %i ms, and as little as none', (attempt, most) => {
    expect(backoffMs(attempt, () => 0)).toBe(0)
    expect(backoffMs(attempt, () => 1)).toBe(most)
  })
})

describe('ids', () => {
  it('are visible ASCII, short enough, and different within one millisecond', () => {
    const ids = new Set(Array.from({ length: 1000 }, () => newId(1_763_700_000_000)))
    expect(ids.size).toBe(1000)
    for (const id of ids) expect(id).toMatch(/^[!-~]{1,64}$/)
  })
})

describe('messages', () => {
  it('keep what is sound in lists and drop the rest', () => {
    const message = parseServer(
      JSON.stringify(
        done(1, 't', {
          sources: [{ title: 'T', text: 'x' }, 7],
          cards: [{ kind: 'a' }],
          quick_replies: ['Yes', 3],
          ai_generated: 'yes',
        }),
      ),
    ) as TurnDone
    expect(message.sources).toHaveLength(1)
    expect(message.cards).toEqual([])
    expect(message.quick_replies).toEqual(['Yes'])
    expect(message.ai_generated).toBe(false)
  })
})

describe('the resampler', () => {
  const tone = (hz: number, rate: number, seconds: number) =>
    Float32Array.from({ length: rate * seconds }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate))
  /** Power at one frequency (Goertzel), relative to a full-scale sine. */
  const power = (samples: Float32Array, hz: number, rate: number) => {
    let [re, im] = [0, 0]
    samples.forEach((sample, i) => {
      re += sample * Math.cos((2 * Math.PI * hz * i) / rate)
      im += sample * Math.sin((2 * Math.PI * hz * i) / rate)
    })
    return (4 * (re * re + im * im)) / samples.length ** 2
  }
  it.each([44_100, 48_000, 96_000])(
    'keeps a tone of 1 kHz from %i Hz, and lets nothing fold back',
    (rate) => {
      const kept = new Resampler(rate, 16_000).push(tone(1000, rate, 1))
      expect(power(kept.slice(200, -200), 1000, 16_000)).toBeGreaterThan(0.9)
      const folded = new Resampler(rate, 16_000).push(tone(11_000, rate, 1))
      expect(power(folded.slice(200, -200), 5000, 16_000)).toBeLessThan(1e-5)
    },
  )
  it('gives the same samples however its input is cut', () => {
    const input = tone(440, 44_100, 0.3)
    const whole = new Resampler(44_100, 16_000).push(input)
    const cut = new Resampler(44_100, 16_000)
    const parts: number[] = []
    for (let at = 0, size = 1; at < input.length; at += size, size = (size * 7) % 997) {
      parts.push(...cut.push(input.subarray(at, at + size)))
    }
    expect(parts.length).toBe(whole.length)
    parts.forEach((sample, i) => expect(sample).toBeCloseTo(whole[i]!, 5))
  })
  it('gives a second for a second', () => {
    expect(Math.abs(new Resampler(44_100, 16_000).push(tone(440, 44_100, 1)).length - 16_000)).toBeLessThan(
      40,
    )
  })
})

describe('samples', () => {
  it('become 16-bit little-endian and are clipped', () => {
    expect([...new Int16Array(toPcm16(Float32Array.of(0, 1, -1, 2, -2, 0.5)))]).toEqual([
      0, 32767, -32768, 32767, -32768, 16384,
    ])
  })
  it('have a level between silence and full', () => {
    expect(levelOf(new ArrayBuffer(320))).toBe(0)
    expect(levelOf(new ArrayBuffer(0))).toBe(0)
    expect(levelOf(toPcm16(new Float32Array(160).fill(0.9)))).toBe(1)
    const quiet = levelOf(toPcm16(new Float32Array(160).fill(0.03)))
    expect(quiet).toBeGreaterThan(0.2)
    expect(quiet).toBeLessThan(0.8)
  })
  it('are cut into chunks of one size without losing a byte', () => {
    const chunker = new Chunker(4)
    const bytes = (...values: number[]) => Uint8Array.from(values).buffer
    expect(chunker.push(bytes(1, 2, 3))).toEqual([])
    expect(chunker.push(bytes(4, 5, 6, 7, 8, 9)).map((chunk) => [...new Uint8Array(chunk)])).toEqual([
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ])
    expect([...new Uint8Array(chunker.flush()!)]).toEqual([9])
    expect(chunker.flush()).toBeNull()
  })
  it('become the base64 that Node makes of them', () => {
    for (let length = 0; length < 70; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + length) % 256)
      expect(toBase64(bytes.buffer)).toBe(Buffer.from(bytes).toString('base64'))
    }
  })
})

describe('rich text', () => {
  it('knows paragraphs, lists, bold words and citations that exist', () => {
    expect(parseRichText('You have **50 days** [1][9].\n\n- one\n2. two', 2)).toEqual([
      {
        kind: 'paragraph',
        marker: '',
        inlines: [
          { kind: 'text', text: 'You have ' },
          { kind: 'bold', text: '50 days' },
          { kind: 'text', text: ' ' },
          { kind: 'cite', text: '1', number: 1 },
          { kind: 'text', text: '[9].' },
        ],
      },
      { kind: 'item', marker: '•', inlines: [{ kind: 'text', text: 'one' }] },
      { kind: 'item', marker: '2.', inlines: [{ kind: 'text', text: 'two' }] },
    ])
  })
  it('links only to https, without the full stop behind', () => {
    const [block] = parseRichText(
      'See https://shop.example/a. Or [here](https://shop.example/b), not [x](javascript:alert(1)).',
    )
    expect(block!.inlines.filter((inline) => inline.kind === 'link')).toEqual([
      { kind: 'link', text: 'https://shop.example/a', url: 'https://shop.example/a' },
      { kind: 'link', text: 'here', url: 'https://shop.example/b' },
    ])
  })
  it('never loses a character of what it does not understand', () => {
    for (const text of ['a <b>x</b> & [', '**', '[1', '[]()', '** a', '😀 [1]', '&lt;script&gt;']) {
      expect(
        parseRichText(text)
          .map((block) => block.inlines.map((inline) => inline.text).join(''))
          .join('\n'),
      ).toBe(text)
    }
  })
  it('is read aloud without its marks', () => {
    expect(plainText('**Yes** [1], see [here](https://a.b/c).')).toBe('Yes, see here.')
  })
})

describe('cards', () => {
  it('are read field by field; wrong fields become empty', () => {
    const card = readCard({
      kind: 'product',
      data: {
        name: 'Lamp',
        price_text: 7,
        stock: 0,
        attributes: { seat_height: '45 cm', bad: {} },
        preview: 'yes',
      },
    })
    expect(card).toMatchObject({
      name: 'Lamp',
      price: '7',
      inStock: false,
      attributes: [{ name: 'seat height', value: '45 cm' }],
      preview: false,
    })
    expect(readCard({ kind: 'order', data: { items: 'none', status: 'out for delivery' } })).toMatchObject({
      items: [],
      step: 2,
    })
    expect(
      readCard({ kind: 'device', data: { id: 'd', home: 'h', state: { on: true, x: [] } } }),
    ).toMatchObject({ key: 'h/d', values: { on: true } })
  })
  it('of unknown kinds are left out', () => {
    expect(readCard({ kind: 'weather', data: {} })).toBeNull()
  })
})

describe('the conversation', () => {
  it('offers quick replies only under the last reply, and not while a person speaks', () => {
    let now = addCustomer(EMPTY, 'm1', 'Hi', 'text', 'sending', 1)
    now = applyEvent(now, { type: 'turn.started', seq: 1, turn: 't1', id: 'm1', text: 'Hi' }, 2)
    expect(offeredReplies(now)).toEqual([])
    now = applyEvent(now, done(2, 't1', { quick_replies: ['More'] }) as unknown as TurnDone, 3)
    expect(offeredReplies(now)).toEqual(['More'])
    const person = applyEvent(now, { type: 'handover', seq: 3, state: 'active', agent: 'Kim' }, 4)
    expect(offeredReplies(person)).toEqual([])
    expect(offeredReplies(addCustomer(now, 'm2', 'x', 'text', 'sending', 5))).toEqual([])
  })
  it('never changes what it was given', () => {
    const before = Object.freeze({ ...EMPTY, items: Object.freeze([]) as never })
    applyEvent(before, { type: 'turn.started', seq: 1, turn: 't1', id: 'm1', text: 'Hi' }, 2)
    expect(before.items).toHaveLength(0)
  })
})

describe('what is kept on the device', () => {
  it('comes back as it was', () => {
    const conversation = addCustomer(EMPTY, 'm1', 'Grüße 😀', 'text', 'sending', 1)
    const saved = { session: 's', lastSeq: 7, conversation }
    expect(decodeSaved(encodeSaved(saved))).toEqual(saved)
  })
  it('stays small: the oldest messages go first', () => {
    let conversation = EMPTY
    for (let i = 0; i < 150; i++)
      conversation = addCustomer(conversation, `m${i}`, 'x'.repeat(4000), 'text', 'sending', i)
    const text = encodeSaved({ session: 's', lastSeq: 7, conversation })
    expect(text.length).toBeLessThan(300_000)
    expect(decodeSaved(text)!.conversation.items.at(-1)).toMatchObject({ id: 'm149' })
  })
})
