import { flushPromises } from '@vue/test-utils'
import { describe, expect, it } from 'vitest'
import { entry, transcript, World } from './world'

const MINE = { key: 'c_mine', state: 'active', agent: 'Kim', conversation: 'h_1' } as const

describe('the desk', () => {
  it('keeps the token in the tab, the credential nowhere, and goes on with it after a reload', () => {
    const world = new World()
    world.signedIn()
    expect([...world.tab.values()]).toEqual(['token-1'])
    expect([...world.device.values()]).toEqual([])
    const again = world.desk()
    again.resume()
    world.socket.open()
    expect(world.socket.sent[0]).toMatchObject({ token: 'token-1' })
  })

  it('forgets everything after signing out or when the sign-in has ended', () => {
    const world = new World()
    const desk = world.signedIn()
    world.shows({ key: 'c_a' })
    desk.openKey.value = 'c_a'
    world.socket.say({ type: 'error', code: 'sign_in_ended', message: '', retryable: false, fatal: true })
    world.socket.drop(4412)
    expect(desk.me.value).toBeNull()
    expect(desk.live.size).toBe(0)
    expect(desk.openKey.value).toBe('')
    expect(world.tab.size).toBe(0)
    expect(desk.signInProblem.value).toContain('ended')
  })

  it('lists who waits first, longest first, then what is mine', () => {
    const world = new World()
    const desk = world.signedIn()
    world.shows(
      { key: 'c_bot', seen_at: 999 },
      { key: 'c_other', state: 'active', agent: 'Robin', seen_at: 999 },
      MINE,
      { key: 'c_late', state: 'waiting', since: 900 },
      { key: 'c_early', state: 'waiting', since: 800 },
    )
    expect(desk.shown.value.map((one) => one.key)).toEqual(['c_early', 'c_late', 'c_mine', 'c_other', 'c_bot'])
    desk.filter.value = 'mine'
    expect(desk.shown.value.map((one) => one.key)).toEqual(['c_mine'])
    world.socket.say({ type: 'conversations', complete: false, entries: [], gone: ['c_mine'] })
    expect(desk.shown.value).toEqual([])
  })

  it('keeps a message until the transcript has it, and sends it again after a lost connection', () => {
    const world = new World()
    const desk = world.signedIn()
    world.shows(MINE)
    desk.openKey.value = 'c_mine'
    desk.say(entry(MINE), 'Hello')
    const sent = world.socket.last()
    world.socket.drop()
    world.pass(500)
    world.welcome()
    const again = world.socket.sent.find((one) => one['type'] === 'agent.message')
    expect(again).toEqual(sent)
    world.socket.say({ type: 'message.kept', conversation: 'h_1', id: sent['id'] })
    expect(desk.pending.value).toHaveLength(1)
    const line = { kind: 'said', who: 'agent', text: 'Hello', at: 1, agent: 'Kim', id: sent['id'] }
    world.socket.say({ ...transcript({ key: 'c_mine' }), lines: [line] })
    expect(desk.pending.value).toHaveLength(0)
  })

  it('keeps a refused message to be sent again in the conversation as it is now', () => {
    const world = new World()
    const desk = world.signedIn()
    world.shows(MINE)
    desk.openKey.value = 'c_mine'
    desk.say(entry(MINE), 'Hello')
    const id = world.socket.last()['id']
    world.socket.say({ type: 'error', id, code: 'not_yours', message: 'take it first', retryable: false, fatal: false })
    expect(desk.pending.value).toMatchObject([{ text: 'Hello', refused: true }])
    expect(desk.notice.value).toBe('take it first')
    world.shows({ ...MINE, conversation: 'h_2' })
    const [one] = desk.pending.value
    if (one !== undefined) desk.sayAgain(one)
    expect(world.socket.last()).toMatchObject({ type: 'agent.message', conversation: 'h_2', text: 'Hello' })
    expect(world.socket.last()['id']).not.toBe(id)
  })

  it('shows no transcript but that of the conversation open now', async () => {
    const world = new World()
    const desk = world.signedIn()
    void desk.openConversation('c_first')
    const first = world.socket.last()['id'] as string
    void desk.openConversation('c_second')
    const second = world.socket.last()['id'] as string
    world.socket.say({ ...transcript({ key: 'c_second', id: second }) })
    world.socket.say({ ...transcript({ key: 'c_first', id: first }) })
    await flushPromises()
    expect(desk.transcript.value?.key).toBe('c_second')
  })

  it('says a refusal in words and closes what cannot be read', async () => {
    const world = new World()
    const desk = world.signedIn()
    void desk.openConversation('c_gone')
    const id = world.socket.last()['id']
    world.socket.say({ type: 'error', id, code: 'unknown_conversation', message: 'x', retryable: false, fatal: false })
    await flushPromises()
    expect(desk.notice.value).toBe('This conversation is over or no longer kept.')
    expect(desk.openKey.value).toBe('')
  })

  it.each([
    [['zh-CN', 'en'], 'zh'],
    [['en-GB'], 'en'],
    [['fr', 'de'], 'en'],
  ])('speaks the first language it knows of %j', (languages, expected) => {
    expect(new World().desk(languages).language.value).toBe(expected)
  })

  it('tells lengths of time in one unit, by the server’s clock', () => {
    const world = new World()
    const desk = world.signedIn()
    expect([5, 60, 3599, 3600, 90_000].map(desk.span)).toEqual(['5 s', '1 min', '59 min', '1 h', '1 d'])
    world.time += 120_000
    desk.tick()
    expect(desk.ago(1000)).toBe('2 min')
  })
})
