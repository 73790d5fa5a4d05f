/** The version of this package; a test compares it with package.json, which bundles do not have. */
export const VERSION = '0.1.0'
