// Command bench measures this proxy beside others, on the machine that it runs on.
//
// It starts an origin, the proxies and a load generator, all on loopback and each
// ended by its own process id: every proxy has one core (two in one case), the load
// and the origin have the other. The proxies take turns in rounds, so that what
// disturbs the machine disturbs all of them, and what counts is the ratio of two
// figures of the same round. An answer that is not 200, or not as long as it should
// be, ends the run: a proxy that fails fast is not fast.
//
//	go run ./integration/bench -quick
//	go run ./integration/bench -cases c64,post -rounds 5 -duration 2s -out result.json
//
// It never measures over a network, never loads anything that it has not started, and
// leaves neither processes nor files behind, except those that -out and -profile name.
package main
