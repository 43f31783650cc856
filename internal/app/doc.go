// Package app puts the stacks together from a configuration and owns their life:
// start, reload, drain, stop. It holds no rule of its own; it is where inbound,
// outbound, policy, discovery and telemetry meet.
//
//	proxy := app.New(app.Options{Load: load, Log: log})
//	err := proxy.Run(ctx, first) // until ctx ends, then drains
//
// A Proxy is the ingress or a sidecar: the configuration says which. Each address that
// requests come in by is an entrance, with a door of its own (internal/door); which
// there are never changes.
//
// Everything that is built from one version of the configuration is a generation: a
// handler for each entrance, and the services, limiters and stores behind them. A
// reload builds the next one whole, takes over from the last one what has not changed,
// and swaps a single pointer. What is replaced ends when its last request has.
//
// A Registry is where services are found and where a sidecar makes its own known:
// Consul, or [Memory] for several proxies of one process. The place there, the
// enrolment, outlives generations: a reload changes what is said of the instance, and
// only leaving and draining end it. What is not declared, a finder looks for there by
// its name.
package app
