import { fireEvent, screen, waitFor, within } from '@testing-library/react'
import { delay, HttpResponse, http } from 'msw'
import { describe, expect, test } from 'vitest'
import { aBundleSummary } from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, ORIGIN, refuse, server } from '../../../test/server.ts'
import { gallerySearch } from '../search.ts'
import { filtered } from './filter.ts'

const good = aBundleSummary()
const bad = aBundleSummary({
  name: 'bad_v1',
  valid: false,
  level: 'E0',
  hardware: '8 TPU v5 lite devices',
  origin: 'imported',
  signature: { state: 'invalid', signer: '', key_sha256: '', statements: [] },
})
const diverged = aBundleSummary({
  name: 'diverged_v1',
  level: 'E1',
  outcome: 'failed',
  final_loss: null,
  exact_match: null,
  spark: [],
  finished_at: '2026-02-01T00:00:00.000000Z',
  signature: { state: 'trusted', signer: 'lab', key_sha256: 'a'.repeat(64), statements: [] },
})

function names(): (string | null)[] {
  return screen.getAllByRole('heading', { level: 2 }).flatMap((item) => (item.closest('li') ? [item.textContent] : []))
}

describe('gallery', () => {
  test('each bundle says its verdict, sentence and numbers', async () => {
    server.use(answer('/evidence', { bundles: [good, bad] }))
    const { user, address } = visit('/evidence')
    const [first, second] = await screen.findAllByRole('listitem')
    for (const text of ['Verified · E2 coherent', 'tiny_v1', '1.451', '99.7 %', '30'])
      expect(first).toHaveTextContent(text)
    expect(within(first as HTMLElement).getByRole('img', { name: 'Level E2, 3 of 6 levels' })).toBeVisible()
    for (const text of ['Verification failed', 'Imported', 'Invalid signature']) expect(second).toHaveTextContent(text)
    await user.keyboard('j{Enter}')
    await waitFor(() => expect(address()).toBe('/evidence/tiny_v1'))
  })

  test('a run that failed looks failed, and without a loss says so', async () => {
    server.use(answer('/evidence', { bundles: [diverged, aBundleSummary({ name: 'half_v1', outcome: 'stopped' })] }))
    visit('/evidence')
    const [card, stopped] = await screen.findAllByRole('listitem')
    for (const text of ['The run failed', 'No loss was logged.', 'Signed by lab']) expect(card).toHaveTextContent(text)
    expect(stopped).toHaveTextContent('The run was stopped')
  })

  test('without bundles it says how to make one', async () => {
    visit('/evidence')
    expect(await screen.findByText('No evidence yet')).toBeVisible()
  })

  test('an error is said', async () => {
    server.use(refuse('get', '/evidence', { status: 500, detail: 'the disk is gone' }))
    visit('/evidence')
    expect(await screen.findByText('the disk is gone')).toBeVisible()
  })

  test('filters and order are in the address', async () => {
    server.use(answer('/evidence', { bundles: [good, bad, diverged] }))
    const { user, address } = visit('/evidence?sort=name')
    await screen.findByText('tiny_v1')
    expect(names()).toEqual(['bad_v1', 'diverged_v1', 'tiny_v1'])
    await user.selectOptions(screen.getByRole('combobox', { name: 'Verdict' }), 'Verified')
    await waitFor(() => expect(names()).toEqual(['diverged_v1', 'tiny_v1']))
    await user.selectOptions(screen.getByRole('combobox', { name: 'Level at least' }), 'E2 Coherent')
    await waitFor(() => expect(names()).toEqual(['tiny_v1']))
    expect(screen.getByText('1 of 3 shown')).toBeVisible()
    expect(address()).toBe('/evidence?verdict=verified&level=E2&sort=name')
    await user.click(document.body)
    await user.keyboard('/nothing')
    expect(await screen.findByText('0 of 3 bundles match.')).toBeVisible()
    await user.click(screen.getByRole('link', { name: 'Clear the filter' }))
    await waitFor(() => expect(names()).toHaveLength(3))
    await user.selectOptions(screen.getByRole('combobox', { name: 'Hardware' }), '8 TPU v5 lite devices')
    await waitFor(() => expect(names()).toEqual(['bad_v1']))
    await user.selectOptions(screen.getByRole('combobox', { name: 'Hardware' }), 'Any')
    await user.selectOptions(screen.getByRole('combobox', { name: 'Outcome of the run' }), 'failed')
    await waitFor(() => expect(names()).toEqual(['diverged_v1']))
    await user.selectOptions(screen.getByRole('combobox', { name: 'Order' }), 'Newest first')
    await waitFor(() => expect(address()).toBe('/evidence?outcome=failed'))
  })

  test('what has no number is ordered behind all that have one', () => {
    const order = (sort: string) => filtered([diverged, good, bad], gallerySearch({ sort })).map((item) => item.name)
    expect(order('loss')).toEqual(['tiny_v1', 'bad_v1', 'diverged_v1'])
    expect(order('score').at(-1)).toBe('diverged_v1')
    expect(order('level')).toEqual(['tiny_v1', 'diverged_v1', 'bad_v1'])
    expect(gallerySearch({ level: 'E9', sort: 3, q: '' })).toEqual(gallerySearch({}))
  })

  test('two that are picked are compared; a third takes the place of the first', async () => {
    server.use(answer('/evidence', { bundles: [good, bad, diverged] }))
    const { user, address } = visit('/evidence')
    await user.click(await screen.findByRole('checkbox', { name: 'Compare tiny_v1' }))
    expect(screen.getByText('tiny_v1: pick another one to compare it with')).toBeVisible()
    await user.click(screen.getByRole('checkbox', { name: 'Compare bad_v1' }))
    await user.click(screen.getByRole('checkbox', { name: 'Compare diverged_v1' }))
    expect(screen.getByRole('checkbox', { name: 'Compare tiny_v1' })).not.toBeChecked()
    await user.click(screen.getByRole('button', { name: 'Clear' }))
    await user.click(screen.getByRole('checkbox', { name: 'Compare tiny_v1' }))
    await user.click(screen.getByRole('checkbox', { name: 'Compare tiny_v1' }))
    expect(screen.queryByRole('region', { name: 'Comparison' })).toBeNull()
    await user.click(screen.getByRole('checkbox', { name: 'Compare tiny_v1' }))
    await user.click(screen.getByRole('checkbox', { name: 'Compare bad_v1' }))
    await user.click(screen.getByRole('link', { name: 'Compare' }))
    await waitFor(() => expect(address()).toBe('/evidence/compare?a=tiny_v1&b=bad_v1'))
  })
})

