import { describe } from 'vitest'
import { type Differences, describeHono } from './suite.ts'
import { denoTarget, plainDenoTarget } from './targets.ts'

const DIFFERENCES: Differences = {
  addressInHeader: false,
  leave: 'close',
  emptyBodyIsNone: false,
  repeatedHeader: ['1, 2'],
}

describe('behind serve', () => {
  describeHono(denoTarget, DIFFERENCES)
})
describe('behind Deno.serve', () => {
  describeHono(plainDenoTarget, DIFFERENCES)
})
