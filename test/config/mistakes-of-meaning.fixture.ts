/** Mistakes that only the whole shows: secrets, files, names that refer to something. */
import { type Case, LEAK, withOrigin, withRest, withRoute } from './pieces.fixture.ts'

export const secrets: Case[] = [
  {
    name: 'a secret in the file',
    text: withRest(`"telemetry": {"mask": {"subjectKey": "${LEAK}"}}`),
    path: 'telemetry.mask.subjectKey',
    message: 'given by reference: {"env": "NAME"}',
  },
  {
    name: 'a secret under an unknown key',
    text: withRest(`"telemetry": {"mask": {"subjectKey": {"value": "${LEAK}"}}}`),
    path: 'telemetry.mask.subjectKey',
    message: 'given by reference',
  },
  {
    name: 'a secret by two references',
    text: withRest('"telemetry": {"mask": {"subjectKey": {"env": "A", "file": "b"}}}'),
    path: 'telemetry.mask.subjectKey',
    message: 'given by reference',
  },
  {
    name: 'a secret that is not set',
    text: withRest('"telemetry": {"mask": {"subjectKey": {"env": "NOT_SET"}}}'),
    path: 'telemetry.mask.subjectKey',
    message: 'environment variable NOT_SET is not set',
    hint: 'NOT_SET',
  },
  {
    name: 'a secret that is empty',
    text: withRest('"telemetry": {"mask": {"subjectKey": {"env": "EMPTY"}}}'),
    path: 'telemetry.mask.subjectKey',
    message: 'is empty',
  },
  {
    name: 'a secret file that is not there',
    text: withRest('"telemetry": {"mask": {"subjectKey": {"file": "/run/none"}}}'),
    path: 'telemetry.mask.subjectKey',
    message: 'secret file /run/none is not there',
  },
  {
    name: 'a secret file that cannot be read',
    text: withRest('"telemetry": {"mask": {"subjectKey": {"file": "/locked"}}}'),
    path: 'telemetry.mask.subjectKey',
    message: 'cannot be read: permission denied',
  },
  {
    name: 'a private key in the file',
    text: withRest(
      `"listen": {"addresses": [{"port": 1, "protocol": "https", "tls": {"certificates": [{"cert": "a.pem", "key": "-----BEGIN PRIVATE KEY-----\\n${LEAK}"}]}}]}`,
    ),
    path: 'listen.addresses[0].tls.certificates[0].key',
    message: 'a path to a file is expected, not the file itself',
  },
  {
    name: 'a password where a choice is expected',
    text: withRest(`"telemetry": {"access": {"format": "${LEAK}"}}`),
    path: 'telemetry.access.format',
    message: 'one of json, combined',
  },
  {
    name: 'a password as an unknown key’s value',
    text: withRest(`"passwort": "${LEAK}"`),
    path: 'passwort',
    message: 'unknown key',
  },
  {
    name: 'a file that is not there',
    text: withRest('"lists": {"a": {"type": "ip", "file": "none.txt"}}'),
    path: 'lists.a.file',
    message: 'the file none.txt is not there',
    hint: 'relative',
  },
  {
    name: 'a list file with a bad line',
    text: withRest('"lists": {"a": {"type": "ip", "file": "bad.txt"}}'),
    path: 'lists.a.file',
    message: 'bad.txt line 3: an IP address',
  },
]

