import { type APIRequestContext, expect, test } from '@playwright/test'

const HEADERS = { Accept: 'application/json' }

async function ask(request: APIRequestContext, name: string, steps: number): Promise<string> {
  const data = { config: 'smoke_tiny', name, overrides: { 'training.steps': steps } }
  const answer = await request.post('/runs', { data, headers: HEADERS })
  expect(answer.status()).toBe(201)
  return ((await answer.json()) as { id: string }).id
}

/** The screens that are looked at later are those of the run that the main job has left. */
test.afterEach(async ({ request }) => {
  const { runs } = (await (await request.get('/runs', { headers: HEADERS })).json()) as {
    runs: { id: string; name: string; state: string }[]
  }
  for (const { id } of runs.filter((run) => run.name.startsWith('managed-'))) {
    await request.post(`/runs/${id}/stop`)
    await request.post(`/runs/${id}/kill`)
    await expect.poll(async () => (await request.delete(`/runs/${id}`)).status()).toBe(204)
  }
})

test('runs are moved in the queue, killed, run again, renamed, deleted and restored', async ({ page, context }) => {
  const busy = await ask(page.request, 'managed-busy', 100_000)
  const first = await ask(page.request, 'managed-first', 10)
  await ask(page.request, 'managed-second', 10)

  await page.goto('/runs')
  const row = (name: string) => page.getByRole('row', { name: new RegExp(name) })
  await expect(row('managed-second')).toContainText('Queued · place 2')
  await expect(row('managed-second')).toContainText(
    /Waits for the cpu: managed-busy is \w+ on it and 1 run is before it/,
  )
  await page.getByRole('button', { name: 'Earlier: managed-second' }).click()
  await expect(row('managed-second')).toContainText('Queued · next')
  await expect(row('managed-first')).toContainText('Queued · place 2')
  await expect(page.getByRole('button', { name: 'Earlier: managed-second' })).toBeDisabled()

  await page.goto(`/runs/${first}`)
  await page.getByRole('button', { name: 'To the front' }).click()
  await expect(page.getByText('Queued · next')).toBeVisible()
  await expect(page.getByRole('button', { name: 'Kill' })).toHaveCount(0)
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('button', { name: 'Stop the run' }).click()
  await expect(page.getByText('Cancelled before it started.')).toBeVisible()

  await page.goto(`/runs/${busy}`)
  await page.getByRole('button', { name: 'Kill' }).click()
  await expect(page.getByText(/no checkpoint is waited for/)).toBeVisible()
  await page.getByRole('button', { name: 'Kill the run' }).click()
  await expect(page.getByText(/^Killed on request, with no time to save/)).toBeVisible()
  await expect(page.getByText('Stopped', { exact: true })).toBeVisible()

  await page.getByRole('button', { name: 'Rerun' }).click()
  await page.getByRole('textbox', { name: 'Name' }).fill('managed-again')
  await page.getByRole('button', { name: 'Start it' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'managed-again' })).toBeVisible()
  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByRole('textbox', { name: 'Name' }).fill('managed-renamed')
  await page.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'managed-renamed' })).toBeVisible()

  const other = await context.newPage()
  await other.goto('/runs')
  await expect(other.getByRole('row', { name: /managed-busy/ })).toBeVisible()
  await page.goto(`/runs/${busy}`)
  await page.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('button', { name: 'Move to the trash' }).click()
  await expect(page).toHaveURL('/runs')
  await expect(row('managed-renamed')).toBeVisible()
  await expect(row('managed-busy')).toHaveCount(0)
  await expect(other.getByRole('row', { name: /managed-busy/ })).toHaveCount(0)
  await page.getByRole('link', { name: 'Trash' }).click()
  await page.getByRole('button', { name: 'Restore managed-busy' }).click()
  await expect(page.getByText('The trash is empty')).toBeVisible()
  await expect(other.getByRole('row', { name: /managed-busy/ })).toContainText('Killed on request')
  await other.close()
})
