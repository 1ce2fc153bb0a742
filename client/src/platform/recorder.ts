/** The microphone: one interface, whatever the platform records. */

import type { AudioFormat } from '../core/protocol'
// #ifdef H5
import { webRecorder } from './recorder.h5'
// #endif
// #ifdef MP
import { miniProgramRecorder } from './recorder.mp'
// #endif

export type RecorderProblem = 'denied' | 'no_microphone' | 'insecure' | 'recorder'

export interface RecorderEvents {
  /** Recording has begun; pieces in this format follow. */
  started(format: AudioFormat, rateHz: number): void
  piece(bytes: ArrayBuffer): void
  /** Recording has ended, and all pieces were given. */
  stopped(): void
  /** Instead of any further event. */
  failed(problem: RecorderProblem): void
}

export interface Recorder {
  start(): void
  stop(): void
  /** Stop without giving what is left. */
  cancel(): void
  /** Whether pieces arrive while speaking; else everything comes at the end. */
  readonly live: boolean
}

/** Longest utterance: what Douyin allows, and the server takes. */
export const LONGEST_MS = 60_000

export function createRecorder(events: RecorderEvents): Recorder {
  // #ifdef H5
  return webRecorder(events)
  // #endif
  // #ifdef MP
  return miniProgramRecorder(events)
  // #endif
}

/** Whether this device may record at all. */
export function canRecord(): boolean {
  // #ifdef H5
  return (
    !!navigator.mediaDevices?.getUserMedia &&
    (typeof AudioWorkletNode === 'function' || typeof MediaRecorder === 'function')
  )
  // #endif
  // #ifdef MP
  return typeof uni.getRecorderManager === 'function'
  // #endif
}
