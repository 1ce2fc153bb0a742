// A turn's trace as the server keeps it, read carefully: a later server may record other stages.

import type { Stage, Trace, TurnLine } from './protocol'

export interface Ranked {
  name: string
  share: number
}

export interface Passage {
  id: string
  title: string
  score: number | null
}

export interface Retrieval {
  query: string
  probability: number
  threshold: number
  passages: Passage[]
}

function stage(trace: Trace, name: string): Stage | undefined {
  return trace.stages?.find((one) => one.name === name)
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'object' && one !== null) : []
}

export function intents(trace: Trace): Ranked[] {
  return records(stage(trace, 'understanding')?.detail['intents'])
    .map((one) => ({ name: String(one['name'] ?? ''), share: number(one['probability']) ?? 0 }))
    .slice(0, 3)
}

export function retrieval(trace: Trace): Retrieval | null {
  const detail = stage(trace, 'retrieval')?.detail
  const probability = number(detail?.['probability'])
  if (detail === undefined || probability === null) return null
  return {
    query: String(detail['query'] ?? ''),
    probability,
    threshold: number(detail['threshold']) ?? 0,
    passages: records(detail['passages'])
      .slice(0, 5)
      .map((one) => ({
        id: String(one['id'] ?? ''),
        title: String(one['title'] ?? ''),
        score: number(one['score']),
      })),
  }
}

/** What composition and grounding noted about themselves, as name and value; texts are left out. */
export function notes(trace: Trace): [string, string][] {
  const found: [string, string][] = []
  for (const name of ['composition', 'grounding']) {
    for (const [key, value] of Object.entries(stage(trace, name)?.detail ?? {})) {
      if (typeof value === 'number' || typeof value === 'boolean') found.push([key.replace(/_/g, ' '), String(value)])
      if (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one !== 'object'))
        found.push([key.replace(/_/g, ' '), value.join(', ')])
    }
  }
  return found
}

export interface Times {
  stages: { name: string; ms: number; share: number }[]
  total: number | null
  first: number | null
}

export function times(line: TurnLine): Times {
  const stages = line.trace.stages ?? []
  const longest = Math.max(1, ...stages.map((one) => one.ms))
  return {
    stages: stages.map((one) => ({ name: one.name, ms: one.ms, share: one.ms / longest })),
    total: number(line.timings['total_ms']),
    first: number(line.timings['first_delta_ms']),
  }
}
