// Package app puts the stacks together from a configuration and owns their life:
// start, reload, drain, stop. It holds no rule of its own; it is where inbound,
// outbound, policy, discovery and telemetry meet.
//
//	ingress := app.New(app.Options{Load: load, Log: log})
//	err := ingress.Run(ctx, first) // until ctx ends, then drains
//
// Everything that is built from one version of the configuration is a generation. A
// reload builds the next one whole, takes over from the last one what has not
// changed, and swaps a single pointer.
package app
