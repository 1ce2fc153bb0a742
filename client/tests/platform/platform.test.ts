// Runs once for each platform (scripts/unit.mjs): UNI_PLATFORM picks the branch of the sources.
import { describe, expect, it, vi } from 'vitest'
import type { SocketEvents } from '../../src/core/client'
import { createRecorder, type RecorderEvents } from '../../src/platform/recorder'
import { watchLifecycle } from '../../src/platform/lifecycle'
import { mediaAddress, platformName, readShopSettings } from '../../src/platform/settings'
import { previewAddress } from '../../src/platform/preview'
import * as scan from '../../src/platform/scan'
import { carriesBinary, socketOpener } from '../../src/platform/socket'
import { deviceStore, visitStore } from '../../src/platform/storage'
import { fake } from '../support/setup'

const platform = process.env.UNI_PLATFORM ?? 'h5'
const web = platform === 'h5'

function socketEvents() {
  const told: unknown[] = []
  const events: SocketEvents = {
    opened: () => void told.push('open'),
    received: (text) => void told.push(text),
    closed: (code) => void told.push(code),
  }
  return { told, events }
}

describe(`settings on ${platform}`, () => {
  it('name the platform as the operator sees it', () => {
    expect(platformName()).toBe(web ? 'web' : platform)
  })
  it('the web page talks to where it came from, a mini-program to the address of its build', () => {
    expect(readShopSettings().url).toBe(web ? 'ws://localhost:3000/ws' : 'wss://assistant.example.com/ws')
  })
  it.each([
    ['images/a b.jpg', 'https://shop.example/m/images/a%20b.jpg'],
    ['/images/a.jpg', 'https://shop.example/m/images/a.jpg'],
    ['https://cdn.example/a.jpg', 'https://cdn.example/a.jpg'],
    ['http://cdn.example/a.jpg', ''],
    ['javascript:alert(1)', ''],
    ['//evil.example/a.jpg', ''],
    ['../secret.jpg', ''],
    ['images/../../secret.jpg', ''],
    ['a\\b.jpg', ''],
    ['', ''],
    [7, ''],
  ])('the picture %j is loaded from %j', (path, address) => {
    expect(mediaAddress(path, 'https://shop.example/m')).toBe(address)
  })
  it('without a place for media only full addresses are loaded', () => {
    expect(mediaAddress('images/a.jpg', '')).toBe('')
  })
  it('a preview is a page of the web build', () => {
    expect(previewAddress('https://shop.example/#/', 'models/a b.glb', 'Lamp & co')).toBe(
      'https://shop.example/#/pages/preview/preview?model=models%2Fa%20b.glb&name=Lamp%20%26%20co',
    )
    expect(previewAddress('', 'a.glb', 'Lamp')).toBe('')
  })
})

describe.skipIf(web)(`the socket on ${platform}`, () => {
  it('is asked for as the vendor wants it', () => {
    socketOpener()('wss://x/ws', socketEvents().events)
    expect(fake.socketOptions[0]!.url).toBe('wss://x/ws')
    expect(fake.socketOptions[0]!.multiple).toBe(platform === 'mp-alipay' ? true : undefined)
    expect(carriesBinary()).toBe(platform !== 'mp-alipay')
  })
  it('sends nothing before it is open, and text and bytes afterwards', () => {
    const socket = socketOpener()('wss://x/ws', socketEvents().events)
    const task = fake.tasks[0]!
    socket.send('early')
    task.on.open!({})
    socket.send('text')
    const bytes = new ArrayBuffer(2)
    socket.send(bytes)
    expect(task.sent).toEqual(['text', bytes])
  })
  it('reads plain messages and those that Alipay wraps', () => {
    const { told, events } = socketEvents()
    socketOpener()('wss://x/ws', events)
    const task = fake.tasks[0]!
    task.on.open!({})
    task.on.message!({ data: 'plain' })
    task.on.message!({ data: { data: 'wrapped', isBuffer: false } })
    task.on.message!({ data: new ArrayBuffer(3) })
    task.on.message!({})
    expect(told).toEqual(['open', 'plain', 'wrapped'])
  })
  it('tells once that it is over, with the code where there is one', () => {
    const { told, events } = socketEvents()
    socketOpener()('wss://x/ws', events)
    fake.tasks[0]!.on.error!({ errMsg: 'broken' })
    fake.tasks[0]!.on.close!({ code: 4409 })
    socketOpener()('wss://x/ws', events)
    fake.tasks[1]!.on.close!({ code: 4409 })
    expect(told).toEqual([0, 4409])
  })
  it('says nothing after it was closed here', () => {
    const { told, events } = socketEvents()
    const socket = socketOpener()('wss://x/ws', events)
    socket.close()
    socket.close()
    fake.tasks[0]!.on.close!({ code: 1000 })
    expect(told).toEqual([])
    expect(fake.tasks[0]!.closed).toBe(1)
  })
})

