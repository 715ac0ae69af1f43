/** All steps of a run in one answer, as numbers: a long run's come in a tenth of the time that the stream takes. */
import { showColumns } from './gen/sdk.gen.ts'

export interface History {
  readonly columns: Readonly<Record<string, Float64Array<ArrayBuffer>>>
  /** Where the stream goes on behind them. */
  readonly cursor: string
}

export async function readHistory(id: string): Promise<History> {
  const { data } = await showColumns({ path: { id }, parseAs: 'arrayBuffer' })
  return decode(data as unknown as ArrayBuffer)
}

/** A line of JSON that is padded to a multiple of eight bytes, then each column as little-endian float64. */
export function decode(answer: ArrayBuffer): History {
  const end = new Uint8Array(answer).indexOf(10)
  const { rows, columns, cursor } = JSON.parse(new TextDecoder().decode(new Uint8Array(answer, 0, end))) as {
    rows: number
    columns: string[]
    cursor: string
  }
  const column = (at: number) => new Float64Array(answer, end + 1 + 8 * rows * at, rows)
  return { columns: Object.fromEntries(columns.map((name, at) => [name, column(at)])), cursor }
}
