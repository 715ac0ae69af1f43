import { expect, test } from '@playwright/test'

test('whether a run fits is asked before it is started, and the report leads to the run', async ({ page }) => {
  await page.goto('/runs/new?preset=submission_tpu')
  await page.getByRole('combobox', { name: 'Topology' }).selectOption('v5e-8')
  await page.getByRole('switch', { name: 'Search plans' }).click()
  await page.getByRole('button', { name: 'Will it fit?' }).click()
  await expect(page.getByText(/^Fits on v5e-8/)).toBeVisible()

  await page.getByRole('link', { name: 'Report' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'submission_tpu on v5e-8' })).toBeVisible()
  await expect(page.getByRole('region', { name: 'Verdict' })).toContainText('Fits on v5e-8')
  await expect(page.getByRole('img', { name: /^Peak .* of 15.75 GiB: Parameters/ })).toBeVisible()
  await expect(page.getByText('Estimate, not measured')).toBeVisible()
  await expect(page.getByText('chosen', { exact: true })).toBeVisible()
  const raw = await page.request.get(
    await page.getByRole('link', { name: 'Raw JSON' }).evaluate((link: HTMLAnchorElement) => link.href),
  )
  expect(((await raw.json()) as { schema: string }).schema).toBe('assay/preflight@1')

  await page.getByRole('link', { name: 'Start run' }).click()
  await expect(page).toHaveURL(/\/runs\/new\?preflight=/)
  await expect(page.getByRole('radio', { name: /submission_tpu/ })).toBeChecked()
})

test('what does not fit says so, and one that goes on can be cancelled', async ({ page }) => {
  await page.goto('/runs/new?preset=submission_tpu')
  await page.getByRole('textbox', { name: 'Batch size' }).first().fill('2048')
  await page.getByRole('button', { name: 'Will it fit?' }).click()
  await page.getByRole('link', { name: 'Report' }).click()
  await expect(page.getByRole('region', { name: 'Verdict' })).toContainText('Does not fit')
  await expect(page.getByText(/^RESOURCE_EXHAUSTED: XLA:TPU/)).toBeVisible()

  const slow = { config: 'smoke_tiny', topology: 'v3-8', overrides: { name: 'slow' } }
  const asked = (await (await page.request.post('/preflights', { data: slow })).json()) as { id: string }
  await page.goto(`/preflights/${asked.id}`)
  await expect(page.getByText(/compiling fsdp/)).toBeVisible()
  await page.getByRole('button', { name: 'Cancel' }).click()
  await expect(page.getByText('This preflight was cancelled.')).toBeVisible()
})
