import { Chunker, Resampler, toPcm16 } from '../core/audio'
import type { Recorder, RecorderEvents, RecorderProblem } from './recorder'

const RATE_HZ = 16_000
const PIECE_BYTES = 3_200 // 100 ms
const WORKLET = './static/h5/pcm-worklet.js'

/** Samples from an AudioWorklet, resampled to 16 kHz; where there is none, one file from MediaRecorder at the end. */
export function webRecorder(events: RecorderEvents): Recorder {
  const live = typeof AudioWorkletNode === 'function'
  let stream: MediaStream | null = null
  let context: AudioContext | null = null
  let file: MediaRecorder | null = null
  let chunker = new Chunker(PIECE_BYTES)
  let over = false

  function release(): void {
    over = true
    stream?.getTracks().forEach((track) => track.stop())
    void context?.close().catch(() => {})
    stream = null
    context = null
  }

  async function start(): Promise<void> {
    if (!navigator.mediaDevices?.getUserMedia) {
      events.failed(window.isSecureContext ? 'no_microphone' : 'insecure')
      return
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      })
      if (over) return release()
      if (live) await tap(stream)
      else record(stream)
    } catch (error) {
      if (over) return
      release()
      events.failed(problemOf(error))
    }
  }

  async function tap(from: MediaStream): Promise<void> {
    context = new AudioContext()
    await context.audioWorklet.addModule(WORKLET)
    if (over || !context) return release()
    const node = new AudioWorkletNode(context, 'pcm-tap', {
      numberOfInputs: 1,
      numberOfOutputs: 0,
      channelCount: 1,
    })
    const resampler = new Resampler(context.sampleRate, RATE_HZ)
    chunker = new Chunker(PIECE_BYTES)
    node.port.onmessage = (event: MessageEvent<Float32Array>) => {
      if (over) return
      for (const piece of chunker.push(toPcm16(resampler.push(event.data)))) events.piece(piece)
    }
    context.createMediaStreamSource(from).connect(node)
    await context.resume()
    events.started('pcm_s16le', RATE_HZ)
  }

  function record(from: MediaStream): void {
    file = new MediaRecorder(from)
    file.ondataavailable = (event) => {
      void event.data.arrayBuffer().then((bytes) => {
        if (!bytes.byteLength) return
        events.piece(bytes)
        events.stopped()
      })
    }
    file.start()
    events.started('auto', RATE_HZ)
  }

  return {
    live,
    start: () => void start(),
    stop: () => {
      if (over) return
      if (file) file.stop()
      release()
      if (file) return
      const rest = chunker.flush()
      if (rest) events.piece(rest)
      events.stopped()
    },
    cancel: () => {
      if (file) file.ondataavailable = null
      if (file?.state === 'recording') file.stop()
      release()
    },
  }
}

function problemOf(error: unknown): RecorderProblem {
  const name = error instanceof Error ? error.name : ''
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied'
  if (name === 'NotFoundError') return 'no_microphone'
  return 'recorder'
}
