// Everything the page shows, and everything an agent can do. No component talks to the server but through this.

import { computed, reactive, ref, type InjectionKey } from 'vue'
import { Link, Refusal, type LinkState, type Surroundings } from './link'
import {
  newId,
  type Draft,
  type FeedbackEvent,
  type Fields,
  type FiguresEvent,
  type LiveEntry,
  type Publishing,
  type QuestionsEvent,
  type Ready,
  type ServerEvent,
  type Transcript,
} from './protocol'
import { translate, type Key, type Language, type Params } from './texts'

export type Section = 'conversations' | 'questions' | 'feedback' | 'figures'
export const SECTIONS: Section[] = ['conversations', 'questions', 'feedback', 'figures']
export type Theme = 'auto' | 'light' | 'dark'
export type Filter = 'all' | 'waiting' | 'mine'

export interface Unkept {
  id: string
  conversation: string
  key: string
  text: string
  at: number
  refused: boolean
}

export interface Memory {
  get(name: string): string | null
  set(name: string, value: string | null): void
}

export interface DeskParts {
  link: Surroundings
  /** Lives as long as the tab: the sign-in's token. */
  tab: Memory
  /** Stays: language and colours. */
  device: Memory
  languages: readonly string[]
}

const TOKEN = 'assistant.operator.token'
const LANGUAGE = 'assistant.operator.language'
const THEME = 'assistant.operator.theme'
const ORDER = { waiting: 0, active: 1, assistant: 2 }

export type Desk = ReturnType<typeof createDesk>
export const DESK: InjectionKey<Desk> = Symbol('desk')

