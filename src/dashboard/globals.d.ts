/** Put in by the build: the land's file beside the page. */
declare const LAND_FILE: string

declare module '*.css'
