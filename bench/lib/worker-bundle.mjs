/** How the start-up measurements bundle for a Worker: as it is deployed, minified. */
import { build } from 'esbuild'

const OPTIONS = {
  bundle: true,
  minify: true,
  write: false,
  format: 'esm',
  target: 'es2024',
  platform: 'neutral',
  mainFields: ['module', 'main'],
  conditions: ['workerd', 'worker', 'import'],
  external: ['node:*'],
  loader: { '.json': 'text' },
  logLevel: 'silent',
}

/**
 * @param input esbuild's options for the entry
 * @param plugins for modules that are no files
 * @returns the bundle's bytes
 */
export async function workerBundle(input, plugins = []) {
  const built = await build({ ...OPTIONS, ...input, plugins })
  return built.outputFiles[0].contents
}