export const references: Case[] = [
  {
    name: 'a route to an unknown pool',
    text: withRoute('{"pools": ["ap"]}'),
    path: 'routes[0].pools[0]',
    message: 'there is no pool "ap"',
    hint: 'did you mean "app"?',
  },
  {
    name: 'a route to a pool that is near to none',
    text: withRoute('{"pools": ["warehouse"]}'),
    path: 'routes[0].pools[0]',
    message: 'there is no pool',
    hint: 'known: app',
  },
  {
    name: 'a pool named twice',
    text: withRoute('{"pools": ["app", "app"]}'),
    path: 'routes[0].pools[1]',
    message: 'named twice',
  },
  {
    name: 'a route to an unknown region',
    text: withRoute('{"regions": ["eu"]}'),
    path: 'routes[0].regions[0]',
    message: 'there is no region "eu"',
    hint: 'no region yet',
  },
  {
    name: 'a region with an unknown pool',
    text: withRest(
      '"regions": [{"id": "eu", "latitude": 1, "longitude": 1, "pools": ["application"]}]',
    ),
    path: 'regions[0].pools[0]',
    message: 'there is no pool',
  },
  {
    name: 'a region half placed',
    text: withRest('"regions": [{"id": "eu", "latitude": 1, "pools": ["app"]}]'),
    path: 'regions[0]',
    message: 'given together',
  },
  {
    name: 'a steering rule behind one that takes everything',
    text: withRest(
      '"regions": [{"id": "eu-central-1", "pools": ["app"]}], "steering": {"rules": [{"when": "true"}, {"when": "ip.src.country eq \\"DE\\""}]}',
    ),
    path: 'steering.rules[1]',
    message: 'this rule can never hold: steering.rules[0] takes its requests first',
  },
  {
    name: 'a steering rule to an unknown region',
    text: withRest(
      '"regions": [{"id": "eu-central-1", "pools": ["app"]}], "steering": {"rules": [{"when": "true", "order": ["eu-centarl-1"]}]}',
    ),
    path: 'steering.rules[0].order[0]',
    message: 'there is no region',
    hint: '"eu-central-1"',
  },
  {
    name: 'an unknown residency rule',
    text: withRest('"residency": [{"id": "gdpr", "allowTags": ["EU"]}]').replace(
      '["app"]}]',
      '["app"], "residency": "gdrp"}]',
    ),
    path: 'routes[0].residency',
    message: 'there is no residency rule',
    hint: '"gdpr"',
  },
  {
    name: 'a residency rule that no region meets',
    text: withRest(
      '"regions": [{"id": "eu-central-1", "tags": ["EU"], "pools": ["app"]}], "residency": [{"id": "gdpr", "allowTags": ["GDPR"]}]',
    ),
    path: 'residency[0].allowTags',
    message: 'no region has any of these tags',
    hint: 'EU',
  },
  {
    name: 'an unknown limit',
    text: withRoute('{"pools": ["app"], "limits": ["login"]}'),
    path: 'routes[0].limits[0]',
    message: 'there is no limit "login"',
  },
  {
    name: 'a route that asks for identity without iam',
    text: withRoute('{"pools": ["app"], "auth": {}}'),
    path: 'routes[0].auth',
    message: 'no "iam" section',
  },
  {
    name: 'an unknown issuer',
    text: withRest(
      '"iam": {"issuers": [{"id": "main", "issuer": "x", "jwks": {"file": "good.txt"}}]}',
    ).replace('["app"]}]', '["app"], "auth": {"issuers": ["mian"]}}]'),
    path: 'routes[0].auth.issuers[0]',
    message: 'there is no issuer',
    hint: '"main"',
  },
  {
    name: 'two routes of one id',
    text: withRoute(
      '{"id": "a", "match": {"path": "/a"}, "pools": ["app"]}, {"id": "a", "pools": ["app"]}',
    ),
    path: 'routes[1]',
    message: 'comes twice',
  },
  {
    name: 'two origins of one id',
    text: withOrigin('{"url": "http://a"}, {"url": "http://a:80"}'),
    path: 'pools.app.origins[1]',
    message: 'comes twice',
  },
  {
    name: 'two limits of one id',
    text: withRest(
      '"limits": [{"id": "a", "limit": 1, "window": "1s"}, {"id": "a", "limit": 2, "window": "1s"}]',
    ),
    path: 'limits[1]',
    message: 'comes twice',
  },
  {
    name: 'a route behind one that takes all',
    text: withRoute(
      '{"id": "all", "pools": ["app"]}, {"id": "late", "match": {"path": "/a"}, "pools": ["app"]}',
    ),
    path: 'routes[1]',
    message: 'can never match',
    hint: 'narrower route first',
  },
  {
    name: 'a route behind a wider prefix',
    text: withRoute(
      '{"match": {"path": "/a"}, "pools": ["app"]}, {"match": {"path": "/a/b", "methods": ["GET"]}, "pools": ["app"]}',
    ),
    path: 'routes[1]',
    message: 'can never match',
  },
  {
    name: 'a route behind the expression true',
    text: withRoute(
      '{"match": "true", "pools": ["app"]}, {"match": "http.host eq \\"a\\"", "pools": ["app"]}',
    ),
    path: 'routes[1]',
    message: 'can never match',
  },
  {
    name: 'a route that goes nowhere',
    text: '{"routes": [{}]}',
    path: 'routes[0]',
    message: 'goes nowhere',
  },
  {
    name: 'a route that goes two ways',
    text: withRoute('{"pools": ["app"], "respond": {}}'),
    path: 'routes[0]',
    message: 'only one of "pools" and "respond"',
  },
  {
    name: 'https without certificate',
    text: withRest('"listen": {"addresses": [{"port": 1, "protocol": "https"}]}'),
    path: 'listen.addresses[0]',
    message: 'needs "tls"',
  },
  {
    name: 'one port twice',
    text: withRest('"listen": {"addresses": [{"port": 1}, {"port": 1}]}'),
    path: 'listen.addresses[1]',
    message: 'same address and port',
  },
  {
    name: 'a pool in which nobody works',
    text: withOrigin('{"url": "http://a", "weight": 0}'),
    path: 'pools.app.origins',
    message: 'weight 0',
  },
  {
    name: 'a list with values and file',
    text: withRest('"lists": {"a": {"type": "ip", "values": [], "file": "good.txt"}}'),
    path: 'lists.a',
    message: 'either "values" or "file"',
  },
  {
    name: 'an open control port without token',
    text: withRest('"admin": {"address": "0.0.0.0"}'),
    path: 'admin.address',
    message: 'needs "token"',
  },
  {
    name: 'analytics kept for less than their hour',
    text: withRest('"telemetry": {"analytics": {"dir": "a", "retention": "10m"}}'),
    path: 'telemetry.analytics.retention',
    message: /at least an hour/,
  },
  {
    name: 'a bucket as part of the endpoint',
    text: withRest(
      '"telemetry": {"analytics": {"dir": "a", "upload": {"endpoint": "https://s3.example/bucket", "bucket": "logs", "accessKeyId": {"env": "A"}, "secretAccessKey": {"env": "B"}}}}',
    ),
    path: 'telemetry.analytics.upload.endpoint',
    message: /without a path/,
  },
  {
    name: 'a ban without a penalty box',
    text: withRest('"threats": {"action": "ban"}'),
    path: 'threats.action',
    message: /needs a "penaltyBox"/,
  },
  {
    name: 'an alert about nothing',
    text: withRest(
      '"alerts": [{"name": "a", "when": {"over": "1m"}, "url": "https://a.example", "secret": {"env": "A"}}]',
    ),
    path: 'alerts[0].when',
    message: /a condition is expected/,
  },
  {
    name: 'an alert about anomalies that nobody looks for',
    text: withRest(
      '"alerts": [{"name": "a", "when": {"anomaly": 90}, "url": "https://a.example", "secret": {"env": "A"}}]',
    ),
    path: 'alerts[0].when.anomaly',
    message: /nothing finds anomalies/,
  },
  {
    name: 'an alert about a region that is not there',
    text: withRest(
      '"alerts": [{"name": "a", "when": {"regionDown": ["eu"]}, "url": "https://a.example", "secret": {"env": "A"}}]',
    ),
    path: 'alerts[0].when.regionDown[0]',
    message: /no region "eu"/,
  },
]
