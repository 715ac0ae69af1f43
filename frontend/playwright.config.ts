import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { defineConfig, devices } from '@playwright/test'

const PORT = Number(process.env.ASSAY_E2E_PORT ?? 8123)
const root = resolve(import.meta.dirname, '..')
// Workers load this file again: the folder is made once, by the process that starts the server.
process.env.ASSAY_E2E_HOME ??= mkdtempSync(join(tmpdir(), 'assay-e2e-'))
const home = process.env.ASSAY_E2E_HOME

/**
 * The page as it is built, in a real browser, against the real server on an empty data folder. Runs are trained for
 * real; preflights are a stand-in's, since the TPU's compiler takes minutes.
 */
export default defineConfig({
  testDir: './e2e',
  workers: 1,
  timeout: 300_000,
  forbidOnly: !!process.env.CI,
  expect: { timeout: 30_000 },
  reporter: [['list']],
  use: {
    ...devices['Desktop Chrome'],
    baseURL: `http://127.0.0.1:${PORT}`,
    trace: 'retain-on-failure',
    timezoneId: 'UTC',
    contextOptions: { reducedMotion: 'reduce' },
    launchOptions: {
      executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
    },
  },
  webServer: {
    command: `${process.env.ASSAY_PYTHON ?? '.venv/bin/python'} -m tests.backend.serve_page`,
    cwd: root,
    url: `http://127.0.0.1:${PORT}/health`,
    timeout: 60_000,
    env: {
      ...(process.env as Record<string, string>),
      ASSAY_HOME: join(home, 'home'),
      ASSAY_SUBMISSIONS: join(home, 'submissions'),
      ASSAY_DEMO: '0',
      ASSAY_PORT: String(PORT),
    },
  },
})
