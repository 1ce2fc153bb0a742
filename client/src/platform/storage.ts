/** The platform's storage. What cannot be read or written (private windows, full devices) counts as absent. */

import { memoryStore, type Store } from '../core/saved'

export function deviceStore(): Store {
  return {
    get: (key) => {
      try {
        const value: unknown = uni.getStorageSync(key)
        return typeof value === 'string' && value ? value : null
      } catch {
        return null
      }
    },
    set: (key, value) => {
      try {
        uni.setStorageSync(key, value)
      } catch {
        // the conversation goes on without being kept
      }
    },
    remove: (key) => {
      try {
        uni.removeStorageSync(key)
      } catch {
        // as above
      }
    },
  }
}

/** Forgets when the window is closed; on the web a reload is survived. */
export function visitStore(): Store {
  // #ifdef H5
  try {
    const { sessionStorage } = window
    sessionStorage.getItem('')
    return {
      get: (key) => sessionStorage.getItem(key),
      set: (key, value) => {
        try {
          sessionStorage.setItem(key, value)
        } catch {
          // as above
        }
      },
      remove: (key) => sessionStorage.removeItem(key),
    }
  } catch {
    return memoryStore()
  }
  // #endif
  // #ifdef MP
  return memoryStore()
  // #endif
}
