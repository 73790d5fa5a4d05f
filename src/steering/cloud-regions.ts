/**
 * Regions of the large clouds, so that a config need not say where `eu-central-1` is: coordinates of the
 * city, and the country and legal area as tags. Two clouds may use one id for different places
 * (`eu-west-1` is Dublin at AWS and London, outside the EU, at Alibaba Cloud): such an id must name its
 * cloud. The same list for people is geo/regions.json; a test keeps the two equal.
 */

export interface CloudRegion {
  readonly cloud: string
  readonly id: string
  /** Degrees. */
  readonly latitude: number
  readonly longitude: number
  /** Country code, `EU` inside the European Union, `UK` in the United Kingdom. */
  readonly tags: readonly string[]
}

const TABLE = `
alibaba cn-hangzhou 30.27 120.16 CN
alibaba cn-shanghai 31.23 121.47 CN
alibaba cn-nanjing 32.06 118.8 CN
alibaba cn-fuzhou 26.07 119.3 CN
alibaba cn-wuhan-lr 30.59 114.31 CN
alibaba cn-qingdao 36.07 120.38 CN
alibaba cn-beijing 39.9 116.41 CN
alibaba cn-zhangjiakou 40.77 114.88 CN
alibaba cn-huhehaote 40.84 111.75 CN
alibaba cn-wulanchabu 41.0 113.13 CN
alibaba cn-shenzhen 22.54 114.06 CN
alibaba cn-heyuan 23.74 114.7 CN
alibaba cn-guangzhou 23.13 113.26 CN
alibaba cn-chengdu 30.57 104.07 CN
alibaba cn-zhengzhou-jva 34.75 113.63 CN
alibaba me-east-1 25.2 55.27 AE
alibaba cn-hongkong 22.32 114.17 HK
alibaba ap-northeast-1 35.68 139.69 JP
alibaba ap-northeast-2 37.57 126.98 KR
alibaba ap-southeast-1 1.35 103.82 SG
alibaba ap-southeast-3 3.14 101.69 MY
alibaba ap-southeast-8 1.49 103.74 MY
alibaba ap-southeast-5 -6.21 106.85 ID
alibaba ap-southeast-6 14.6 120.98 PH
alibaba ap-southeast-7 13.76 100.5 TH
alibaba us-west-1 37.39 -121.96 US
alibaba us-east-1 39.04 -77.49 US
alibaba us-southeast-1 33.75 -84.39 US
alibaba na-south-1 19.43 -99.13 MX
alibaba eu-central-1 50.11 8.68 DE,EU
alibaba eu-west-1 51.51 -0.13 GB,UK
alibaba me-central-1 24.71 46.68 SA
aws us-east-1 39.04 -77.49 US
aws us-east-2 39.96 -83.0 US
aws us-west-1 37.39 -121.96 US
aws us-west-2 45.84 -119.7 US
aws ca-central-1 45.5 -73.57 CA
aws ca-west-1 51.05 -114.07 CA
aws mx-central-1 20.59 -100.39 MX
aws sa-east-1 -23.55 -46.63 BR
aws eu-west-1 53.35 -6.26 IE,EU
aws eu-west-2 51.51 -0.13 GB,UK
aws eu-west-3 48.86 2.35 FR,EU
aws eu-central-1 50.11 8.68 DE,EU
aws eu-central-2 47.38 8.54 CH
aws eu-north-1 59.33 18.07 SE,EU
aws eu-south-1 45.46 9.19 IT,EU
aws eu-south-2 41.65 -0.89 ES,EU
aws me-south-1 26.23 50.59 BH
aws me-central-1 25.2 55.27 AE
aws il-central-1 32.08 34.78 IL
aws af-south-1 -33.92 18.42 ZA
aws ap-south-1 19.08 72.88 IN
aws ap-south-2 17.39 78.49 IN
aws ap-southeast-1 1.35 103.82 SG
aws ap-southeast-2 -33.87 151.21 AU
aws ap-southeast-3 -6.21 106.85 ID
aws ap-southeast-4 -37.81 144.96 AU
aws ap-southeast-5 3.14 101.69 MY
aws ap-southeast-7 13.76 100.5 TH
aws ap-east-1 22.32 114.17 HK
aws ap-east-2 25.03 121.57 TW
aws ap-northeast-1 35.68 139.69 JP
aws ap-northeast-2 37.57 126.98 KR
aws ap-northeast-3 34.69 135.5 JP
aws cn-north-1 39.9 116.41 CN
aws cn-northwest-1 37.51 105.19 CN
gcp us-central1 41.26 -95.86 US
gcp us-east1 33.2 -80.01 US
gcp us-east4 39.04 -77.49 US
gcp us-east5 39.96 -83.0 US
gcp us-south1 32.78 -96.8 US
gcp us-west1 45.59 -121.18 US
gcp us-west2 34.05 -118.24 US
gcp us-west3 40.76 -111.89 US
gcp us-west4 36.17 -115.14 US
gcp northamerica-northeast1 45.5 -73.57 CA
gcp northamerica-northeast2 43.65 -79.38 CA
gcp northamerica-south1 20.59 -100.39 MX
gcp southamerica-east1 -23.55 -46.63 BR
gcp southamerica-west1 -33.45 -70.67 CL
gcp europe-west1 50.45 3.82 BE,EU
gcp europe-west2 51.51 -0.13 GB,UK
gcp europe-west3 50.11 8.68 DE,EU
gcp europe-west4 53.44 6.83 NL,EU
gcp europe-west6 47.38 8.54 CH
gcp europe-west8 45.46 9.19 IT,EU
gcp europe-west9 48.86 2.35 FR,EU
gcp europe-west10 52.52 13.4 DE,EU
gcp europe-west12 45.07 7.69 IT,EU
gcp europe-central2 52.23 21.01 PL,EU
gcp europe-north1 60.57 27.2 FI,EU
gcp europe-north2 59.33 18.07 SE,EU
gcp europe-southwest1 40.42 -3.7 ES,EU
gcp me-west1 32.08 34.78 IL
gcp me-central1 25.29 51.53 QA
gcp me-central2 26.43 50.1 SA
gcp africa-south1 -26.2 28.05 ZA
gcp asia-east1 24.08 120.54 TW
gcp asia-east2 22.32 114.17 HK
gcp asia-northeast1 35.68 139.69 JP
gcp asia-northeast2 34.69 135.5 JP
gcp asia-northeast3 37.57 126.98 KR
gcp asia-south1 19.08 72.88 IN
gcp asia-south2 28.61 77.21 IN
gcp asia-southeast1 1.35 103.82 SG
gcp asia-southeast2 -6.21 106.85 ID
gcp australia-southeast1 -33.87 151.21 AU
gcp australia-southeast2 -37.81 144.96 AU
azure eastus 39.04 -77.49 US
azure eastus2 36.67 -78.39 US
azure centralus 41.59 -93.62 US
azure northcentralus 41.88 -87.63 US
azure southcentralus 29.42 -98.49 US
azure westus 37.78 -122.42 US
azure westus2 47.23 -119.85 US
azure westus3 33.45 -112.07 US
azure canadacentral 43.65 -79.38 CA
azure canadaeast 46.81 -71.21 CA
azure mexicocentral 20.59 -100.39 MX
azure brazilsouth -23.55 -46.63 BR
azure northeurope 53.35 -6.26 IE,EU
azure westeurope 52.37 4.9 NL,EU
azure uksouth 51.51 -0.13 GB,UK
azure ukwest 51.48 -3.18 GB,UK
azure francecentral 48.86 2.35 FR,EU
azure germanywestcentral 50.11 8.68 DE,EU
azure switzerlandnorth 47.38 8.54 CH
azure norwayeast 59.91 10.75 NO
azure swedencentral 60.67 17.14 SE,EU
azure polandcentral 52.23 21.01 PL,EU
azure italynorth 45.46 9.19 IT,EU
azure spaincentral 40.42 -3.7 ES,EU
azure uaenorth 25.2 55.27 AE
azure qatarcentral 25.29 51.53 QA
azure israelcentral 32.08 34.78 IL
azure southafricanorth -26.2 28.05 ZA
azure eastasia 22.32 114.17 HK
azure southeastasia 1.35 103.82 SG
azure indonesiacentral -6.21 106.85 ID
azure malaysiawest 3.14 101.69 MY
azure japaneast 35.68 139.69 JP
azure japanwest 34.69 135.5 JP
azure koreacentral 37.57 126.98 KR
azure centralindia 18.52 73.86 IN
azure southindia 13.08 80.27 IN
azure westindia 19.08 72.88 IN
azure australiaeast -33.87 151.21 AU
azure australiasoutheast -37.81 144.96 AU
azure newzealandnorth -36.85 174.76 NZ
`

