import { describeResponder } from './suite.ts'

describeResponder('node')
