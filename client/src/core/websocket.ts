/** Sockets for browsers, Node 22 and the `ws` package: whatever has the interface of the WHATWG WebSocket. */

import type { OpenSocket } from './client'

interface WebSocketLike {
  readyState: number
  binaryType: string
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
  send(data: string | ArrayBuffer): void
  close(): void
}

const OPEN = 1

/** An `openSocket` for AssistantClient: `webSockets(WebSocket)`. */
export function webSockets(constructor: new (url: string) => unknown): OpenSocket {
  return (url, events) => {
    const socket = new constructor(url) as WebSocketLike
    let over = false
    const closed = (code: number): void => {
      if (over) return
      over = true
      events.closed(code)
    }
    socket.binaryType = 'arraybuffer'
    socket.onopen = () => events.opened()
    socket.onmessage = (event: { data: unknown }) => {
      if (typeof event.data === 'string') events.received(event.data)
    }
    socket.onclose = (event: { code?: number }) => closed(event.code ?? 0)
    socket.onerror = () => {}
    return {
      send: (data) => {
        if (socket.readyState === OPEN) socket.send(data)
      },
      close: () => socket.close(),
    }
  }
}
