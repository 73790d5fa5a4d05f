/** The command line: its verbs, their options and examples. Each verb is imported when it runs. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { ANALYTICS_EXAMPLES, addAnalytics } from './analytics.ts'
import { CONFIG_DEFAULT, CONFIG_FLAG, CONFIG_HELP } from './config-argument.ts'
import { addRules } from './rules.ts'
import { EXIT, type ExitCode, type Terminal } from './terminal.ts'

/** Where the control port is unless the config says otherwise. */
const CONTROL = 'http://127.0.0.1:9090'

/**
 * Runs one command line.
 * @param args  without the interpreter and the script
 * @returns the exit code; `start` returns once it serves, and the process goes on
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok
  const program = buildProgram(terminal, (result) => {
    code = result
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    // Commander has already said what is wrong, and which name it may have been.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    const { reportFailure } = await import('./failure.ts')
    return reportFailure(error, terminal)
  }
}

function buildProgram(terminal: Terminal, done: (code: ExitCode) => void): Command {
  const program = new Command('meridian')
    .description('Edge and CDN gateway: geo-routing, WAF, limits, identity, cache, failover.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [verb]', 'print the help of a verb')
    .showSuggestionAfterError(true)
    .showHelpAfterError('(meridian --help tells what there is)')
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err })

  const verb = (name: string, description: string, examples: readonly string[]): Command =>
    program
      .command(name)
      .description(description)
      .helpOption('-h, --help', 'print this help')
      .addHelpText(
        'after',
        `\nExamples:\n${examples.map((line) => `  $ meridian ${line}`).join('\n')}`,
      )

  verb('start', 'serve a config until SIGTERM or SIGINT', [
    'start',
    'start --config /etc/meridian/meridian.json',
    'start --workers auto',
  ])
    .option(CONFIG_FLAG, CONFIG_HELP, CONFIG_DEFAULT)
    .option('-w, --workers <count>', 'worker processes, or auto, instead of what the config says')
    .action(async (options) => {
      const { start } = await import('./start.ts')
      done(await start(options, terminal))
    })

  verb('demo', 'three regions and a gateway in front of them, on this machine', [
    'demo',
    'demo --port 18080 --admin-port 19090',
    'demo --traffic 20',
  ])
    .option('-p, --port <port>', 'port of the gateway', '8080')
    .option('--admin-port <port>', 'port of the control interface', '9090')
    .option('--traffic <rate>', 'made-up requests a second, for the dashboard', '0')
    .action(async (options) => {
      const { demo } = await import('./demo.ts')
      done(await demo(options))
    })

  verb('check', 'validate a config: print what is in it, or all that is wrong (exit code 1)', [
    'check',
    'check --config staging.json',
    'check --config staging.json --json',
  ])
    .option(CONFIG_FLAG, CONFIG_HELP, CONFIG_DEFAULT)
    .option('--json', 'print JSON')
    .action(async (options) => {
      const { check } = await import('./check.ts')
      done(await check(options, terminal))
    })

  verb('explain <method> <url>', 'tell what each step would decide about a request, and why', [
    'explain GET https://www.example.com/',
    'explain GET https://api.example.com/v1/orders --ip 203.0.113.7',
    "explain POST https://example.com/login -H 'content-type: application/json' --json",
  ])
    .option(CONFIG_FLAG, CONFIG_HELP, CONFIG_DEFAULT)
    .option('--ip <address>', 'address of the client')
    .option('-H, --header <header>', "a request header, 'name: value'; may be repeated", collect)
    .option('--json', 'print JSON')
    .action(async (method, url, options) => {
      const { explain } = await import('./explain.ts')
      done(await explain(method, url, options, terminal))
    })

  verb('geo <ip...>', 'tell where addresses are', [
    'geo 81.2.69.160',
    'geo 8.8.8.8 2001:4860:4860::8888 --json',
    'geo 81.2.69.160 --database ./city.mmdb',
  ])
    .option('-d, --database <file>', 'a MaxMind DB file; may be repeated', collect)
    .option('--json', 'print JSON')
    .action(async (addresses, options) => {
      const { geo } = await import('./geo.ts')
      done(await geo(addresses, options, terminal))
    })

  const controlled = (command: Command): Command =>
    command
      .option('--control <url>', 'control port of the gateway, or path of its socket', CONTROL)
      .option('--token-env <name>', 'environment variable that holds the token')
      .option('--json', 'print JSON')

  controlled(
    verb('purge [url...]', 'take stored responses out of the cache', [
      'purge https://www.example.com/news',
      'purge --tag product-42 --soft',
      'purge --prefix www.example.com/images/ --dry-run',
    ]),
  )
    .option('--prefix <host/path>', 'everything below a path; may be repeated', collect)
    .option('--host <host>', 'everything of a host; may be repeated', collect)
    .option('--tag <tag>', 'everything with a tag; may be repeated', collect)
    .option('--everything', 'all that is stored')
    .option('--soft', 'mark as stale instead: validated at the next use')
    .option('--dry-run', 'only count what would go')
    .option('--key <text>', 'idempotency key: the same order is carried out once')
    .action(async (urls, options) => {
      const { purge } = await import('./purge.ts')
      done(await purge(urls, options, terminal))
    })

  controlled(
    verb('warm [url...]', 'fetch URLs, so that they are stored before anybody asks', [
      'warm https://www.example.com/ https://www.example.com/app.js',
      'warm --file urls.txt --concurrency 8',
    ]),
  )
    .option('--file <file>', 'a URL a line')
    .option('-H, --header <header>', "a request header, 'name: value'; may be repeated", collect)
    .option('--concurrency <count>', 'requests at a time', '4')
    .action(async (urls, options) => {
      const { warm } = await import('./warm.ts')
      done(await warm(urls, options, terminal))
    })

  verb('edge', 'the gateway as a Cloudflare Worker: build', [
    'edge build',
    'edge build --config meridian.json --out dist-edge',
  ])
    .command('build')
    .description('check a config for Workers and bundle it with the gateway, for wrangler deploy')
    .helpOption('-h, --help', 'print this help')
    .option(CONFIG_FLAG, CONFIG_HELP, CONFIG_DEFAULT)
    .option(
      '-o, --out <folder>',
      'where the modules are written; emptied first if it holds a build',
      'dist-edge',
    )
    .option('--json', 'print JSON')
    .action(async (options) => {
      const { edgeBuild } = await import('./edge.ts')
      done(await edgeBuild(options, terminal))
    })

  const cache = verb('cache', 'what is stored: stat, get', [
    'cache stat',
    'cache get https://www.example.com/news --json',
  ])
  controlled(cache.command('stat').description('tiers, counters and hit ratio by route')).action(
    async (options) => {
      const { cacheStat } = await import('./cache.ts')
      done(await cacheStat(options, terminal))
    },
  )
  controlled(
    cache.command('get <url>').description('what is stored for a URL (exit code 1: nothing)'),
  ).action(async (url, options) => {
    const { cacheGet } = await import('./cache.ts')
    done(await cacheGet(url, options, terminal))
  })

  verb('erase [file...]', "take a person's lines out of access logs and analytics", [
    'erase --subject alice',
    'erase --subject alice --dry-run',
    'erase --hash 5f1c8a0e9b2d4c37 access.log.20261101T000000Z.gz',
  ])
    .option(CONFIG_FLAG, CONFIG_HELP, CONFIG_DEFAULT)
    .option('--subject <subject>', 'whose lines: the subject of her credentials')
    .option('--hash <hash>', 'the same as it stands in the log')
    .option('--dry-run', 'only count what would go')
    .option('--json', 'print JSON')
    .action(async (files, options) => {
      const { erase } = await import('./erase.ts')
      done(await erase(files, options, terminal))
    })

  controlled(
    verb('threats', 'who is refused most now, and which networks are unlike what is usual', [
      'threats',
      'threats --limit 5 --json',
    ]),
  )
    .option('--limit <count>', 'most of each', '20')
    .action(async (options) => {
      const { threats } = await import('./threats.ts')
      done(await threats(options, terminal))
    })

  const rollout = verb('rollout', 'rollouts by hand: status, advance, rollback, freeze, resume', [
    'rollout status',
    'rollout advance shop',
    'rollout rollback shop',
  ])
  controlled(
    rollout.command('status [id]').description('where the rollouts are, and both arms'),
  ).action(async (id, options) => {
    const { rolloutStatus } = await import('./rollout.ts')
    done(await rolloutStatus(id, options, terminal))
  })
  for (const [command, description] of [
    ['advance', 'to the next step; to the first one after a rollback'],
    ['rollback', 'everybody back to the old pool, at once'],
    ['freeze', 'stay at this step: neither forward nor back by itself'],
    ['resume', 'go on after a freeze; the step begins anew'],
  ] as const) {
    controlled(rollout.command(`${command} <id>`).description(description)).action(
      async (id, options) => {
        const { rolloutOrder } = await import('./rollout.ts')
        done(await rolloutOrder(id, command, options, terminal))
      },
    )
  }

  controlled(
    verb('mirror [id]', 'what comparing mirrored answers came to', [
      'mirror',
      'mirror shop --json',
    ]),
  ).action(async (id, options) => {
    const { mirrorReport } = await import('./mirror.ts')
    done(await mirrorReport(id, options, terminal))
  })

  controlled(
    verb('drain [region]', 'take a region out of service; without one, list the regions', [
      'drain',
      'drain eu-central-1 --for 30m --reason "disk is being replaced"',
      'drain eu-central-1 --until 2026-11-24T18:00:00Z',
    ]),
  )
    .option('--for <duration>', 'back by itself after this time, such as 30m')
    .option('--until <time>', 'back by itself at this time (RFC 3339)')
    .option('--reason <text>', 'for whoever looks later')
    .option('--force', 'even when no other region is up')
    .action(async (region, options) => {
      const { drain } = await import('./drain.ts')
      done(await drain(region, options, terminal))
    })
  controlled(
    verb('enable <region>', 'put a drained region back into service', ['enable eu-central-1']),
  ).action(async (region, options) => {
    const { enable } = await import('./drain.ts')
    done(await enable(region, options, terminal))
  })

  const penalty = verb('penalty', 'clients that are shut out: list, add, lift', [
    'penalty list',
    'penalty add 203.0.113.7 --for 2h --reason "scans for passwords"',
    'penalty lift 203.0.113.7',
  ])
  controlled(penalty.command('list').description('who is in the penalty box, for how long')).action(
    async (options) => {
      const { penaltyList } = await import('./penalty.ts')
      done(await penaltyList(options, terminal))
    },
  )
  controlled(
    penalty
      .command('add <address>')
      .description('shut a client out: an IPv4 address, or the /64 of an IPv6 address'),
  )
    .option('--for <duration>', 'for how long, such as 30m (default: 1h)')
    .option('--reason <text>', 'for the audit log')
    .action(async (address, options) => {
      const { penaltyAdd } = await import('./penalty.ts')
      done(await penaltyAdd(address, options, terminal))
    })
  controlled(
    penalty.command('lift <address>').description('let a client in again, its terms forgotten'),
  ).action(async (address, options) => {
    const { penaltyLift } = await import('./penalty.ts')
    done(await penaltyLift(address, options, terminal))
  })

  const revocation = verb('revocation', 'tokens refused before their time: list, add, remove', [
    'revocation list',
    'revocation add sub alice --issuer https://login.example.com',
    'revocation add token < token.txt',
    'revocation remove ID',
  ])
  controlled(revocation.command('list').description('what is revoked, and until when')).action(
    async (options) => {
      const { revocationList } = await import('./revocation.ts')
      done(await revocationList(options, terminal))
    },
  )
  controlled(
    revocation
      .command('add <kind> [value]')
      .description('revoke a jti, sub, sid, client or issuer; or token, from the standard input'),
  )
    .option('--issuer <issuer>', 'only tokens of this issuer')
    .option('--before <time>', 'only tokens issued before (RFC 3339)')
    .option('--expires <time>', 'forget it then (default: when the last such token has run out)')
    .action(async (kind, value, options) => {
      const { revocationAdd } = await import('./revocation.ts')
      done(await revocationAdd(kind, value, options, terminal))
    })
  controlled(
    revocation.command('remove <id>').description('take a revocation back, by its id as listed'),
  ).action(async (id, options) => {
    const { revocationRemove } = await import('./revocation.ts')
    done(await revocationRemove(id, options, terminal))
  })

  const snapshot = verb('snapshot', 'what a gateway knows beyond its config: save, restore', [
    'snapshot save state.json',
    'snapshot restore state.json',
  ])
  controlled(
    snapshot
      .command('save [file]')
      .description('drains, rollouts, ejections, penalties, revocations'),
  ).action(async (file, options) => {
    const { snapshotSave } = await import('./snapshot.ts')
    done(await snapshotSave(file, options, terminal))
  })
  controlled(
    snapshot.command('restore <file>').description('put a saved state back, in all processes'),
  ).action(async (file, options) => {
    const { snapshotRestore } = await import('./snapshot.ts')
    done(await snapshotRestore(file, options, terminal))
  })

  const audit = verb('audit', 'the audit log of the control port', [
    'audit verify /var/log/meridian/audit.log',
  ])
  audit
    .command('verify <file>')
    .description(
      'check the chain of hashes: ok, or the first line that does not hold (exit code 1)',
    )
    .helpOption('-h, --help', 'print this help')
    .option('--head <hash>', 'hash of an entry that must be there, noted elsewhere')
    .option('--json', 'print JSON')
    .action(async (file, options) => {
      const { auditVerify } = await import('./audit.ts')
      done(await auditVerify(file, options, terminal))
    })

  const key = verb('key', 'make API keys, and what the config holds of them', [
    'key create partner1',
    'key create partner1 --pepper KEY_PEPPER',
    'key hash < key.txt',
  ])
  const pepper = ['--pepper <name>', 'environment variable with `iam.apiKeys.pepper`'] as const
  key
    .command('create <id>')
    .description('make a key: print it once, and its entry for `iam.apiKeys.keys`')
    .helpOption('-h, --help', 'print this help')
    .option(...pepper)
    .option('--json', 'print JSON')
    .action(async (id, options) => {
      const { createKey } = await import('./key.ts')
      done(createKey(id, options, terminal))
    })
  key
    .command('hash')
    .description('read a key from the standard input and print its entry')
    .helpOption('-h, --help', 'print this help')
    .option(...pepper)
    .action(async (options) => {
      const { hashKey } = await import('./key.ts')
      done(await hashKey(options, terminal))
    })

  addRules(
    verb('rules', 'WAF rules: import, lint, test, explain, diff, stats, tune', [
      'rules import crs --from ./coreruleset --out rules/crs.json',
      'rules lint rules/own.json --config meridian.json',
      'rules test',
      "rules explain GET 'https://example.com/?q=<script>' --rules managed",
      'rules diff --config meridian.json --with changed.json requests.ndjson',
      'rules tune access.log --min 20',
    ]),
    terminal,
    done,
  )

  addAnalytics(
    verb('analytics', 'what was asked: top, errors, geo, blocked, cost', ANALYTICS_EXAMPLES),
    terminal,
    done,
  )

  const adapt = verb('adapt', 'make a config out of the configuration of something else', [
    'adapt gateway-api gateway.yaml routes.yaml --out meridian.json',
    'kubectl get gateway,httproute,referencegrant -A -o yaml | meridian adapt gateway-api -',
  ])
  adapt
    .command('gateway-api <file...>')
    .description('Kubernetes Gateway API: Gateway, HTTPRoute and ReferenceGrant; - reads the input')
    .helpOption('-h, --help', 'print this help')
    .option('-o, --out <file>', 'write it there instead of printing it')
    .option(
      '--certificates <folder>',
      'where Secrets will be, as NAMESPACE/NAME/tls.crt',
      './certs',
    )
    .option('--cluster-domain <suffix>', 'suffix of service names', 'cluster.local')
    .option('--skip-unsupported', 'leave out what has no counterpart, with a warning for each')
    .action(async (files, options) => {
      const { adaptGatewayApiFiles } = await import('./adapt.ts')
      done(await adaptGatewayApiFiles(files, options, terminal))
    })

  verb('schema', 'print the JSON Schema of the config', ['schema > meridian.schema.json']).action(
    async () => {
      const { schema } = await import('./schema.ts')
      done(await schema(terminal))
    },
  )

  verb('init [file]', `write a commented config to start from (default: ${CONFIG_DEFAULT})`, [
    'init',
    'init gateway.json',
    'init gateway.json --force',
  ])
    .option('-f, --force', 'replace the file if it is there')
    .action(async (file, options) => {
      const { init } = await import('./init.ts')
      done(await init(file ?? CONFIG_DEFAULT, options, terminal))
    })

  return program
}

function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value]
}

/** The file is ours and ships with the package; it stands two folders up from source and build alike. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const { version } = JSON.parse(text) as { version: string }
  return version
}
