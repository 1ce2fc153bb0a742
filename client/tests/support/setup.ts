import { beforeEach, vi } from 'vitest'

/** A vendor's socket: keeps what was sent, and says what the test wants. */
export class FakeTask {
  on: Record<string, (event: unknown) => void> = {}
  sent: unknown[] = []
  closed = 0
  onOpen = (run: (event: unknown) => void) => void (this.on.open = run)
  onMessage = (run: (event: unknown) => void) => void (this.on.message = run)
  onClose = (run: (event: unknown) => void) => void (this.on.close = run)
  onError = (run: (event: unknown) => void) => void (this.on.error = run)
  send = (options: { data: unknown }) => void this.sent.push(options.data)
  close = () => void (this.closed += 1)
}

/** A vendor's recorder. */
export class FakeRecorder {
  on: Record<string, (event?: unknown) => void> = {}
  started: Record<string, unknown>[] = []
  stops = 0
  onStart = (run: () => void) => void (this.on.start = run)
  onStop = (run: (event?: unknown) => void) => void (this.on.stop = run)
  onError = (run: (event?: unknown) => void) => void (this.on.error = run)
  onFrameRecorded = (run: (event?: unknown) => void) => void (this.on.frame = run)
  start = (options: Record<string, unknown>) => void this.started.push(options)
  stop = () => void (this.stops += 1)
}

export const fake = {
  tasks: [] as FakeTask[],
  socketOptions: [] as Record<string, unknown>[],
  recorder: new FakeRecorder(),
  storage: new Map<string, unknown>(),
  scanned: '' as string,
  titles: [] as string[],
  file: new ArrayBuffer(0),
  hooks: {} as Record<string, () => void>,
}

vi.stubGlobal('uni', {
  connectSocket: (options: Record<string, unknown>) => {
    const task = new FakeTask()
    fake.tasks.push(task)
    fake.socketOptions.push(options)
    return task
  },
  getRecorderManager: () => fake.recorder,
  getFileSystemManager: () => ({
    readFile: (options: { success: (read: unknown) => void }) => options.success({ data: fake.file }),
  }),
  getStorageSync: (key: string) => fake.storage.get(key) ?? '',
  setStorageSync: (key: string, value: unknown) => void fake.storage.set(key, value),
  removeStorageSync: (key: string) => void fake.storage.delete(key),
  getLocale: () => 'en',
  getAppBaseInfo: () => ({ theme: 'light' }),
  scanCode: (options: { success: (found: unknown) => void; fail: (error: unknown) => void }) =>
    fake.scanned ? options.success({ result: fake.scanned }) : options.fail({}),
  setNavigationBarTitle: (options: { title: string }) => void fake.titles.push(options.title),
  setNavigationBarColor: () => {},
  onThemeChange: () => {},
  onAppShow: (run: () => void) => void (fake.hooks.show = run),
  onAppHide: (run: () => void) => void (fake.hooks.hide = run),
  onNetworkStatusChange: (run: (status: { isConnected: boolean }) => void) =>
    void (fake.hooks.network = () => run({ isConnected: true })),
  createSelectorQuery: () => ({ select: () => ({ fields: () => ({ exec: () => {} }) }) }),
  setClipboardData: () => {},
  showToast: () => {},
  navigateTo: () => {},
})

beforeEach(() => {
  fake.tasks = []
  fake.socketOptions = []
  fake.storage.clear()
  fake.scanned = ''
})
