import { mount } from '@vue/test-utils'
import { nextTick } from 'vue'
import { beforeEach, describe, expect, it } from 'vitest'
import App from '../src/App.vue'
import { DESK, type Desk } from '../src/core/desk'
import { transcript, World } from './world'

let world: World
let desk: Desk

function page() {
  return mount(App, { global: { provide: { [DESK as symbol]: desk } }, attachTo: document.body })
}

const MINE = { key: 'c_mine', state: 'active', agent: 'Kim', conversation: 'h_1' } as const

beforeEach(() => {
  document.body.innerHTML = ''
  location.hash = ''
  world = new World()
})

describe('the page', () => {
  it('asks for name and credential, and says what was wrong', async () => {
    desk = world.desk()
    const wrapper = page()
    await wrapper.get('input[name=username]').setValue(' Kim ')
    await wrapper.get('input[name=password]').setValue('secret')
    await wrapper.get('form').trigger('submit')
    world.socket.open()
    expect(world.socket.sent[0]).toMatchObject({ agent: 'Kim', credential: 'secret' })
    world.socket.say({ type: 'error', code: 'unauthorized', message: '', retryable: false, fatal: true })
    world.socket.drop(4401)
    await nextTick()
    expect(wrapper.get('[role=alert]').text()).toBe('The name or the credential is wrong.')
  })

  it('says who waits, in the list, in the title and to a screen reader', async () => {
    desk = world.signedIn()
    const wrapper = page()
    world.shows({ key: 'c_wait', state: 'waiting', since: 990, customer: 'C-7' })
    await nextTick()
    expect(wrapper.get('button.entry').text()).toContain('C-7')
    expect(document.title).toMatch(/^\(1\) /)
    expect(wrapper.get('p[role=status]').text()).toBe('1 waiting')
  })

  it('opens a conversation with all that was said, as text', async () => {
    desk = world.signedIn()
    const wrapper = page()
    world.shows({ key: 'c_one1' })
    await nextTick()
    await wrapper.get('button.entry').trigger('click')
    const id = world.socket.last()['id'] as string
    const turn = {
      kind: 'turn' as const, turn: 't', at: 1, text: '<b>hi</b>', reply: 'Hello', status: 'completed' as const, decision: 'answer',
      ai_generated: false, sources: [], cards: [], timings: {}, trace: {}, feedback: 'down', comment: 'no',
    }
    world.socket.say({ ...transcript({ id, lines: [turn, { kind: 'said', who: 'state', text: 'active', agent: 'Kim', at: 2, id: '' }] }) })
    await nextTick()
    await nextTick()
    const log = wrapper.get('[role=log]')
    expect(log.text()).toContain('<b>hi</b>')
    expect(log.text()).toContain('Kim took over')
    expect(log.text()).toContain('Answered')
    expect(log.text()).toContain('Thumb down')
  })

  it.each([
    [{ key: 'Enter' }, true],
    [{ key: 'Enter', shiftKey: true }, false],
    [{ key: 'Enter', isComposing: true }, false],
  ])('sends with Enter, but not %j in between', async (keys, sends) => {
    desk = world.signedIn()
    const wrapper = page()
    world.shows(MINE)
    desk.openKey.value = 'c_mine'
    await nextTick()
    const field = wrapper.get('textarea')
    await field.setValue('Hello')
    await field.trigger('keydown', keys)
    expect(world.socket.last()['type'] === 'agent.message').toBe(sends)
  })

  it('does not send what is too long', async () => {
    desk = world.signedIn()
    const wrapper = page()
    world.shows(MINE)
    desk.openKey.value = 'c_mine'
    await nextTick()
    await wrapper.get('textarea').setValue('x'.repeat(41))
    expect(wrapper.get('.composer button').attributes('disabled')).toBeDefined()
    expect(wrapper.get('.composer').text()).toContain('At most 40 characters')
  })

  it('offers to take what waits, and nothing where a colleague speaks', async () => {
    desk = world.signedIn()
    const wrapper = page()
    world.shows({ key: 'c_w', state: 'waiting' }, { key: 'c_o', state: 'active', agent: 'Robin' })
    desk.openKey.value = 'c_w'
    await nextTick()
    await wrapper.get('.acts button').trigger('click')
    expect(world.socket.sent.find((one) => one['type'] === 'join')).toMatchObject({ key: 'c_w' })
    desk.openKey.value = 'c_o'
    await nextTick()
    expect(wrapper.find('.acts button').exists()).toBe(false)
    expect(wrapper.text()).toContain('Robin is speaking with this customer.')
  })

  it('says that the connection is lost, and that it is open elsewhere', async () => {
    desk = world.signedIn()
    const wrapper = page()
    world.socket.drop()
    await nextTick()
    expect(wrapper.get('.banner').text()).toContain('lost')
    world.pass(500)
    world.welcome()
    world.socket.drop(4409)
    await nextTick()
    await wrapper.get('.banner button').trigger('click')
    world.socket.open()
    expect(world.socket.last()).toMatchObject({ type: 'hello', token: 'token-1' })
  })

  it('saves, then approves a draft, with one wording a line', async () => {
    desk = world.signedIn()
    desk.section.value = 'questions'
    const wrapper = page()
    const answer = async (fields: object) => {
      world.socket.say({ ...fields, id: world.socket.last()['id'] })
      await new Promise((resolve) => setTimeout(resolve))
    }
    const group = {
      name: 'wrap', question: 'Do you wrap?', others: ['wrap it'], count: 2, declined: 2, failed: 0, thumbs_down: 0,
      first: 1, latest: 2, answer: 'For 3 euro.', published: false, keys: ['c_one1'],
    }
    await nextTick()
    await answer({ type: 'questions', groups: [group], drafts: [] })
    await wrapper.get('button.entry').trigger('click')
    expect(wrapper.text()).toContain('From what a colleague wrote')
    await wrapper.get('#others').setValue('wrap it\n\n  gift wrap? ')
    await wrapper.get('form.editor').trigger('submit')
    expect(world.socket.last()).toMatchObject({
      type: 'draft.save', name: 'wrap', question: 'Do you wrap?', others: ['wrap it', 'gift wrap?'], answer: 'For 3 euro.',
    })
    await answer({ type: 'done' })
    expect(world.socket.last()).toMatchObject({ type: 'draft.approve', name: 'wrap' })
    world.socket.say({
      type: 'publishing', draft: 'wrap', agent: 'Kim', state: 'failed', step: '', part: 0, whole: 0, problems: ['faq.md:3: empty'], remarks: [], snapshot: '',
    })
    await nextTick()
    expect(wrapper.get('.publishing').text()).toContain('faq.md:3: empty')
  })
})
