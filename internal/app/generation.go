package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"outrider/internal/config"
	"outrider/internal/door"
	"outrider/internal/identity"
	"outrider/internal/mesh"
	"outrider/policy"
	"outrider/policy/cache"
)

// generation is everything that is built from one version of the configuration.
type generation struct {
	cfg      *config.Config
	passages map[string]passage // by the key of their entrance
	tls      *identity.Server   // the ingress's; nil: plain
	mesh     *identity.Mesh     // who this proxy is to others; nil: nobody
	app      *service           // what a sidecar guards; nil: an ingress

	plans map[*mesh.Route]*plan // what each rule was made of
	ways  map[string]*way       // by direction

	services shelf[*service]
	limiters shelf[*policy.Limiter]
	auths    shelf[*policy.Auth]
	stores   shelf[cache.Store]
	finders  shelf[*finder]

	inFlight *inFlight
	before   <-chan struct{} // closed when the generation before this one is over
	over     chan struct{}   // closed when no request is left in this one, or its grace has ended
}

// shelf holds what the next generation may take over, each under all that it was
// made from: the same key means that the same thing would be made again.
type shelf[T any] map[string]T

// take returns the thing of that key: from this shelf, else from the last
// generation's, else made anew.
func (s shelf[T]) take(last shelf[T], key string, produce func() (T, error)) (T, error) {
	if have, ok := s[key]; ok {
		return have, nil
	}
	thing, ok := last[key]
	if !ok {
		var err error
		if thing, err = produce(); err != nil {
			return thing, err
		}
	}
	s[key] = thing
	return thing, nil
}

// settling bounds how long a reload waits for what is new in it.
const settling = 5 * time.Second

// keyOf describes settings in full, so that equal keys mean equal settings.
func keyOf(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("settings that JSON cannot describe: %v", err)) // they are plain structs
	}
	return string(b)
}

// sorted returns the services by name.
func (g *generation) sorted() []*service {
	return slices.SortedFunc(maps.Values(g.services), func(a, b *service) int { return cmp.Compare(a.name, b.name) })
}

// missing lists the services whose endpoints are not known yet.
func (g *generation) missing() []string {
	var names []string
	for _, s := range g.sorted() {
		select {
		case <-s.Ready():
		default:
			names = append(names, fmt.Sprintf("service %s: no endpoints looked up yet", s.name))
		}
	}
	return names
}

// settle waits until every service has had its first set of endpoints and the app, where
// it is another than last's, has answered its first check; or until ctx ends.
func (g *generation) settle(ctx context.Context, last *generation) {
	within, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	var first []<-chan struct{}
	for _, s := range g.services {
		first = append(first, s.Ready())
	}
	// At the start the app may have yet to be started. Later, an instance that is well
	// must not be called unwell for not having been asked.
	if last != nil && g.app != nil && g.app != last.app {
		first = append(first, g.app.state.answered)
	}
	for _, come := range first {
		select {
		case <-come:
		case <-within.Done():
			return
		}
	}
}

// end stops what g has and other has not.
func (g *generation) end(other *generation) {
	for key, s := range g.services {
		if other.services[key] == nil {
			s.stop()
		}
	}
	for key, a := range g.auths {
		if other.auths[key] == nil {
			a.Close()
		}
	}
	for key, f := range g.finders {
		if other.finders[key] == nil {
			f.close()
		}
	}
}

// wait waits until no request is left in this generation nor in those before it, or
// ctx ends.
func (g *generation) wait(ctx context.Context) {
	g.inFlight.wait(ctx)
	select {
	case <-g.before:
	case <-ctx.Done():
	}
}

// rereadCertificates reads the certificate files again of what g has taken over from
// last: what is new has just read its own. What is not valid stays as it is, and keeps
// no other from being read.
func (g *generation) rereadCertificates(last *generation) error {
	var errs []error
	if g.tls != nil && g.tls == last.tls {
		errs = append(errs, inBlock("server.tls", g.tls.Reload()))
	}
	if g.mesh != nil && g.mesh == last.mesh {
		errs = append(errs, inBlock("identity", g.mesh.Reload()))
	}
	for _, key := range slices.Sorted(maps.Keys(g.services)) {
		if s := g.services[key]; s.tls != nil && s == last.services[key] {
			errs = append(errs, inBlock("services."+s.name+".tls", s.tls.Reload()))
		}
	}
	return errors.Join(errs...)
}

// inBlock says in which block of the configuration an error is; nil stays nil.
func inBlock(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// settings are what an entrance's connections are served with.
func (g *generation) settings(key string) door.Settings {
	limits := g.cfg.Limits
	s := door.Settings{
		HeaderBytes: int(limits.HeaderBytes), HeaderCount: limits.HeaderCount, URIBytes: int(limits.URIBytes),
		ReadHeaderTimeout: limits.ReadHeaderTimeout, IdleTimeout: limits.IdleTimeout,
	}
	switch {
	case key == serverKey && g.tls != nil:
		s.TLS = g.tls.TLS()
	case key == inboundKey && g.mesh != nil:
		s.Mesh, s.Plain = g.mesh.ServerTLS(), g.cfg.Identity.MTLS == identity.Permissive
	}
	return s
}

// awaitApp waits until the app has answered a check, a few seconds at most: one that
// does not is known to be ill then.
func (g *generation) awaitApp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	select {
	case <-g.app.state.answered:
	case <-ctx.Done():
	}
}
