import { describe, expect, it } from 'vitest'
import { AssistantClient, type Change, type ClientOptions } from '../src/core/client'
import { memoryStore } from '../src/core/saved'
import type { CustomerItem, ReplyItem } from '../src/core/conversation'
import { ManualClock, ScriptedServer, done, nextLine, online, ready, settled } from './support/scripted'

const make = (options: ClientOptions) => new AssistantClient(options)
const texts = (client: AssistantClient) =>
  client.state.conversation.items.map((item) => ('text' in item ? `${item.kind}:${item.text}` : item.kind))
const reply = (client: AssistantClient) =>
  client.state.conversation.items.find((item) => item.kind === 'reply') as ReplyItem
const mine = (client: AssistantClient, index = 0) =>
  client.state.conversation.items.filter((item) => item.kind === 'customer')[index] as CustomerItem

describe('greeting', () => {
  it('says who it is first, and nothing about a session it does not have', async () => {
    const { server, client } = await online(make)
    expect(server.line.sent).toEqual([
      { type: 'hello', v: 1, platform: 'test', locale: 'en-GB', binary: true },
    ])
    expect(client.state.connection.phase).toBe('online')
    expect(client.state.shop?.name).toBe('Shop')
  })

  it('asks for a fresh customer token before each connection, and goes on as a guest if it is refused', async () => {
    const tokens = ['one', 'two']
    const { server, clock } = await online(make, { customer: () => Promise.resolve(tokens.shift() ?? '') })
    expect(server.line.of('hello')[0]!.customer).toBe('one')
    server.line.events.closed(4410)
    await nextLine(server, clock)
    server.line.events.opened()
    expect(server.line.of('hello')[0]!.customer).toBe('two')
    server.line.say({
      type: 'error',
      seq: 0,
      code: 'customer_refused',
      message: '',
      retryable: false,
      fatal: true,
    })
    server.line.events.closed(4403)
    await nextLine(server, clock)
    server.line.events.opened()
    expect(server.line.of('hello')[0]).not.toHaveProperty('customer')
  })

  it('a token that cannot be had does not keep the guest out', async () => {
    const { server } = await online(make, { customer: () => Promise.reject(new Error('shop is down')) })
    expect(server.line.of('hello')[0]).not.toHaveProperty('customer')
  })
})

describe('a turn', () => {
  it('appends deltas and takes the whole text at the end', async () => {
    const { client, server } = await online(make)
    const said: Change[] = []
    client.listen((change) => said.push(change))
    const id = client.sendText('  How long?  ')
    expect(server.line.of('user.text')).toEqual([{ type: 'user.text', id, text: 'How long?' }])
    server.line.say({ type: 'turn.started', seq: 1, turn: 't1', id, text: 'How long?' })
    server.line.say({ type: 'delta', seq: 2, turn: 't1', text: 'Thirty ' })
    server.line.say({ type: 'delta', seq: 3, turn: 't1', text: 'days' })
    expect(reply(client).text).toBe('Thirty days')
    server.line.say(done(4, 't1', { text: 'Thirty days.' }))
    expect(texts(client)).toEqual(['customer:How long?', 'reply:Thirty days.'])
    expect(mine(client).settled).toBe(true)
    expect(said.filter((change) => change.kind === 'said')).toEqual([
      { kind: 'said', text: 'Thirty days.', by: 'assistant' },
    ])
  })

  it('ignores a numbered message that is not higher, so that nothing shows twice', async () => {
    const { client, server } = await online(make)
    const id = client.sendText('Hi')
    server.line.say({ type: 'turn.started', seq: 5, turn: 't1', id, text: 'Hi' })
    server.line.say({ type: 'delta', seq: 6, turn: 't1', text: 'A' })
    server.line.say({ type: 'delta', seq: 6, turn: 't1', text: 'A' })
    server.line.say({ type: 'delta', seq: 4, turn: 't1', text: 'A' })
    expect(reply(client).text).toBe('A')
  })

  it('drops what was shown of a turn that begins anew', async () => {
    const { client, server } = await online(make)
    const id = client.sendText('Hi')
    server.line.say({ type: 'turn.started', seq: 1, turn: 't1', id, text: 'Hi' })
    server.line.say({ type: 'delta', seq: 2, turn: 't1', text: 'Half' })
    server.line.say({ type: 'turn.started', seq: 3, turn: 't1', id, text: 'Hi' })
    server.line.say({ type: 'delta', seq: 4, turn: 't1', text: 'Whole' })
    expect(reply(client).text).toBe('Whole')
    expect(client.state.conversation.items).toHaveLength(2)
  })

  it('stands below its question even if another question was asked meanwhile', async () => {
    const { client, server } = await online(make)
    const first = client.sendText('one')
    const second = client.sendText('two')
    server.line.say({ type: 'turn.started', seq: 1, turn: 't1', id: first, text: 'one' })
    server.line.say(done(2, 't1', { text: 'ONE' }))
    server.line.say({ type: 'turn.started', seq: 3, turn: 't2', id: second, text: 'two' })
    expect(texts(client)).toEqual(['customer:one', 'reply:ONE', 'customer:two', 'reply:'])
  })

  it('can be cancelled and rated', async () => {
    const { client, server } = await online(make)
    const id = client.sendText('Hi')
    client.cancel()
    expect(server.line.of('cancel')).toEqual([])
    server.line.say({ type: 'turn.started', seq: 1, turn: 't1', id, text: 'Hi' })
    client.cancel()
    expect(server.line.of('cancel')).toEqual([{ type: 'cancel', turn: 't1' }])
    server.line.say(done(2, 't1', { status: 'cancelled', text: 'Ha' }))
    client.feedback('t1', 'down', 'wrong')
    expect(server.line.of('feedback')).toEqual([
      { type: 'feedback', turn: 't1', value: 'down', comment: 'wrong' },
    ])
    expect(reply(client)).toMatchObject({ state: 'cancelled', vote: 'down' })
  })

  it('survives messages it does not know, and frames that are none', async () => {
    const { client, server } = await online(make)
    for (const frame of [
      '',
      '{',
      '[]',
      '1',
      '{"type":"weather","seq":9}',
      '{"type":"delta","seq":9}',
      '{"type":"__proto__","seq":1}',
    ]) {
      server.line.events.received(frame)
    }
    expect(client.state.conversation.items).toEqual([])
    client.sendText('Hi')
    expect(server.line.of('user.text')).toHaveLength(1)
  })
})

