import { describe, expect, it, vi } from 'vitest'
import { Link, Refusal, type LinkState } from '../src/core/link'
import { World } from './world'

function linked() {
  const world = new World()
  const states: LinkState[] = []
  const ended = vi.fn()
  const link = new Link({ state: (state) => states.push(state), ready: vi.fn(), event: vi.fn(), ended }, world.surroundings)
  return { world, states, ended, link }
}

const HELLO = { agent: 'Kim', credential: 'secret' }

describe('a link', () => {
  it('says hello with the credential once, and with the token when it comes back', () => {
    const { world, link } = linked()
    link.start(HELLO)
    world.welcome()
    expect(world.socket.sent[0]).toEqual({ type: 'hello', v: 1, agent: 'Kim', credential: 'secret' })
    world.socket.drop()
    world.pass(500)
    world.socket.open()
    expect(world.sockets).toHaveLength(2)
    expect(world.socket.sent[0]).toEqual({ type: 'hello', v: 1, token: 'token-1' })
  })

  it('waits longer from one attempt to the next, up to a limit, and at once after hurry', () => {
    const { world, link } = linked()
    link.start({ token: 't' })
    for (const pause of [500, 1000, 2000, 4000, 8000, 15_000, 15_000]) {
      const before = world.sockets.length
      world.socket.drop()
      world.pass(pause - 1)
      expect(world.sockets).toHaveLength(before)
      world.pass(1)
      expect(world.sockets).toHaveLength(before + 1)
    }
    world.socket.drop()
    const before = world.sockets.length
    link.hurry()
    expect(world.sockets).toHaveLength(before + 1)
    world.pass(60_000)
    expect(world.sockets, 'the attempt that was planned is not made as well').toHaveLength(before + 1)
  })

  it.each([
    [4401, 'unauthorized'],
    [4412, 'sign_in_ended'],
  ])('does not come back by itself after %i', (code, name) => {
    const { world, link, ended, states } = linked()
    link.start(HELLO)
    world.socket.open()
    world.socket.say({ type: 'error', code: name, message: 'no', retryable: false, fatal: true })
    world.socket.drop(code)
    world.pass(100_000)
    expect(world.sockets).toHaveLength(1)
    expect(ended).toHaveBeenCalledWith(name, 'no')
    expect(states[states.length - 1]).toBe('off')
  })

  it('stays away when the same agent is elsewhere', () => {
    const { world, link, states } = linked()
    link.start(HELLO)
    world.welcome()
    world.socket.drop(4409)
    world.pass(100_000)
    expect(world.sockets).toHaveLength(1)
    expect(states[states.length - 1]).toBe('replaced')
  })

  it('gives up signing in when told to wait', () => {
    const { world, link, ended } = linked()
    link.start(HELLO)
    world.socket.open()
    world.socket.say({ type: 'error', code: 'rate_limited', message: 'in 9 seconds', retryable: true, fatal: false })
    expect(ended).toHaveBeenCalledWith('rate_limited', 'in 9 seconds')
    expect(world.socket.readyState).toBe(3)
  })

  it('answers each request once, by its id, and refuses it with its error', async () => {
    const { world, link } = linked()
    link.start(HELLO)
    world.welcome()
    const first = link.request({ type: 'figures.read', days: 7 })
    const firstId = world.socket.last()['id']
    const second = link.request({ type: 'join', key: 'c' })
    const secondId = world.socket.last()['id']
    world.socket.say({ type: 'error', id: secondId, code: 'taken', message: 'no', retryable: false, fatal: false })
    world.socket.say({ type: 'done', id: firstId })
    await expect(first).resolves.toMatchObject({ type: 'done' })
    await expect(second).rejects.toMatchObject({ code: 'taken' })
  })

  it('refuses requests when the connection is lost or was never there', async () => {
    const { world, link } = linked()
    await expect(link.request({ type: 'join', key: 'c' })).rejects.toBeInstanceOf(Refusal)
    link.start(HELLO)
    world.welcome()
    const waiting = link.request({ type: 'join', key: 'c' })
    world.socket.drop()
    await expect(waiting).rejects.toMatchObject({ code: 'lost' })
  })

  it('notices a server that says nothing any more', () => {
    const { world, link, states } = linked()
    link.start(HELLO)
    world.welcome()
    world.pass(20_000)
    expect(world.socket.last()).toMatchObject({ type: 'ping' })
    world.socket.say({ type: 'pong', t: 1 })
    world.pass(20_000)
    expect(world.socket.last()).toMatchObject({ type: 'ping' })
    world.pass(10_000)
    expect(states[states.length - 1]).toBe('lost')
  })
})
