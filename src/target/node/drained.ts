/**
 * Waiting for a peer that reads slowly.
 *
 * @module
 */
import type { Socket } from 'node:net'

/** Resolves when a socket takes more, or has been closed. */
export function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    function settle(): void {
      socket.off('drain', settle)
      socket.off('close', settle)
      resolve()
    }
    socket.on('drain', settle)
    socket.on('close', settle)
  })
}
