import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// The server gives out the files of one flat folder under /console, by the names they have there.
export default defineConfig({
  plugins: [vue()],
  base: '/console/',
  esbuild: { legalComments: 'inline' }, // the notices of the libraries stay with them
  define: { __VUE_OPTIONS_API__: 'false', __VUE_PROD_DEVTOOLS__: 'false' },
  build: {
    outDir: '../../assistant/server/console/page',
    emptyOutDir: true,
    target: 'es2020',
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        inlineDynamicImports: true,
        entryFileNames: 'operator.js',
        assetFileNames: 'operator.[ext]',
      },
    },
  },
})
