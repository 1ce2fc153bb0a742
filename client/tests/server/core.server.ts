import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { startProxy } from '../../e2e/proxy.mjs'
import { startServer } from '../../e2e/server.mjs'
import {
  AssistantClient,
  memoryStore,
  webSockets,
  type ClientOptions,
  type ClientState,
  type Item,
  type ReplyItem,
} from '../../src/core'

let server: Awaited<ReturnType<typeof startServer>>
beforeAll(async () => void (server = await startServer()))
afterAll(() => server.stop())

function connect(url: string, options: Partial<ClientOptions> = {}): AssistantClient {
  const client = new AssistantClient({
    url,
    openSocket: webSockets(WebSocket as never),
    platform: 'test',
    locale: 'en-GB',
    binary: true,
    ...options,
  })
  client.start()
  return client
}

function until(client: AssistantClient, reached: (state: ClientState) => boolean): Promise<ClientState> {
  return new Promise((resolve, reject) => {
    const guard = setTimeout(() => reject(new Error(JSON.stringify(client.state).slice(0, 2000))), 60_000)
    const look = (): void => {
      if (!reached(client.state)) return
      clearTimeout(guard)
      stop()
      resolve(client.state)
    }
    const stop = client.listen(look)
    queueMicrotask(look)
  })
}

const replies = (items: readonly Item[]) => items.filter((item): item is ReplyItem => item.kind === 'reply')
const ended = (count: number) => (state: ClientState) =>
  replies(state.conversation.items).filter((reply) => reply.state !== 'running').length >= count
const shown = (state: ClientState) =>
  state.conversation.items.map((item) => ('text' in item ? `${item.kind}: ${item.text}` : item.kind))

describe('the core against the real server', () => {
  it('asks, is answered with a source, and rates', async () => {
    const client = connect(server.socket)
    client.sendText('How long can I return a sofa?') // before there is a connection
    const state = await until(client, ended(1))
    const [reply] = replies(state.conversation.items)
    expect(reply!.text).toContain('50 days')
    expect(reply!.sources[0]!.text).toContain('50 days')
    expect(state.shop!.name).toBe('Ottermoor')
    const refused: string[] = []
    client.listen((change) => change.kind === 'refused' && refused.push(change.code))
    client.feedback(reply!.turn, 'up')
    client.sendText('How do I pay?')
    await until(client, ended(2))
    expect(refused).toEqual([])
    client.leave()
  })

  it('shows the same conversation, however often its connection is cut', async () => {
    const questions = ['How long can I return a sofa?', 'Do you deliver on Saturdays?', 'How do I pay?']
    const smooth = connect(server.socket)
    for (const [i, question] of questions.entries()) {
      smooth.sendText(question)
      await until(smooth, ended(i + 1))
    }
    let messages = 0
    const proxy = await startProxy(server.url, {
      fromServer: (_, link) => {
        messages += 1
        if (messages % 3 === 0 && messages < 40) {
          link.cut()
          return false
        }
        return true
      },
    })
    const rough = connect(proxy.socket)
    for (const [i, question] of questions.entries()) {
      rough.sendText(question)
      await until(rough, ended(i + 1))
    }
    expect(shown(rough.state)).toEqual(shown(smooth.state))
    expect(proxy.seen.fromClient.filter((message) => message.type === 'hello').length).toBeGreaterThan(2)
    smooth.leave()
    rough.leave()
    proxy.stop()
  })

  it('comes back later, from what it kept and from nothing', async () => {
    const store = memoryStore()
    const first = connect(server.socket, { store })
    first.sendText('How long can I return a sofa?')
    await until(first, ended(1))
    const before = shown(first.state)
    first.leave()
    const second = connect(server.socket, { store })
    expect(shown(second.state)).toEqual(before)
    await until(second, (state) => state.connection.phase === 'online')
    second.leave()
    // as a reloaded page that kept the session only
    const saved = JSON.parse(store.get('assistant.conversation')!)
    store.set('assistant.conversation', JSON.stringify({ ...saved, lastSeq: 0, conversation: { items: [] } }))
    const third = connect(server.socket, { store })
    expect(shown(await until(third, ended(1)))).toEqual(before)
    third.leave()
  })

  it('gives way to another connection of the same session, and takes it back when asked', async () => {
    const store = memoryStore()
    const first = connect(server.socket, { store })
    await until(first, (state) => state.connection.phase === 'online')
    const second = connect(server.socket, { store })
    await until(first, (state) => state.connection.phase === 'stopped')
    expect(first.state.connection.reason).toBe('replaced')
    first.start()
    await until(second, (state) => state.connection.reason === 'replaced')
    first.leave()
  })

  it('looks a scanned code up where the server takes scans', async (context) => {
    const client = connect(server.socket)
    const state = await until(client, (now) => now.connection.phase === 'online')
    if (!state.features.scan) context.skip('the server takes no scans')
    client.sendCode('2411619730697')
    const [reply] = replies((await until(client, ended(1))).conversation.items)
    expect(reply!.cards.map((card) => card.kind)).toContain('product')
    client.leave()
  })
})
