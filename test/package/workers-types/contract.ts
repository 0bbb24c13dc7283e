/**
 * Compiles only while the shapes that src/target/types/workers.ts declares fit the official ones.
 */
import { connect } from 'cloudflare:sockets'
import type { WorkersCf } from '../../../src/core/runtime-types.ts'
import type { WorkersConnect, WorkersSocket } from '../../../src/target/types/workers.ts'

export const officialConnect: WorkersConnect = connect
export const officialSocket: (socket: Socket) => WorkersSocket = (socket) => socket
export const officialCf: (cf: IncomingRequestCfProperties) => WorkersCf = (cf) => cf
export const fixed: TransformStream<Uint8Array, Uint8Array> = new FixedLengthStream(1)
