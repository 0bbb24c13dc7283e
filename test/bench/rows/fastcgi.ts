/**
 * Row 9: is uwsgi far cheaper than FastCGI, as is said? Both codecs alone, and uWSGI behind nginx over
 * either.
 *
 * @module
 */
import {
  compare,
  type Comparison,
  CPU_A_REQUEST,
  type Metric,
  OURS,
  P50,
  REQUESTS_PER_SECOND,
} from '../harness/comparison.ts'
import { contest } from '../harness/contest.ts'
import { underLoad } from '../harness/load.ts'
import type { Row } from '../harness/row.ts'
import type { Settings } from '../harness/settings.ts'
import { startFastcgiPass, startUwsgiPass } from '../servers/nginx.ts'
import { HELLO, startBackend } from '../servers/uwsgi.ts'
import { BYTES, loop, NANOS } from './loops.ts'

const BACKEND_CPU: Metric = {
  key: 'backendMicros',
  name: 'uWSGI CPU a request',
  unit: 'µs',
  better: 'lower',
}

export const fastcgi: Row = {
  id: 9,
  title: 'uwsgi beside FastCGI',
  async run(settings) {
    return [...(await runCodecs(settings)), ...(await runServers(settings))]
  },
}

async function runCodecs(settings: Settings): Promise<Comparison[]> {
  const found: Comparison[] = []
  for (const work of ['encode', 'decode']) {
    const outcome = await contest(
      [
        // The two by hand differ in nothing but the format; ours checks what it encodes besides.
        loop('uwsgi by hand', `uwsgi-${work}-by-hand`),
        loop('FastCGI by hand', `fastcgi-${work}`),
        loop(`uwsgi of ${OURS}`, `uwsgi-${work}`),
      ],
      settings
    )
    found.push(...compare(9, `${work} a request`, outcome, [{ ...NANOS }, BYTES]))
  }
  return found
}

async function runServers(settings: Settings): Promise<Comparison[]> {
  const backend = await startBackend()
  try {
    const load = { connections: 16, expect: HELLO, backendPid: backend.pid }
    const outcome = await contest(
      [
        underLoad('uwsgi_pass', () => startUwsgiPass(backend.tcp), load),
        underLoad('fastcgi_pass', () => startFastcgiPass(backend.fastcgi), load),
      ],
      settings
    )
    return compare(9, 'nginx to uWSGI, tcp, 16 connections', outcome, [
      REQUESTS_PER_SECOND,
      { ...CPU_A_REQUEST, name: 'nginx CPU a request' },
      BACKEND_CPU,
      P50,
    ])
  } finally {
    await backend.stop()
  }
}
