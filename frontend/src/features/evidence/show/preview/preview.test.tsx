import { screen, waitFor, within } from '@testing-library/react'
import { afterEach, describe, expect, test } from 'vitest'
import { SLICE_BYTES } from '../../../../api/slices.ts'
import { aBundle } from '../../../../test/fixtures.ts'
import { visit } from '../../../../test/render.tsx'
import { answer, file, refuse, server } from '../../../../test/server.ts'
import { findingPlace, placeAnchor, placeOf } from '../../address.ts'

const sha256 = 'a'.repeat(64)

function open(path: string, content: string | Uint8Array<ArrayBuffer>, place = '') {
  server.use(
    answer('/evidence/:name', aBundle({ contents: [{ path, sha256, bytes: content.length }] })),
    file(path, content),
  )
  location.hash = `#file-${path}${place}`
  return visit('/evidence/tiny_v1')
}

describe('a preview', () => {
  afterEach(() => {
    location.hash = ''
  })

  test('a document is a tree that opens at the member that is pointed at', async () => {
    const document = { run: { name: 'tiny', tags: ['a', 'b'] }, rows: Array.from({ length: 130 }, (_, index) => index) }
    const { user } = open('run_manifest.json', JSON.stringify(document), ':$.run.tags[1]')
    const tree = await screen.findByRole('region', { name: 'Document' })
    await waitFor(() => expect(within(tree).getByText('"b"').closest('li')).toHaveAttribute('aria-current', 'true'))
    await user.click(within(tree).getByRole('button', { name: /rows/ }))
    expect(within(tree).queryByText('129')).toBeNull()
    await user.click(within(tree).getByRole('button', { name: '30 more' }))
    expect(within(tree).getAllByText('129')).toHaveLength(2)
    const look = screen.getByRole('group', { name: 'How run_manifest.json is shown' })
    await user.click(within(look).getByRole('radio', { name: 'As written' }))
    expect(within(screen.getByRole('list', { name: 'Lines' })).getByText(/^\{"run"/)).toBeVisible()
  })

  test('rows are a table by pages; an address opens the right one', async () => {
    const rows = Array.from({ length: 60 }, (_, index) => JSON.stringify({ step: index + 1, note: 'x', at: [1] }))
    const { user } = open('metrics.jsonl', `${rows.join('\n')}\nnot json\n`, ':30')
    const table = await screen.findByRole('table', { name: 'Rows of the file' })
    expect(within(table).getByRole('columnheader', { name: 'note' })).toBeVisible()
    expect(within(table).getByRole('row', { current: true })).toHaveTextContent('3030x[1]')
    expect(screen.getByText('rows 26 to 50 of 61')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Next' }))
    expect(await within(table).findByText('not json')).toBeVisible()
    await user.click(screen.getByRole('button', { name: 'Previous' }))
    expect(screen.getByText('rows 26 to 50 of 61')).toBeVisible()
  })

  test('a large log is read slice by slice, up to the line that is wanted', async () => {
    const lines = Array.from({ length: 9000 }, (_, index) => `line ${index + 1} ${'é'.repeat(40)}`)
    const content = `${lines.join('\n')}\n`
    expect(new TextEncoder().encode(content).length).toBeGreaterThan(SLICE_BYTES)
    open('kaggle_output_log.txt', content, ':8500')
    await waitFor(() => expect(screen.getByText(/^line 8500 /).closest('li')).toHaveAttribute('aria-current', 'true'))
    expect(screen.getByText('lines 8,401 to 8,600 of 9,000')).toBeVisible()
  })

  test('bytes that are no text are not shown as such', async () => {
    open('checkpoints/d', new Uint8Array([0, 1, 2, 255]))
    expect(await screen.findByText(/4 B that are no text/)).toBeVisible()
  })

  test('an empty file, a broken document and a missing file say what they are', async () => {
    open('empty.txt', '')
    expect(await screen.findByText('This file is empty.')).toBeVisible()
  })

  test('a broken document is shown as it is written', async () => {
    open('broken.json', '{"run": ')
    expect(await screen.findByText('{"run":', { exact: false, selector: 'li span' })).toBeVisible()
  })

  test('a file that cannot be had', async () => {
    open('gone.txt', 'x')
    server.use(refuse('get', '/evidence/:name/files/gone.txt', { status: 404, detail: 'no such file' }))
    expect(await screen.findByText(/gone.txt cannot be shown. no such file/)).toBeVisible()
  })

  test('folders fold, names filter, and a click opens and closes', async () => {
    const contents = ['a.txt', 'eval/x.jsonl', 'source/y.py'].map((path) => ({ path, sha256, bytes: 3 }))
    server.use(answer('/evidence/:name', aBundle({ contents })), file('eval/x.jsonl', '1\n'))
    const { user } = visit('/evidence/tiny_v1')
    const files = await screen.findByRole('region', { name: 'Files, 3' })
    expect(within(files).queryByText('source/y.py')).toBeNull()
    await user.click(within(files).getByRole('button', { name: /source/ }))
    expect(within(files).getByText('source/y.py')).toBeVisible()
    await user.click(within(files).getByRole('button', { name: /source\/ / }))
    await user.type(within(files).getByRole('searchbox', { name: 'Filter files' }), 'jsonl')
    await user.click(within(files).getByRole('button', { name: 'Preview eval/x.jsonl' }))
    expect(await within(files).findByRole('table', { name: 'Rows of the file' })).toBeVisible()
    await user.click(within(files).getByRole('button', { name: 'Preview eval/x.jsonl' }))
    expect(within(files).queryByRole('table', { name: 'Rows of the file' })).toBeNull()
    await user.type(within(files).getByRole('searchbox', { name: 'Filter files' }), 'zzz')
    expect(within(files).getByText('No file has such a name.')).toBeVisible()
  })
})

test('places are written and read alike', () => {
  const paths = ['a.json', 'odd:7']
  for (const place of [{ path: 'a.json' }, { path: 'a.json', line: 7 }, { path: 'a.json', member: '$.x[1]' }])
    expect(placeOf(placeAnchor(place), paths)).toEqual(place)
  expect(placeOf('#file-odd:7', paths)).toEqual({ path: 'odd:7' })
  expect([placeOf('#file-b.json', paths), placeOf('#checks', paths), placeOf('#file-%', paths)]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
  expect(findingPlace('a', 'line 12')).toEqual({ path: 'a', line: 12 })
  expect(findingPlace('a', '$.run.name (text)')).toEqual({ path: 'a', member: '$.run.name' })
  expect(findingPlace('a', 'sha256')).toEqual({ path: 'a' })
})