describe('a lost connection', () => {
  it('resumes with session and last_seq, and sends again what has no end', async () => {
    const { client, server, clock } = await online(make)
    const id = client.sendText('How long?')
    server.line.say({ type: 'turn.started', seq: 7, turn: 't1', id, text: 'How long?' })
    server.line.say({ type: 'delta', seq: 8, turn: 't1', text: 'Thirty ' })
    server.line.events.closed(1006)
    expect(client.state.connection.phase).toBe('waiting')
    await nextLine(server, clock)
    server.line.events.opened()
    expect(server.line.of('hello')[0]).toMatchObject({ session: 's1', last_seq: 8 })
    server.line.say(ready({ resumed: true, seq: 8 }))
    expect(server.line.of('user.text')).toEqual([{ type: 'user.text', id, text: 'How long?' }])
    server.line.say({ type: 'delta', seq: 11, turn: 't1', text: 'days' })
    server.line.say(done(12, 't1', { text: 'Thirty days.' }))
    expect(texts(client)).toEqual(['customer:How long?', 'reply:Thirty days.'])
  })

  it('keeps what is written meanwhile and sends it once, in its order', async () => {
    const { client, server, clock } = await online(make)
    server.line.events.closed(0)
    const first = client.sendText('one')
    const second = client.sendText('two')
    await settled()
    if (server.lines.length < 2) await nextLine(server, clock)
    server.line.events.opened()
    server.line.say(ready({ resumed: true }))
    expect(server.line.of('user.text').map((message) => message.id)).toEqual([first, second])
  })

  it('waits longer each time, at random, and never beyond 15 s', async () => {
    const { server, clock, client } = await online(make, { clock: new ManualClock(0.999) })
    const waits: number[] = []
    for (let attempt = 0; attempt < 8; attempt++) {
      server.line.events.closed(1006)
      waits.push(await nextLine(server, clock))
    }
    expect(waits.map((wait) => Math.round(wait / 500) * 500)).toEqual([
      500, 1000, 2000, 4000, 8000, 15000, 15000, 15000,
    ])
    expect(client.state.connection.phase).toBe('connecting')
  })

  it('is noticed by silence: no answer to the heartbeat within ten seconds', async () => {
    const { server, clock, client } = await online(make)
    await clock.pass(25_000)
    expect(server.line.of('ping')).toHaveLength(1)
    server.line.say({ type: 'pong', seq: 0, t: 1 })
    await clock.pass(25_000)
    expect(server.line.of('ping')).toHaveLength(2)
    await clock.pass(9_000)
    expect(client.state.connection.phase).toBe('online')
    await clock.pass(2_000)
    expect(client.state.connection.phase).not.toBe('online')
    expect(server.lines[0]!.closed).toBe(true)
  })

  it('is given up if no greeting is answered', async () => {
    const server = new ScriptedServer()
    const clock = new ManualClock()
    const client = make({
      url: 'ws://x',
      openSocket: server.open,
      platform: 'test',
      locale: 'en',
      binary: true,
      clock,
    })
    client.start()
    await settled()
    await clock.pass(11_900)
    expect(server.line.closed).toBe(false)
    await clock.pass(200)
    expect(server.lines[0]!.closed).toBe(true)
  })

  it('what an old connection still says changes nothing', async () => {
    const { client, server, clock } = await online(make)
    const old = server.line
    old.events.closed(1006)
    await nextLine(server, clock)
    server.line.events.opened()
    server.line.say(ready({ resumed: true }))
    old.say({ type: 'agent.message', seq: 99, id: 'a', text: 'ghost', agent: '' })
    old.events.closed(1006)
    expect(client.state.conversation.items).toEqual([])
    expect(client.state.connection.phase).toBe('online')
  })
})

