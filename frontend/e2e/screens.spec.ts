import { appendFileSync, cpSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import AxeBuilder from '@axe-core/playwright'
import { expect, type Page, test } from '@playwright/test'

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const TABS = ['curves', 'checkpoints', 'samples', 'log', 'config', 'system']

/** Every page there is; runs, preflights and bundles are those that the specs before this one have left. */
async function addresses(page: Page): Promise<string[]> {
  const headers = { Accept: 'application/json' }
  const { runs } = (await (await page.request.get('/runs', { headers })).json()) as { runs: { id: string }[] }
  const { bundles } = (await (await page.request.get('/evidence', { headers })).json()) as {
    bundles: { name: string }[]
  }
  const { preflights } = (await (await page.request.get('/preflights', { headers })).json()) as {
    preflights: { id: string }[]
  }
  return [
    '/runs',
    '/runs/new',
    '/trash',
    '/preflights',
    '/evidence',
    '/nowhere',
    ...preflights.map((preflight) => `/preflights/${preflight.id}`),
    ...runs.slice(0, 1).flatMap((run) => TABS.map((tab) => `/runs/${run.id}?tab=${tab}`)),
    ...bundles.map((bundle) => `/evidence/${bundle.name}`),
    ...bundles.slice(0, 1).map((bundle) => `/evidence/${bundle.name}#file-run_manifest.json:$.hardware`),
    `/evidence/compare?${bundles.map((bundle, index) => `${'ab'[index]}=${bundle.name}`).join('&')}`,
  ]
}

/** A bundle that somebody has altered, beside the sealed one: its findings are long, and must be seen. */
test.beforeAll(() => {
  const submissions = join(process.env.ASSAY_E2E_HOME ?? '', 'submissions')
  const altered = join(submissions, 'altered')
  if (existsSync(altered)) return
  const [sealed] = readdirSync(submissions)
  if (sealed === undefined) throw new Error('the main job has left no bundle')
  cpSync(join(submissions, sealed), altered, { recursive: true })
  appendFileSync(join(altered, 'README.md'), 'One more line.\n')
})

/** Beside the answered and the cancelled one: one that failed, and one that goes on while it is looked at. */
test.beforeAll(async ({ request }) => {
  for (const name of ['broken', 'slow'])
    await request.post('/preflights', {
      data: { config: 'smoke_tiny', topology: 'v5e-8', overrides: { name }, search: name === 'slow' },
    })
})

/** A job outlives its server, and this one would never end. */
test.afterAll(async ({ request }) => {
  const headers = { Accept: 'application/json' }
  const { preflights } = (await (await request.get('/preflights', { headers })).json()) as {
    preflights: { id: string; state: string }[]
  }
  for (const { id, state } of preflights) if (state === 'running') await request.post(`/preflights/${id}/cancel`)
})

for (const width of [1440, 390])
  for (const colorScheme of ['light', 'dark'] as const)
    test(`every screen is sound at ${width} px, ${colorScheme}`, async ({ page }) => {
      await page.setViewportSize({ width, height: 900 })
      await page.emulateMedia({ colorScheme })
      const complaints: string[] = []
      page.on('console', (message) => {
        if (message.type() === 'error' && !message.text().includes('404')) complaints.push(message.text())
      })
      page.on('pageerror', (error) => complaints.push(error.message))
      for (const address of await addresses(page)) {
        await page.goto(address)
        await expect(page.getByRole('heading', { level: 1 })).toBeAttached()
        await expect(page.locator('.skeleton')).toHaveCount(0)
        const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze()
        const found = violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)}`))
        expect(found, address).toEqual([])
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
        expect(wider, `${address} is wider than the screen`).toBeLessThanOrEqual(0)
      }
      expect(complaints).toEqual([])
    })
