/** The rows of one run as growing typed arrays: append blocks of columns, read them without copying. */

/** `null`: the row says nothing. A word stands for what is no number: NaN, Infinity, -Infinity. */
export type Block = Readonly<Record<string, ArrayLike<number | string | null>>>

export interface Columns {
  /** Appends a block. One that begins at or before the last known step replaces the rows from there on. */
  append(block: Block): number
  /** The values so far, NaN where a row has none; undefined for a column no block has carried. A view, not a copy. */
  column(name: string): Float64Array | undefined
  names(): string[]
  readonly length: number
}

const NONE: ArrayLike<number> = []

export function createColumns(key = 'step'): Columns {
  const arrays = new Map<string, Float64Array>()
  let capacity = 1024
  let length = 0

  const reserve = (rows: number) => {
    if (rows <= capacity) return
    while (capacity < rows) capacity *= 2
    for (const [name, array] of arrays) {
      const grown = new Float64Array(capacity).fill(Number.NaN)
      grown.set(array.subarray(0, length))
      arrays.set(name, grown)
    }
  }
  const cut = (rows: number) => {
    for (const array of arrays.values()) array.fill(Number.NaN, rows, length)
    length = rows
  }
  const writable = (name: string) => {
    const found = arrays.get(name)
    if (found) return found
    const created = new Float64Array(capacity).fill(Number.NaN)
    arrays.set(name, created)
    return created
  }

  return {
    append(block) {
      const keys = block[key] ?? NONE
      const first = keys[0]
      if (first === undefined || first === null) return 0
      cut(rowsBefore(writable(key).subarray(0, length), Number(first)))
      reserve(length + keys.length)
      for (const [name, values] of Object.entries(block)) {
        const array = writable(name)
        if (values instanceof Float64Array) array.set(values.subarray(0, keys.length), length)
        else for (let row = 0; row < keys.length; row++) array[length + row] = Number(values[row] ?? Number.NaN)
      }
      length += keys.length
      return keys.length
    },
    column: (name) => arrays.get(name)?.subarray(0, length),
    names: () => [...arrays.keys()],
    get length() {
      return length
    },
  }
}

/** How many rows have a key less than `value`. Keys ascend. */
function rowsBefore(keys: Float64Array, value: number): number {
  let rows = keys.length
  while (rows > 0 && (keys[rows - 1] as number) >= value) rows--
  return rows
}

/** The index of the last row whose key is at most `value`; -1 when all are greater. Keys ascend. */
export function rowAtOrBefore(keys: Float64Array, value: number): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] as number) <= value) low = middle + 1
    else high = middle
  }
  return low - 1
}
