package app

import (
	"cmp"
	"context"
	"sync"
	"time"

	"outrider/internal/config"
	"outrider/internal/mesh"
	"outrider/internal/telemetry"
	"outrider/internal/tracecontext"
)

// tracing sends spans for as long as the proxy runs. Nil is off.
type tracing struct {
	spans  *telemetry.Spans
	handed *telemetry.Handed // what the app is answering; nil for an ingress, which has none
	close  func(by time.Time)
}

// openTracing begins to send spans, where the configuration says to whom. Nothing of it
// fails a start: a proxy that cannot tell is still one that serves.
func (p *Proxy) openTracing(cfg *config.Config) {
	if cfg.Tracing.Endpoint == "" {
		return
	}
	o := telemetry.SpanOptions{
		Endpoint: cfg.Tracing.Endpoint, Protocol: cfg.Tracing.Protocol,
		Service: "outrider-ingress", Instance: p.name, Version: p.o.Version, Log: p.log,
	}
	t := &tracing{}
	if s := cfg.Service; s != nil {
		o.Service, o.Instance = s.Name, cmp.Or(s.ID, p.name)
		t.handed = telemetry.NewHanded()
	}
	t.spans = p.tel.NewSpans(o)
	sending, stop := context.WithCancel(context.Background())
	limit, kill := context.WithCancel(context.Background())
	var sender sync.WaitGroup
	sender.Go(func() {
		if err := t.spans.Run(sending, limit); err != nil {
			p.log.Error("spans are not sent", "error", err.Error())
		}
	})
	t.close = func(by time.Time) {
		late := time.AfterFunc(time.Until(by), kill)
		defer late.Stop()
		defer kill()
		stop()
		sender.Wait()
	}
	p.tracing = t
}

// closeTracing sends what is left, until that time at most. A second call does nothing.
func (p *Proxy) closeTracing(by time.Time) {
	if p.tracing != nil {
		p.tracing.close(by)
	}
}

// share notes what share of its traces a route wants recorded.
func (b *builder) share(r *config.Route, is *mesh.Route) {
	if r.Tracing != nil {
		b.shares[is] = r.Tracing.Sample
	}
}

// traces is the layer that traces requests, nil where tracing is off: what carries a
// trace then passes as it came.
func (b *builder) traces(direction string) mesh.Layer {
	cfg := b.g.cfg.Tracing
	if cfg.Endpoint == "" {
		return nil
	}
	propagators, err := tracecontext.Parse(cfg.Propagators)
	if err != nil {
		b.fault(0, err)
		return nil
	}
	t := telemetry.TraceConfig{
		Direction:   direction,
		Propagators: propagators,
		Sample:      cfg.Sample,
		Routes:      b.shares,
		Query:       b.g.cfg.Logging.Query,
	}
	if b.p.tracing != nil { // nil where a configuration is only checked
		t.Spans, t.Handed = b.p.tracing.spans, b.p.tracing.handed
	}
	return telemetry.Traces(t)
}
