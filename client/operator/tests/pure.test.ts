import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { everyDay, roundUp, split } from '../src/core/chart'
import type { DayFigures, TurnLine } from '../src/core/protocol'
import { EN, translate, ZH } from '../src/core/texts'
import { intents, notes, retrieval, times } from '../src/core/trace'

describe('texts', () => {
  it('have the same names and parameters in both languages', () => {
    expect(Object.keys(ZH)).toEqual(Object.keys(EN))
    const parameters = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort()
    for (const key of Object.keys(EN) as (keyof typeof EN)[]) expect(parameters(ZH[key]), key).toEqual(parameters(EN[key]))
  })

  it('stand for themselves where a later server names something new', () => {
    expect(translate('en', 'stage.voice_check')).toBe('voice check')
    expect(translate('en', 'waits', { time: '5 s' })).toBe('waits 5 s')
  })
})

describe('a trace', () => {
  const stage = (name: string, detail: Record<string, unknown>) => ({ name, ms: 2, detail })

  it('gives intents, passages and what grounding noted', () => {
    const trace = {
      stages: [
        stage('understanding', { intents: [{ name: 'a', probability: 0.75 }] }),
        stage('retrieval', { query: 'q', probability: 0.8, threshold: 0.6, passages: [{ id: 'p', title: 'P', score: 3, rerank: null }] }),
        stage('composition', { text: 'words of a customer', quotes: 2, replaced: ['s1', 's2'] }),
      ],
    }
    expect(intents(trace)).toEqual([{ name: 'a', share: 0.75 }])
    expect(retrieval(trace)).toMatchObject({ probability: 0.8, threshold: 0.6, passages: [{ id: 'p', title: 'P', score: 3 }] })
    expect(notes(trace)).toEqual([
      ['quotes', '2'],
      ['replaced', 's1, s2'],
    ])
  })

  it.each([{}, { stages: [] }, { stages: [stage('retrieval', { passages: 'none' }), stage('understanding', { intents: [1, null] })] }])(
    'of another form does no harm: %j',
    (trace) => {
      expect(intents(trace)).toEqual([])
      expect(retrieval(trace)).toBeNull()
      const line = { trace, timings: {} } as unknown as TurnLine
      expect(times(line).total).toBeNull()
    },
  )
})

describe('charts', () => {
  it('split questions into three parts that sum to one', () => {
    expect(split({ answer: 0.5, act: 0.2, decline: 0.2, hand_over: 0.1 })).toEqual({
      answered: expect.closeTo(0.7) as number,
      declined: 0.2,
      handed: 0.1,
    })
  })

  it('have every day, the quiet ones too, across months', () => {
    const days = everyDay([{ day: '2026-03-01' } as DayFigures], new Date(2026, 2, 2, 12), 4)
    expect(days.map((one) => [one.day, one.figures !== null])).toEqual([
      ['2026-02-27', false],
      ['2026-02-28', false],
      ['2026-03-01', true],
      ['2026-03-02', false],
    ])
  })

  it.each([
    [0, 4],
    [3, 4],
    [42, 50],
    [50, 50],
    [712, 800],
    [1001, 2000],
  ])('end at a round number above %i', (value, top) => {
    expect(roundUp(value)).toBe(top)
  })
})

describe('colours', () => {
  const css = readFileSync('src/style.css', 'utf8')
  const blocks = [...css.matchAll(/(?:^|\n)\s*:root(?:\[data-theme='dark'\])?\s*\{([^}]*)\}/g)].map((found) => found[1] ?? '')
  const tokens = (block: string) => Object.fromEntries([...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map((found) => [found[1], found[2]]))
  const PAIRS = [
    ['text', 'ground'], ['text', 'panel'], ['muted', 'panel'], ['muted', 'ground'], ['muted', 'sunk'], ['muted', 'bubble'],
    ['accent', 'panel'], ['accent', 'accent-soft'], ['accent-text', 'accent'], ['muted', 'accent-soft'],
    ['good', 'good-soft'], ['warn', 'warn-soft'], ['bad', 'bad-soft'], ['info', 'info-soft'], ['bad', 'panel'], ['good', 'panel'], ['warn', 'panel'],
    ['text', 'good-soft'], ['text', 'bad-soft'], ['text', 'warn-soft'],
  ] as const

  /** Contrast of two colours: WCAG 2.2, "relative luminance" and "contrast ratio". */
  function contrast(one: string, other: string): number {
    const luminance = (colour: string) => {
      const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
        const part = parseInt(colour.slice(at, at + 2), 16) / 255
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
    const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a)
    return (light + 0.05) / (dark + 0.05)
  }

  it('can be read, in the light and in the dark', () => {
    expect(blocks).toHaveLength(2)
    for (const block of blocks) {
      const colours = tokens(block)
      for (const [text, ground] of PAIRS) {
        expect(contrast(colours[text] ?? '', colours[ground] ?? ''), `${text} on ${ground}`).toBeGreaterThanOrEqual(4.5)
      }
    }
  })

  it('are the same whether the system or the agent asks for the dark', () => {
    const system = /prefers-color-scheme: dark\) \{\s*:root[^{]*\{([^}]*)\}/.exec(css)?.[1] ?? ''
    expect(tokens(system)).toEqual(tokens(blocks[1] ?? ''))
  })
})
