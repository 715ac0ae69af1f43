/** The ladder of proof. A bundle stands on the highest rung whose checks, and those of all below, hold. */
export const LEVELS = [
  { level: 'E0', title: 'Readable', meaning: 'The bundle opens as strict, typed documents.' },
  { level: 'E1', title: 'Sealed', meaning: 'Every file is there, digested, and nothing else is.' },
  {
    level: 'E2',
    title: 'Coherent',
    meaning: 'Rows, log, config, clock and headline numbers agree when computed again.',
  },
  { level: 'E3', title: 'Bound', meaning: 'The rows belong to this code, this data and these weights.' },
  { level: 'E4', title: 'Replayed', meaning: 'A segment was executed again and came out the same.' },
  { level: 'E5', title: 'Corroborated', meaning: 'Somebody outside the trainer saw it happen.' },
] as const

/** How many rungs are reached: 0 for none, 6 for E5. */
export function rungs(level: string): number {
  return LEVELS.findIndex((item) => item.level === level) + 1
}
