import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { en } from '../src/locale/en'
import { zh } from '../src/locale/zh'
import { deviceLanguage, errorText, known, preferences, slotInWords, t } from '../src/composables/preferences'

describe('words', () => {
  it('exist in both languages, with the same blanks', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort())
    for (const [key, words] of Object.entries(en)) {
      const blanks = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort()
      expect(blanks(zh[key as keyof typeof en]), key).toEqual(blanks(words))
    }
  })
  it('follow the chosen language at once', () => {
    preferences.language = 'zh'
    expect(t('source.many', { n: 3 })).toBe('3 个来源')
    preferences.language = 'en'
    expect(t('source.many', { n: 3 })).toBe('3 sources')
  })
  it('of errors and states nobody knows stay readable', () => {
    expect(errorText('something_new')).toBe(en['error.other'])
    expect(known('status', 'out for delivery')).toBe('Out for delivery')
    expect(known('status', 'waiting for customs')).toBe('Waiting for customs')
  })
  it('exist for every error code of the protocol that a customer can meet', () => {
    const page = readFileSync('../docs/protocol.md', 'utf8')
    const codes = [...page.matchAll(/^#### `(\w+)`\n\n(.*)/gm)].filter(
      ([, , text]) => !/agents only/.test(text!),
    )
    const internal = new Set(
      'malformed unknown_type invalid duplicate unknown_turn hello_required already_greeted rate_abused unsupported_version unauthorized customer_refused customer_expired erased hello_timeout replaced slow_client too_many_sessions going_away unknown_audio'.split(
        ' ',
      ),
    )
    const missing = codes
      .map(([, code]) => code!)
      .filter((code) => !internal.has(code) && !(`error.${code}` in en))
    expect(codes.length).toBeGreaterThan(20)
    expect(missing).toEqual([])
  })
  it.each([
    ['zh_CN', 'zh'],
    ['zh-Hans', 'zh'],
    ['en-GB', 'en'],
    ['de', 'en'],
  ])('a device set to %s is spoken to in %s', (locale, language) => {
    expect(deviceLanguage(locale)).toBe(language)
  })
  it('show a delivery window without the day beside it', () => {
    expect(slotInWords('2026-11-23 08:00-12:00')).toBe('08:00 – 12:00')
  })
})

describe('colours', () => {
  const sheet = readFileSync('src/styles/tokens.css', 'utf8')
  const tokens = (name: string) => {
    const block = sheet.slice(sheet.indexOf(name)).match(/\{([^}]*)\}/)![1]!
    return Object.fromEntries(
      [...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/gi)].map(([, key, value]) => [key!, value!]),
    )
  }
  /** WCAG 2.2, "relative luminance" and "contrast ratio". */
  const luminance = (hex: string) => {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const part = parseInt(hex.slice(at, at + 2), 16) / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!
  }
  const contrast = (a: string, b: string) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x)
    return (high! + 0.05) / (low! + 0.05)
  }
  const pairs: [string, string, number][] = [
    ['ink', 'paper', 4.5],
    ['ink', 'surface', 4.5],
    ['ink', 'person-tint', 4.5],
    ['ink', 'warn-tint', 4.5],
    ['soft', 'paper', 4.5],
    ['soft', 'surface', 4.5],
    ['accent', 'paper', 4.5],
    ['accent', 'surface', 4.5],
    ['on-accent', 'accent', 4.5],
    ['on-mine', 'mine', 4.5],
    ['on-tint', 'tint', 4.5],
    ['warn', 'paper', 4.5],
    ['warn', 'surface', 4.5],
    ['person', 'person-tint', 4.5],
    ['person', 'paper', 4.5],
    ['paper', 'ink', 4.5],
    ['field', 'paper', 3],
    ['field', 'surface', 3],
  ]
  for (const theme of ['.theme-light', '.theme-dark']) {
    it.each(pairs)(`${theme}: %s on %s has at least %f : 1`, (text, ground, least) => {
      const found = tokens(theme)
      expect(contrast(found[text]!, found[ground]!)).toBeGreaterThanOrEqual(least)
    })
  }
  it('of the dark theme are the same whether chosen or the system’s', () => {
    const automatic = sheet.slice(sheet.indexOf('@media'), sheet.indexOf('.text-normal'))
    expect([...automatic.matchAll(/--[\w-]+: [^;]+;/g)].map(String)).toEqual(
      [
        ...sheet.slice(sheet.indexOf('.theme-dark'), sheet.indexOf('@media')).matchAll(/--[\w-]+: [^;]+;/g),
      ].map(String),
    )
  })
})