describe('foreground and background', () => {
  it('reconnects at once when shown again', async () => {
    const { client, server } = await online(make)
    server.line.events.closed(1006)
    client.foreground()
    await settled()
    expect(server.lines).toHaveLength(2)
  })

  it('asks for a sign of life when shown with a connection, and reconnects after two seconds without', async () => {
    const { client, server, clock } = await online(make)
    client.foreground()
    expect(server.line.of('ping')).toHaveLength(1)
    server.line.say({ type: 'pong', seq: 0, t: 1 })
    await clock.pass(3_000)
    expect(server.lines).toHaveLength(1)
    client.networkChanged()
    await clock.pass(2_100)
    expect(server.lines).toHaveLength(2)
  })

  it('tells how far it has read before it may be frozen', async () => {
    const { client, server } = await online(make)
    client.background()
    expect(server.line.of('ack')).toEqual([])
    server.line.say({ type: 'agent.message', seq: 9, id: 'a', text: 'Hi', agent: 'Kim' })
    client.background()
    expect(server.line.of('ack')).toEqual([{ type: 'ack', seq: 9 }])
  })
})

describe('closes that mean something', () => {
  it.each([
    ['replaced', 4409],
    ['unauthorized', 4401],
    ['unsupported_version', 4400],
  ])('%s stops reconnecting until somebody acts', async (code, close) => {
    const { client, server, clock } = await online(make)
    server.line.events.closed(close)
    await clock.pass(300_000)
    expect(server.lines).toHaveLength(1)
    expect(client.state.connection).toEqual({ phase: 'stopped', reason: code })
    if (code === 'unauthorized') client.useCredential('open sesame')
    else client.start()
    await settled()
    server.line.events.opened()
    if (code === 'unauthorized') expect(server.line.of('hello')[0]!.credential).toBe('open sesame')
    expect(server.lines).toHaveLength(2)
  })

  it('takes the reason from the error before it where the platform gives no close code', async () => {
    const { client, server } = await online(make)
    server.line.say({ type: 'error', seq: 0, code: 'replaced', message: '', retryable: false, fatal: true })
    server.line.events.closed(0)
    expect(client.state.connection).toEqual({ phase: 'stopped', reason: 'replaced' })
  })

  it.each([
    ['too_many_sessions', 1013],
    ['rate_abused', 4429],
  ])('%s is left alone for a minute', async (_, close) => {
    const { server, clock } = await online(make)
    server.line.events.closed(close)
    expect(await nextLine(server, clock)).toBeGreaterThanOrEqual(60_000)
  })

  it('erased forgets everything and begins a new session', async () => {
    const store = memoryStore()
    const { client, server, clock } = await online(make, { store })
    server.line.say({ type: 'agent.message', seq: 1, id: 'a', text: 'Hi', agent: 'Kim' })
    expect(store.get('assistant.conversation')).toContain('Kim')
    server.line.events.closed(4404)
    expect(client.state.conversation.items).toEqual([])
    expect(store.get('assistant.conversation')).toBeNull()
    await nextLine(server, clock)
    server.line.events.opened()
    expect(server.line.of('hello')[0]).not.toHaveProperty('session')
  })

  it('message_too_large is not sent again', async () => {
    const { client, server, clock } = await online(make)
    client.sendText('x'.repeat(5000))
    server.line.events.closed(1009)
    expect(mine(client)).toMatchObject({ state: 'failed', problem: 'message_too_large' })
    await nextLine(server, clock)
    server.line.events.opened()
    server.line.say(ready({ resumed: true }))
    expect(server.line.of('user.text')).toEqual([])
  })
})

