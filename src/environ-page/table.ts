/**
 * The tables: one for each group of keys, or the words that stand for an empty one.
 *
 * @module
 */
import { textHtml } from './escape.ts'
import { type Entry, type GroupName, GROUPS, KEY_NOTES } from './groups.ts'
import { valueHtml } from './values.ts'

/**
 * A section with the keys of one group, their values and what they mean.
 *
 * @param size Of the request body, in bytes.
 */
export function groupHtml(
  name: GroupName,
  entries: readonly Entry[],
  size: number | undefined
): string {
  const { title, about, none } = GROUPS[name]
  const heading = `<h2 id="${name}">${title}</h2>`
  if (entries.length === 0) {
    return `<section aria-labelledby="${name}">${heading}<p class="about">${none}</p></section>`
  }
  const notes = entries.some(([key]) => KEY_NOTES.has(key))
  const rows = entries.map(([key, value]) => {
    const note = notes ? `<td role="cell" class="note">${KEY_NOTES.get(key) ?? ''}</td>` : ''
    return `<tr role="row"><th role="rowheader" scope="row"><code>${textHtml(key)}</code></th><td role="cell">${valueHtml(value, key, size)}</td>${note}</tr>`
  })
  const columns = ['Key', 'Value', ...(notes ? ['Meaning'] : [])].map(
    (column) => `<th role="columnheader" scope="col">${column}</th>`
  )
  // The roles are the elements' own. Some browsers drop them under "display: block".
  return `<section aria-labelledby="${name}">
<table role="table">
<caption>${heading}<p class="about">${about}</p></caption>
<colgroup>${'<col>'.repeat(columns.length)}</colgroup>
<thead role="rowgroup"><tr role="row">${columns.join('')}</tr></thead>
<tbody role="rowgroup">
${rows.join('\n')}
</tbody>
</table>
</section>`
}
