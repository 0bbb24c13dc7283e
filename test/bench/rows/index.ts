/**
 * All rows, in order.
 *
 * @module
 */
import type { Row } from '../harness/row.ts'
import { deno } from './deno.ts'
import { django } from './django.ts'
import { fastcgi } from './fastcgi.ts'
import { gateways } from './gateways.ts'
import { growth } from './growth.ts'
import { gunicorn } from './gunicorn.ts'
import { httpProxies } from './http-proxies.ts'
import { core } from './loops.ts'
import { responder } from './responder.ts'
import { startUp } from './start-up.ts'
import { transfers } from './transfers.ts'
import { workers } from './workers.ts'

export const ROWS: readonly Row[] = [
  gateways,
  django,
  gunicorn,
  httpProxies,
  workers,
  deno,
  core,
  transfers,
  fastcgi,
  responder,
  startUp,
  growth,
]
