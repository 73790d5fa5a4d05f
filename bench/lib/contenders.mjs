/** Who runs, in two groups; the first of each group is 1.00. */
import {
  cacheOnly,
  everythingOff,
  everythingOn,
  exported,
  startMeridian,
  unobserved,
} from './meridian.mjs'
import { startPeer } from './server-process.mjs'

const peer =
  (file) =>
  (_name, { origin }) =>
    startPeer(file, [origin])
/** Where nothing listens: what waits is bounded, and dropped. */
const NOBODY = 'http://127.0.0.1:9'
const meridian = (configure) => (name, world) => startMeridian(name, configure, world)

export const GROUPS = [
  {
    title: 'An answer of 1 KiB without an origin',
    path: '/cached',
    contenders: [
      { name: 'node:http answer', start: peer('node-http-answer') },
      { name: 'hono hello', start: peer('hono-hello') },
      { name: 'meridian hit, cache only', start: meridian(cacheOnly), hit: true, budget: 1.15 },
      {
        name: 'meridian hit, everything on',
        start: meridian(everythingOn),
        hit: true,
        budget: 1.6,
      },
    ],
  },
  {
    title: 'What watching costs: a hit with everything on',
    path: '/cached',
    contenders: [
      { name: 'without logging and metrics', start: meridian(unobserved), hit: true },
      {
        name: 'with logging and metrics',
        start: meridian(everythingOn),
        hit: true,
        budget: 1.08,
      },
      {
        name: 'metrics, 1 % logged and traced, by OTLP',
        start: meridian(exported(NOBODY)),
        hit: true,
      },
    ],
  },
  {
    title: 'A proxied GET of 1 KiB',
    path: '/item',
    contenders: [
      { name: 'node:http proxy', start: peer('node-http-proxy') },
      { name: '@fastify/reply-from', start: peer('reply-from') },
      { name: 'http-proxy-3', start: peer('http-proxy-3') },
      { name: 'hono/proxy', start: peer('hono-proxy') },
      { name: 'meridian, everything off', start: meridian(everythingOff), budget: 1.0 },
      { name: 'meridian, everything on', start: meridian(everythingOn), budget: 1.25 },
    ],
  },
]
