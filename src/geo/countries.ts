/**
 * What a country code stands for: continent, membership of the European Union, and where its addresses
 * are on the whole. Codes are ISO 3166-1 alpha-2 and XK (Kosovo, user-assigned but in every database).
 * This table decides, not the flags of a database: old files still count the United Kingdom as a member.
 */
import { CENTROIDS } from './centroids.ts'

/** When the facts below were last checked against their sources. */
export const COUNTRIES_VERSION = '2026-11'

/** Continents as GeoNames groups them, which is what the common databases follow. */
const CONTINENTS: Readonly<Record<string, string>> = {
  AF: 'AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW',
  AN: 'AQ BV GS HM TF',
  AS: 'AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE',
  EU: 'AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK',
  NA: 'AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT US VC VG VI',
  OC: 'AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS',
  SA: 'AR BO BR CL CO EC FK GF GY PE PY SR UY VE',
}

/** The 27 member states since 1 February 2020 (Treaty on European Union, Article 52). */
const EU_MEMBERS =
  'AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK'
/**
 * Parts of member states with codes of their own where Union law applies (TFEU Articles 349 and 355(1)
 * and (4)): the outermost regions and Åland. Greenland, Aruba, French Polynesia and their like are
 * associated territories (Article 355(2)) and are not in it.
 */
const EU_TERRITORIES = 'AX GF GP MF MQ RE YT'

export interface Country {
  /** ISO 3166-1 alpha-2. */
  readonly code: string
  readonly continent: string
  readonly isEuropeanUnion: boolean
  /** Degrees: the point with the least mean distance to the country's addresses. */
  readonly latitude: number
  readonly longitude: number
}

function buildTable(): ReadonlyMap<string, Country> {
  const union = new Set(`${EU_MEMBERS} ${EU_TERRITORIES}`.split(' '))
  const places = new Map<string, readonly [number, number]>()
  for (const entry of CENTROIDS.trim().split(/;\s*/)) {
    const [code, latitude, longitude] = entry.split(' ') as [string, string, string]
    places.set(code, [Number(latitude), Number(longitude)])
  }
  const table = new Map<string, Country>()
  for (const continent of Object.keys(CONTINENTS)) {
    for (const code of (CONTINENTS[continent] as string).split(' ')) {
      const [latitude, longitude] = places.get(code) ?? [Number.NaN, Number.NaN]
      const isEuropeanUnion = union.has(code)
      table.set(code, Object.freeze({ code, continent, isEuropeanUnion, latitude, longitude }))
    }
  }
  return table
}

/** By code, upper case. */
export const COUNTRIES: ReadonlyMap<string, Country> = buildTable()

/** @returns undefined for anything that is no country: `T1` (Tor), `XX`, `EU`, `AP`, lower case. */
export function countryOf(code: string): Country | undefined {
  return COUNTRIES.get(code)
}
