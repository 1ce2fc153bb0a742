/** The platform's websocket behind the core's interface. */

import type { OpenSocket } from '../core/client'
// #ifdef H5
import { webSockets } from '../core/websocket'
// #endif

/** Alipay's sockets take strings only, so that speech goes as base64 there. */
export function carriesBinary(): boolean {
  // #ifdef MP-ALIPAY
  return false
  // #endif
  // #ifndef MP-ALIPAY
  return true
  // #endif
}

export function socketOpener(): OpenSocket {
  // #ifdef H5
  return webSockets(WebSocket)
  // #endif
  // #ifdef MP
  return openTask
  // #endif
}

// #ifdef MP
const openTask: OpenSocket = (url, events) => {
  let open = false
  let over = false
  const closed = (code: number): void => {
    if (over) return
    over = true
    open = false
    events.closed(code)
  }
  const task = uni.connectSocket({
    url,
    // #ifdef MP-ALIPAY
    multiple: true, // else Alipay gives the app a single, global socket
    // #endif
    fail: () => closed(0),
    complete: () => {}, // without a callback uni returns a promise instead of the task
  } as UniApp.ConnectSocketOption) as unknown as UniApp.SocketTask
  task.onOpen(() => {
    open = true
    events.opened()
  })
  task.onMessage((message: { data: unknown }) => {
    const text = payload(message.data)
    if (text) events.received(text)
  })
  task.onClose((close: { code?: number }) => closed(close?.code ?? 0))
  task.onError(() => closed(0))
  return {
    send: (data) => {
      if (open) task.send({ data, fail: () => closed(0) })
    },
    close: () => {
      if (over) return
      over = true
      open = false
      task.close({ code: 1000, fail: () => {} })
    },
  }
}

/** Alipay wraps what it received once more: `{data: {data, isBuffer}}`. */
function payload(data: unknown): string {
  const inner = typeof data === 'object' && data !== null && 'data' in data ? data.data : data
  return typeof inner === 'string' ? inner : ''
}
// #endif
