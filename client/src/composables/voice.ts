/** Speaking instead of typing: from the tap on the microphone to the utterance that the server has heard. */

import { ref } from 'vue'
import { levelOf } from '../core/audio'
import type { AssistantClient, Speech } from '../core/client'
import { LONGEST_MS, type Recorder, type RecorderEvents } from '../platform/recorder'

export type VoicePhase = 'off' | 'starting' | 'listening' | 'recognising'

const BARS = 24

/** `client` and `createRecorder` are passed in so that tests can speak without a microphone. */
export function useVoice(
  client: AssistantClient,
  createRecorder: (events: RecorderEvents) => Recorder,
  failed: (code: string) => void,
) {
  const phase = ref<VoicePhase>('off')
  const levels = ref<number[]>([])
  const seconds = ref(0)
  /** Whether the level can be shown: not from compressed audio. */
  const metered = ref(false)

  let recorder: Recorder | null = null
  let speech: Speech | null = null
  let ticking: ReturnType<typeof setInterval> | null = null
  let began = 0

  function reset(): void {
    if (ticking) clearInterval(ticking)
    ticking = null
    recorder = null
    speech = null
    phase.value = 'off'
    levels.value = []
    seconds.value = 0
  }

  function longest(): number {
    return Math.min(LONGEST_MS, (client.state.limits?.audio_seconds ?? Infinity) * 1000)
  }

  function tick(): void {
    seconds.value = Math.floor((Date.now() - began) / 1000)
    if (Date.now() - began >= longest()) stop()
  }

  function start(): void {
    if (phase.value !== 'off') return
    phase.value = 'starting'
    const made = createRecorder({
      started: (format, rateHz) => {
        speech = client.speak(format, rateHz)
        if (!speech) {
          made.cancel()
          reset()
          return failed('connection_lost')
        }
        metered.value = format === 'pcm_s16le'
        if (phase.value === 'starting') listen()
      },
      piece: (bytes) => {
        speech?.chunk(bytes)
        if (metered.value) levels.value = [...levels.value, levelOf(bytes)].slice(-BARS)
      },
      stopped: () => {
        if (!speech) {
          reset()
          return failed('too_short')
        }
        speech.end()
        phase.value = 'recognising'
      },
      failed: (problem) => {
        speech?.cancel()
        reset()
        failed(problem)
      },
    })
    recorder = made
    made.start()
  }

  function listen(): void {
    phase.value = 'listening'
    began = Date.now()
    ticking = setInterval(tick, 250)
  }

  /** The customer is done. */
  function stop(): void {
    if (ticking) clearInterval(ticking)
    ticking = null
    if (phase.value === 'listening' || phase.value === 'starting') recorder?.stop()
  }

  /** The customer does not want it sent. */
  function cancel(): void {
    recorder?.cancel()
    speech?.cancel()
    reset()
  }

  client.listen((change) => {
    if (change.kind !== 'speech.ended' || change.id !== speech?.id) return
    if (phase.value !== 'recognising') recorder?.cancel()
    reset()
  })

  return { phase, levels, seconds, metered, start, stop, cancel }
}
