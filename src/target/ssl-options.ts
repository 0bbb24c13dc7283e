/**
 * TLS toward a backend (`suwsgi://`), in nginx's words.
 *
 * @module
 */
import { formatAddress, parseAddress } from '../bridge/address.ts'
import { serverList, type UpstreamConfig } from '../bridge/bridge.ts'

/** How a `suwsgi://` backend is verified, and how we identify ourselves to it. PEM text throughout. */
export interface SslOptions {
  /**
   * Certificate authorities to trust instead of the runtime's (nginx: `uwsgi_ssl_trusted_certificate`).
   *
   * @default the runtime's own
   */
  sslTrustedCertificate?: string | undefined
  /**
   * Name the backend's certificate must carry, and that is sent as SNI (nginx: `uwsgi_ssl_name`).
   *
   * @default the host name of the address
   */
  sslName?: string | undefined
  /** Client certificate chain (nginx: `uwsgi_ssl_certificate`). */
  sslCertificate?: string | undefined
  /** Private key of the client certificate (nginx: `uwsgi_ssl_certificate_key`). */
  sslCertificateKey?: string | undefined
}

/**
 * Refuses TLS options that would not take effect.
 *
 * @throws {TypeError} when one is set for an address without TLS, an address is none, or a certificate lacks its key.
 */
export function checkSslOptions(options: SslOptions, upstream: UpstreamConfig): void {
  const given = (
    ['sslTrustedCertificate', 'sslName', 'sslCertificate', 'sslCertificateKey'] as const
  ).find((name) => options[name] !== undefined)
  for (const server of serverList(upstream)) {
    const address = parseAddress(server.address)
    if (given !== undefined && !(address.type === 'tcp' && address.tls)) {
      throw new TypeError(
        `Cannot use ${given}: ${formatAddress(address)} is not "suwsgi://host:port"`
      )
    }
  }
  if ((options.sslCertificate === undefined) !== (options.sslCertificateKey === undefined)) {
    throw new TypeError(
      'Cannot use a client certificate: wanted both sslCertificate and sslCertificateKey'
    )
  }
}
