// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get out
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g

/** A client chose the text; it must not steer the terminal. */
export function printable(text: string): string {
  return text.replace(CONTROLS, '?')
}
