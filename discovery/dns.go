package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"outrider/internal/mesh"
)

// DNS resolves a name again and again; each of its addresses is an endpoint. An
// error, or an answer without addresses, keeps the last set. An IP is its own
// answer.
type DNS struct {
	Address Address
	Weight  int    // of each endpoint; zero means 1
	Zone    string // of each endpoint

	Every   time.Duration // between lookups, give or take 10 %; zero or less means 5s
	Timeout time.Duration // of one lookup; zero or less means 5s

	// Lookup asks for a name's addresses; nil means the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	Failed func(err error) // each failed lookup; nil: nobody listens
	Log    *slog.Logger    // when lookups begin and cease to fail; nil: nowhere
}

var _ Resolver = (*DNS)(nil)

// Watch passes an empty set at first where the name cannot be resolved.
func (d *DNS) Watch(ctx context.Context, s mesh.Service, update func([]mesh.Endpoint)) error {
	if d.Address.Host == "" {
		return errors.New("discovery: DNS without an Address")
	}
	if ip, ok := d.Address.IP(); ok {
		return Static(d.endpoints([]netip.Addr{ip})).Watch(ctx, s, update)
	}
	log := logger(d.Log).With("service", string(s), "host", d.Address.Host)
	var last []netip.Addr
	failing := false
	for first := true; ; first = false {
		addrs, err := d.lookup(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case err != nil:
			if d.Failed != nil {
				d.Failed(err)
			}
			if !failing {
				log.Warn("name cannot be resolved, the last endpoints stay", "endpoints", len(last), "error", err)
			}
			if first {
				update(nil)
			}
		case !slices.Equal(addrs, last):
			last = addrs
			update(d.endpoints(addrs))
		}
		if failing && err == nil {
			log.Info("name resolves again", "endpoints", len(last))
		}
		failing = err != nil
		if !wait(ctx, jitter(orDefault(d.Every, 5*time.Second))) {
			return context.Cause(ctx)
		}
	}
}

// lookup returns the name's addresses in order, each once; never none.
func (d *DNS) lookup(ctx context.Context) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(d.Timeout, 5*time.Second))
	defer cancel()
	ask := d.Lookup
	if ask == nil {
		ask = lookupIP
	}
	found, err := ask(ctx, d.Address.Host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", d.Address.Host, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("resolve %s: no addresses", d.Address.Host)
	}
	addrs := make([]netip.Addr, len(found))
	for i, a := range found {
		addrs[i] = a.Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs), nil
}

func lookupIP(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func (d *DNS) endpoints(addrs []netip.Addr) []mesh.Endpoint {
	set := make([]mesh.Endpoint, len(addrs))
	for i, ip := range addrs {
		set[i] = d.Address.Endpoint(ip)
		set[i].Weight, set[i].Zone = d.Weight, d.Zone
	}
	return set
}

// wait waits for d, and reports false when ctx ended before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// jitter returns d give or take 10 %, so that many proxies do not ask in step.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// orDefault returns value, or fallback where value is zero or less.
func orDefault[N cmp.Ordered](value, fallback N) N {
	var zero N
	if value <= zero {
		return fallback
	}
	return value
}

func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
