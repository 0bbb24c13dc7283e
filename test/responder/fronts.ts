/**
 * The servers that speak uwsgi to the responder, and what each of them does its own way.
 *
 * @module
 */
import { hostname } from 'node:os'
import { startApache } from '../backend/apache.ts'
import type { FrontServer } from '../backend/front.ts'
import { startNginx } from '../backend/nginx.ts'
import { startUwsgiRouter } from '../backend/uwsgi-router.ts'

/** How a front is set up. */
export interface FrontOptions {
  /** Path under which it hands requests on, as `SCRIPT_NAME`. */
  mount?: string
  /** Says that clients come over TLS, which something before it may have ended. */
  https?: boolean
  /** Takes response heads of 64 KiB. */
  largeHeads?: boolean
  /** Hands a body on as it comes. */
  unbuffered?: boolean
}

/** A front and what it does its own way. */
export interface Front {
  readonly name: 'nginx' | 'apache' | 'uwsgi-router'
  start(upstream: string, options?: FrontOptions): Promise<FrontServer>
  readonly differs: Differences
}

/** What is not the same behind every front, and why. */
export interface Differences {
  /** The cookies of two Cookie lines, as HTTP/2 clients send them; only nginx's get the right separator. */
  readonly cookie: string
  /** The header `x_under`, which would pose as `x-under`; only the router hands it on. */
  readonly underscore: string | undefined
  /** What becomes of `//evil.example/x`; the router leaves a path as it is. */
  readonly slashes: string
  /** What becomes of `/a/%2e%2e/b`; what the front does not resolve, the responder refuses. */
  readonly dots: string | 400
  /**
   * What becomes of target `http://other.example/abs?z` with Host `h.example`. nginx before 1.29.5
   * goes by the Host, and the router takes the whole for a path, which is none.
   */
  readonly absolute: RegExp | 400
  /** Status for `OPTIONS *`; nginx refuses it, Apache answers it, the router takes `*` for a path. */
  readonly asterisk: number
  /** Status for CONNECT, which nginx refuses before anybody sees it. */
  readonly connect: number
  /** Status for method `get`, likewise. */
  readonly lowerCase: number
  /** Status for `/a%00b`, which only the router hands on. */
  readonly nul: number
  /** Status for a chunked upload: mod_proxy_uwsgi has no way to hand on what has no length. */
  readonly chunked: number
  /** Origin of an HTTP/1.0 request without Host: what the front calls itself. */
  readonly ownOrigin: (port: number) => string
  /** Statuses for a header of 3900, 5000 and 9000 octets: a head has 4 KiB on nginx, a line 8190 on Apache. */
  readonly heads: readonly [number, number, number]
  /** Status for one of 30 000 where the front is told to take that. */
  readonly largestHead: number
  /**
   * Whether an answer that does not wait for the upload survives it. The router closes on a client
   * that is still sending, which resets the connection.
   */
  readonly earlyAnswersArrive: boolean
  /** Whether a client can tell that a response without a length broke off; the router ends it as any other. */
  readonly truncationShows: boolean
  /** Whether a client that leaves is seen at once; Apache looks when it writes to it. */
  readonly leaveShows: boolean
  /** Whether an upload that breaks off begins at all; nginx collects it first. */
  readonly cutOffArrives: boolean
  /** `PATH_INFO` of a request for the mount itself; Apache's `ProxyPass` puts a slash there. */
  readonly pathOfMount: string
}

const nginx: Front = {
  name: 'nginx',
  async start(upstream, { mount, https, largeHeads, unbuffered } = {}) {
    const directives = [
      mount === undefined ? '' : `uwsgi_param SCRIPT_NAME ${mount};`,
      https ? 'uwsgi_param HTTPS on;' : '',
      largeHeads ? 'uwsgi_buffer_size 64k; uwsgi_buffers 8 64k;' : '',
      unbuffered ? 'uwsgi_request_buffering off;' : '',
    ]
    return await startNginx({ upstream, extra: directives.join('\n') })
  },
  differs: {
    cookie: 'a=1; b=2',
    underscore: undefined,
    slashes: '/evil.example/x',
    dots: '/b',
    absolute: /^http:\/\/(?:h|other)\.example\/abs\?z$/,
    asterisk: 400,
    connect: 400,
    lowerCase: 400,
    nul: 400,
    chunked: 200,
    ownOrigin: (port) => `http://localhost:${port}`,
    heads: [200, 502, 502],
    largestHead: 200,
    earlyAnswersArrive: true,
    truncationShows: true,
    leaveShows: true,
    cutOffArrives: false,
    pathOfMount: '',
  },
}

const apache: Front = {
  name: 'apache',
  async start(upstream, { mount, https } = {}) {
    // Without it, Apache answers 404 for a path that has %2F. NoDecode would be 500.
    const directives = ['AllowEncodedSlashes On', https ? 'SetEnv HTTPS on' : '']
    const path = mount === undefined ? {} : { path: mount }
    return await startApache({ upstream, extra: directives.join('\n'), ...path })
  },
  differs: {
    cookie: 'a=1, b=2',
    underscore: undefined,
    slashes: '/evil.example/x',
    dots: '/b',
    absolute: /^http:\/\/other\.example\/abs\?z$/,
    asterisk: 200,
    connect: 405,
    lowerCase: 200,
    nul: 404,
    chunked: 411,
    ownOrigin: () => 'http://localhost',
    heads: [200, 200, 502],
    largestHead: 502,
    earlyAnswersArrive: true,
    truncationShows: true,
    leaveShows: false,
    cutOffArrives: true,
    pathOfMount: '/',
  },
}

const uwsgiRouter: Front = {
  name: 'uwsgi-router',
  async start(upstream, { mount, https } = {}) {
    // Without the first, the router hands on the head of a chunked upload and none of its body.
    const args = ['--http-chunked-input', '--http-websockets']
    if (mount !== undefined) args.push('--http-var', `SCRIPT_NAME=${mount}`)
    if (https) args.push('--http-var', 'HTTPS=on')
    return await startUwsgiRouter({ upstream, args })
  },
  differs: {
    cookie: 'a=1, b=2',
    underscore: '3',
    slashes: '//evil.example/x',
    dots: 400,
    absolute: 400,
    asterisk: 400,
    connect: 405,
    lowerCase: 200,
    nul: 200,
    chunked: 200,
    ownOrigin: (port) => `http://${hostname().toLowerCase()}:${port}`,
    heads: [200, 200, 200],
    largestHead: 200,
    earlyAnswersArrive: false,
    truncationShows: false,
    leaveShows: true,
    cutOffArrives: true,
    pathOfMount: '',
  },
}

/** All of them. */
export const FRONTS: readonly Front[] = [nginx, apache, uwsgiRouter]
