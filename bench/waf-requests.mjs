/** Twenty ordinary requests, as a shop, an API and a blog get them; for the WAF's benchmark and its growth test. */

const BROWSER =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36'
const PAGE = [
  ['Host', 'shop.example.com'],
  ['User-Agent', BROWSER],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8'],
  ['Accept-Language', 'de-DE,de;q=0.9,en;q=0.8'],
  ['Accept-Encoding', 'gzip, deflate, br'],
  ['Referer', 'https://shop.example.com/catalogue/shoes'],
  ['Cookie', 'sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=analytics.marketing'],
  ['Connection', 'keep-alive'],
]
const API = [
  ['Host', 'api.example.com'],
  ['User-Agent', 'shop-app/5.4.1 (iPhone; iOS 17.5)'],
  ['Accept', 'application/json'],
  ['Authorization', 'Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1LTEyMyIsImV4cCI6MTc5OTk5OTk5OX0.c2ln'],
]

const PARAGRAPHS = [
  'The harbour wakes before the town does. By five the first boats are in, and the women who sort the catch have already lit the lamps along the quay.',
  'What makes a good index is not how many entries it has, but whether a reader who half remembers a phrase can find the page. We select terms from the text, drop the common ones, and order the rest.',
  'In the union of the two lists there were nine names that nobody could explain; the group by the window insisted that they had been added later, from an older register.',
  'A letter from 1907 says: "Do not insert the plates into the frame until the varnish is dry, or it will all be to do again." Somebody underlined the last words twice.',
  'Prices rose by 4% in March and fell again (by 3.5%) in May; between the two dates, orders where the amount was less than 50 euros nearly doubled.',
]

function article(bytes) {
  let text = ''
  for (let i = 0; text.length < bytes; i++) text += `${PARAGRAPHS[i % PARAGRAPHS.length]}\n\n`
  return text.slice(0, bytes)
}

function request(kind, method, target, headers, body = '', type = '') {
  const all = [...headers]
  if (body !== '') all.push(['Content-Type', type], ['Content-Length', String(body.length)])
  return { kind, method, target, headers: all.flat(), body }
}

const FORM = 'application/x-www-form-urlencoded'
const JSON_TYPE = 'application/json'

function form(fields) {
  return new URLSearchParams(fields).toString()
}

function multipart(boundary, parts) {
  const body = parts.map(({ name, file, type, content }) => {
    const disposition = `form-data; name="${name}"${file === undefined ? '' : `; filename="${file}"`}`
    const typeLine = type === undefined ? '' : `Content-Type: ${type}\r\n`
    return `--${boundary}\r\nContent-Disposition: ${disposition}\r\n${typeLine}\r\n${content}\r\n`
  })
  return `${body.join('')}--${boundary}--\r\n`
}

export const REQUESTS = [
  request('home', 'GET', '/', PAGE),
  request('static', 'GET', '/assets/app.4f1c9e2b.js', PAGE),
  request('image', 'GET', '/img/products/1042/large.webp?v=3', PAGE),
  request('search', 'GET', '/search?q=waterproof+hiking+boots&size=42&sort=price_asc&page=2', PAGE),
  request('search', 'GET', '/suche?q=Gr%C3%B6%C3%9Fe+42+%26+wasserdicht', PAGE),
  request('product', 'GET', '/p/1042/trail-runner?color=blue&ref=newsletter-2026-03', PAGE),
  request(
    'login',
    'POST',
    '/login',
    PAGE,
    form({ email: 'jane.doe@example.com', password: 'correct horse battery', next: '/account' }),
    FORM,
  ),
  request(
    'form',
    'POST',
    '/contact',
    PAGE,
    form({
      name: "Sinéad O'Connor",
      subject: 'Order 4711: wrong size',
      message: `Hello,\nI ordered two pairs (42 and 43) and got 42 twice. ${PARAGRAPHS[3]}\nThanks!`,
    }),
    FORM,
  ),
  request(
    'checkout',
    'POST',
    '/checkout/address',
    PAGE,
    form({
      street: 'Lange Straße 12',
      zip: '20095',
      city: 'Hamburg',
      country: 'DE',
      phone: '+49 40 1234567',
      note: 'ring twice & leave with neighbour',
    }),
    FORM,
  ),
  request(
    'json order',
    'POST',
    '/v1/orders',
    API,
    JSON.stringify({
      customer: 'u-123',
      currency: 'EUR',
      items: Array.from({ length: 12 }, (_, i) => ({
        sku: `TR-${1000 + i}-BL`,
        quantity: 1 + (i % 3),
        price: 4999 + i * 100,
        name: `Trail Runner ${i}`,
      })),
      shipping: { method: 'standard', address: { city: 'Hamburg', zip: '20095' } },
    }),
    JSON_TYPE,
  ),
  request('json get', 'GET', '/v1/orders?status=open&limit=50&cursor=eyJpZCI6MTA0Mn0', API),
  request(
    'json patch',
    'PATCH',
    '/v1/profile',
    API,
    JSON.stringify({ name: 'Jane Doe', bio: PARAGRAPHS[0], newsletter: true, age: 34 }),
    JSON_TYPE,
  ),
  request(
    'graphql',
    'POST',
    '/graphql',
    API,
    JSON.stringify({
      operationName: 'Products',
      query:
        'query Products($first: Int!, $after: String) { products(first: $first, after: $after) { edges { node { id name price { amount currency } images(first: 2) { url } } } pageInfo { endCursor hasNextPage } } }',
      variables: { first: 24, after: 'Y3Vyc29yOjQy' },
    }),
    JSON_TYPE,
  ),
  request(
    'multipart',
    'POST',
    '/upload',
    PAGE,
    multipart('----WebKitFormBoundaryx7Qp2', [
      { name: 'title', content: 'Holiday photos' },
      { name: 'album', content: '2026' },
      { name: 'file', file: 'beach.jpg', type: 'image/jpeg', content: article(4096) },
    ]),
    'multipart/form-data; boundary=----WebKitFormBoundaryx7Qp2',
  ),
  request(
    'article',
    'POST',
    '/cms/articles',
    PAGE,
    JSON.stringify({ title: 'Before the town wakes', tags: ['sea', 'work'], body: article(7800) }),
    JSON_TYPE,
  ),
  request(
    'comment',
    'POST',
    '/blog/42/comments',
    PAGE,
    form({ author: 'Tom', text: `${PARAGRAPHS[1]} ${PARAGRAPHS[2]}` }),
    FORM,
  ),
  request(
    'telemetry',
    'POST',
    '/t',
    API,
    JSON.stringify({
      session: '8f14e45f',
      events: Array.from({ length: 20 }, (_, i) => ({ n: 'scroll', t: 1000 + i * 16, y: i * 40 })),
    }),
    JSON_TYPE,
  ),
  request(
    'oauth callback',
    'GET',
    '/oauth/callback?code=4%2F0AX4XfWh9k2&state=b64.eyJyIjoiL2FjY291bnQifQ&scope=openid%20email',
    PAGE,
  ),
  request('health', 'GET', '/healthz', [
    ['Host', 'shop.example.com'],
    ['User-Agent', 'kube-probe/1.30'],
    ['Accept', '*/*'],
  ]),
  request('feed', 'GET', '/feed.xml', PAGE),
]