describe('refusals', () => {
  it('are shown at their message, which can be tried again', async () => {
    const { client, server } = await online(make)
    const id = client.sendText('Hi')
    server.line.say({
      type: 'error',
      seq: 0,
      code: 'text_too_long',
      message: '',
      id,
      retryable: false,
      fatal: false,
    })
    expect(mine(client)).toMatchObject({ state: 'failed', problem: 'text_too_long' })
    const again = client.retry(id)
    expect(again).not.toBe(id)
    expect(texts(client)).toEqual(['customer:Hi'])
    expect(server.line.of('user.text').map((message) => message.id)).toEqual([id, again])
  })

  it('busy keeps message and id, and sends it again after the next turn', async () => {
    const { client, server } = await online(make)
    const first = client.sendText('one')
    const second = client.sendText('two')
    server.line.say({ type: 'turn.started', seq: 1, turn: 't1', id: first, text: 'one' })
    server.line.say({
      type: 'error',
      seq: 1,
      code: 'busy',
      message: '',
      id: second,
      retryable: true,
      fatal: false,
    })
    expect(mine(client, 1).state).toBe('sending')
    server.line.say(done(2, 't1'))
    expect(server.line.of('user.text').map((message) => message.id)).toEqual([first, second, second])
  })

  it('busy without a turn that runs sends it again after a pause', async () => {
    const { client, server, clock } = await online(make)
    const id = client.sendPhoto(Uint8Array.of(1).buffer)
    server.line.say({ type: 'error', seq: 0, code: 'busy', message: '', id, retryable: true, fatal: false })
    await clock.pass(6_000)
    expect(server.line.of('scan').map((message) => message.id)).toEqual([id, id])
  })

  it('a photo without a code fails with its reason and is not sent again', async () => {
    const { client, server, clock } = await online(make)
    const id = client.sendPhoto(Uint8Array.of(1).buffer)
    server.line.say({
      type: 'error',
      seq: 0,
      code: 'no_code',
      message: '',
      id,
      retryable: false,
      fatal: false,
    })
    expect(mine(client)).toMatchObject({ state: 'failed', problem: 'no_code' })
    server.line.events.closed(1006)
    await nextLine(server, clock)
    server.line.events.opened()
    server.line.say(ready({ resumed: true }))
    expect(server.line.of('scan')).toEqual([])
  })

  it('rate_limited sends what was not taken again, after a pause', async () => {
    const { client, server, clock } = await online(make)
    const id = client.sendText('Hi')
    server.line.say({
      type: 'error',
      seq: 0,
      code: 'rate_limited',
      message: '',
      retryable: true,
      fatal: false,
    })
    await clock.pass(4_000)
    expect(server.line.of('user.text')).toHaveLength(1)
    await clock.pass(2_000)
    expect(server.line.of('user.text').map((message) => message.id)).toEqual([id, id])
  })
})