export function createDesk(parts: DeskParts) {
  const link = ref<LinkState>('off')
  const me = ref<Ready | null>(null)
  const signing = ref(false)
  const signInProblem = ref('')
  const section = ref<Section>('conversations')
  const filter = ref<Filter>('all')
  const live = reactive(new Map<string, LiveEntry>())
  const openKey = ref('')
  const transcript = ref<Transcript | null>(null)
  const unkept = reactive(new Map<string, Unkept>())
  const typed = reactive(new Map<string, string>()) // begun messages, by conversation
  const publishing = ref<Publishing | null>(null)
  const notice = ref('')
  const clockAhead = ref(0) // the server's clock minus ours, in seconds
  const now = ref(parts.link.now() / 1000)
  const stored = parts.device.get(LANGUAGE)
  const first = parts.languages.find((tag) => /^(en|zh)\b/.test(tag)) ?? 'en'
  const language = ref<Language>((stored ?? first).startsWith('zh') ? 'zh' : 'en')
  const theme = ref<Theme>((parts.device.get(THEME) as Theme | null) ?? 'auto')

  // --- words ---

  function t(key: Key | (string & {}), params?: Params): string {
    return translate(language.value, key, params)
  }

  function setLanguage(chosen: Language): void {
    language.value = chosen
    parts.device.set(LANGUAGE, chosen)
  }

  function setTheme(chosen: Theme): void {
    theme.value = chosen
    parts.device.set(THEME, chosen)
  }

  /** A length of time in one unit. */
  function span(seconds: number): string {
    const whole = Math.max(0, Math.floor(seconds))
    if (whole < 60) return t('s', { n: whole })
    if (whole < 3600) return t('min', { n: Math.floor(whole / 60) })
    if (whole < 86_400) return t('h', { n: Math.floor(whole / 3600) })
    return t('d', { n: Math.floor(whole / 86_400) })
  }

  /** How long ago a moment of the server's clock is, as a length of time. */
  function ago(at: number): string {
    return span(now.value + clockAhead.value - at)
  }

  function clock(at: number): string {
    const date = new Date(at * 1000)
    const day = new Date(now.value * 1000).toDateString() === date.toDateString()
    return new Intl.DateTimeFormat(language.value === 'zh' ? 'zh-CN' : 'en-GB', {
      ...(day ? {} : { day: 'numeric', month: 'short' }),
      hour: '2-digit',
      minute: '2-digit',
    }).format(date)
  }

  function explain(error: unknown): string {
    if (!(error instanceof Refusal)) return String(error)
    const known = ['lost', 'taken', 'unknown_conversation', 'busy']
    return known.includes(error.code) ? t(`error.${error.code}`) : t('error.other', { message: error.message })
  }

  // --- the connection ---

  const connection = new Link(
    {
      state(state) {
        link.value = state
        if (state === 'lost' && me.value === null && signing.value) {
          signing.value = false
          signInProblem.value = t('signin.unreachable')
        }
      },
      ready,
      event,
      ended(code, message) {
        parts.tab.set(TOKEN, null)
        me.value = null
        signing.value = false
        forget()
        signInProblem.value = code === '' ? '' : t(`signin.${code}`, { message })
      },
    },
    parts.link,
  )

  function forget(): void {
    live.clear()
    unkept.clear()
    typed.clear()
    openKey.value = ''
    transcript.value = null
    publishing.value = null
  }

  function ready(event: Ready): void {
    me.value = event
    signing.value = false
    signInProblem.value = ''
    clockAhead.value = event.now - parts.link.now() / 1000
    parts.tab.set(TOKEN, event.token)
    for (const one of unkept.values()) if (!one.refused) deliver(one)
    if (openKey.value !== '') void openConversation(openKey.value)
  }

  function event(event: ServerEvent): void {
    switch (event.type) {
      case 'conversations':
        if (event.complete) live.clear()
        for (const entry of event.entries) live.set(entry.key, entry)
        for (const key of event.gone) live.delete(key)
        break
      case 'transcript':
        if (event.key === openKey.value) show(event)
        break
      case 'message.kept':
        break // it leaves `unkept` when the transcript has it
      case 'publishing':
        publishing.value = event
        break
      case 'conversation.ended':
        if (event.reason === 'customer' || event.reason === 'erased') notice.value = t(`ended.${event.reason}`)
        break
      case 'error':
        refuse(event.id)
        if (me.value !== null && !event.fatal) notice.value = explain(new Refusal(event.code, event.message))
        break
    }
  }

  /** A message that the server did not take stays where it was typed, to be sent again. */
  function refuse(id: string | undefined): void {
    const one = id === undefined ? undefined : unkept.get(id)
    if (one !== undefined) one.refused = true
  }

  function show(event: Transcript): void {
    transcript.value = event
    for (const line of event.lines) if (line.kind === 'said' && line.id !== '') unkept.delete(line.id)
  }

  /** Go on with the sign-in of this tab, if there is one. */
  function resume(): void {
    const token = parts.tab.get(TOKEN)
    if (token !== null) connection.start({ token })
  }

  function signIn(agent: string, credential: string): void {
    signing.value = true
    signInProblem.value = ''
    connection.start({ agent: agent.trim(), credential: credential.trim() })
  }

  function useHere(): void {
    const token = parts.tab.get(TOKEN)
    if (token !== null) connection.start({ token })
  }

  /** Something the server carries out; a refusal is shown. Whether it was done. */
  async function ask(message: Fields): Promise<boolean> {
    try {
      await connection.request(message)
      return true
    } catch (error) {
      notice.value = explain(error)
      return false
    }
  }

  // --- conversations ---

  /** What a customer is called; guests are told apart by a few letters. */
  function nameOf(key: string, customer: string | undefined): string {
    return customer || t('guest', { letters: key.replace(/[^A-Za-z0-9]/g, '').slice(-4).toUpperCase() })
  }

  const entries = computed(() =>
    [...live.values()].sort(
      (one, other) => ORDER[one.state] - ORDER[other.state] || rank(one) - rank(other) || other.seen_at - one.seen_at,
    ),
  )
  const isMine = (entry: LiveEntry) => entry.state === 'active' && entry.agent === me.value?.agent
  const rank = (entry: LiveEntry) => (entry.state === 'waiting' ? entry.since : isMine(entry) ? 0 : 1)
  const waiting = computed(() => entries.value.filter((entry) => entry.state === 'waiting'))
  const mine = computed(() => entries.value.filter(isMine))
  const shown = computed(() => ({ all: entries.value, waiting: waiting.value, mine: mine.value })[filter.value])
  const openEntry = computed(() => live.get(openKey.value) ?? null)
  const pending = computed(() => [...unkept.values()].filter((one) => one.key === openKey.value))

  async function openConversation(key: string): Promise<void> {
    section.value = 'conversations'
    if (transcript.value?.key !== key) transcript.value = null
    openKey.value = key
    try {
      const event = await connection.request<Transcript>({ type: 'transcript.open', key })
      if (openKey.value === key) show(event)
    } catch (error) {
      notice.value = explain(error)
      if (openKey.value === key && transcript.value === null) openKey.value = ''
    }
  }

  function shutConversation(): void {
    openKey.value = ''
    transcript.value = null
    connection.send({ type: 'transcript.shut' })
  }

  /** Take a conversation that waits, or step into one that the assistant has. */
  async function take(entry: LiveEntry): Promise<void> {
    if (openKey.value !== entry.key) void openConversation(entry.key)
    await ask({ type: 'join', key: entry.key })
  }

  function giveBack(entry: LiveEntry, how: 'assistant' | 'queue' | 'close'): void {
    const conversation = entry.conversation
    connection.send(how === 'close' ? { type: 'close', conversation } : { type: 'release', conversation, to: how })
  }

  function say(entry: LiveEntry, text: string): void {
    const at = parts.link.now() / 1000
    const one = { id: newId(), conversation: entry.conversation, key: entry.key, text, at, refused: false }
    unkept.set(one.id, one)
    deliver(one)
  }

  /** Send again what was refused, in the conversation as it is now. */
  function sayAgain(one: Unkept): void {
    unkept.delete(one.id)
    const entry = live.get(one.key)
    if (entry !== undefined) say(entry, one.text)
  }

  function deliver(one: Unkept): void {
    connection.send({ type: 'agent.message', id: one.id, conversation: one.conversation, text: one.text })
  }

  // --- questions, feedback, figures ---

  const read = <T extends ServerEvent>(type: string, days: number) => connection.request<T>({ type, days })
  const readQuestions = (days: number) => read<QuestionsEvent>('questions.read', days)
  const readFeedback = (days: number) => read<FeedbackEvent>('feedback.read', days)
  const readFigures = (days: number) => read<FiguresEvent>('figures.read', days)

  function saveDraft(draft: Omit<Draft, 'problem'>): Promise<boolean> {
    return ask({ type: 'draft.save', ...draft })
  }

  function discardDraft(name: string): Promise<boolean> {
    return ask({ type: 'draft.discard', name })
  }

  function approveDraft(name: string): Promise<boolean> {
    return ask({ type: 'draft.approve', name })
  }

  function tick(): void {
    now.value = parts.link.now() / 1000
  }

  return {
    link,
    me,
    signing,
    signInProblem,
    section,
    filter,
    live,
    openKey,
    openEntry,
    transcript,
    pending,
    typed,
    publishing,
    notice,
    now,
    language,
    theme,
    waiting,
    mine,
    shown,
    t,
    setLanguage,
    setTheme,
    span,
    ago,
    clock,
    explain,
    resume,
    signIn,
    useHere,
    signOut: () => connection.signOut(),
    hurry: () => connection.hurry(),
    isMine,
    nameOf,
    openConversation,
    shutConversation,
    take,
    giveBack,
    say,
    sayAgain,
    forgetUnkept: (one: Unkept) => unkept.delete(one.id),
    readQuestions,
    readFeedback,
    readFigures,
    saveDraft,
    discardDraft,
    approveDraft,
    tick,
  }
}
