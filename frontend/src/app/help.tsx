import { Dialog } from '../ui/dialog.tsx'

const KEYS: readonly (readonly [keys: string, meaning: string])[] = [
  ['g r', 'Go to runs'],
  ['g p', 'Go to preflights'],
  ['g e', 'Go to evidence'],
  ['n', 'New run'],
  ['/', 'Filter or search on this page'],
  ['j  k', 'Next, previous row'],
  ['Enter', 'Open the row'],
  ['l', 'Logarithmic y axis'],
  ['[  ]', 'Less, more smoothing'],
  ['+  −  0', 'Zoom the focused chart in, out, all'],
  ['←  →', 'Move its crosshair; with Shift: pan'],
  ['?', 'This help'],
  ['Esc', 'Close'],
]

export function ShortcutHelp({ open, onClose }: { readonly open: boolean; readonly onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title="Keyboard shortcuts">
      <dl className="mt-4 grid grid-cols-[auto_1fr] items-center gap-x-6 gap-y-2 text-sm">
        {KEYS.map(([keys, meaning]) => (
          <div key={keys} className="col-span-full grid grid-cols-subgrid">
            <dt className="flex gap-1">
              {keys.split(/ +/).map((key) => (
                <kbd
                  key={key}
                  className="min-w-6 rounded border border-line bg-sunken px-1.5 py-0.5 text-center font-mono text-xs"
                >
                  {key}
                </kbd>
              ))}
            </dt>
            <dd className="text-ink-2">{meaning}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