describe('on return', () => {
  it('shows the kept conversation at once and asks only for what is new', async () => {
    const store = memoryStore()
    const { client, server } = await online(make, { store })
    const id = client.sendText('Hi')
    server.line.say({ type: 'turn.started', seq: 1, turn: 't1', id, text: 'Hi' })
    server.line.say(done(2, 't1', { text: 'Hello.' }))
    client.leave()
    expect(server.line.of('bye')).toHaveLength(1)

    const later = new ScriptedServer()
    const again = make({
      url: 'ws://x',
      openSocket: later.open,
      platform: 'test',
      locale: 'en',
      binary: true,
      store,
    })
    expect(texts(again)).toEqual(['customer:Hi', 'reply:Hello.'])
    again.start()
    await settled()
    later.line.events.opened()
    expect(later.line.of('hello')[0]).toMatchObject({ session: 's1', last_seq: 2 })
  })

  it('says where a new conversation begins when the server has forgotten the old one', async () => {
    const store = memoryStore()
    const first = await online(make, { store })
    const id = first.client.sendText('Hi')
    first.server.line.say({ type: 'turn.started', seq: 4, turn: 't1', id, text: 'Hi' })
    first.client.background()
    const { client, server } = await online(make, { store }, { session: 's2' })
    expect(client.state.conversation.items.map((item) => item.kind)).toEqual(['customer', 'reply', 'notice'])
    expect(reply(client)).toMatchObject({ state: 'failed', error: 'interrupted' })
    expect(server.line.of('user.text')).toEqual([])
    server.line.say({ type: 'agent.message', seq: 1, id: 'a', text: 'seq starts again', agent: '' })
    expect(client.state.conversation.items).toHaveLength(4)
  })

  it('does not trust what it finds in the storage', async () => {
    for (const junk of [
      '',
      '{',
      '[]',
      '{"format":1}',
      '{"format":1,"session":"s","lastSeq":"x","conversation":{"items":[{}]}}',
    ]) {
      const store = memoryStore()
      store.set('assistant.conversation', junk)
      const { client, server } = await online(make, { store })
      expect(client.state.conversation.items).toEqual([])
      expect(server.line.of('hello')[0]).not.toHaveProperty('session')
    }
  })

  it('forgets on request and begins anew', async () => {
    const store = memoryStore()
    const { client, server } = await online(make, { store })
    client.sendText('Hi')
    client.forget()
    await settled()
    expect(server.lines).toHaveLength(2)
    server.line.events.opened()
    expect(server.line.of('hello')[0]).not.toHaveProperty('session')
    expect(client.state.conversation.items).toEqual([])
  })
})

describe('a person', () => {
  it('each state is kept; what was delivered is not sent again', async () => {
    const { client, server } = await online(make)
    server.line.say({ type: 'handover', seq: 1, state: 'requested', turn: 't1' })
    server.line.say({ type: 'handover', seq: 2, state: 'waiting', position: 2, staffed: true })
    expect(client.state.conversation.handover).toMatchObject({ state: 'waiting', position: 2 })
    server.line.say({ type: 'handover', seq: 3, state: 'active', agent: 'Kim' })
    const id = client.sendText('My sofa is broken')
    server.line.say({ type: 'user.delivered', seq: 4, id, text: 'My sofa is broken' })
    expect(mine(client)).toMatchObject({ state: 'sent', settled: true })
    server.line.say({ type: 'agent.message', seq: 5, id: 'a1', text: 'Oh dear', agent: 'Kim' })
    server.line.say({ type: 'agent.message', seq: 6, id: 'a1', text: 'Oh dear', agent: 'Kim' })
    client.endHandover()
    expect(server.line.of('handover.end')).toHaveLength(1)
    server.line.say({ type: 'handover', seq: 7, state: 'ended', reason: 'customer' })
    expect(client.state.conversation.handover.state).toBe('none')
    expect(client.state.conversation.items.map((item) => item.kind)).toEqual([
      'notice',
      'customer',
      'agent',
      'notice',
    ])
  })
})

