import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vitest/config'
import { conditional } from './tests/support/conditional'

// UNI_PLATFORM picks the branch of the sources; scripts/unit.mjs runs the platform tests once for each.
const platform = process.env.UNI_PLATFORM ?? 'h5'
const views = new Set(['view', 'text', 'scroll-view', 'image', 'web-view'])

export default defineConfig({
  plugins: [
    conditional(platform),
    vue({ template: { compilerOptions: { isCustomElement: (tag) => views.has(tag) } } }),
  ],
  define: { 'process.env.UNI_PLATFORM': JSON.stringify(platform) },
  test: {
    environment: 'happy-dom',
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/support/setup.ts'],
    testTimeout: 60_000,
  },
})
