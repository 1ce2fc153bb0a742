import { createApp } from 'vue'
import App from './App.vue'
import { createDesk, DESK, type Memory } from './core/desk'
import './style.css'

/** A browser's storage; one that is switched off forgets at once. */
function memory(storage: () => Storage): Memory {
  return {
    get(name) {
      try {
        return storage().getItem(name)
      } catch {
        return null
      }
    },
    set(name, value) {
      try {
        if (value === null) storage().removeItem(name)
        else storage().setItem(name, value)
      } catch {
        // the page works without
      }
    },
  }
}

const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:'
const desk = createDesk({
  link: {
    open: () => new WebSocket(`${scheme}//${location.host}/console/socket`),
    later: (work, ms) => window.setTimeout(work, ms),
    cancel: (timer) => window.clearTimeout(timer),
    random: Math.random,
    now: Date.now,
  },
  tab: memory(() => sessionStorage),
  device: memory(() => localStorage),
  languages: navigator.languages,
})

window.setInterval(desk.tick, 1000)
window.addEventListener('online', desk.hurry)
document.addEventListener('visibilitychange', () => document.hidden || desk.hurry())
desk.resume()
createApp(App).provide(DESK, desk).mount('#app')
