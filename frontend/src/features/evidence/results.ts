import { CircleCheck, CircleMinus, CircleX, TriangleAlert } from 'lucide-react'

/** How the four results of a check look: icon, ink and word, never colour alone. */
export const RESULTS = {
  pass: { icon: CircleCheck, ink: 'text-good', word: 'pass' },
  fail: { icon: CircleX, ink: 'text-bad', word: 'fail' },
  warn: { icon: TriangleAlert, ink: 'text-warn', word: 'warning' },
  'not-run': { icon: CircleMinus, ink: 'text-ink-3', word: 'not run' },
} as const
