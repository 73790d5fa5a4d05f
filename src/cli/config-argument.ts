/** The `--config` option that several verbs share. */

export const CONFIG_DEFAULT = 'meridian.json'
export const CONFIG_FLAG = '-c, --config <file>'
export const CONFIG_HELP = 'the config file'
