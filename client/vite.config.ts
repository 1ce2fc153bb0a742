import { defineConfig, type Plugin } from 'vite'
import uniPlugin from '@dcloudio/vite-plugin-uni'

// The plugin is CommonJS: in a module its function may sit on .default.
const uni = (uniPlugin as unknown as { default?: typeof uniPlugin }).default ?? uniPlugin

/**
 * The app speaks to nobody but the shop's server. uni-app's base styles load a picture from its vendor three seconds
 * after the start, and libraries know public places for their decoders: all these addresses are taken out.
 */
function noForeignHosts(): Plugin {
  const style = /\.(css|wxss|acss|ttss)$/
  const known =
    /https:\/\/(?:www\.gstatic\.com|cdn\.jsdelivr\.net|fastly\.jsdelivr\.net|unpkg\.com|cdn\.dcloud\.net\.cn)\//g
  const help =
    /https:\/\/vuejs\.org\/error-reference\/#runtime-|https:\/\/uniapp\.dcloud\.(?:net\.cn|io)\/[^\s"'`)]*/g
  return {
    name: 'no-foreign-hosts',
    enforce: 'post',
    generateBundle(_, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type === 'chunk') {
          file.code = file.code.replace(known, './absent/').replace(help, 'docs:')
        }
        if (file.type === 'asset' && style.test(file.fileName)) {
          file.source = String(file.source).replace(/url\(["']?https?:\/\/[^)]*\)/g, 'none')
        }
      }
    },
  }
}

/**
 * model-viewer writes its styles into a <style> of its shadow tree, which the page's content security policy forbids.
 * They are handed out as text instead, for src/platform/modelviewer.h5.ts to adopt.
 */
function stylesToAdopt(): Plugin {
  return {
    name: 'styles-to-adopt',
    transform(code, id) {
      if (!id.includes('@google/model-viewer/lib/template.js')) return null
      const found = /<style>([\s\S]*?)<\/style>/.exec(code)
      if (!found) throw new Error('model-viewer has its styles elsewhere now')
      return {
        code: `${code.replace(found[0], '')}\nexport const styles = ${JSON.stringify(found[1])}\n`,
        map: null,
      }
    },
  }
}

export default defineConfig({
  plugins: [stylesToAdopt(), uni(), noForeignHosts()],
  build: { chunkSizeWarningLimit: 1200, sourcemap: false },
})
