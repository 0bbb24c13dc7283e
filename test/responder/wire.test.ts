import { describeWire } from './wire.ts'

describeWire('node')
describeWire('deno')