describe.skipIf(web)(`the recorder on ${platform}`, () => {
  const live = platform !== 'mp-baidu'
  const wire = platform === 'mp-alipay' ? 'mp3' : 'pcm_s16le'
  function record() {
    const told: unknown[][] = []
    const events: RecorderEvents = {
      started: (format, rate) => void told.push(['started', format, rate]),
      piece: (bytes) => void told.push(['piece', bytes.byteLength]),
      stopped: () => void told.push(['stopped']),
      failed: (problem) => void told.push(['failed', problem]),
    }
    const recorder = createRecorder(events)
    recorder.start()
    return { recorder, told, on: fake.recorder.on, options: fake.recorder.started.at(-1)! }
  }
  it('is asked for 16 kHz, one channel, at most a minute, in the vendor’s format', () => {
    const { options, recorder } = record()
    expect(options).toMatchObject({ sampleRate: 16000, numberOfChannels: 1, duration: 60000 })
    expect(options.format).toBe(
      { 'mp-weixin': 'PCM', 'mp-alipay': 'mp3', 'mp-baidu': 'aac', 'mp-toutiao': 'pcm' }[platform],
    )
    expect(options.frameSize).toBe(live ? 4 : undefined)
    expect(recorder.live).toBe(live)
  })
  it.runIf(live)('gives pieces while speaking', () => {
    const { told, on, recorder } = record()
    on.start!()
    on.frame!({ frameBuffer: new ArrayBuffer(4096) })
    on.frame!({ frameBuffer: new ArrayBuffer(100) })
    recorder.stop()
    on.stop!({ tempFilePath: 'tmp://a' })
    expect(told).toEqual([['started', wire, 16000], ['piece', 4096], ['piece', 100], ['stopped']])
  })
  it('gives the file at the end where no piece came, and says that its form is not known', () => {
    fake.file = new ArrayBuffer(777)
    const { told, on } = record()
    on.start!()
    on.stop!({ tempFilePath: 'tmp://a' })
    expect(told).toEqual([['started', 'auto', 16000], ['piece', 777], ['stopped']])
  })
  it('tells refusal from failure', () => {
    const refused = record()
    refused.on.error!({ errMsg: 'operateRecorder:fail auth deny' })
    const broken = record()
    broken.on.error!({ errMsg: 'device busy' })
    expect([refused.told, broken.told]).toEqual([[['failed', 'denied']], [['failed', 'recorder']]])
  })
  it('gives nothing after it was cancelled', () => {
    const { told, on, recorder } = record()
    recorder.cancel()
    on.frame?.({ frameBuffer: new ArrayBuffer(8) })
    on.stop!({ tempFilePath: 'tmp://a' })
    expect(told).toEqual([])
  })
})

describe.skipIf(web)(`scanning on ${platform}`, () => {
  it('gives the code, or nothing if the customer came back without', async () => {
    const { scanWithPlatform } = scan as unknown as { scanWithPlatform: () => Promise<string> }
    fake.scanned = '4006381333931'
    expect(await scanWithPlatform()).toBe('4006381333931')
    fake.scanned = ''
    expect(await scanWithPlatform()).toBe('')
  })
})

describe(`the life of the app on ${platform}`, () => {
  it('is followed', () => {
    const told: string[] = []
    watchLifecycle({
      shown: () => void told.push('shown'),
      hidden: () => void told.push('hidden'),
      networkChanged: () => void told.push('network'),
    })
    if (web) {
      window.dispatchEvent(new Event('online'))
      document.dispatchEvent(new Event('visibilitychange'))
      window.dispatchEvent(new Event('pagehide'))
      expect(told).toEqual(['network', 'shown', 'hidden'])
    } else {
      fake.hooks.hide!()
      fake.hooks.show!()
      fake.hooks.network!()
      expect(told).toEqual(['hidden', 'shown', 'network'])
    }
  })
})

describe(`storage on ${platform}`, () => {
  it.each(['device', 'visit'])('%s: keeps, gives back and forgets', (kind) => {
    const store = kind === 'device' ? deviceStore() : visitStore()
    expect(store.get('k')).toBeNull()
    store.set('k', 'value')
    expect(store.get('k')).toBe('value')
    store.remove('k')
    expect(store.get('k')).toBeNull()
  })
  it('that is full or closed does no harm', () => {
    const broken = vi.spyOn(uni, 'setStorageSync').mockImplementation(() => {
      throw new Error('QuotaExceeded')
    })
    expect(() => deviceStore().set('k', 'v')).not.toThrow()
    broken.mockRestore()
  })
})
