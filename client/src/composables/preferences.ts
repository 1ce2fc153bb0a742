/** What the customer has chosen for this device, and words in the chosen language. */

import { computed, reactive, watch } from 'vue'
import { en, type Key } from '../locale/en'
import { zh } from '../locale/zh'
import { setPageLanguage, setPageTheme, watchSystemTheme, type Theme } from '../platform/page'
import { deviceLocale } from '../platform/settings'
import { deviceStore } from '../platform/storage'

export type Language = 'en' | 'zh'
export type TextSize = 'normal' | 'large' | 'larger'

export interface Preferences {
  language: Language | 'auto'
  text: TextSize
  theme: Theme
  /** Whether the conversation stays on the device after the app is closed. */
  keep: boolean
}

const KEY = 'assistant.preferences'
const DEFAULTS: Preferences = { language: 'auto', text: 'normal', theme: 'auto', keep: true }
const ALLOWED = {
  language: ['auto', 'en', 'zh'],
  text: ['normal', 'large', 'larger'],
  theme: ['auto', 'light', 'dark'],
}

const store = deviceStore()
export const preferences = reactive<Preferences>(read(store.get(KEY)))

function read(saved: string | null): Preferences {
  try {
    const found = JSON.parse(saved ?? '{}') as Partial<Preferences>
    const pick = <T extends string>(name: keyof typeof ALLOWED, standard: T): T =>
      ALLOWED[name].includes(String(found[name])) ? (found[name] as T) : standard
    return {
      language: pick('language', DEFAULTS.language),
      text: pick('text', DEFAULTS.text),
      theme: pick('theme', DEFAULTS.theme),
      keep: found.keep !== false,
    }
  } catch {
    return { ...DEFAULTS }
  }
}

export function deviceLanguage(locale: string): Language {
  return /^zh/i.test(locale) ? 'zh' : 'en'
}

export const language = computed<Language>(() =>
  preferences.language === 'auto' ? deviceLanguage(deviceLocale()) : preferences.language,
)

/** The words for a key, `{name}` filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const words = language.value === 'zh' ? zh[key] : en[key]
  return words.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))
}

/** The words for an error code of the protocol, or of this app. */
export function errorText(code: string): string {
  const key = `error.${code}`
  return key in en ? t(key as Key) : t('error.other')
}

/** The words for a value the server may have more of than we know; its own text for those. */
export function known(group: string, value: string): string {
  const key = `${group}.${value.trim().toLowerCase().replace(/\s+/g, '_')}`
  return key in en ? t(key as Key) : value.charAt(0).toUpperCase() + value.slice(1)
}

/** Classes of the outermost view: colours and text size. */
export const appearance = computed(() => `theme-${preferences.theme} text-${preferences.text}`)

/** Keep choices, and let what surrounds our views follow them. */
export function applyPreferences(): void {
  const apply = (): void => {
    setPageLanguage(language.value === 'zh' ? 'zh-CN' : 'en')
    setPageTheme(preferences.theme)
  }
  watch(preferences, () => {
    store.set(KEY, JSON.stringify(preferences))
    apply()
  })
  watchSystemTheme(apply)
  apply()
}

const DAY: Intl.DateTimeFormatOptions = { weekday: 'short', day: 'numeric', month: 'short' }

/** A date such as 2026-11-23 in words; anything else as it is. */
export function dayInWords(date: string): string {
  const found = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date)
  if (!found) return date
  return formatted(new Date(Number(found[1]), Number(found[2]) - 1, Number(found[3])), DAY, date)
}

/** A delivery window such as "2026-11-23 08:00-12:00" without the day, which stands beside it. */
export function slotInWords(slot: string): string {
  return slot.replace(/^\d{4}-\d{2}-\d{2}\s+/, '').replace('-', ' – ')
}

/** A moment (ISO 8601) as weekday and time on this device's clock; "" if it is none. */
export function momentInWords(moment: string): string {
  const date = new Date(moment)
  if (Number.isNaN(date.getTime())) return ''
  return formatted(date, { weekday: 'long', hour: '2-digit', minute: '2-digit' }, moment)
}

/** Some mini-programs have no Intl: there the plain text has to do. */
function formatted(date: Date, form: Intl.DateTimeFormatOptions, plain: string): string {
  try {
    return date.toLocaleString(language.value === 'zh' ? 'zh-CN' : 'en-GB', form)
  } catch {
    return plain
  }
}

/** Words the customer sends by a tap, in the language the shop's assistant speaks. */
export function inShopLanguage(spoken: string, key: Key, values: Record<string, string>): string {
  const words = (spoken ? deviceLanguage(spoken) : language.value) === 'zh' ? zh[key] : en[key]
  return words.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '')
}
