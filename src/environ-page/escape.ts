/**
 * Text → markup that shows all of it. The client chose nearly every value on the page, so functions
 * named `…Html`, and no others, make markup: what a browser would run, hide or reorder is visible.
 *
 * @module
 */
import { isAscii, nativeToText } from '../core/octets.ts'

/** Sets an escape off from text that looks like one. */
type Mark = (escape: string) => string

/** At most this many characters of a value are repeated in the headline and the overview. */
const SUMMARY_LENGTH = 100

/** Characters that mean something to HTML, in text or in a quoted attribute. */
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
])

const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['\\', '\\\\'],
  ['\t', '\\t'],
  ['\n', '\\n'],
  ['\r', '\\r'],
])

/** In a native string: what is not printable ASCII, and the backslash, which begins an escape. */
const OCTET_SPECIAL = /[^\x20-\x7e]+|[&<>"'\\]/g

/**
 * In text: what is invisible or moves its neighbours (controls, bidi overrides, unusual spaces, lone
 * surrogates). Joiners and variation selectors stay: words and emoji are spelled with them.
 */
const TEXT_SPECIAL =
  /[[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}]--[ \p{Join_Control}\p{Variation_Selector}]]+|[&<>"']/gv

/** The code point of a character, in hexadecimal. */
export function hex(character: string, digits: number): string {
  return (character.codePointAt(0) ?? 0).toString(16).padStart(digits, '0')
}

function escapeOf(character: string): string {
  const short = SHORT_ESCAPES.get(character)
  if (short !== undefined) return short
  if (character.length > 1) return `\\U${hex(character, 8)}`
  return character > '\xff' ? `\\u${hex(character, 4)}` : `\\x${hex(character, 2)}`
}

function marked(escape: string): string {
  return `<i>${escape}</i>`
}

/** The {@link Mark} for titles and attributes, which hold no elements. */
export function unmarked(escape: string): string {
  return escape
}

function escapeHtml(text: string, special: RegExp, mark: Mark): string {
  return text.replace(
    special,
    (found) => ENTITIES.get(found) ?? mark(Array.from(found, escapeOf).join(''))
  )
}

/** Text to be read: what is invisible or moves its neighbours is escaped, the rest is as it was. */
export function textHtml(text: string, mark: Mark = marked): string {
  return escapeHtml(text, TEXT_SPECIAL, mark)
}

/** A native string as the Python literal that `ascii()` prints. */
export function literalHtml(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'"
  const quoteHtml = textHtml(quote)
  const html = value
    .split(quote)
    .map((part) => escapeHtml(part, OCTET_SPECIAL, marked))
    .join(marked(`\\${quoteHtml}`))
  return `<s>${quoteHtml}</s>${html}<s>${quoteHtml}</s>`
}

/** The text of a native string whose octets are UTF-8 and not all ASCII. */
export function nonAsciiText(value: string): string | undefined {
  return isAscii(value) ? undefined : nativeToText(value)
}

/** The beginning of a native string, to be read rather than copied: as text where it is UTF-8. */
export function summaryHtml(value: string, mark: Mark = marked): string {
  const decoded = nonAsciiText(value)
  const text = decoded ?? value
  // A surrogate pair that the cut would split is left out.
  const start = text.slice(0, SUMMARY_LENGTH).replace(/[\ud800-\udbff]$/, '')
  const html = escapeHtml(start, decoded === undefined ? OCTET_SPECIAL : TEXT_SPECIAL, mark)
  return text.length > SUMMARY_LENGTH ? `${html}…` : html
}
