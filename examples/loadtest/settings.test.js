'use strict'
const assert = require('node:assert')
const { test } = require('node:test')
const { settings, verdict } = require('./settings.js')

test('the guide\'s values', () => {
  assert.deepStrictEqual(settings([]), { url: 'http://127.0.0.1:8080', duration: 30, connections: 100, pipelining: 1, demo: '' })
})

test('this machine only', () => {
  for (const [url, want] of [
    ['http://localhost:8080/x', 'http://127.0.0.1:8080'],
    ['http://127.0.0.2:1', 'http://127.0.0.2:1'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
    ['http://0x7f.1:8080', 'http://127.0.0.1:8080']
  ]) assert.strictEqual(settings(['--url', url]).url, want)
  for (const url of [
    'http://example.com', 'http://10.0.0.1', 'http://127.0.0.1.example.com', 'http://127.0.0.1@example.com',
    'http://localhost.example.com', 'http://0.0.0.0', 'http://[::]', 'http://[::ffff:10.0.0.1]', 'http://2130706434000'
  ]) assert.throws(() => settings(['--url', url]), /is not on this machine|want a URL/, url)
  assert.throws(() => settings(['--url', 'https://127.0.0.1']), /want http/)
})

test('bounded', () => {
  for (const args of [
    ['--duration', '0'], ['--duration', '3600'], ['--connections', '501'], ['--connections', '1.5'],
    ['--pipelining', 'many'], ['--duration'], ['--durations', '1'], ['1', '2'], ['--__proto__', '1']
  ]) assert.throws(() => settings(args), /want a whole number|missing|no such option/, args.join(' '))
})

test('what is well', () => {
  const result = (stats, errors = 0) => ({
    statusCodeStats: Object.fromEntries(Object.entries(stats).map(([k, count]) => [k, { count }])), errors, timeouts: 0
  })
  for (const [r, ok] of [
    [result({ 200: 9 }), true],
    [result({ 200: 1, 304: 1, 429: 9000 }), true],
    [result({ 429: 9 }), false],
    [result({ 200: 9, 401: 1 }), false],
    [result({ 200: 9, 503: 1 }), false],
    [result({ 200: 9 }, 1), false],
    [result({}), false]
  ]) assert.strictEqual(verdict(r).ok, ok, JSON.stringify(r))
})
