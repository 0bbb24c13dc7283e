/**
 * Closing on a client that is still sending.
 *
 * An answer that does not wait for the body leaves bytes of it unread. Closing then resets the
 * connection, which may take the answer with it, so they are read and thrown away for a while: what
 * nginx calls `lingering_close`.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'

/** nginx's `lingering_timeout`: how long an unread body may pause before the connection is closed. */
const LINGERING_TIMEOUT_MS = 5000
/** nginx's `lingering_time`: how long it may go on at all. */
const LINGERING_TIME_MS = 30_000

/**
 * Keeps the connection until the body has been read, or its sender takes too long.
 *
 * @param isLast Whether the client may have sent more requests behind, which it cannot know to be in
 *   vain: the last answer reaches it before the connection goes.
 */
export function lingerOnClose(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  isLast: boolean
): void {
  const { headers, socket } = incoming
  if (isLast) socket.destroySoon = () => endThenDestroy(socket)
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return
  closeGently(incoming, isLast)
  outgoing.on('finish', () => watchBody(incoming))
}

/** node:http destroys the socket behind the last answer; ends our side only while the body comes. */
function closeGently(incoming: IncomingMessage, isLast: boolean): void {
  const { socket } = incoming
  socket.destroySoon = function destroyAfterBody() {
    if (incoming.complete || incoming.destroyed) {
      if (isLast) endThenDestroy(socket)
      else Socket.prototype.destroySoon.call(socket)
      return
    }
    socket.end()
    // What follows the body on this connection is nobody's request.
    incoming.on('end', () => socket.destroy())
  }
}

/** Ends our side, and the connection once the client has ended its own or takes too long. */
function endThenDestroy(socket: Socket): void {
  socket.end()
  const timer = setTimeout(() => socket.destroy(), LINGERING_TIMEOUT_MS)
  timer.unref()
  socket.on('end', () => socket.destroy())
  socket.on('close', () => clearTimeout(timer))
}

/** Destroys a connection whose body pauses or goes on for too long. */
function watchBody(incoming: IncomingMessage): void {
  if (incoming.complete || incoming.destroyed) return
  const { socket } = incoming
  let bytes = socket.bytesRead
  let left = LINGERING_TIME_MS / LINGERING_TIMEOUT_MS
  const timer = setInterval(() => {
    left--
    if (!incoming.complete && left > 0 && socket.bytesRead > bytes) {
      bytes = socket.bytesRead
      return
    }
    clearInterval(timer)
    if (!incoming.complete) socket.destroy()
  }, LINGERING_TIMEOUT_MS)
  timer.unref()
  incoming.on('close', () => clearInterval(timer))
}
