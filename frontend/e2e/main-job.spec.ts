import { expect, test } from '@playwright/test'

test('a run is launched, watched, sealed and shown', async ({ page }) => {
  await page.goto('/')
  await page.getByRole('link', { name: 'New run' }).click()
  await page.getByRole('radio', { name: /smoke_tiny/ }).check()
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('clicked-through')
  await page.getByRole('button', { name: 'Start run' }).click()

  await expect(page.getByRole('heading', { level: 1, name: 'clicked-through' })).toBeVisible()
  await expect(page.getByRole('status').getByText('Live')).toBeVisible()
  await expect(page.getByRole('img', { name: /^Loss: \d+ rows/ })).toBeVisible({ timeout: 120_000 })
  await expect(page.getByText('Finished', { exact: true })).toBeVisible({ timeout: 180_000 })
  await expect(page.getByRole('img', { name: /^Loss: 30 rows/ })).toBeVisible()

  await page.getByRole('tab', { name: /Log/ }).click()
  await expect(page.getByText(/step 30\/30/)).toBeAttached()

  await page.getByRole('button', { name: 'Seal as evidence' }).click()
  await page.getByRole('textbox', { name: 'Name of the bundle' }).fill('clicked_through_v1')
  await page.getByRole('button', { name: 'Seal', exact: true }).click()
  await page.getByRole('link', { name: 'Open the evidence page' }).click({ timeout: 60_000 })

  await expect(page).toHaveURL('/evidence/clicked_through_v1')
  const verdict = page.getByRole('region', { name: 'Verdict' })
  await expect(verdict).toContainText('30 steps')
  await expect(verdict).toContainText(/E\d/)
  await page.getByRole('button', { name: 'Verify in this browser' }).click()
  await expect(page.getByText(/^(\d+) of \1 match$/)).toBeVisible({ timeout: 60_000 })
})
