/**
 * multipart/form-data by hand: the client that a test speaks through adds nothing.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7578
 * @module
 */
import type { HeaderLine } from './http-client.ts'

/** One field of a form. */
export interface FormPart {
  readonly name: string
  /** Makes it a file. */
  readonly filename?: string
  readonly content: string | Uint8Array
}

const BOUNDARY = 'edge-wsgi-0123456789'

/** Encodes a form: the header line it needs, and its body. */
export function multipart(parts: readonly FormPart[]): { headers: HeaderLine[]; body: Buffer } {
  const chunks = parts.flatMap(({ name, filename, content }) => {
    const file =
      filename === undefined
        ? '\r\n'
        : `; filename="${filename}"\r\nContent-Type: application/octet-stream\r\n`
    const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n`
    return [Buffer.from(head), Buffer.from(content), Buffer.from('\r\n')]
  })
  return {
    headers: [['Content-Type', `multipart/form-data; boundary=${BOUNDARY}`]],
    body: Buffer.concat([...chunks, Buffer.from(`--${BOUNDARY}--\r\n`)]),
  }
}
