/**
 * All rows, in order.
 *
 * @module
 */
import type { Row } from '../harness/row.ts'
import { gateways } from './gateways.ts'
import { core } from './loops.ts'
import { startUp } from './start-up.ts'

export const ROWS: readonly Row[] = [gateways, core, startUp]
