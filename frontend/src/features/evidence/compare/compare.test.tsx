import { screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { aBundle, aBundleSummary, aCheck } from '../../../test/fixtures.ts'
import { visit } from '../../../test/render.tsx'
import { answer, file, refuse, server } from '../../../test/server.ts'
import { overlaid } from './curves.tsx'
import { configPairs } from './differences.ts'

const config = { path: 'config/effective.json', sha256: 'c'.repeat(64), bytes: 40 }

function evaluated(value: number, low: number, high: number, evalSet = 'e'.repeat(64)) {
  const metrics = [{ name: 'exact_match', value, ci95: [low, high], ci_method: 'Wilson score interval' }]
  return { evaluation: { kind: 'performed', items: 300, metrics, eval_set: { sha256: evalSet } } }
}

const a = aBundle({
  contents: [config],
  eval_summary: evaluated(0.95, 0.92, 0.97),
  manifest: { training: { seed: 7 } },
})
const b = aBundle({
  name: 'tiny_v2',
  contents: [config],
  eval_summary: evaluated(0.5, 0.45, 0.55),
  manifest: { training: { seed: 8 }, software: { python: '3.11.7' } },
  results: [aCheck({ result: 'fail', findings: [] }), aCheck({ id: 'SIG-01', result: 'not-run', reason: 'unsigned' })],
  curve: { step: [1, 2, 4], columns: { loss: [5, 4, null] } },
})

function serve(first = a, second = b) {
  server.use(
    answer('/evidence', { bundles: [aBundleSummary(), aBundleSummary({ name: 'tiny_v2' })] }),
    answer('/evidence/tiny_v1', first),
    answer('/evidence/tiny_v2', second),
    file('config/effective.json', '{"optimizer":{"learning_rate":0.001},"name":"x"}'),
  )
}

describe('comparing', () => {
  test('both verdicts, curves, scores and only what differs', async () => {
    serve()
    const { user, address } = visit('/evidence/compare?a=tiny_v1&b=tiny_v2')
    expect(await screen.findByRole('region', { name: 'tiny_v1' })).toHaveTextContent('Gemma-architecture model')
    expect(screen.getByRole('img', { name: /^Losses of tiny_v1, ending at 1.451, and tiny_v2/ })).toBeVisible()
    const scores = screen.getByRole('region', { name: 'Held-out result' })
    expect(scores).toHaveTextContent('95 % 95 % interval 92 % to 97 %, 300 items')
    expect(scores).toHaveTextContent('Both answered the same 300 questions')
    expect(scores).toHaveTextContent('The intervals lie apart.')
    const facts = screen.getByRole('table', { name: 'Facts' })
    expect(within(facts).getByRole('row', { name: /Seed/ })).toHaveTextContent(/7.*8/)
    expect(within(facts).queryByRole('row', { name: /Steps/ })).toBeNull()
    expect(await screen.findByText('No difference in 2 values.')).toBeVisible()
    const checks = screen.getByRole('region', { name: 'Checks, 3 differ' })
    expect(checks).toHaveTextContent('tiny_v2: not run. unsigned')
    expect(checks).toHaveTextContent('tiny_v1: not about a bundle of this kind')
    await user.click(screen.getByRole('switch', { name: 'Only differences' }))
    await waitFor(() => expect(address()).toContain('all=true'))
    expect(within(screen.getByRole('table', { name: 'Facts' })).getByRole('row', { name: /Steps/ })).toBeVisible()
    expect(screen.getByRole('row', { name: /optimizer.learning_rate/ })).toHaveTextContent('0.001')
    await user.click(screen.getByRole('switch', { name: 'Log scale' }))
  })

  test('scores on different questions are not compared, and missing ones are said', async () => {
    serve(a, { ...b, eval_summary: evaluated(0.95, 0.9, 0.97, 'f'.repeat(64)) })
    visit('/evidence/compare?a=tiny_v1&b=tiny_v2')
    expect(await screen.findByText(/these scores cannot be compared/)).toBeVisible()
  })

  test('overlapping intervals may be chance', async () => {
    serve(a, { ...b, eval_summary: evaluated(0.93, 0.9, 0.96) })
    visit('/evidence/compare?a=tiny_v1&b=tiny_v2')
    expect(await screen.findByText(/the difference may be chance/)).toBeVisible()
  })

  test('a bundle that cannot be read is compared as far as it goes', async () => {
    const broken = aBundle({
      name: 'tiny_v2',
      manifest: null,
      eval_summary: null,
      contents: [],
      results: a.results,
      curve: { step: [], columns: {} },
    })
    serve(a, broken)
    visit('/evidence/compare?a=tiny_v1&b=tiny_v2')
    expect(await screen.findByText('was not evaluated.')).toBeVisible()
    expect(screen.getByText('tiny_v2 has no config/effective.json.')).toBeVisible()
    expect(screen.getByText('Every check says the same of both.')).toBeVisible()
  })

  test('a config that is not there is said to be so', async () => {
    serve()
    server.use(refuse('get', '/evidence/:name/files/config/effective.json', { status: 404, detail: 'no such file' }))
    visit('/evidence/compare?a=tiny_v1&b=tiny_v2')
    expect(await screen.findByText(/The configs cannot be read. no such file/)).toBeVisible()
  })

  test('the two are chosen and swapped here, too', async () => {
    serve()
    const { user, address } = visit('/evidence/compare?a=tiny_v1')
    expect(await screen.findByText('Choose two bundles.')).toBeVisible()
    await screen.findAllByRole('option', { name: 'tiny_v2' })
    await user.selectOptions(screen.getByRole('combobox', { name: 'Second bundle' }), 'tiny_v2')
    await user.click(screen.getByRole('button', { name: 'Swap the two' }))
    await waitFor(() => expect(address()).toBe('/evidence/compare?a=tiny_v2&b=tiny_v1'))
    await user.selectOptions(screen.getByRole('combobox', { name: 'First bundle' }), 'tiny_v1')
    await waitFor(() => expect(address()).toBe('/evidence/compare?a=tiny_v1&b=tiny_v1'))
  })

  test('one that is not there is an error with a way on', async () => {
    server.use(refuse('get', '/evidence/gone', { status: 404, detail: 'there is no bundle gone' }))
    visit('/evidence/compare?a=tiny_v1&b=gone')
    expect(await screen.findByText('there is no bundle gone')).toBeVisible()
  })
})

test('configs are compared by dotted key; a list is one value', () => {
  expect(configPairs({ x: { y: 1, z: [1, 2] } }, { x: { y: 2 }, w: null })).toEqual([
    { term: 'w', a: '–', b: 'null' },
    { term: 'x.y', a: '1', b: '2' },
    { term: 'x.z', a: '[1,2]', b: '–' },
  ])
})

test('curves lie over the steps of both', () => {
  const { x, lines } = overlaid([a, b])
  expect([...x]).toEqual([1, 2, 3, 4])
  expect([...(lines[0]?.values ?? [])]).toEqual([5.7, 3.2, 1.45, Number.NaN])
  expect([...(lines[1]?.values ?? [])]).toEqual([5, 4, Number.NaN, Number.NaN])
})
