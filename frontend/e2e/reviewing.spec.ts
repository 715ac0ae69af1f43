import { appendFileSync, cpSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import AxeBuilder from '@axe-core/playwright'
import { expect, test } from '@playwright/test'

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']
const submissions = join(process.env.ASSAY_E2E_HOME ?? '', 'submissions')
/** The main job has left it. */
const SEALED = 'clicked_through_v1'
const ALTERED = 'one_row_more'

/** Beside the sealed bundle a copy with a row that nobody trained. */
test.beforeAll(() => {
  cpSync(join(submissions, SEALED), join(submissions, ALTERED), { recursive: true })
  appendFileSync(join(submissions, ALTERED, 'metrics.jsonl'), '{"loss":0.0}\n')
})

/** The specs behind this one walk over what is there. */
test.afterAll(() => rmSync(join(submissions, ALTERED), { recursive: true, force: true }))

test('the gallery is filtered, in the address', async ({ page }) => {
  await page.goto('/evidence')
  await expect(page.getByRole('link', { name: ALTERED })).toBeVisible()
  await page.getByRole('combobox', { name: 'Verdict' }).selectOption({ label: 'Verified' })
  await expect(page.getByRole('link', { name: ALTERED })).toHaveCount(0)
  await expect(page).toHaveURL(/verdict=verified/)
  await page.reload()
  await expect(page.getByRole('link', { name: SEALED })).toBeVisible()
  await page.getByRole('combobox', { name: 'Verdict' }).selectOption({ label: 'Verification failed' })
  await page.getByRole('link', { name: ALTERED }).click()
  await expect(page.getByRole('region', { name: 'Verdict' })).toContainText('Not to be trusted')
})

test('two bundles are picked and compared', async ({ page }) => {
  await page.goto('/evidence')
  for (const name of [SEALED, ALTERED]) await page.getByRole('checkbox', { name: `Compare ${name}` }).check()
  await page.getByRole('link', { name: 'Compare', exact: true }).click()
  await expect(page).toHaveURL(`/evidence/compare?a=${SEALED}&b=${ALTERED}`)
  await expect(page.getByRole('region', { name: 'Held-out result' })).toContainText(/the same \d+ questions/)
  await expect(page.getByText(/No difference in \d+ values/).last()).toBeVisible()
  await expect(page.getByRole('region', { name: /^Checks, [1-9]/ })).toContainText('MET-01')
  await page.getByRole('switch', { name: 'Only differences' }).click()
  await expect(page.getByRole('row', { name: /optimizer.learning_rate/ })).toBeVisible()
})

test('a claim leads to the bytes behind it', async ({ page }) => {
  await page.goto(`/evidence/${SEALED}`)
  const claims = page.getByRole('region', { name: 'Claims' })
  await claims.getByRole('link', { name: 'run_manifest.json' }).first().click()
  await expect(page.getByRole('region', { name: 'Document' }).locator('[aria-current=true]')).toContainText('hardware')
  await claims.getByRole('link', { name: 'metrics.jsonl' }).first().click()
  await expect(page.getByRole('table', { name: 'Rows of the file' })).toBeVisible()
  const log = page.getByRole('list', { name: 'Lines of the log' })
  await log.getByRole('listitem').filter({ hasText: 'devices_used' }).getByRole('link').click()
  await expect(page.getByRole('list', { name: 'Lines', exact: true }).locator('[aria-current=true]')).toContainText(
    'devices',
  )
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze()
  expect(violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)}`))).toEqual([])
})

test('a deep link opens its row', async ({ page }) => {
  await page.goto(`/evidence/${SEALED}#file-metrics.jsonl:28`)
  const row = page.getByRole('table', { name: 'Rows of the file' }).getByRole('row').filter({ hasText: /^28/ }).first()
  await expect(row).toBeInViewport()
  await page.goto(`/evidence/${SEALED}#check-MET-02`)
  await expect(page.getByRole('link', { name: /^MET-02 ·/ })).toBeInViewport()
})

test('an altered bundle names what was altered, and the browser finds it too', async ({ page }) => {
  await page.goto(`/evidence/${ALTERED}`)
  const verdict = page.getByRole('region', { name: 'Verdict' })
  await expect(verdict).toContainText('Verification failed')
  await verdict.getByRole('link', { name: 'INT-01' }).click()
  await expect(page.getByRole('link', { name: /^INT-01 ·/ })).toBeInViewport()
})

test('a bundle is printed with everything open', async ({ page }) => {
  await page.goto(`/evidence/${SEALED}`)
  await expect(page.getByRole('region', { name: 'Verdict' })).toBeVisible()
  await page.evaluate(() => window.dispatchEvent(new Event('beforeprint')))
  await page.emulateMedia({ media: 'print' })
  await expect(page.getByText('MET-02 · E2')).toBeVisible()
  await expect(page.getByRole('navigation', { name: 'Main' })).toBeHidden()
  await expect(page.getByText(`/evidence/${SEALED}/files/eval/predictions.jsonl`)).toBeVisible()
})

test('a zip that this page gave is imported again, and deleted', async ({ page }) => {
  await page.goto(`/evidence/${SEALED}`)
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'Download', exact: true }).click(),
  ])
  const zip = readFileSync(await download.path())
  await page.goto('/evidence')
  await page.getByLabel('Choose a .zip').setInputFiles({ name: 'sealed.zip', mimeType: 'application/zip', buffer: zip })
  await expect(page.getByText('sealed.zip was not imported.')).toBeVisible()

  const aside = join(process.env.ASSAY_E2E_HOME ?? '', 'aside')
  renameSync(join(submissions, SEALED), aside)
  try {
    await page
      .getByLabel('Choose a .zip')
      .setInputFiles({ name: 'sealed.zip', mimeType: 'application/zip', buffer: zip })
    await expect(page).toHaveURL(`/evidence/${SEALED}`)
    await expect(page.getByText('Imported.', { exact: true })).toBeVisible()
    await expect(page.getByRole('region', { name: 'Verdict' })).toContainText(/Verified · E\d/)
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('button', { name: 'Delete it' }).click()
    await expect(page).toHaveURL('/evidence')
    await expect(page.getByRole('link', { name: SEALED })).toHaveCount(0)
  } finally {
    renameSync(aside, join(submissions, SEALED))
  }
})
