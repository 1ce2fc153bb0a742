/** Tells when the app comes to the front, leaves it, or the network changes. */

export interface Lifecycle {
  shown(): void
  hidden(): void
  networkChanged(): void
}

/** App.vue passes its own onShow and onHide on in mini-programs; browsers have events for them. */
export function watchLifecycle(lifecycle: Lifecycle): void {
  // #ifdef H5
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) lifecycle.hidden()
    else lifecycle.shown()
  })
  window.addEventListener('pagehide', () => lifecycle.hidden())
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) lifecycle.shown()
  })
  window.addEventListener('online', () => lifecycle.networkChanged())
  // #endif
  // #ifdef MP
  uni.onAppShow?.(() => lifecycle.shown())
  uni.onAppHide?.(() => lifecycle.hidden())
  uni.onNetworkStatusChange((status) => {
    if (status.isConnected) lifecycle.networkChanged()
  })
  // #endif
}
