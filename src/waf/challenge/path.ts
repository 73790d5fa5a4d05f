/** Where answers to challenges are posted; no request for it reaches a route. */
export const CHALLENGE_PATH = '/.meridian/challenge'
