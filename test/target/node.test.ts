import { nodeTarget } from './node-target.ts'
import { describeTarget } from './suite.ts'

describeTarget(nodeTarget)
