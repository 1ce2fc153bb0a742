import type { Plugin } from 'vite'
import { initPreContext, preHtml, preJs } from '@dcloudio/uni-cli-shared'

/** uni-app's own #ifdef step, so that tests see the same branch as a build for this platform. */
export function conditional(platform: string): Plugin {
  initPreContext(platform as Parameters<typeof initPreContext>[0])
  return {
    name: 'uni-conditional',
    enforce: 'pre',
    transform(code, id) {
      if (!id.includes('/src/') || !/#ifn?def/.test(code)) return null
      return { code: id.endsWith('.vue') ? preHtml(preJs(code, id), id) : preJs(code, id), map: null }
    },
  }
}
