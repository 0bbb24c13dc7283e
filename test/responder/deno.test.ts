import { describeResponder } from './suite.ts'

describeResponder('deno')
