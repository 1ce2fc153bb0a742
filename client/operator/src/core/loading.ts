import { onMounted, ref, watch, type Ref } from 'vue'
import type { Desk } from './desk'

/** What a view reads from the server for some days, again when they change and when the connection is back. */
export function useLoading<T>(desk: Desk, read: (days: number) => Promise<T>) {
  const days = ref(30)
  const busy = ref(false)
  const data = ref(null) as Ref<T | null>
  let asked = 0

  async function load(): Promise<void> {
    const mine = ++asked
    busy.value = true
    try {
      const found = await read(days.value)
      if (mine === asked) data.value = found
    } catch (error) {
      if (mine === asked) desk.notice.value = desk.explain(error)
    } finally {
      if (mine === asked) busy.value = false
    }
  }

  function pick(chosen: number): void {
    days.value = chosen
    void load()
  }

  onMounted(load)
  watch(desk.link, (state) => {
    if (state === 'open' && data.value === null) void load()
  })
  return { days, busy, data, load, pick }
}
