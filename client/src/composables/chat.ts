/** The one conversation of this app, for all its views. */

import { computed, ref, shallowRef } from 'vue'
import { AssistantClient, type Change, type ClientState } from '../core/client'
import { offeredReplies, runningTurn } from '../core/conversation'
import { plainText } from '../core/richtext'
import { watchLifecycle } from '../platform/lifecycle'
import { deviceLocale, platformName, readShopSettings } from '../platform/settings'
import { carriesBinary, socketOpener } from '../platform/socket'
import { deviceStore, visitStore } from '../platform/storage'
import { errorText, preferences } from './preferences'

const DRAW_MS = 50
const TOAST_MS = 4_000

export const shop = readShopSettings()

export const client = new AssistantClient({
  url: shop.url,
  openSocket: socketOpener(),
  platform: platformName(),
  locale: deviceLocale(),
  binary: carriesBinary(),
  store: preferences.keep ? deviceStore() : visitStore(),
  customer: shop.customer,
})

/** What is drawn. Follows the client at most every 50 ms, as each change crosses to a mini-program's view. */
export const state = shallowRef<ClientState>(client.state)
/** Read out by screen readers: replies when they are complete, not piece by piece. */
export const announcement = ref('')
/** A short message over everything, "" for none. */
export const toast = ref('')

export const offers = computed(() => offeredReplies(state.value.conversation))
export const replying = computed(() => runningTurn(state.value.conversation) !== '')
export const online = computed(() => state.value.connection.phase === 'online')

let drawn = 0
let drawing: ReturnType<typeof setTimeout> | null = null
let toasting: ReturnType<typeof setTimeout> | null = null

function draw(): void {
  drawing = null
  drawn = Date.now()
  state.value = client.state
}

function drawSoon(): void {
  if (drawing) return
  const wait = drawn + DRAW_MS - Date.now()
  if (wait <= 0) draw()
  else drawing = setTimeout(draw, wait)
}

export function showToast(text: string): void {
  toast.value = text
  if (toasting) clearTimeout(toasting)
  toasting = setTimeout(() => (toast.value = ''), TOAST_MS)
}

client.listen((change: Change) => {
  if (change.kind === 'state') drawSoon()
  else if (change.kind === 'said') announcement.value = plainText(change.text)
  else if (change.kind === 'refused') showToast(errorText(change.code))
})

let begun = false

/** Connect, and follow the app's life from now on. */
export function beginChat(): void {
  if (begun) return
  begun = true
  client.start()
  watchLifecycle({
    shown: () => client.foreground(),
    hidden: () => client.background(),
    networkChanged: () => client.networkChanged(),
  })
}

/** Keep the conversation on this device from now on, or only for this visit. */
export function keepConversation(keep: boolean): void {
  preferences.keep = keep
  client.useStore(keep ? deviceStore() : visitStore())
}
