'use strict'
// What a run may be: on this machine only, and bounded in time and connections.

const bounds = { duration: [1, 120], connections: [1, 500], pipelining: [1, 10] }

const usage = `usage: node loadtest.js [--url URL] [--duration SECONDS] [--connections N] [--pipelining N] [--demo SIDECAR]

Sends GET /api/users with the demo's token, as the guide's load test does, and prints what
came back. --demo runs that binary's demo for as long as the test takes, unless something
answers at the URL already. Answers of 429 are the rate limit at work; any other below 200
or above 399, and any failed connection, makes the exit code 1.`

// loopback returns the URL's origin, and refuses hosts that are not this machine.
function loopback (text) {
  let url
  try {
    url = new URL(text)
  } catch {
    throw new Error(`--url ${text}: want a URL, as http://127.0.0.1:8080`)
  }
  if (url.protocol !== 'http:') throw new Error(`--url ${text}: want http`)
  // URL has made any spelling of an IPv4 address plain: 0x7f.1 is 127.0.0.1 here.
  if (url.hostname === 'localhost') url.hostname = '127.0.0.1' // whatever a hosts file says
  if (!/^127\.\d+\.\d+\.\d+$/.test(url.hostname) && url.hostname !== '[::1]') {
    throw new Error(`--url ${text}: is not on this machine: a load test is for your own, want 127.0.0.1`)
  }
  return url.origin
}

// settings reads the command line.
function settings (args) {
  const s = { url: 'http://127.0.0.1:8080', duration: 30, connections: 100, pipelining: 1, demo: '' }
  for (let i = 0; i < args.length; i += 2) {
    const name = args[i].replace(/^--/, '')
    const value = args[i + 1]
    if (!args[i].startsWith('--') || !Object.hasOwn(s, name)) throw new Error(`${args[i]}: there is no such option\n\n${usage}`)
    if (value === undefined) throw new Error(`${args[i]}: its value is missing`)
    if (!Object.hasOwn(bounds, name)) {
      s[name] = value
      continue
    }
    const [least, most] = bounds[name]
    s[name] = Number(value)
    if (!Number.isInteger(s[name]) || s[name] < least || s[name] > most) {
      throw new Error(`${args[i]} ${value}: want a whole number from ${least} to ${most}`)
    }
  }
  s.url = loopback(s.url)
  return s
}

// verdict says in a few lines what came back, and whether that is well.
function verdict (result) {
  const counts = Object.entries(result.statusCodeStats).map(([status, { count }]) => [Number(status), count])
  const sum = (wanted) => counts.reduce((all, [status, count]) => all + (wanted(status) ? count : 0), 0)
  const answered = sum((s) => s >= 200 && s < 400)
  const wrong = sum((s) => s < 200 || s >= 400 && s !== 429)
  const lines = counts.map(([status, count]) => `  ${status}  ${count}`)
  lines.push(`  failed connections  ${result.errors} (of these timeouts: ${result.timeouts})`)
  const limited = sum((s) => s === 429)
  if (limited > 9 * answered) {
    lines.push('nearly all met the rate limit: a higher rate_limiting.default shows what lies behind it')
  }
  if (wrong > 0) lines.push(`${wrong} answers are neither 2xx, 3xx nor 429`)
  if (result.errors > 0) lines.push(`${result.errors} requests got no answer`)
  if (answered === 0) lines.push('not one request was served')
  return { ok: wrong === 0 && result.errors === 0 && answered > 0, text: lines.join('\n') }
}

module.exports = { settings, usage, verdict }
