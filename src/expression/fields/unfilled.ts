/** Fields of Cloudflare's that have no source here: they parse, give their default, and warn at load. */
import { type Field, unfilled } from '../field.ts'
import { BOOL, BYTES, INT, INTS, IP, STRINGS, type Type } from '../types.ts'

const TABLE: readonly (readonly [Type, string, readonly string[]])[] = [
  [
    BOOL,
    'Cloudflare bot management.',
    [
      'cf.client.bot',
      'cf.bot_management.verified_bot',
      'cf.bot_management.static_resource',
      'cf.bot_management.js_detection.passed',
      'cf.bot_management.corporate_proxy',
    ],
  ],
  [INT, 'Cloudflare bot management.', ['cf.bot_management.score']],
  [INTS, 'Cloudflare bot management.', ['cf.bot_management.detection_ids']],
  [
    BYTES,
    'Cloudflare bot management.',
    ['cf.bot_management.ja3_hash', 'cf.bot_management.ja4', 'cf.verified_bot_category'],
  ],
  [INT, 'Cloudflare threat score.', ['cf.threat_score']],
  [IP, 'Address of the edge.', ['cf.edge.server_ip']],
  [
    BYTES,
    'Cloudflare zone, Workers and hostname settings.',
    [
      'cf.zone.name',
      'cf.zone.plan',
      'cf.worker.upstream_zone',
      'cf.hostname.metadata',
      'cf.colo.name',
      'cf.colo.region',
      'cf.metal.id',
    ],
  ],
  [BOOL, 'TLS client certificate.', ['cf.tls_client_auth.cert_revoked']],
  [
    BYTES,
    'TLS client certificate.',
    [
      'cf.tls_client_auth.cert_issuer_dn_rfc2253',
      'cf.tls_client_auth.cert_subject_dn_rfc2253',
      'cf.tls_client_auth.cert_issuer_dn_legacy',
      'cf.tls_client_auth.cert_subject_dn_legacy',
      'cf.tls_client_auth.cert_issuer_serial',
      'cf.tls_client_auth.cert_fingerprint_sha1',
      'cf.tls_client_auth.cert_not_before',
      'cf.tls_client_auth.cert_not_after',
      'cf.tls_client_auth.cert_ski',
      'cf.tls_client_auth.cert_issuer_ski',
    ],
  ],
  [
    BYTES,
    'TLS handshake.',
    ['cf.tls_client_extensions_sha1', 'cf.tls_client_random', 'cf.tls_ciphers_sha1'],
  ],
  [INT, 'TLS handshake.', ['cf.tls_client_hello_length']],
  [
    BOOL,
    'Cloudflare leaked credential checks.',
    [
      'cf.waf.auth_detected',
      'cf.waf.credential_check.password_leaked',
      'cf.waf.credential_check.username_leaked',
      'cf.waf.credential_check.username_and_password_leaked',
      'cf.waf.credential_check.username_password_similar',
    ],
  ],
  [
    BOOL,
    'Cloudflare content scanning.',
    [
      'cf.waf.content_scan.has_obj',
      'cf.waf.content_scan.has_malicious_obj',
      'cf.waf.content_scan.has_failed',
    ],
  ],
  [
    INT,
    'Cloudflare content scanning.',
    ['cf.waf.content_scan.num_obj', 'cf.waf.content_scan.num_malicious_obj'],
  ],
  [INTS, 'Cloudflare content scanning.', ['cf.waf.content_scan.obj_sizes']],
  [
    STRINGS,
    'Cloudflare content scanning.',
    ['cf.waf.content_scan.obj_types', 'cf.waf.content_scan.obj_results'],
  ],
  [
    BOOL,
    'Cloudflare API Shield.',
    [
      'cf.api_gateway.auth_id_present',
      'cf.api_gateway.request_violates_schema',
      'cf.api_gateway.fallthrough_detected',
    ],
  ],
  [
    INT,
    'Cloudflare timings, milliseconds.',
    [
      'cf.timings.client_tcp_rtt_msec',
      'cf.timings.client_quic_rtt_msec',
      'cf.timings.edge_msec',
      'cf.timings.origin_ttfb_msec',
      'cf.timings.worker_msec',
    ],
  ],
  [
    BOOL,
    'Cloudflare Firewall for AI.',
    ['cf.llm.prompt.detected', 'cf.llm.prompt.pii_detected', 'cf.llm.prompt.unsafe_topic_detected'],
  ],
  [
    INT,
    'Cloudflare Firewall for AI.',
    ['cf.llm.prompt.injection_score', 'cf.llm.prompt.token_count'],
  ],
  [
    STRINGS,
    'Cloudflare Firewall for AI.',
    ['cf.llm.prompt.pii_categories', 'cf.llm.prompt.unsafe_topic_categories'],
  ],
  [INT, 'Cloudflare error pages.', ['cf.response.1xxx_code']],
  [BYTES, 'Cloudflare error pages.', ['cf.response.error_type']],
]

export const unfilledFields: readonly Field[] = TABLE.flatMap(([type, description, names]) =>
  names.map((name) => unfilled(name, type, description)),
)
