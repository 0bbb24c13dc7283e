/**
 * Request targets, paths and mounts (rules TGT, PATH and MOUNT).
 *
 * Paths are decoded once, and every rule looks at the decoded string that the application sees:
 * judging the raw one is how `/admin%2F..%2Fx` walks past an access rule (CVE-2024-38473).
 *
 * @see https://www.rfc-editor.org/rfc/rfc9112#section-3.2
 * @see https://www.rfc-editor.org/rfc/rfc3875#section-4.1.5
 * @module
 */
import { badRequest, GatewayError } from './errors.ts'
import { isNative, percentDecode } from './octets.ts'

/** Longest request-target, in bytes; RFC 9112 §3 asks for at least 8000. */
export const MAX_TARGET_BYTES = 8192

/** A request-target, taken apart. */
export type RequestTarget =
  | { readonly type: 'origin'; readonly pathAndQuery: string }
  | { readonly type: 'absolute'; readonly pathAndQuery: string; readonly authority: string }
  | { readonly type: 'asterisk' }

/** How a path is decoded; the names are those of `EnvironOptions`. */
export interface PathOptions {
  readonly encodedSlash: 'decode' | 'reject' | 'preserve'
  readonly decodedDotSegments: 'reject' | 'pass'
  readonly collapseLeadingSlashes: boolean
  readonly allowNul: boolean
}

const ABSOLUTE = /^https?:\/\/([^/?#]*)([^#]*)/i
/** SP, controls, DEL, and anything that is not an octet. */
const NOT_TARGET = /[^\x21-\x7e\x80-\xff]/
const DOT_SEGMENT = /(?:^|\/)\.\.?(?:\/|$)/
const MOUNT = /^(?:\/[^/?#]+)+$/

/**
 * Takes a request-target apart.
 *
 * @param rawTarget As on the wire, one code unit an octet.
 * @param method Only OPTIONS may address the server itself with `*`.
 * @throws {GatewayError} `ERR_BAD_REQUEST` for any other form, `ERR_TARGET_TOO_LONG` over 8 KiB.
 */
export function parseTarget(rawTarget: string, method: string): RequestTarget {
  checkTargetLength(rawTarget.length)
  if (NOT_TARGET.test(rawTarget)) {
    throw badRequest('Cannot read request-target: it holds a space or a control character')
  }
  if (rawTarget.startsWith('/')) {
    const hash = rawTarget.indexOf('#')
    return { type: 'origin', pathAndQuery: hash < 0 ? rawTarget : rawTarget.slice(0, hash) }
  }
  if (rawTarget === '*' && method === 'OPTIONS') return { type: 'asterisk' }
  const absolute = ABSOLUTE.exec(rawTarget)
  if (absolute === null) {
    throw badRequest(
      'Cannot read request-target: wanted origin-form, absolute-form, or * with OPTIONS (RFC 9112 §3.2)'
    )
  }
  const [, authority = '', rest = ''] = absolute
  const at = authority.lastIndexOf('@')
  return {
    type: 'absolute',
    authority: authority.slice(at + 1),
    pathAndQuery: rest.startsWith('/') ? rest : `/${rest}`,
  }
}

/** Refuses a target over {@link MAX_TARGET_BYTES}. */
export function checkTargetLength(bytes: number): void {
  if (bytes > MAX_TARGET_BYTES) {
    throw new GatewayError(
      'ERR_TARGET_TOO_LONG',
      `Cannot forward request-target: it is ${bytes} bytes, limit is ${MAX_TARGET_BYTES}`
    )
  }
}

/**
 * Decodes the path of a parsed URL.
 *
 * @param pathname As WHATWG URL parsing leaves it: ASCII, dot segments resolved.
 * @returns The decoded path as a native string.
 */
export function decodePath(pathname: string, options: PathOptions): string {
  const path = percentDecode(encodedSlashes(pathname, options.encodedSlash))
  if (!isNative(path)) throw badRequest('Cannot decode path: it holds a character above U+00FF')
  if (!options.allowNul && path.includes('\0')) {
    // NUL ends a string in C: the part behind it would be seen by one side only.
    throw badRequest('Cannot forward path: it holds %00')
  }
  if (options.decodedDotSegments === 'reject' && DOT_SEGMENT.test(path)) {
    // The URL parser resolved the plain ones, so these came out of %2F or %2E behind it.
    throw badRequest('Cannot forward path: a "." or ".." segment appears once it is decoded')
  }
  return options.collapseLeadingSlashes ? path.replace(/^\/{2,}/, '/') : path
}

/**
 * Splits a decoded path at the mount, by whole segments (MOUNT-1).
 *
 * @param mount From {@link normalizeMount}.
 * @throws {GatewayError} `ERR_MOUNT_MISMATCH` when the path lies outside it.
 */
export function splitMount(
  path: string,
  mount: string
): { readonly scriptName: string; readonly pathInfo: string } {
  const inside = path === mount || (path.startsWith(mount) && path[mount.length] === '/')
  if (mount !== '' && !inside) {
    throw new GatewayError(
      'ERR_MOUNT_MISMATCH',
      `Cannot route path: it is not under mount "${mount}"`
    )
  }
  return { scriptName: mount, pathInfo: path.slice(mount.length) }
}

/**
 * Checks a mount of the configuration.
 *
 * @param mount Native string; `''` and `/` both mean the root.
 * @returns Without the trailing slash, as `SCRIPT_NAME` wants it.
 * @throws {TypeError} when it is not a plain absolute path.
 */
export function normalizeMount(mount: string): string {
  const trimmed = mount.endsWith('/') ? mount.slice(0, -1) : mount
  if (trimmed === '') return ''
  if (!MOUNT.test(trimmed) || DOT_SEGMENT.test(trimmed) || trimmed.includes('\0')) {
    throw new TypeError(
      `Cannot use mount ${JSON.stringify(mount)}: wanted an absolute path such as "/app", without empty or dot segments, ? or #`
    )
  }
  return trimmed
}

function encodedSlashes(pathname: string, policy: PathOptions['encodedSlash']): string {
  if (policy === 'decode' || !/%2f/i.test(pathname)) return pathname
  if (policy === 'reject') {
    throw badRequest('Cannot forward path: it holds an encoded slash, which the options refuse')
  }
  // Decoding turns %252F back into the three characters %2F.
  return pathname.replace(/%(2f)/gi, '%25$1')
}
