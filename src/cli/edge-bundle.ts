/**
 * Builds a Worker for a config. The config is checked here, where there is time, and goes in as data; the code
 * goes in as modules, so that an isolate loads what it needs. The bundler is esbuild, which wrangler brings.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import type * as Esbuild from 'esbuild'
import { checkAhead } from '../config/check-ahead.ts'
import { parseDocument } from '../config/document.ts'
import { ConfigError } from '../config/errors.ts'
import { filesIn } from '../config/files.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { ConfigSchema } from '../config/schema.ts'
import { createEnvironment } from '../expression/expression.ts'
import { List } from '../expression/lists.ts'
import { ConfigFileError } from '../runtimes/node/config-file.ts'
import { builtInRuleset } from '../runtimes/node/rulesets.ts'
import { checkCapabilities } from '../runtimes/web/capabilities.ts'
import { VERSION } from '../runtimes/web/version.ts'
import { WORKERS_CAPABILITIES } from '../runtimes/workers/edge-capabilities.ts'
import { scoreSubject } from '../waf/detect/score-subject.ts'
import { DETECTORS } from '../waf/detectors.ts'
import { Waf } from '../waf/waf.ts'
import { withoutTests, withoutUnused } from './edge-rules.ts'
import { withoutDescriptions } from './edge-shrink.ts'
import { CommandError } from './terminal.ts'

/** Sections whose files a Worker uses. What others name (certificates, keys of servers) stays here. */
const SECTIONS_WITH_FILES: ReadonlySet<unknown> = new Set(['waf', 'iam', 'lists'])

/** What a Worker is built from. */
export interface EdgeParts {
  readonly config: string
  readonly checked: ReturnType<typeof checkAhead>
  readonly files: Readonly<Record<string, string>>
  readonly rulesets: Readonly<Record<string, string>>
}

export interface EdgeModule {
  readonly name: string
  /** When an isolate loads it: at its start, with the first request, or when something needs it. */
  readonly when: 'start' | 'request' | 'need'
  readonly isCode: boolean
  readonly bytes: number
  readonly gzipBytes: number
}

/**
 * Reads a config and what it names, and checks all of it for Workers: the rules' own tests too.
 * @param path of the config file
 * @throws ConfigError with every problem, ConfigFileError when it is not there
 */
export async function readForEdge(
  path: string,
): Promise<{ parts: EdgeParts; loaded: LoadedConfig; warnings: string[] }> {
  const config = await readNamed(path)
  if (config === undefined) throw new ConfigFileError(path, `${path} is not there`)
  const needed = filesNeeded(config)
  const loaded = await loadConfig(config, {
    file: path,
    readFile: (file) => (needed.has(file) ? readNamed(resolve(dirname(path), file)) : ''),
  })
  const collector = loaded.report()
  const { report } = collector
  const warnings = checkCapabilities(loaded.config, WORKERS_CAPABILITIES, report)
  const checked = checkAhead(config, loaded, VERSION)
  for (const { ref, path: place } of checked.secrets) {
    if ('env' in ref) continue
    const hint = 'name a binding, {"env": "NAME"}, and set it with `npx wrangler secret put NAME`'
    report(place, 'a Worker has no files: its secrets are bindings', hint)
  }
  const waf = compileRules(loaded, report)
  collector.throwIfAny()
  warnings.push(...(waf?.warnings ?? []))
  const files = Object.fromEntries(
    [...loaded.files]
      .filter(([file]) => needed.has(file))
      .map(([file, text]) => [
        file,
        waf === undefined ? text : withoutUnused(text, loaded.config, waf),
      ]),
  )
  return { parts: { config, checked, files, rulesets: rulesetsOf(loaded) }, loaded, warnings }
}

function filesNeeded(config: string): ReadonlySet<string> {
  const parsed = parseDocument(config)
  if ('problems' in parsed) return new Set()
  return new Set(
    filesIn(ConfigSchema, parsed.document.value)
      .filter(({ path: [section] }) => SECTIONS_WITH_FILES.has(section))
      .map(({ file }) => file),
  )
}

async function readNamed(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The WAF of the config. It runs the tests of the rules; a Worker does not run them again. */
function compileRules(
  { config, lists, files }: LoadedConfig,
  report: ReturnType<LoadedConfig['report']>['report'],
): Waf | undefined {
  if (config.waf.mode === 'off') return undefined
  const environment = createEnvironment({
    lists: new Map([...lists].map(([name, { type, values }]) => [name, new List(type, values)])),
  })
  return new Waf(
    config.waf,
    config.routes.map((route) => route.waf),
    { environment, detectors: DETECTORS, builtIn: builtInRuleset, files, score: scoreSubject },
    report,
  )
}

function rulesetsOf({ config }: LoadedConfig): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const entry of config.waf.rulesets) {
    const name = typeof entry === 'string' ? entry : 'name' in entry ? entry.name : undefined
    const text = name === undefined ? undefined : builtInRuleset(name)
    // As data: layout and the tests that have just held say nothing to a Worker.
    if (name !== undefined && text !== undefined) texts[name] = withoutTests(text)
  }
  return texts
}

const BUNDLE = 'meridian:bundle'

/**
 * Writes the modules of a Worker; `worker.js` is the one that wrangler is told of.
 * @param out folder; emptied first, if it holds an earlier build
 * @throws CommandError when it holds anything else, ConfigError when there is no esbuild
 */
