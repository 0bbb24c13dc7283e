import { denoTarget } from './deno-target.ts'
import { describeTarget } from './suite.ts'

describeTarget(denoTarget)