export const CLOUD_REGIONS: readonly CloudRegion[] = TABLE.trim()
  .split('\n')
  .map((line) => {
    const [cloud, id, latitude, longitude, tags] = line.split(' ') as [
      string,
      string,
      string,
      string,
      string,
    ]
    return {
      cloud,
      id,
      latitude: Number(latitude),
      longitude: Number(longitude),
      tags: tags.split(','),
    }
  })

/** Two regions with one id count as the same place within this many degrees, if their tags agree. */
const SAME_PLACE_DEGREES = 1

/**
 * @param name `eu-central-1`, or with its cloud, `aws:eu-west-1`
 * @returns the region; `ambiguous` when clouds use the id for different places; undefined when none has it
 */
export function findCloudRegion(name: string): CloudRegion | 'ambiguous' | undefined {
  const colon = name.indexOf(':')
  const cloud = colon < 0 ? undefined : name.slice(0, colon)
  const id = name.slice(colon + 1)
  let found: CloudRegion | undefined
  for (const region of CLOUD_REGIONS) {
    if (region.id !== id || (cloud !== undefined && region.cloud !== cloud)) continue
    if (found !== undefined && !isSamePlace(found, region)) return 'ambiguous'
    found ??= region
  }
  return found
}

function isSamePlace(a: CloudRegion, b: CloudRegion): boolean {
  return (
    Math.abs(a.latitude - b.latitude) < SAME_PLACE_DEGREES &&
    Math.abs(a.longitude - b.longitude) < SAME_PLACE_DEGREES &&
    a.tags.join() === b.tags.join()
  )
}
