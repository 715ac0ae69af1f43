/**
 * Exponential moving average that knows how far apart its rows are, and that starts unbiased.
 *
 * `weight` in [0, 1) is how much of the past stays after one step; 0 gives the values back. Rows that are n steps apart
 * keep weight^n. Missing values stay missing and do not move the average.
 */
export function smooth(steps: Float64Array, values: Float64Array, weight: number): Float64Array {
  if (weight <= 0) return values
  const result = new Float64Array(values.length)
  let average = 0
  let mass = 0
  let before = Number.NaN
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as number
    if (!Number.isFinite(value)) {
      result[row] = Number.NaN
      continue
    }
    const step = steps[row] as number
    const kept = weight ** Math.max(1, Number.isNaN(before) ? 1 : step - before)
    average = average * kept + value * (1 - kept)
    mass = mass * kept + (1 - kept)
    result[row] = average / mass
    before = step
  }
  return result
}