describe('importing', () => {
  const zip = () => new File(['PK'], 'theirs.zip', { type: 'application/zip' })

  test('a zip that is chosen is sent, and its page opens', async () => {
    let type = ''
    server.use(
      http.post(`${ORIGIN}/evidence`, async ({ request }) => {
        type = request.headers.get('Content-Type') ?? ''
        await delay(30)
        return HttpResponse.json(aBundleSummary({ name: 'theirs_v1' }), { status: 201 })
      }),
    )
    const { user, address } = visit('/evidence')
    await user.upload(await screen.findByLabelText('Choose a .zip'), zip())
    expect(await screen.findByRole('progressbar', { name: 'Sent' })).toBeVisible()
    await waitFor(() => expect(address()).toBe('/evidence/theirs_v1'))
    expect(type).toBe('application/zip')
  })

  test('one that is dropped is sent as well', async () => {
    server.use(
      http.post(`${ORIGIN}/evidence`, () => HttpResponse.json(aBundleSummary({ name: 'theirs_v1' }), { status: 201 })),
    )
    const { address } = visit('/evidence')
    const place = await screen.findByRole('region', { name: 'Import a bundle' })
    fireEvent.dragOver(place)
    expect(place.className).toContain('border-accent')
    fireEvent.dragLeave(place)
    fireEvent.drop(place, { dataTransfer: { files: [zip()] } })
    await waitFor(() => expect(address()).toBe('/evidence/theirs_v1'))
  })

  test.each([
    [422, 'the entry ../evil leads out of the bundle'],
    [413, 'a bundle may have at most 536,870,912 bytes'],
    [409, 'there is a bundle of this name'],
  ])('a refusal (%i) is said beside it', async (status, detail) => {
    const body = { title: 'Refused', status, detail, errors: [], findings: [] }
    server.use(http.post(`${ORIGIN}/evidence`, () => HttpResponse.json(body, { status })))
    const { user } = visit('/evidence')
    await user.upload(await screen.findByLabelText('Choose a .zip'), zip())
    const place = screen.getByRole('region', { name: 'Import a bundle' })
    expect(await within(place).findByText(detail)).toBeVisible()
    expect(within(place).getByText('theirs.zip was not imported.')).toBeVisible()
  })

  test('an answer that explains nothing, and none at all', async () => {
    server.use(http.post(`${ORIGIN}/evidence`, () => new HttpResponse('<html>', { status: 502 })))
    const { user } = visit('/evidence')
    await user.upload(await screen.findByLabelText('Choose a .zip'), zip())
    expect(await screen.findByText(/The server answered 502/)).toBeVisible()
    server.use(http.post(`${ORIGIN}/evidence`, () => HttpResponse.error()))
    await user.upload(screen.getByLabelText('Choose a .zip'), zip())
    expect(await screen.findByText(/The server does not answer/)).toBeVisible()
  })
})
