import type { IncomingMessage } from 'node:http'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

/** Every page is its own API: what a browser navigates to is the page, everything else goes to the server. */
const toServer = {
  target: 'http://127.0.0.1:8000',
  bypass: (request: IncomingMessage) => {
    const navigates = request.headers.accept?.includes('text/html') && !request.url?.includes('/files/')
    return navigates ? '/index.html' : undefined
  },
}

export default defineConfig({
  plugins: [react(), tailwindcss()],
  server: {
    proxy: Object.fromEntries(
      ['/runs', '/trash', '/preflights', '/evidence', '/configs', '/stream', '/health'].map((path) => [path, toServer]),
    ),
  },
  build: { chunkSizeWarningLimit: 400 },
  test: {
    environment: 'happy-dom',
    environmentOptions: { happyDOM: { url: 'http://localhost:3000/' } },
    setupFiles: ['./src/test/setup.ts'],
    include: ['src/**/*.test.{ts,tsx}'],
    testTimeout: 30_000,
    coverage: {
      provider: 'v8',
      reporter: ['text-summary', 'text', 'lcovonly'],
      include: ['src/**/*.{ts,tsx}'],
      exclude: ['src/**/*.test.*', 'src/test/**', 'src/api/gen/**', 'src/main.tsx'],
      thresholds: { lines: 90, statements: 90, functions: 90, branches: 80 },
    },
  },
})
