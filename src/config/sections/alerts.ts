/** The `alerts` section: webhooks for what somebody should know at once. */
import * as v from 'valibot'
import { duration, expression, identifier, positiveInteger, secret } from '../values.ts'
import { isWebhook } from '../webhook.ts'

const share = v.pipe(
  v.number(),
  v.gtValue(0, 'a share above 0 is expected'),
  v.maxValue(1, 'a share is at most 1'),
)

const Condition = v.pipe(
  v.strictObject({
    regionDown: v.pipe(
      v.optional(v.union([v.literal(true), v.pipe(v.array(identifier), v.minLength(1))])),
      v.description('No origin of a region is up: of any region (true), or of one of these.'),
    ),
    failover: v.pipe(
      v.optional(v.literal(true)),
      v.description('A request was answered by another region than the one tried first.'),
    ),
    anomaly: v.pipe(
      v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(100))),
      v.description('`threats` finds a network anomalous, with at least this score.'),
    ),
    blockedShare: v.pipe(
      v.optional(share),
      v.description(
        'At least this share of requests was refused for the sake of security, 0 to 1.',
      ),
    ),
    errorShare: v.pipe(
      v.optional(share),
      v.description('At least this share of requests was answered 5xx, or not at all, 0 to 1.'),
    ),
    expression: v.pipe(
      v.optional(expression),
      v.description(
        'Requests that match it, in the rules language; the response is known. With `share` or `count`.',
      ),
    ),
    share: v.pipe(
      v.optional(share),
      v.description('At least this share of requests matched `expression`, 0 to 1.'),
    ),
    count: v.pipe(
      v.optional(positiveInteger),
      v.description('At least so many requests matched `expression`.'),
    ),
    over: v.pipe(
      v.optional(
        v.pipe(
          duration,
          v.check((ms) => ms >= 6000 && ms <= 3_600_000, 'from "6s" to "1h" is expected'),
        ),
        '1m',
      ),
      v.description('The time that shares and counts are taken of, 6s to 1h.'),
    ),
    atLeast: v.pipe(
      v.optional(positiveInteger, 20),
      v.description('With fewer requests in that time a share says nothing.'),
    ),
  }),
  v.check(
    (when) =>
      [
        ...[when.regionDown, when.failover, when.anomaly, when.blockedShare, when.errorShare],
        ...[when.expression, when.share, when.count],
      ].some((one) => one !== undefined),
    'a condition is expected: regionDown, failover, anomaly, blockedShare, errorShare or expression',
  ),
  v.description('What it is about; any of them.'),
)

export const AlertsSection = v.pipe(
  v.array(
    v.strictObject({
      name: v.pipe(identifier, v.description('Name of the alert, part of its messages.')),
      when: Condition,
      url: v.pipe(
        v.union([
          v.pipe(v.string(), v.check(isWebhook, 'an http or https URL is expected')),
          secret,
        ]),
        v.description(
          'Where messages are posted: a URL, or a reference to it when it is itself a secret. Redirects are not followed.',
        ),
      ),
      secret: v.pipe(
        secret,
        v.description(
          'Signs messages as Standard Webhooks do, with HMAC-SHA256; at least 16 characters, or `whsec_` and Base64.',
        ),
      ),
      interval: v.pipe(
        v.optional(duration, '5m'),
        v.description('Time between two messages about the same thing; those between are counted.'),
      ),
    }),
  ),
  v.maxLength(32, 'at most 32 alerts are possible'),
  v.description('Webhooks that are called when something should be known at once.'),
)
export type AlertsConfig = v.InferOutput<typeof AlertsSection>
export type AlertConfig = AlertsConfig[number]