export async function buildEdge(parts: EdgeParts, out: string): Promise<readonly EdgeModule[]> {
  await refuseOthers(out)
  const { build } = await bundler()
  const worker = fileURLToPath(new URL('../runtimes/workers/worker.js', import.meta.url))
  const openId = fileURLToPath(new URL('../runtimes/web/openid.js', import.meta.url))
  const hasLogin = parts.checked.config.iam?.login !== undefined
  const { metafile, outputFiles } = await build({
    stdin: {
      contents: `import { createWorker } from ${JSON.stringify(worker)}
        export { CounterShard, HealthProber, NoticeBoard } from ${JSON.stringify(worker)}
        export default createWorker(async () => (await import('${BUNDLE}')).default)`,
      resolveDir: process.cwd(),
      sourcefile: 'worker.js',
    },
    plugins: [
      {
        name: 'meridian',
        setup(plugins) {
          plugins.onResolve({ filter: /^meridian:bundle$/ }, () => ({
            path: 'config',
            namespace: BUNDLE,
          }))
          plugins.onLoad({ filter: /.*/, namespace: BUNDLE }, () => ({
            contents: bundleModule(parts, hasLogin ? openId : undefined),
            resolveDir: process.cwd(),
          }))
          plugins.onLoad({ filter: /[\\/]config[\\/].*\.js$/ }, async ({ path }) =>
            path.startsWith(resolve(dirname(worker), '../../config'))
              ? { contents: withoutDescriptions(await readFile(path, 'utf8')) }
              : undefined,
          )
        },
      },
    ],
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    metafile: true,
    sourcemap: 'linked',
    legalComments: 'linked',
    format: 'esm',
    target: 'es2024',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'import'],
    external: ['node:*', 'cloudflare:*'],
    outdir: out,
    entryNames: 'worker',
    chunkNames: '[name]-[hash]',
    logLevel: 'silent',
  })
  await rm(out, { recursive: true, force: true })
  await mkdir(out, { recursive: true })
  for (const { path, contents } of outputFiles) await writeFile(path, contents)
  const whens = loadedWhen(metafile)
  return outputFiles
    .filter(({ path }) => path.endsWith('.js'))
    .map(({ path, contents }): EdgeModule => {
      const found = whens.get(relative(process.cwd(), path)) ?? 'need'
      return {
        name: basename(path),
        when: found,
        isCode: !basename(path).startsWith('config-'),
        bytes: contents.length,
        gzipBytes: gzipSync(contents, { level: 9 }).length,
      }
    })
    .sort((a, b) => b.gzipBytes - a.gzipBytes)
}

/** Texts as string literals, which are read faster than code; the checked config is read from one too. */
function bundleModule(
  { config, checked, files, rulesets }: EdgeParts,
  openId: string | undefined,
): string {
  const literal = (text: string) => JSON.stringify(text)
  const texts = (of: Readonly<Record<string, string>>) =>
    `{${Object.entries(of).map(([name, text]) => `[${literal(name)}]: ${literal(text)}`)}}`
  return `${openId === undefined ? '' : `import { openId } from ${literal(openId)}`}
    export default {
      config: ${literal(config)},
      checked: JSON.parse(${literal(JSON.stringify(checked))}),
      files: ${texts(files)},
      rulesets: ${texts(rulesets)},
      ${openId === undefined ? '' : 'openId,'}
    }`
}

/** Emptying the wrong folder cannot be taken back. */
async function refuseOthers(out: string): Promise<void> {
  const names = await readdir(out).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const isOurs = (name: string) => /\.js(\.map|\.LEGAL\.txt)?$/.test(name)
  if (names.length === 0 || (names.includes('worker.js') && names.every(isOurs))) return
  throw new CommandError(
    `${out} holds other things than an earlier build, and would be emptied`,
    'name a folder of its own with --out',
  )
}

/** What is imported by what: at the start, by the first request, later. */
function loadedWhen({ outputs }: Esbuild.Metafile): Map<string, EdgeModule['when']> {
  const found = new Map<string, EdgeModule['when']>()
  const later: string[] = []
  const take = (name: string, when: EdgeModule['when']) => {
    if (found.has(name)) return
    found.set(name, when)
    for (const { path, kind, external } of outputs[name]?.imports ?? []) {
      if (external === true) continue
      if (kind === 'import-statement') take(path, when)
      else if (when === 'start') later.push(path)
    }
  }
  const entry = Object.keys(outputs).find((name) => basename(name) === 'worker.js')
  if (entry !== undefined) take(entry, 'start')
  // The control paths are asked by operators alone.
  for (const name of later) if (!basename(name).startsWith('control-')) take(name, 'request')
  return found
}

/** esbuild as the project has it, or as its wrangler does. */
async function bundler(): Promise<typeof Esbuild> {
  const here = createRequire(join(process.cwd(), 'package.json'))
  for (const find of [
    () => here.resolve('esbuild'),
    () => createRequire(here.resolve('wrangler/package.json')).resolve('esbuild'),
  ]) {
    let path: string
    try {
      path = find()
    } catch {
      continue
    }
    return (await import(pathToFileURL(path).href)) as typeof Esbuild
  }
  throw new ConfigError([
    {
      path: '',
      message: 'esbuild is not installed here, and without it nothing can be bundled',
      hint: 'npm install --save-dev wrangler, which brings it',
    },
  ])
}
