'use strict'
// The guide's load test. See usage in settings.js.

const autocannon = require('autocannon')
const { start } = require('./demo.js')
const { settings, usage, verdict } = require('./settings.js')

async function main (args) {
  if (args.includes('--help')) {
    console.log(usage)
    return 0
  }
  const s = settings(args)
  const stop = await start(s.demo, s.url)
  const interrupted = () => stop().finally(() => process.exit(130))
  process.once('SIGINT', interrupted)
  process.once('SIGTERM', interrupted)
  try {
    const result = await autocannon({
      url: s.url,
      connections: s.connections,
      pipelining: s.pipelining,
      duration: s.duration,
      requests: [{ method: 'GET', path: '/api/users', headers: { authorization: 'Bearer test-token' } }]
    })
    const { ok, text } = verdict(result)
    console.log(autocannon.printResult(result))
    console.log(text)
    return ok ? 0 : 1
  } finally {
    await stop()
  }
}

main(process.argv.slice(2)).then(
  (code) => { process.exitCode = code },
  (err) => { console.error(err.message); process.exitCode = 1 }
)
