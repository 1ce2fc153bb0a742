/**
 * Wait before the n-th attempt to reconnect (n from 0), in ms: uniformly between 0 and min(15 s, 0.5 s × 2ⁿ).
 *
 * The spread keeps clients that lost the same server from coming back at the same moment.
 */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  return Math.round(random() * Math.min(15_000, 500 * 2 ** Math.min(attempt, 10)))
}
