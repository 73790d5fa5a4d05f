/**
 * Names of HTML, SVG and MathML by what they can do: elements that load or run, event handlers,
 * attributes that hold URLs. From the HTML Living Standard, SVG 2 and browsers' documentation.
 */

/** How bad a bare start tag is, 0 to 100; its attributes may add. */
const TAGS = new Map<string, number>()
for (const [score, names] of [
  [94, 'script'],
  [88, 'iframe applet xss isindex bgsound ilayer layer vmlframe frameset frame'],
  [86, 'object embed base portal fencedframe'],
  [82, 'meta animate animatetransform animatemotion set handler listener foreignobject'],
  [60, 'svg style link xml import math noscript'],
  [30, 'form input button textarea select keygen marquee body html head title template'],
] as const) {
  for (const name of names.split(' ')) TAGS.set(name, score)
}

/** Score of an element name in lower case; a namespace prefix (`x:script`) does not hide it. */
export function tagScore(name: string): number {
  const colon = name.lastIndexOf(':')
  const local = colon < 0 ? name : name.slice(colon + 1)
  const score = TAGS.get(local)
  if (score !== undefined) return score
  if (local.startsWith('script')) return 80
  return local.startsWith('xsl') && colon < 0 && local.length > 3 ? 60 : 0
}

const EVENTS = new Set(
  (
    'abort afterprint afterscriptexecute animationcancel animationend animationiteration animationstart ' +
    'auxclick beforecopy beforecut beforeinput beforematch beforepaste beforeprint beforescriptexecute beforetoggle beforeunload ' +
    'begin blur bounce cancel canplay canplaythrough change click close command contentvisibilityautostatechange ' +
    'contextlost contextmenu contextrestored copy cuechange cut dblclick drag dragend dragenter dragexit dragleave ' +
    'dragover dragstart drop durationchange emptied end ended error fencedtreeclick filterchange finish focus focusin ' +
    'focusout formdata fullscreenchange fullscreenerror gesturechange gestureend gesturestart gotpointercapture ' +
    'hashchange input invalid keydown keypress keyup languagechange load loadeddata loadedmetadata loadend loadstart ' +
    'lostpointercapture message messageerror mousedown mouseenter mouseleave mousemove mouseout mouseover mouseup ' +
    'mousewheel move offline online orientationchange pagehide pagereveal pageshow pageswap paste pause play playing ' +
    'pointercancel pointerdown pointerenter pointerleave pointermove pointerout pointerover pointerrawupdate pointerup ' +
    'popstate progress propertychange promptaction promptdismiss ratechange readystatechange rejectionhandled repeat reset resize scroll ' +
    'scrollend scrollsnapchange scrollsnapchanging search securitypolicyviolation seeked seeking select selectionchange selectstart show ' +
    'slotchange stalled start storage submit suspend timeupdate toggle touchcancel touchend touchmove touchstart ' +
    'transitioncancel transitionend transitionrun transitionstart unhandledrejection unload volumechange waiting ' +
    'webkitanimationend webkitanimationiteration webkitanimationstart webkitfullscreenchange webkitmouseforcechanged ' +
    'webkitplaybacktargetavailabilitychanged webkitpresentationmodechanged webkittransitionend webkitwillrevealbottom wheel ' +
    'activate deactivate beforeactivate beforedeactivate beforeeditfocus afterupdate beforeupdate cellchange controlselect ' +
    'dataavailable datasetchanged datasetcomplete errorupdate help layoutcomplete losecapture mediacomplete mediaerror ' +
    'moveend movestart outofsync resizeend resizestart resume reverse rowdelete rowenter rowexit rowinserted rowsdelete ' +
    'seeksegmenttime stop syncrestored timeerror trackchange urlflip zoom'
  ).split(' '),
)

/** 2: an event handler of some browser; 1: looks like one; 0: no. `name` is lower case. */
export function eventRank(name: string): 0 | 1 | 2 {
  if (!name.startsWith('on') || name.length < 5) return 0
  if (EVENTS.has(name.slice(2))) return 2
  for (let i = 2; i < name.length; i++) {
    const c = name.charCodeAt(i)
    if (c < 97 || c > 122) return 0
  }
  return 1
}

const URL_ATTRIBUTES = new Set(
  'href src action formaction xlink:href data poster background dynsrc lowsrc codebase cite classid manifest from to by values url content folder longdesc usemap profile archive icon ping srcset'.split(
    ' ',
  ),
)

export function holdsUrl(name: string): boolean {
  return URL_ATTRIBUTES.has(name)
}
