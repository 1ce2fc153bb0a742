// The geometry of the charts; pure.

import type { DayFigures } from './protocol'

/** How a day's questions ended; the shares of all kinds sum to 1. */
export interface Split {
  answered: number
  declined: number
  handed: number
}

export function split(decisions: Record<string, number>): Split {
  const declined = decisions['decline'] ?? 0
  const handed = decisions['hand_over'] ?? 0
  return { answered: Math.max(0, 1 - declined - handed), declined, handed }
}

/** All days from the first to the last, those without a question too. */
export function everyDay(days: DayFigures[], last: Date, count: number): { day: string; figures: DayFigures | null }[] {
  const known = new Map(days.map((one) => [one.day, one]))
  return Array.from({ length: count }, (_, number) => {
    const date = new Date(last)
    date.setDate(date.getDate() - (count - 1 - number))
    const day = [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, '0')).join('-')
    return { day, figures: known.get(day) ?? null }
  })
}

/** A round number that is at least this large, for the top of an axis. */
export function roundUp(value: number): number {
  if (value <= 4) return 4
  const power = 10 ** Math.floor(Math.log10(value))
  const step = [1, 2, 4, 5, 8, 10].find((one) => one * power >= value) ?? 10
  return step * power
}