describe('codes and speech', () => {
  it('a scanned code and a photo are sent with an id, and again after a lost connection', async () => {
    const { client, server, clock } = await online(make)
    const code = client.sendCode(' 4006381333931 ')
    const photo = client.sendPhoto(Uint8Array.of(1, 2, 3).buffer)
    const expected = [
      { type: 'scan', id: code, code: '4006381333931' },
      { type: 'scan', id: photo, photo: 'AQID' },
    ]
    expect(server.line.of('scan')).toEqual(expected)
    server.line.events.closed(1006)
    await nextLine(server, clock)
    server.line.events.opened()
    server.line.say(ready({ resumed: true }))
    expect(server.line.of('scan')).toEqual(expected)
  })

  it('speech goes in binary frames where the socket carries them', async () => {
    const { client, server } = await online(make)
    const speech = client.speak('pcm_s16le', 16000)!
    expect(client.speak('pcm_s16le', 16000)).toBeNull()
    speech.chunk(new ArrayBuffer(3200))
    speech.end()
    speech.chunk(new ArrayBuffer(3200))
    expect(server.line.of('audio.start')).toEqual([
      { type: 'audio.start', id: speech.id, format: 'pcm_s16le', rate_hz: 16000, channels: 1 },
    ])
    expect(server.line.binary.map((piece) => piece.byteLength)).toEqual([3200])
    expect(server.line.of('audio.end')).toEqual([{ type: 'audio.end', id: speech.id }])
  })

  it.each([
    [false, true],
    [true, false],
  ])(
    'speech goes as base64 where the socket (%s) or the server (%s) takes no binary',
    async (binary, server_) => {
      const { client, server } = await online(
        make,
        { binary },
        { features: { voice: true, scan: false, binary: server_ } },
      )
      client.speak('mp3', 16000)!.chunk(Uint8Array.of(104, 105).buffer)
      expect(server.line.of('audio.chunk')).toMatchObject([{ b64: 'aGk=' }])
      expect(server.line.binary).toEqual([])
    },
  )

  it('a file is cut into pieces that fit a message', async () => {
    const { client, server } = await online(make)
    client.speak('auto', 16000)!.chunk(new ArrayBuffer(80_000))
    expect(server.line.binary.map((piece) => piece.byteLength)).toEqual([32768, 32768, 14464])
  })

  it('shows what is heard so far, then the final words, then the reply', async () => {
    const { client, server } = await online(make)
    const ends: Change[] = []
    client.listen((change) => change.kind === 'speech.ended' && ends.push(change))
    const { id, end } = client.speak('pcm_s16le', 16000)!
    server.line.say({ type: 'transcript.partial', seq: 1, id, text: 'how' })
    expect(mine(client)).toMatchObject({ state: 'listening', text: 'how' })
    end()
    server.line.say({ type: 'transcript.final', seq: 2, id, text: 'how long' })
    server.line.say({ type: 'turn.started', seq: 3, turn: 't1', id, text: 'how long' })
    server.line.say(done(4, 't1'))
    expect(texts(client)).toEqual(['customer:how long', 'reply:All of it.'])
    expect(ends).toEqual([{ kind: 'speech.ended', id, code: '' }])
  })

  it('a connection lost while speaking says so', async () => {
    const { client, server } = await online(make)
    const { id } = client.speak('pcm_s16le', 16000)!
    server.line.say({ type: 'transcript.partial', seq: 1, id, text: 'how' })
    server.line.events.closed(1006)
    expect(mine(client)).toMatchObject({ state: 'failed', problem: 'connection_lost' })
  })

  it('speech of which nothing was heard leaves no bubble, only a word why', async () => {
    const { client, server } = await online(make)
    const codes: string[] = []
    client.listen((change) => change.kind === 'refused' && codes.push(change.code))
    const speech = client.speak('pcm_s16le', 16000)!
    speech.end()
    server.line.say({
      type: 'error',
      seq: 0,
      code: 'no_speech',
      message: '',
      id: speech.id,
      retryable: true,
      fatal: false,
    })
    expect(client.state.conversation.items).toEqual([])
    expect(codes).toEqual(['no_speech'])
  })

  it('speech that nobody answers ends with a time-out', async () => {
    const { client, clock, server } = await online(make)
    const codes: string[] = []
    client.listen((change) => change.kind === 'refused' && codes.push(change.code))
    client.speak('pcm_s16le', 16000)!.end()
    await clock.pass(9_000)
    server.line.say({ type: 'pong', seq: 0, t: 0 })
    expect(mine(client).state).toBe('listening')
    await clock.pass(2_000)
    expect(codes).toEqual(['timeout'])
  })

  it('discarded speech leaves nothing behind', async () => {
    const { client, server } = await online(make)
    const speech = client.speak('pcm_s16le', 16000)!
    speech.cancel()
    expect(server.line.of('audio.cancel')).toEqual([{ type: 'audio.cancel', id: speech.id }])
    expect(client.state.conversation.items).toEqual([])
    expect(client.speak('pcm_s16le', 16000)).not.toBeNull()
  })
})

it('the latest state of each device is kept', async () => {
  const { client, server } = await online(make)
  const lamp = {
    type: 'device.state',
    seq: 0,
    device: 'lamp',
    home: 'h',
    name: 'Lamp',
    room: 'hall',
    kind: 'lamp',
    reachable: true,
  }
  server.line.say({ ...lamp, values: { on: true } })
  server.line.say({ ...lamp, values: { on: false } })
  expect(client.state.devices['h/lamp']!.values).toEqual({ on: false })
})

it('product events are told once, and dropped without a connection', async () => {
  const { client, server } = await online(make)
  client.productEvent('tap', 'SOFA-3')
  server.line.events.closed(1006)
  client.productEvent('tap', 'SOFA-3')
  expect(server.lines[0]!.of('event')).toEqual([{ type: 'event', kind: 'tap', sku: 'SOFA-3' }])
})
