import { inject } from 'vue'
import { DESK, type Desk } from './desk'

/** The desk that the page was made with. */
export function useDesk(): Desk {
  const desk = inject(DESK)
  if (desk === undefined) throw new Error('the page was made without a desk')
  return desk
}
