import { Check, Copy } from 'lucide-react'
import { useEffect, useState } from 'react'
import { Button } from './button.tsx'

/** Puts text on the clipboard, also where the page is not served securely and the clipboard API is missing. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = document.createElement('textarea')
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}

interface CopyProps {
  readonly text: string
  readonly label: string
  readonly iconOnly?: boolean
}

export function CopyButton({ text, label, iconOnly }: CopyProps) {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 1600)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = async () => {
    await copyText(text)
    setCopied(true)
  }
  return (
    <Button look="quiet" small onClick={() => void copy()} aria-label={iconOnly ? label : undefined} title={label}>
      {copied ? <Check aria-hidden size={14} /> : <Copy aria-hidden size={14} />}
      {!iconOnly && (copied ? 'Copied' : label)}
      <span role="status" className="sr-only">
        {copied ? 'Copied' : ''}
      </span>
    </Button>
  )
}

/** A command to paste into a shell. */
export function Command({ text }: { readonly text: string }) {
  return (
    <div className="flex min-w-0 items-center gap-2 rounded-md border border-line bg-sunken py-1 pr-1 pl-3">
      <code
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
        tabIndex={0}
        className="min-w-0 grow overflow-x-auto font-mono text-xs leading-6 whitespace-pre"
      >
        <span className="text-ink-3 select-none">$ </span>
        {text}
      </code>
      <CopyButton text={text} label="Copy command" iconOnly />
    </div>
  )
}
