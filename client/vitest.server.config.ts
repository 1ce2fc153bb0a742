import { defineConfig } from 'vitest/config'

// The core alone, in Node, against the real server.
export default defineConfig({
  test: {
    environment: 'node',
    include: ['tests/server/*.server.ts'],
    testTimeout: 120_000,
    hookTimeout: 240_000,
  },
})
