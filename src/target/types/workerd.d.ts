/** What only workerd has; the shapes are in workers.ts beside this file. */
declare module 'cloudflare:sockets' {
  export const connect: import('./workers.ts').WorkersConnect
}

/** An identity stream whose length workerd sends as Content-Length. */
declare const FixedLengthStream: new (
  length: number
) => TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>
