import { describeHono } from './suite.ts'
import { workersTarget } from './targets.ts'

describeHono(workersTarget, {
  addressInHeader: true,
  leave: 'reset',
  emptyBodyIsNone: false,
  repeatedHeader: ['1', '2'],
})
