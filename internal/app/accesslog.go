package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"outrider/internal/config"
	"outrider/internal/telemetry"
)

// lastLines bounds how long a stop waits for the access log to be taken off.
const lastLines = 5 * time.Second

// startAccessLog begins to write the access log. What it returns ends that, when the
// last request has ended.
func (p *Proxy) startAccessLog(ctx context.Context) (stop func()) {
	p.access.Start()
	return func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLines)
		defer cancel()
		if err := p.access.Close(within); err != nil {
			p.log.Warn("stopped", "warning", err.Error())
		}
	}
}

// observation says how the requests of one address are counted and logged.
func (b *builder) observation(direction string) telemetry.RequestConfig {
	cfg := telemetry.RequestConfig{Direction: direction}
	l := b.g.cfg.Logging
	if !l.Access.On || b.p.o.Access == io.Discard {
		return cfg
	}
	format, err := telemetry.ParseLineFormat(l.Access.Format)
	if err != nil {
		b.fault(0, fmt.Errorf("logging.access.format: %w", err))
	}
	cfg.Log = b.p.access
	cfg.Lines = telemetry.Lines{Format: format, Sample: l.Access.Sample, Slow: l.Access.Slow, Query: l.Query}
	return cfg
}

// setAccessLog follows logging.access.
func (p *Proxy) setAccessLog(l config.Access) { p.access.Bound(int(l.Buffer)) }
