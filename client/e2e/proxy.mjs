// Stands between a client and the real server, and cuts, holds or watches the connection where a test wants it.
import http from 'node:http'
import { WebSocket, WebSocketServer } from 'ws'

/**
 * A proxy for page and websocket. `rules.fromServer(message, link)` is asked about each message to the client:
 * it returns false to keep the message back, or another one to send instead. `rules.fromClient(message, link)` likewise. `link.cut()` drops the
 * connection as a lost network would.
 */
export async function startProxy(serverUrl, rules = {}) {
  const target = new URL(serverUrl)
  const links = new Set()
  const seen = { fromClient: [], fromServer: [], requests: [] }
  const web = http.createServer((request, response) => {
    seen.requests.push(request.url)
    const { host, ...headers } = request.headers
    const upstream = http.request(
      {
        host: target.hostname,
        port: target.port,
        path: request.url,
        method: request.method,
        headers: { ...headers, host },
      },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers)
        answer.pipe(response)
      },
    )
    upstream.on('error', () => response.destroy())
    request.pipe(upstream)
  })
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  web.on('upgrade', (request, socket, head) => {
    if (rules.refuse?.()) return socket.destroy()
    sockets.handleUpgrade(request, socket, head, (client) => {
      const upstream = new WebSocket(`ws://${target.host}/ws`, { perMessageDeflate: false })
      const waiting = []
      const link = {
        say: (message) => client.send(JSON.stringify(message)),
        cut: () => {
          socket.destroy()
          upstream.terminate()
          links.delete(link)
        },
      }
      links.add(link)
      upstream.on('open', () =>
        waiting.splice(0).forEach((frame) => upstream.send(frame.data, { binary: frame.binary })),
      )
      client.on('message', (data, binary) => {
        const message = binary ? { type: 'binary', bytes: data.length } : JSON.parse(data)
        seen.fromClient.push(message)
        if (rules.fromClient?.(message, link) === false) return
        if (upstream.readyState === WebSocket.OPEN) upstream.send(data, { binary })
        else waiting.push({ data, binary })
      })
      upstream.on('message', (data) => {
        const message = JSON.parse(data)
        seen.fromServer.push(message)
        const answer = rules.fromServer?.(message, link) ?? true
        if (answer !== false) client.send(typeof answer === 'object' ? JSON.stringify(answer) : String(data))
      })
      upstream.on('close', (code) =>
        client.close(code >= 1000 && code !== 1005 && code !== 1006 ? code : 1000),
      )
      upstream.on('error', () => link.cut())
      client.on('close', () => upstream.close())
      client.on('error', () => {})
    })
  })
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${web.address().port}`
  return {
    url,
    socket: `${url.replace('http', 'ws')}/ws`,
    seen,
    cutAll: () => [...links].forEach((link) => link.cut()),
    stop: () => {
      for (const link of links) link.cut()
      web.closeAllConnections()
      web.close()
    },
  }
}
