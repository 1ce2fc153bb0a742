import type { AudioFormat } from '../core/protocol'
import { LONGEST_MS, type Recorder, type RecorderEvents } from './recorder'

const RATE_HZ = 16_000

interface Ability {
  /** What the platform's recorder is asked for. */
  format: string
  /** What the server is told; `auto`: it looks at the bytes. */
  wire: AudioFormat
  /** Whether pieces come while recording; else one file at the end. */
  live: boolean
}

/** What each vendor's recorder documents. */
function ability(): Ability {
  // #ifdef MP-WEIXIN
  return { format: 'PCM', wire: 'pcm_s16le', live: true }
  // #endif
  // #ifdef MP-ALIPAY
  return { format: 'mp3', wire: 'mp3', live: true }
  // #endif
  // #ifdef MP-TOUTIAO
  return { format: 'pcm', wire: 'pcm_s16le', live: true }
  // #endif
  // #ifdef MP-BAIDU
  return { format: 'aac', wire: 'auto', live: false }
  // #endif
}

// The vendors allow one recorder for the whole app, and listeners cannot be removed everywhere: they are set
// once and pass on to whoever records now.
interface Recording {
  begun(): void
  piece(bytes: ArrayBuffer): void
  ended(file: string): void
  failed(message: string): void
}
let recording: Recording | null = null
let manager: UniApp.RecorderManager | null = null

function sharedManager(live: boolean): UniApp.RecorderManager {
  if (manager) return manager
  const made = uni.getRecorderManager()
  made.onStart(() => recording?.begun())
  if (live) {
    made.onFrameRecorded((frame: unknown) =>
      recording?.piece((frame as { frameBuffer: ArrayBuffer }).frameBuffer),
    )
  }
  made.onStop((result: unknown) =>
    recording?.ended((result as { tempFilePath?: string })?.tempFilePath ?? ''),
  )
  made.onError((error: unknown) => recording?.failed((error as { errMsg?: string })?.errMsg ?? ''))
  manager = made
  return made
}

export function miniProgramRecorder(events: RecorderEvents): Recorder {
  const can = ability()
  const recorder = sharedManager(can.live)
  let announced = false
  let pieces = 0

  /** Only now is the format known: WeChat on a PC may give no pieces, but a file of another format at the end. */
  function announce(format: AudioFormat): void {
    if (announced) return
    announced = true
    events.started(format, RATE_HZ)
  }

  const own: Recording = {
    begun: () => {
      if (!can.live) announce('auto')
    },
    piece: (bytes) => {
      pieces += 1
      announce(can.wire)
      if (bytes?.byteLength) events.piece(bytes)
    },
    ended: (file) => {
      recording = null
      if (pieces || !file) return events.stopped()
      uni.getFileSystemManager().readFile({
        filePath: file,
        success: (read) => {
          announce('auto')
          events.piece(read.data as ArrayBuffer)
          events.stopped()
        },
        fail: () => events.failed('recorder'),
      })
    },
    failed: (message) => {
      recording = null
      events.failed(/auth|permission|deny|denied|authorize/i.test(message) ? 'denied' : 'recorder')
    },
  }

  return {
    live: can.live,
    start: () => {
      recording = own
      recorder.start({
        duration: LONGEST_MS,
        sampleRate: RATE_HZ,
        numberOfChannels: 1,
        encodeBitRate: 48_000,
        format: can.format,
        ...(can.live ? { frameSize: 4 } : {}),
      } as unknown as UniApp.RecorderManagerStartOptions)
    },
    stop: () => recorder.stop(),
    cancel: () => {
      recording = null
      recorder.stop()
    },
  }
}
